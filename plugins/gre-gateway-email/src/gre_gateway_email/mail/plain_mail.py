"""Unencrypted mails, both ways: for people whose client or correspondent has no encryption."""

from __future__ import annotations

from gre_gateway_email.mail.plain_reading import read_plain
from gre_gateway_email.mail.plain_writing import write_plain

__all__ = ["read_plain", "write_plain"]
