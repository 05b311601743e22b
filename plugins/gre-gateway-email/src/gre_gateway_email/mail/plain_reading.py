"""What a chat can show of an unencrypted mail: its text, its subject, and its files, which may be hostile."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from gre_core.mime_text.charsets import decode_words, to_text
from gre_core.mime_text.file_names import safe_name
from gre_core.mime_text.flowed import unflow
from gre_core.mime_text.html_text import text_of_html
from gre_core.xml_text import replace_illegal
from gre_gateway_email.mail import mime_scan

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_DEPTH: Final = 8
MAX_PARTS: Final = 100
"""Parts that are looked at, in all; what follows is counted."""

MAX_SUBJECT: Final = 1000
MAX_HTML: Final = 512 * 1024
"""How much of an HTML part is read, in bytes: a text of that length fits into no stanza."""

MAX_TEXT: Final = 4 * 1024 * 1024
"""How much of a text part is read, in bytes."""

MAX_FLOWED: Final = 1024 * 1024
MAX_NAMES: Final = 10
"""Names that a note lists."""

NO_TEXT: Final = "[The mail has no text.]"
SIGNED: Final = "[The mail is signed. The gateway has not checked by whom.]"
SMIME: Final = "[The mail is encrypted or signed with S/MIME: what it says is in the attached file alone.]"

_SIGNATURES: Final = frozenset(
    {"application/pgp-signature", "application/pkcs7-signature", "application/x-pkcs7-signature"}
)
_SMIME: Final = frozenset({"application/pkcs7-mime", "application/x-pkcs7-mime"})
_LOOK: Final = 4096
"""How much of an alternative is looked at to see whether it is empty, in bytes."""

_SHOWN: Final = frozenset({"text/plain", "text/html"})
_FORMS_OF_TEXT: Final = _SHOWN | {"text/enriched", "text/watch-html", "text/x-amp-html"}
"""Of several alternatives one is shown; the others of these kinds say the same."""

_MEDIA_TYPE: Final = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,63}")
_OCTETS: Final = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class MailFile:
    """A file in a mail. It is decoded when it is asked for.

    Arguments:
        name: safe to show and to save, never empty.
        media_type: of the right shape, without parameters.
        part: where it stands.
    """

    name: str = field(repr=False)
    media_type: str
    part: mime_scan.Entity = field(repr=False)

    @property
    def encoded_size(self) -> int:
        """How many bytes it takes in the mail; it is not larger than that when it is decoded."""
        return self.part.end - self.part.start

    def content(self) -> bytes:
        """Give its bytes."""
        return self.part.content()


@dataclass(frozen=True, slots=True)
class PlainMail:
    """What a chat can show of a mail.

    Arguments:
        text: without a note about files; ``""`` when there is none.
        subject: or ``""``.
        files: in their order.
        unread: descriptions of what is beyond the bounds.
    """

    text: str = field(repr=False)
    subject: str = field(repr=False)
    files: tuple[MailFile, ...] = ()
    unread: tuple[str, ...] = field(default=(), repr=False)

    def shown(self, missing: Sequence[MailFile], why: str = "") -> str:
        """Give the text for the user, with a note that names the files that do not come with it.

        Arguments:
            missing: these files.
            why: a sentence.
        """
        names = [*(each.name for each in missing), *self.unread]
        if not names:
            return self.text or ("" if self.files else NO_TEXT)
        listed = ", ".join(name[:80] for name in names[:MAX_NAMES]) + (
            ", ..." if len(names) > MAX_NAMES else ""
        )
        what = "1 attachment was" if len(names) == 1 else f"{len(names)} attachments were"
        note = replace_illegal(f"[{what} not delivered: {listed}.{why and ' '}{why}]")
        return f"{self.text}\n\n{note}" if self.text else note


def read_plain(mail: bytes) -> PlainMail:
    """Read a mail that is not encrypted. Takes about a second for the worst mail of 60 MB.

    Raises:
        Unreadable: its header is beyond the bounds.
    """
    root = mime_scan.read(mail)
    walk = _Walk()
    walk.visit(root, 0)
    text = "\n\n".join(piece for piece in (*walk.texts, *walk.notes) if piece.strip())
    subject = " ".join(decode_words(root.first("subject")[:MAX_SUBJECT]).split())
    return PlainMail(replace_illegal(text), replace_illegal(subject), tuple(walk.files), tuple(walk.unread))


class _Walk:
    """Collects texts and files."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.files: list[MailFile] = []
        self.unread: list[str] = []
        self.notes: dict[str, None] = {}
        self._parts = 0

    def visit(self, part: mime_scan.Entity, depth: int, *, files_only: bool = False) -> None:
        kind, parameters = mime_scan.structured(part.first("content-type", "text/plain"))
        disposition, named = mime_scan.structured(part.first("content-disposition"))
        self._parts += 1
        boundary = mime_scan.boundary_of(parameters)
        if kind.startswith("multipart/") and boundary and depth < MAX_DEPTH:
            self._visit_parts(part, kind, boundary, depth, files_only=files_only)
        elif kind in _SHOWN and disposition != "attachment":
            if not files_only:
                self.texts.append(_text(part, kind, parameters))
        elif kind in _SIGNATURES:
            self.notes[SIGNED] = None
        elif not (files_only and kind in _FORMS_OF_TEXT):
            if kind in _SMIME:
                self.notes[SMIME] = None
            name = decode_words((named.get("filename") or parameters.get("name", ""))[:MAX_SUBJECT])
            kind = kind if _MEDIA_TYPE.fullmatch(kind) else _OCTETS
            self.files.append(MailFile(replace_illegal(safe_name(name, kind)), kind, part))

    def _visit_parts(
        self, part: mime_scan.Entity, kind: str, boundary: str, depth: int, *, files_only: bool
    ) -> None:
        try:
            parts, more = part.first_parts(boundary, max(0, MAX_PARTS - self._parts))
        except mime_scan.Unreadable as error:
            self.unread.append(f"a part that {error}")
            return
        best = _best(parts) if kind == "multipart/alternative" else None
        for inner in parts:
            if self._parts >= MAX_PARTS:
                more += 1
            else:
                # A picture may stand in the alternative that is not shown, as Apple Mail has it.
                other = best is not None and inner is not best
                self.visit(inner, depth + 1, files_only=files_only or other)
        if more:
            self.unread.append(f"{more:,} further parts")


