"""Which conversation a plain message belongs to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "2"
down_revision = "1"

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the column. In SQLite the table is made anew: the content, which is large, has to stay the last column."""
    thread = sa.Column("thread", _TEXT, nullable=False, server_default="")
    if op.get_bind().dialect.name != "sqlite":
        op.add_column("inbox", thread)
        return
    with op.batch_alter_table("inbox", recreate="always") as inbox:
        inbox.add_column(thread, insert_after="subject")
