"""A MIME entity as a message: tolerant in what it takes, bounded in what it costs."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from gre_core.api import Attachment, Message
from gre_core.errors import ParseFailed
from gre_formatter_mime import headers_read as read
from gre_formatter_mime.addresses import addresses
from gre_formatter_mime.attachments import MESSAGE_TYPES, attachment_of
from gre_formatter_mime.charsets import to_text
from gre_formatter_mime.flowed import unflow
from gre_formatter_mime.headers_write import trim_references
from gre_formatter_mime.html_text import text_of_html
from gre_formatter_mime.legacy_display import without_legacy_display
from gre_formatter_mime.limits import (
    MAX_DEPTH,
    MAX_OTHER_FIELDS,
    MAX_PARTS,
    MAX_REFLOWED,
    MAX_SUBJECT,
    MAX_TEXT,
)
from gre_formatter_mime.structure import parts_of
from gre_formatter_mime.transfer import decode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gre_formatter_mime.source import Source

# What has a place of its own in the message, or only describes the structure.
_KNOWN_FIELDS: Final = frozenset(
    {
        "from", "to", "cc", "subject", "date", "message-id", "in-reply-to", "references", "mime-version",
        "content-type", "content-transfer-encoding", "content-disposition", "content-id",
        "content-description",
    }
)  # fmt: skip


@dataclass(slots=True)
class Part:
    """One part: its header section read, its body by position."""

    fields: read.Fields
    start: int
    end: int
    media_type: read.Structured
    disposition: read.Structured

    @property
    def encoding(self) -> str:
        """The Content-Transfer-Encoding in lower case, ``""`` when there is none."""
        values = self.fields.get("content-transfer-encoding")
        return values[0].partition(";")[0].strip().lower() if values else ""

    @property
    def file_name(self) -> str:
        """The file name as the part has it, not yet safe; ``""`` when it has none."""
        return self.disposition.parameters.get("filename") or self.media_type.parameters.get("name", "")


@dataclass(slots=True)
class _Shown:
    """Something to read: a text, an HTML, or both forms of one content."""

    text: str | None = None
    html: str | None = None


@dataclass(slots=True)
class _Walk:
    """The state of reading one payload."""

    source: Source
    attachments: list[Attachment] = field(default_factory=list)
    parts: int = 0
    room: int = MAX_TEXT
    """How many bytes of text may still be read into memory."""

    def count(self) -> None:
        """Count one part more."""
        self.parts += 1
        if self.parts > MAX_PARTS:
            raise ParseFailed(f"The message has more than {MAX_PARTS} parts", limit=MAX_PARTS)


def parse_source(source: Source) -> Message:
    """Read a payload.

    Raises:
        ParseFailed: it has no header section, or is beyond the bounds of :mod:`gre_formatter_mime.limits`.
    """
    root = _part(source, 0, source.size, "text/plain")
    if not root.fields and root.start == 0:
        raise ParseFailed("The decrypted payload is no mail: it has no header fields")
    walk = _Walk(source)
    if not root.media_type.value.startswith("multipart/"):
        root.end = _without_last_line_end(source, root)
    shown = _together(_read(walk, root, depth=0, first=True))
    return _message(_protected_fields(source, root), shown, tuple(walk.attachments))


def _part(source: Source, start: int, end: int, default: str) -> Part:
    fields, body = read.read_header(source, start, end)
    return Part(
        fields, body, end, read.content_type(fields, default), read.structured(fields, "content-disposition")
    )


def _without_last_line_end(source: Source, root: Part) -> int:
    """Give the end of a text without its last line end, which inside a multipart is the delimiter's."""
    if not root.media_type.value.startswith("text/"):
        return root.end
    last = bytes(source.read(max(root.start, root.end - 2), root.end))
    return root.end - (2 if last == b"\r\n" else last.endswith(b"\n"))


# -- the header fields -----------------------------------------------------------------------------


def _protected_fields(source: Source, root: Part) -> read.Fields:
    """Give the header fields of the message.

    In a payload that is signed inside (RFC 3156, section 6.1) older programs put them into the signed part.
    """
    if root.media_type.value != "multipart/signed":
        return root.fields
    parts = parts_of(source, root.start, root.end, root.media_type.parameters.get("boundary", ""))
    signed = read.read_header(source, *parts[0]).fields if parts else {}
    return {**signed, **root.fields}


def _message(fields: read.Fields, shown: _Shown, attachments: tuple[Attachment, ...]) -> Message:
    subject = fields.get("subject")
    senders = addresses(fields.get("from", []))
    message_ids = read.ids(fields.get("message-id", []))
    in_reply_to = read.ids(fields.get("in-reply-to", []))
    dates = fields.get("date")
    return Message(
        text=shown.text or text_of_html(shown.html or ""),
        html=shown.html,
        subject=read.free_text(subject[0])[:MAX_SUBJECT] if subject else None,
        attachments=attachments,
        to=addresses(fields.get("to", [])),
        cc=addresses(fields.get("cc", [])),
        claimed_sender=senders[0] if senders else None,
        message_id=message_ids[0] if message_ids else None,
        in_reply_to=in_reply_to[0] if in_reply_to else None,
        references=tuple(trim_references(read.ids(fields.get("references", [])))),
        date=read.date(dates[0]) if dates else None,
        headers=_other_fields(fields),
    )


