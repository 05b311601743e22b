"""Who wrote a plain mail, where that is somebody else than whom it came from: lists, newsletters, forwarded mail.

A message comes from the sender of the envelope, and an answer goes there. What the mail says itself stands in its text.
"""

from __future__ import annotations

from email.utils import getaddresses
from typing import TYPE_CHECKING, Final

from gre_core.mime_text.charsets import decode_words
from gre_core.xml_text import clean

if TYPE_CHECKING:
    from gre_gateway_email.mail.mime_scan import Entity

MAX_FROM: Final = 1000
"""How much of From is read, in characters."""

MAX_SHOWN: Final = 200


def author_note(mail: Entity, sender: str) -> str:
    """Give a sentence for the user, or ``""`` when the mail names its sender, or nobody.

    Arguments:
        mail: its header, which may be hostile.
        sender: of the envelope.
    """
    written = mail.first("from")[:MAX_FROM]
    authors = {address.lower() for _, address in getaddresses([written]) if "@" in address}
    shown = " ".join(clean(decode_words(written)).split())
    if not shown or authors == {sender.lower()}:
        return ""
    if len(shown) > MAX_SHOWN:
        shown = f"{shown[:MAX_SHOWN]}..."
    return f"[The mail says that it is from {shown}. It was sent by {sender}, and an answer goes there.]"
