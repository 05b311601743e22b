"""The tables. docs/reference/email-gateway-data.md lists every column, why and how long; a test compares the two."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, MetaData, Table

from gre_gateway_email.store.column_types import Bytes, Identity, Seconds, Tuple, Words

JID: Final = Identity(2047)
"""A bare JID: two parts of 1,023 bytes (RFC 7622)."""
FULL_JID: Final = Identity(3071)
ADDRESS: Final = Identity(320)
"""64 before the @, 255 after it (RFC 5321)."""
ID: Final = Identity(255)
NAME: Final = Identity(64)
MESSAGE_ID: Final = Identity(998)
"""As long as a line of a mail may be (RFC 5322)."""
STANZA_ID: Final = Identity(10_000)
REASON: Final = Words(2_000)
SUBJECT: Final = Words(10_000)

metadata = MetaData()

secrets: Final = Table(
    "secrets",
    metadata,
    Column("name", NAME, primary_key=True),
    Column("value", Bytes, nullable=False),
)

versions: Final = Table(
    "versions",
    metadata,
    Column("name", NAME, primary_key=True),
    Column("number", BigInteger, nullable=False),
)

users: Final = Table(
    "users",
    metadata,
    Column("jid", JID, primary_key=True),
    Column("encrypted_only", Boolean, nullable=False),
    Column("publish_key", Boolean, nullable=False),
    Column("blocked", Boolean, nullable=False),
    Column("from_config", Boolean, nullable=False),
    Column("registered_at", Seconds, nullable=False),
)

addresses: Final = Table(
    "addresses",
    metadata,
    Column("folded", ADDRESS, primary_key=True),
    Column("jid", ForeignKey(users.c.jid, ondelete="CASCADE"), nullable=False, index=True),
    Column("place", Integer, nullable=False),
    Column("written", ADDRESS, nullable=False),
)

contacts: Final = Table(
    "contacts",
    metadata,
    # Of no user for a moment only: who was let go without a word is told at the next start.
    Column("jid", JID, primary_key=True),
    Column("contact", JID, primary_key=True),
    Column("sees", Boolean, nullable=False),
    Column("agreed", Boolean, nullable=True),
)

# The large column stands last: SQLite then reads the others without the pages that it fills.
outbox: Final = Table(
    "outbox",
    metadata,
    Column("id", ID, primary_key=True),
    Column("key", Bytes, nullable=False, unique=True),
    Column("jid", JID, nullable=False, index=True),
    Column("user_full", FULL_JID, nullable=False),
    Column("stanza_id", STANZA_ID, nullable=False),
    Column("stanza_to", FULL_JID, nullable=False),
    Column("stanza_type", NAME, nullable=False),
    Column("wants_receipt", Boolean, nullable=False),
    Column("sender", ADDRESS, nullable=False),
    Column("recipients", Tuple, nullable=False),
    Column("message_id", MESSAGE_ID, nullable=False),
    Column("kind", NAME, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("created_at", Seconds, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", Seconds, nullable=False),
    Column("state", NAME, nullable=False),
    Column("reason", REASON, nullable=False),
    Column("mail", Bytes, nullable=False),
    Index("ix_outbox_state_next_at", "state", "next_at"),
)

inbox: Final = Table(
    "inbox",
    metadata,
    Column("id", ID, primary_key=True),
    Column("jid", JID, nullable=False, index=True),
    Column("address", ADDRESS, nullable=False),
    Column("sender", ADDRESS, nullable=False),
    Column("kind", NAME, nullable=False),
    Column("formatter", ID, nullable=False),
    Column("encrypter", ID, nullable=False),
    Column("subject", SUBJECT, nullable=False),
    Column("thread", MESSAGE_ID, nullable=False),
    Column("notes", Tuple, nullable=False),
    Column("files", Tuple, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("wants_report", Boolean, nullable=False),
    Column("envelope_id", MESSAGE_ID, nullable=False),
    Column("original_recipient", MESSAGE_ID, nullable=False),
    Column("message_id", MESSAGE_ID, nullable=False),
    Column("received_at", Seconds, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", Seconds, nullable=False),
    Column("expires_at", Seconds, nullable=False),
    Column("state", NAME, nullable=False),
    Column("reason", REASON, nullable=False),
    Column("content", Bytes, nullable=False),
    Index("ix_inbox_state_next_at", "state", "next_at"),
    Index("ix_inbox_state_expires_at", "state", "expires_at"),
)

contact_keys: Final = Table(
    "contact_keys",
    metadata,
    Column("jid", JID, primary_key=True),
    Column("address", ADDRESS, primary_key=True),
    Column("source", NAME, primary_key=True),
    Column("authenticated", Boolean, nullable=False),
    Column("seen_at", Seconds, nullable=False),
    Column("data", Bytes, nullable=False),
)

relayed: Final = Table(
    "relayed",
    metadata,
    Column("hash", Bytes, primary_key=True),
    # Without an index, which every message would pay for: only `forget` looks for it, and may read all rows.
    Column("user_hash", Bytes, nullable=False),
    Column("at", BigInteger, nullable=False, index=True),
    sqlite_with_rowid=False,
)
