"""A payload that is no mail but a bare text, as inline PGP encrypts it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gre_core.errors import ParseFailed
from gre_core.mime_text.charsets import to_text
from gre_formatter_mime.limits import MAX_TEXT

if TYPE_CHECKING:
    from gre_formatter_mime.headers_read import Fields
    from gre_formatter_mime.source import Source

_NO_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_OF_MAIL: Final = frozenset(
    {
        "from", "to", "cc", "bcc", "sender", "reply-to", "subject", "date", "message-id", "in-reply-to", "references",
        "mime-version", "received", "return-path", "autocrypt",
    }
)  # fmt: skip


def is_mail(fields: Fields) -> bool:
    """Tell whether a header section is one, and not the first line of a text that has a colon."""
    return any(name in _OF_MAIL or name.startswith("content-") for name in fields)


def bare_text(source: Source) -> str:
    """Give the whole payload as text, with LF line ends.

    Raises:
        ParseFailed: it is empty, too long, or does not look like text.
    """
    raw = bytes(source.read(0, min(source.size, MAX_TEXT + 1)))
    if not raw or len(raw) > MAX_TEXT or _NO_TEXT.search(raw):
        raise ParseFailed("The decrypted payload is no mail: it has no header fields, and is no text either")
    return to_text(raw, "").replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n")
