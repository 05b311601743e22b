"""Whom the sender of a mail wrote to, for the report about it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "4"
down_revision = "3"

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the column. In SQLite the table is made anew: the content, which is large, has to stay the last column."""
    original = sa.Column("original_recipient", _TEXT, nullable=False, server_default="")
    if op.get_bind().dialect.name != "sqlite":
        op.add_column("inbox", original)
        return
    with op.batch_alter_table("inbox", recreate="always") as inbox:
        inbox.add_column(original, insert_after="envelope_id")
