"""Reads a payload inside a worker process."""

from __future__ import annotations

from typing import Final

from gre_core.message_codec import encode_message
from gre_formatter_mime.parse import parse_source
from gre_formatter_mime.source import BytesSource

PARSER: Final = "gre_formatter_mime.worker:parse"
"""The name of :func:`parse` for a worker process."""


def parse(payload: bytes) -> bytes:
    """Read a MIME entity, which may be hostile; give the message encoded.

    Raises:
        ParseFailed: no MIME entity, or beyond the bounds.
    """
    return encode_message(parse_source(BytesSource(payload)))
