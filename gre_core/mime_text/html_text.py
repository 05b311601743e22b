r"""A plain text of an HTML body, for readers that show no HTML.

>>> text_of_html("<p>Art thou not <b>Romeo</b>?</p><p>&mdash; Juliet</p>")
'Art thou not Romeo?\n\n— Juliet'
"""

from __future__ import annotations

import html
import re
from typing import Final

MAX_HTML: Final = 1 << 20
"""Characters of HTML that are looked through."""

_TAG_NAME: Final = re.compile(r"/?[a-zA-Z][a-zA-Z0-9]*")
_LINK: Final = re.compile(
    r"""\shref\s*=\s*(?:"(https?://[^"\s]{1,2000})"|'(https?://[^'\s]{1,2000})')""", re.IGNORECASE
)
_NO_TAG: Final = re.compile(r"<(?![a-zA-Z/!?])")
_SIGN: Final = "\0"
"""Stands for a "<" that begins no tag, until the end: in HTML there is no such character."""

_LONGEST_TAG: Final = 4096
_SPACES: Final = re.compile(r"[ \t\r\n\f]+")
_HUGE_REFERENCE: Final = re.compile(r"&#[xX]?[0-9a-fA-F]{8,}+;?")

_LINE_TAGS: Final = frozenset({"br", "div", "li", "tr", "dt", "dd", "section", "article", "header", "footer"})
_PARAGRAPH_TAGS: Final = frozenset(
    {"p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "dl", "table", "blockquote", "pre", "hr"}
)
_HIDDEN_TAGS: Final = frozenset({"script", "style", "title", "template"})


def text_of_html(markup: str) -> str:
    """Derive a simple text: paragraphs, lines, list items, and the targets of links.

    One pass over the pieces between ``<`` signs, in linear time, which ``html.parser`` does not promise.
    Nothing is fetched, nothing is run. What follows the first million characters is left out, and ``[...]`` says so.
    """
    writer = _Writer()
    hidden = ""  # what ends a stretch that is not shown: "-->" or "/style"
    first, *pieces = _NO_TAG.sub(_SIGN, markup[:MAX_HTML].replace(_SIGN, "\ufffd")).split("<")
    writer.text(first)
    for piece in pieces:
        if hidden == "-->":
            _, end, after = piece.partition("-->")
            if end:
                hidden = ""
                writer.text(after)
            continue
        tag, _, after = piece.partition(">")
        found = _TAG_NAME.match(tag)
        name = found[0].lower() if found else ""
        if hidden:
            if name == hidden:
                hidden = ""
                writer.text(after)
        elif piece.startswith("!--"):
            _, end, after = piece.partition("-->")
            hidden = "" if end else "-->"
            writer.text(after)
        elif name in _HIDDEN_TAGS:
            hidden = f"/{name}"
        else:
            writer.tag(name, tag)
            writer.text(after)
    if len(markup) > MAX_HTML:
        writer.tag("p", "")
        writer.text("[...]")
    return writer.result()


class _Writer:
    """Collects words, and the line ends that are due before the next word."""

    def __init__(self) -> None:
        self._out: list[str] = []
        self._line_ends = 0
        self._space = False
        self._link = ""

    def text(self, markup: str) -> None:
        if not markup:
            return
        if "&" in markup:
            markup = html.unescape(_HUGE_REFERENCE.sub("\ufffd", markup))
        words = _SPACES.sub(" ", markup)
        if words.startswith(" "):
            self._space = True
            words = words[1:]
        if not words:
            return
        if self._out and self._line_ends:
            self._out.append("\n" * self._line_ends)
        elif self._out and self._space:
            self._out.append(" ")
        self._line_ends = 0
        self._space = words.endswith(" ")
        self._out.append(words.rstrip(" "))

    def tag(self, name: str, tag: str) -> None:
        bare = name.lstrip("/")
        if name == "br":
            self._line_ends = min(self._line_ends + 1, 2)
        elif bare in _PARAGRAPH_TAGS:
            self._line_ends = 2
        elif bare in _LINE_TAGS:
            self._line_ends = max(self._line_ends, 1)
            if name == "li":
                self.text("* ")
        elif bare in {"td", "th"}:
            self._space = True
        elif name == "a":
            found = _LINK.search(tag, 0, _LONGEST_TAG)
            self._link = html.unescape(_HUGE_REFERENCE.sub("\ufffd", found[1] or found[2])) if found else ""
        elif name == "/a" and self._link:
            if not self._out or self._out[-1] != self._link:
                self.text(f" <{self._link.replace('&', '&amp;')}>")
            self._link = ""

    def result(self) -> str:
        return "".join(self._out).replace(_SIGN, "<")
