"""Which contacts are in the rosters of users."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "3"
down_revision = "2"

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "contacts",
        sa.Column("jid", _TEXT, primary_key=True),
        sa.Column("contact", _TEXT, primary_key=True),
        sa.Column("sees", sa.Boolean, nullable=False),
        sa.Column("agreed", sa.Boolean, nullable=True),
    )
