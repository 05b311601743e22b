r"""The text of an HTML mail that has no plain text, for people to read in a chat, in linear time.

>>> text_of("<p>Hello <b>Juliet</b>,</p>see you&nbsp;soon")
'Hello Juliet,\\nsee you soon'
"""

from __future__ import annotations

import re
from html import unescape
from typing import Final

_SILENT: Final = frozenset({"script", "style", "head", "title", "template"})
_BREAKS: Final = frozenset(
    {"br", "p", "div", "tr", "li", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "table"}
)
_TAG_NAME = re.compile(r"/?([A-Za-z][A-Za-z0-9]{0,20})")
_SPACE = re.compile(r"[ \t\r\n\f\xa0]+")
_BLANK_LINES = re.compile(r"\n[ \n]*\n[ \n]*")


def text_of(html: str) -> str:
    """Leave out tags, comments, scripts and styles; nothing is fetched, links are not shown."""
    pieces: list[str] = []
    lower = html.lower()
    at = 0
    while True:
        tag = html.find("<", at)
        pieces.append(_SPACE.sub(" ", html[at : tag if tag >= 0 else len(html)]))
        if tag < 0:
            break
        at = _after_tag(html, lower, tag, pieces)
        if at < 0:
            break
    joined = "\n".join(line.strip(" ") for line in unescape("".join(pieces)).replace("\xa0", " ").split("\n"))
    return _BLANK_LINES.sub("\n\n", joined).strip()


def _after_tag(html: str, lower: str, tag: int, pieces: list[str]) -> int:
    """Give the offset behind a tag, a comment or a silent element; -1 when it does not end."""
    if html.startswith("<!--", tag):
        end = html.find("-->", tag + 4)
        return end + 3 if end >= 0 else -1
    name = _TAG_NAME.match(html, tag + 1)
    if name is None and html[tag + 1 : tag + 2] not in {"!", "?", "/"}:
        pieces.append("<")
        return tag + 1
    end = html.find(">", tag)
    if end < 0:
        return -1
    if name is not None:
        word = name[1].lower()
        if word in _BREAKS:
            pieces.append("\n")
        if word in _SILENT and html[tag + 1] != "/" and html[end - 1] != "/":
            closing = lower.find(f"</{word}", end)
            return closing if closing >= 0 else -1
    return end + 1
