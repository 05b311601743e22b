"""All tables."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "1"
down_revision = None

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "secrets",
        sa.Column("name", _TEXT, primary_key=True),
        sa.Column("value", sa.LargeBinary, nullable=False),
    )
    versions = op.create_table(
        "versions",
        sa.Column("name", _TEXT, primary_key=True),
        sa.Column("number", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(versions, [{"name": name, "number": 0} for name in ("users", "commit")])
    op.create_table(
        "users",
        sa.Column("jid", _TEXT, primary_key=True),
        *_required("encrypted_only publish_key blocked from_config", sa.Boolean),
        *_required("registered_at", sa.Double),
    )
    op.create_table(
        "addresses",
        sa.Column("folded", _TEXT, primary_key=True),
        sa.Column("jid", _TEXT, sa.ForeignKey("users.jid", ondelete="CASCADE"), nullable=False, index=True),
        *_required("place", sa.Integer),
        *_required("written", _TEXT),
    )
    op.create_table(
        "outbox",
        sa.Column("id", _TEXT, primary_key=True),
        sa.Column("key", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("jid", _TEXT, nullable=False, index=True),
        *_required("user_full stanza_id stanza_to stanza_type", _TEXT),
        *_required("wants_receipt", sa.Boolean),
        *_required("sender recipients message_id kind", _TEXT),
        *_required("size", sa.BigInteger),
        *_required("created_at", sa.Double),
        *_required("attempts", sa.Integer),
        *_required("next_at", sa.Double),
        *_required("state reason", _TEXT),
        *_required("mail", sa.LargeBinary),
    )
    op.create_index("ix_outbox_state_next_at", "outbox", ["state", "next_at"])
    op.create_table(
        "inbox",
        sa.Column("id", _TEXT, primary_key=True),
        sa.Column("jid", _TEXT, nullable=False, index=True),
        *_required("address sender kind formatter encrypter subject notes files", _TEXT),
        *_required("size", sa.BigInteger),
        *_required("wants_report", sa.Boolean),
        *_required("envelope_id message_id", _TEXT),
        *_required("received_at", sa.Double),
        *_required("attempts", sa.Integer),
        *_required("next_at expires_at", sa.Double),
        *_required("state reason", _TEXT),
        *_required("content", sa.LargeBinary),
    )
    op.create_index("ix_inbox_state_next_at", "inbox", ["state", "next_at"])
    op.create_index("ix_inbox_state_expires_at", "inbox", ["state", "expires_at"])
    op.create_table(
        "contact_keys",
        *(sa.Column(name, _TEXT, primary_key=True) for name in ("jid", "address", "source")),
        *_required("authenticated", sa.Boolean),
        *_required("seen_at", sa.Double),
        *_required("data", sa.LargeBinary),
    )
    op.create_table(
        "relayed",
        sa.Column("hash", sa.LargeBinary, primary_key=True),
        sa.Column("user_hash", sa.LargeBinary, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False, index=True),
        sqlite_with_rowid=False,
    )


def _required(names: str, kind: Any) -> list[sa.Column[Any]]:
    return [sa.Column(name, kind, nullable=False) for name in names.split()]