def _best(parts: list[mime_scan.Entity]) -> mime_scan.Entity | None:
    kinds = [mime_scan.structured(part.first("content-type", "text/plain"))[0] for part in parts]
    # Some programs leave the plain one empty.
    written = (part for part, kind in zip(parts, kinds, strict=True) if kind == "text/plain" and _says(part))
    plain = next(written, None)
    if plain is not None:
        return plain
    for part, kind in zip(reversed(parts), reversed(kinds), strict=True):
        if kind in _SHOWN or kind.startswith("multipart/"):
            return part
    return None


def _says(part: mime_scan.Entity) -> bool:
    return part.end - part.start > _LOOK or bool(part.content(_LOOK).strip())


def _text(part: mime_scan.Entity, kind: str, parameters: dict[str, str]) -> str:
    limit = MAX_HTML if kind == "text/html" else MAX_TEXT
    # No encoding of RFC 2045 takes more than three bytes for one, but for white space.
    content = part.content(3 * limit)
    text = to_text(content[:limit], parameters.get("charset", ""))
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if kind == "text/html":
        text = text_of_html(text)
    elif parameters.get("format", "").lower() == "flowed" and len(text) <= MAX_FLOWED:
        text = unflow(text, delete_space=parameters.get("delsp", "").lower() == "yes")
    text = text.strip("\n")
    return (
        text
        if len(content) <= limit and part.end - part.start <= 3 * limit
        else f"{text}\n[The rest of this text is left out.]"
    )
