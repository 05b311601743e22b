from __future__ import annotations
import re
from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element
from gre_core.errors import LocalProtocolError
from gre_core.model import Notice
if TYPE_CHECKING:
    from collections.abc import Iterable
NOTES: Final = 'urn:xmpp:gre:notes:0'
NOTE_TAG: Final = f'{{{NOTES}}}note'
MIXED_UP: Final = 'mixed-up'
LIST_FOOTER: Final = 'list-footer'
INLINE: Final = 'inline'
PARTIAL: Final = 'partial'
ATTACHED: Final = 'attached'
INCOMPLETE: Final = frozenset({LIST_FOOTER, PARTIAL})
MAX_NOTES: Final = 16

def build_notes(codes: Iterable[str]) -> list[Element]:
    ...

def read_notes(message: Element) -> tuple[Notice, ...]:
    ...