def _other_fields(fields: read.Fields) -> Mapping[str, tuple[str, ...]]:
    others: dict[str, tuple[str, ...]] = {}
    room = MAX_OTHER_FIELDS
    for name, values in fields.items():
        if name not in _KNOWN_FIELDS and room > 0:
            others[name] = tuple(map(read.free_text, values[:room]))
            room -= len(others[name])
    return MappingProxyType(others)


# -- the structure ---------------------------------------------------------------------------------


def _read(walk: _Walk, part: Part, *, depth: int, first: bool) -> list[_Shown]:
    """Give what is to be read in a part, and collect its attachments.

    Arguments:
        walk: the state.
        part: the part.
        depth: how many multiparts are around it.
        first: it may be a body even if it has a file name, as the first part of a message.
    """
    walk.count()
    kind = part.media_type.value
    if kind.startswith("multipart/"):
        children = parts_of(walk.source, part.start, part.end, part.media_type.parameters.get("boundary", ""))
        if children:
            if depth == MAX_DEPTH:
                raise ParseFailed(f"The message has parts nested deeper than {MAX_DEPTH}", limit=MAX_DEPTH)
            return _read_multipart(walk, kind, children, depth + 1, first=first)
        # Without a delimiter there is no structure. Show what is there.
        part.media_type = read.Structured("text/plain", part.media_type.parameters)
    length = part.end - part.start
    if _is_body(part, first=first) and length <= walk.room:
        walk.room -= length
        return [_shown(walk.source, part)]
    if not _repeats_header(part):
        walk.attachments.append(attachment_of(walk.source, part))
    return []


def _read_multipart(
    walk: _Walk, kind: str, children: list[tuple[int, int]], depth: int, *, first: bool
) -> list[_Shown]:
    default = MESSAGE_TYPES[0] if kind == "multipart/digest" else "text/plain"
    all_shown: list[_Shown] = []
    forms = _Shown()
    for number, (start, end) in enumerate(children):
        part = _part(walk.source, start, end, default)
        if kind == "multipart/related" and number:
            _collect(walk, part)
            continue
        shown = _read(walk, part, depth=depth, first=first and number == 0)
        if kind != "multipart/alternative":
            all_shown += shown
        elif shown:
            # Of several forms in one language the last is the best (RFC 2046, section 5.1.4).
            form = _together(shown)
            forms.text = forms.text if form.text is None else form.text
            forms.html = forms.html if form.html is None else form.html
    return [forms] if forms != _Shown() else all_shown


def _collect(walk: _Walk, part: Part) -> None:
    """Take a part that the text refers to, whatever its type, as an attachment."""
    walk.count()
    walk.attachments.append(attachment_of(walk.source, part, related=True))


def _is_body(part: Part, *, first: bool) -> bool:
    """Tell a text to be read from a file, as RFC 8621, section 4.1.4, does."""
    return (
        part.media_type.value in {"text/plain", "text/html"}
        and part.disposition.value != "attachment"
        and (first or not part.file_name)
    )


def _repeats_header(part: Part) -> bool:
    """Tell the copy of protected fields that older programs show as a part of its own."""
    return (
        part.media_type.value == "text/rfc822-headers" and "protected-headers" in part.media_type.parameters
    )


# -- the bodies ------------------------------------------------------------------------------------


def _shown(source: Source, part: Part) -> _Shown:
    parameters = part.media_type.parameters
    raw = decode(source.read(part.start, part.end), part.encoding)
    text = to_text(raw, parameters.get("charset", ""))
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    is_html = part.media_type.value == "text/html"
    if parameters.get("hp-legacy-display") == "1":
        text = without_legacy_display(text, is_html=is_html)
    if is_html:
        return _Shown(html=text)
    if parameters.get("format", "").lower() == "flowed" and len(text) <= MAX_REFLOWED:
        text = unflow(text, delete_space=parameters.get("delsp", "").lower() == "yes")
    return _Shown(text=text)


def _together(shown: list[_Shown]) -> _Shown:
    """Join what is read one after the other. Where one piece has HTML, each gets both forms."""
    if len(shown) == 1:
        return shown[0]
    if all(one.html is None for one in shown):
        return _Shown(text=_joined([one.text or "" for one in shown]))
    return _Shown(
        text=_joined([text_of_html(one.html or "") if one.text is None else one.text for one in shown]),
        html="\n".join(
            f"<pre>{html.escape(one.text or '')}</pre>" if one.html is None else one.html for one in shown
        ),
    )


def _joined(texts: list[str]) -> str:
    out = ""
    for text in texts:
        out += "\n" if out and text and not out.endswith("\n") else ""
        out += text
    return out
