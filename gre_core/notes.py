"""What a gateway notes about the mail around an encrypted part: ``<note/>`` elements beside ``<encrypted/>``.

A note is not authenticated, and holds a code instead of words, so that nobody can put words into our mouth. It can
only make a message look worse, never better.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element

from gre_core.errors import LocalProtocolError
from gre_core.model import Notice

if TYPE_CHECKING:
    from collections.abc import Iterable

NOTES: Final = "urn:xmpp:gre:notes:0"
NOTE_TAG: Final = f"{{{NOTES}}}note"

MIXED_UP: Final = "mixed-up"
LIST_FOOTER: Final = "list-footer"
INLINE: Final = "inline"
PARTIAL: Final = "partial"
ATTACHED: Final = "attached"

INCOMPLETE: Final = frozenset({LIST_FOOTER, PARTIAL})
"""Codes that say: the mail held more, which was neither encrypted nor signed, and which the gateway left out."""

MAX_NOTES: Final = 16
"""How many ``<note/>`` elements of a message are read."""

_CODE = re.compile(r"[a-z][a-z0-9-]{0,31}")
_TEXTS: Final = {
    MIXED_UP: "A mail server on the way rebuilt this mail. Its encrypted part was found and is whole.",
    LIST_FOOTER: (
        "A mailing list or mail server added a few lines below this mail, mostly a footer. They were not encrypted, "
        "and are not shown."
    ),
    INLINE: (
        "Only the text of this mail was encrypted, by an old way (inline PGP): its subject and its attachments were "
        "not."
    ),
    PARTIAL: (
        "Only a part of this mail was encrypted. The rest could be read and changed by anybody on the way, and is "
        "not shown."
    ),
    ATTACHED: "The encrypted message came as an attachment of a mail.",
}


def build_notes(codes: Iterable[str]) -> list[Element]:
    """Make the ``<note/>`` elements, one for each code.

    Raises:
        LocalProtocolError: something that is no code.
    """
    notes = []
    for code in dict.fromkeys(codes):
        if _CODE.fullmatch(code) is None:
            raise LocalProtocolError("The code of a note has 1 to 32 small letters, digits and hyphens.")
        notes.append(Element(NOTE_TAG, {"code": code}))
    return notes


def read_notes(message: Element) -> tuple[Notice, ...]:
    """Give a notice for each note of a message that we know, in their order; others are ignored.

    Arguments:
        message: the ``<message/>``, which may be hostile.
    """
    codes: list[str] = []
    for count, note in enumerate(message.iterfind(NOTE_TAG)):
        if count == MAX_NOTES:
            break
        codes.append(note.get("code", ""))
    return tuple(Notice(code, _TEXTS[code]) for code in dict.fromkeys(codes) if code in _TEXTS)
