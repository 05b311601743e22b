"""Finds the encrypted part of a mail, also when the mail was mangled on its way, and says what stood around it.

PGP/MIME as it should be (RFC 3156, section 4); as Exchange, Proton and Google rebuild it; below the footer of a mailing
list; as an attachment; and inline PGP, an armored text. Only structure is looked at: nothing is decrypted here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from gre_core.mime_text.html_text import text_of_html
from gre_core.notes import ATTACHED, INLINE, LIST_FOOTER, MIXED_UP, PARTIAL
from gre_gateway_email.mail import mime_scan

if TYPE_CHECKING:
    from gre_gateway_email.mail.mime_scan import Entity

MAX_PARTS: Final = 20
"""Most parts of one multipart; a mail with more is an ordinary one."""

MAX_DEPTH: Final = 3
MAX_FOOTER: Final = 4096
"""Bytes of text that still count as a footer."""

_VERSION: Final = "application/pgp-encrypted"
_BINARY: Final = "application/octet-stream"
_SIGNATURES: Final = frozenset({"application/pgp-signature", "application/pkcs7-signature"})
_CLOSED: Final = frozenset({"multipart/report", "multipart/digest"})
"""What holds other mails than the one that came."""

_MAX_HTML: Final = 64 * 1024
_EMPTY_WORDS: Final = frozenset({"empty message"})
"""What Proton puts where there was nothing."""

_BEGIN: Final = b"-----BEGIN PGP MESSAGE-----"
_BLOCK = re.compile(rb"^-----BEGIN PGP MESSAGE-----[ \t]*\r?$", re.MULTILINE)
_END = re.compile(rb"^-----END PGP MESSAGE-----[ \t]*\r?$", re.MULTILINE)
_NAME = re.compile(r"[^./\\]{1,100}\.(?:asc|pgp|gpg)", re.IGNORECASE)
_RULE = re.compile(r"\s*(?:--|__|==|\*\*)")
_WORD = re.compile(r"\w")


@dataclass(frozen=True, slots=True)
class Found:
    """The encrypted part of a mail.

    Arguments:
        content: armored or binary, not checked.
        notes: codes of what the reader should know (:mod:`gre_core.notes`).
        sure: the structure says that it is an encrypted mail, so that damage is an error; otherwise the mail may as
            well be an ordinary one.
    """

    content: bytes = field(repr=False)
    notes: tuple[str, ...]
    sure: bool


@dataclass(slots=True)
class _Candidate:
    content: bytes
    kind: str  # "" for PGP/MIME, else the code of the note
    at: int


@dataclass(slots=True)
class _Other:
    """Something else in the mail that is not empty."""

    text: str | None  # None: no text
    size: int
    at: int


@dataclass(slots=True)
class _Walk:
    """What was found, in the order of the mail."""

    candidates: list[_Candidate] = field(default_factory=list)
    others: list[_Other] = field(default_factory=list)
    position: int = 0

    def candidate(self, content: bytes, kind: str = "") -> None:
        self.position += 1
        self.candidates.append(_Candidate(content, kind, self.position))

    def other(self, text: str | None, size: int = 0) -> None:
        self.position += 1
        if text is None or (_WORD.search(text) and text.strip().lower() not in _EMPTY_WORDS):
            self.others.append(_Other(text, size, self.position))

    # -- parts ---------------------------------------------------------------------------------------

    def visit(self, part: Entity, value: str, depth: int) -> None:
        """Look at a part with this Content-Type."""
        kind, parameters = mime_scan.structured(value)
        boundary = mime_scan.boundary_of(parameters)
        if kind.startswith("multipart/"):
            closed = kind in _CLOSED or (kind == "multipart/encrypted" and not is_openpgp(parameters))
            if boundary is None or depth == MAX_DEPTH or closed:
                self.other(None)
                return
            parts = part.parts(boundary, MAX_PARTS)
            if kind == "multipart/encrypted" and len(parts) > 1:
                self.candidate(parts[1].content())
                self._visit_all(parts[2:], depth)
            elif kind == "multipart/alternative":
                self._visit_alternative(parts, depth)
            else:
                self._visit_all(parts, depth)
        else:
            self._leaf(part, kind, parameters)

    def _visit_all(self, parts: list[Entity], depth: int) -> None:
        at = 0
        while at < len(parts):
            following = parts[at + 1] if at + 1 < len(parts) else None
            if _kind(parts[at]) == _VERSION and following is not None and _kind(following) == _BINARY:
                self.candidate(following.content())
                at += 2
            else:
                self.visit(parts[at], parts[at].first("content-type", "text/plain"), depth + 1)
                at += 1

    def _visit_alternative(self, parts: list[Entity], depth: int) -> None:
        """Look at forms of one content: what repeats an encrypted text in HTML adds nothing."""
        before = len(self.candidates)
        for part in parts:
            repeats = (
                _kind(part) == "text/html" and len(self.candidates) > before and _BEGIN in part.content()
            )
            if not repeats:
                self.visit(part, part.first("content-type", "text/plain"), depth + 1)

    def _leaf(self, part: Entity, kind: str, parameters: dict[str, str]) -> None:
        disposition, named = mime_scan.structured(part.first("content-disposition"))
        name = named.get("filename") or parameters.get("name") or ""
        content = part.content()
        if kind in _SIGNATURES:
            return
        if kind == "text/plain" and disposition != "attachment" and not name:
            self._text(content)
        elif kind == "text/html" and disposition != "attachment":
            self.other(text_of_html(content[:_MAX_HTML].decode("utf-8", "replace")), len(content))
        elif kind == "application/pgp" and _BLOCK.search(content):
            self._text(content)
        elif _is_encrypted_file(name, content):
            self.candidate(content, ATTACHED)
        elif content.strip():
            self.other(None)

    def _text(self, content: bytes) -> None:
        """Look for an armored message in a text (inline PGP)."""
        at = 0
        while (begin := _BLOCK.search(content, at)) and (end := _END.search(content, begin.end())):
            self._words(content[at : begin.start()])
            self.candidate(content[begin.start() : end.end()], INLINE)
            at = end.end()
            if len(self.candidates) > MAX_PARTS:
                break
        self._words(content[at:])

    def _words(self, content: bytes) -> None:
        self.other(content.decode("utf-8", "replace"), len(content))


def find(mail: Entity) -> Found | None:
    """Find the encrypted part of a mail; None when it is an ordinary one.

    Raises:
        Unreadable: a mail that says of itself that it is PGP/MIME is beyond the bounds.
        NoParts: it says so, and its parts are not there.
    """
    values = list(mail.values("content-type")) or ["text/plain"]
    for value in values:
        kind, parameters = mime_scan.structured(value)
        if kind == "multipart/encrypted" and is_openpgp(parameters):
            walk = _Walk()
            walk.visit(mail, value, 0)
            if not walk.candidates:
                raise NoParts
            return _found(walk, mixed_up=False)
    walk = _Walk()
    try:
        walk.visit(mail, values[0], 0)
    except mime_scan.Unreadable:
        return None  # more than an encrypted mail has
    return _found(walk, mixed_up=True) if walk.candidates else None


class NoParts(ValueError):
    """PGP/MIME without its two parts."""


def is_openpgp(parameters: dict[str, str]) -> bool:
    """Tell whether the parameters of a multipart/encrypted are those of OpenPGP; none is taken as well."""
    return parameters.get("protocol", _VERSION).strip().lower() == _VERSION


def _found(walk: _Walk, *, mixed_up: bool) -> Found | None:
    order = ("", INLINE, ATTACHED)
    chosen = min(walk.candidates, key=lambda one: (order.index(one.kind), one.at))
    if chosen.kind == ATTACHED and walk.others:
        return None  # an ordinary mail with an encrypted file
    notes = [chosen.kind] if chosen.kind else []
    if len(walk.candidates) > 1 or not _are_footers(walk.others, chosen.at):
        notes.append(PARTIAL)
    elif walk.others:
        notes.append(LIST_FOOTER)
    elif mixed_up and not chosen.kind:
        notes.append(MIXED_UP)
    return Found(chosen.content, tuple(notes), sure=not chosen.kind and not (mixed_up and walk.others))


def _are_footers(others: list[_Other], at: int) -> bool:
    """Tell whether all else is a few lines of text, behind the encrypted part or behind a rule."""
    return sum(other.size for other in others) <= MAX_FOOTER and all(
        other.text is not None and (other.at > at or _RULE.match(other.text)) for other in others
    )


def _kind(part: Entity) -> str:
    return mime_scan.structured(part.first("content-type", "text/plain"))[0]


def _is_encrypted_file(name: str, content: bytes) -> bool:
    """Tell whether a file is an encrypted message, as far as its name tells: not ``report.pdf.gpg``."""
    if name and _NAME.fullmatch(name.strip()) is None:
        return False
    return content.lstrip().startswith(_BEGIN)
