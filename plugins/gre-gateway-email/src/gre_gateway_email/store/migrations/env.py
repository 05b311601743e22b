"""Where alembic starts: it gets a connection in a transaction from :mod:`gre_gateway_email.store.upgrade`."""

from __future__ import annotations

from alembic import context

from gre_gateway_email.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
