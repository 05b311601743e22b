"""What XML can carry and at what size, and texts of unknown origin that people will see."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from gre_core.errors import LocalProtocolError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

MAX_ELEMENTS: Final = 10_000
MAX_DEPTH: Final = 100
"""How deep elements are nested at most. What is deeper cannot be written again without recursion."""

MAX_SENDER_ID: Final = 1024

_ILLEGAL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_ASCII_ILLEGAL = tuple(map(chr, (*range(9), 11, 12, *range(14, 32))))
_LONG = 1024
_GROWING = {"&": 4, "<": 3, ">": 3, '"': 5, "'": 5}
"""How many bytes more a character has when it is escaped."""
_MOST = 6
"""Most bytes of a character: ``&quot;``. In UTF-8 it has four."""
# Besides controls: marks that change the order of what is shown, and characters that show nothing.
_CONTROL = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\uffff"
    r"\U000e0000-\U000e0fff]"
)
_MISLEADING = re.compile(rf"(?![\n\t]){_CONTROL.pattern}")


def is_legal(text: str) -> bool:
    """Tell whether XML allows all characters of a text; others would end the stream."""
    if len(text) > _LONG and text.isascii():  # base64: to look for each character is far quicker
        return not any(char in text for char in _ASCII_ILLEGAL)
    return text.isprintable() or _ILLEGAL.search(text) is None


def require_legal(text: str, what: str) -> str:
    """Give the text back when XML allows all its characters; others would end the stream.

    Raises:
        LocalProtocolError: it has a control character, half a surrogate pair or a non-character.
    """
    if not is_legal(text):
        raise LocalProtocolError(f"{what} has a character that XML forbids. Remove control characters.")
    return text


def clean(text: str) -> str:
    """Replace what XML forbids or what misleads in a text of unknown origin that people will see."""
    return text if text.isprintable() else _MISLEADING.sub("\ufffd", text)


def replace_illegal(text: str) -> str:
    """Replace what XML forbids."""
    return _ILLEGAL.sub("\ufffd", text)


def has_controls(text: str) -> bool:
    """Tell whether a text has control characters, or others that mislead who reads it."""
    return _CONTROL.search(text) is not None


def depth_within(element: Element, depth: int = MAX_DEPTH, elements: int = MAX_ELEMENTS) -> bool:
    """Tell whether an element is nested no deeper than ``depth`` and has no more than ``elements``."""
    level, count = [element], 0
    while level:
        depth -= 1
        count += len(level)
        if depth < 0 or count > elements:
            return False
        level = [child for node in level for child in node]
    return True


def is_identifier(text: str) -> bool:
    """Tell whether a text can be a ``sender_id``: 1 to 1,024 characters, nothing that misleads who reads it."""
    return 0 < len(text) <= MAX_SENDER_ID and text == text.strip() and not has_controls(text)


def local_name(tag: str) -> tuple[str, str]:
    """Split a tag into namespace and name."""
    namespace, _, name = tag.rpartition("}")
    return namespace[1:], name


def serialised_size(element: Element) -> int:
    """Give the size of an element on the wire in bytes of UTF-8, at most a little too large.

    Namespaces are counted as if each element and attribute declared its own with a prefix, so the result is never
    too small, whoever writes the XML.
    """
    size = 0
    for node in element.iter():
        size += _size_of_tag(node.tag) + _escaped(node.text) + _escaped(node.tail)
        for key, value in node.attrib.items():
            size += _size_of_key(key) + _escaped(value, attribute=True)
    return size


def most_bytes(element: Element) -> int:
    """Give a bound of :func:`serialised_size` that is far quicker to find, and several times as large."""
    characters = 0
    for node in element.iter():
        # A namespace or a key has 40 bytes around it at most.
        characters += 2 * len(node.tag) + len(node.text or "") + len(node.tail or "") + 7
        for key, value in node.attrib.items():
            characters += len(key) + len(value) + 5
    return _MOST * characters


@lru_cache(maxsize=512)
def _size_of_tag(tag: str) -> int:
    namespace, name = local_name(tag)
    return 2 * len(name.encode()) + _escaped(namespace) + 40


@lru_cache(maxsize=512)
def _size_of_key(key: str) -> int:
    return _escaped(key) + (30 if "}" in key else 4)


def _escaped(text: str | None, *, attribute: bool = False) -> int:
    if not text:
        return 0
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    for char, more in _GROWING.items():
        if char in text:  # far quicker than to count: base64 has none of them
            size += more * text.count(char)
    if attribute:
        size += 4 * sum(map(text.count, "\t\n\r"))
    return size
