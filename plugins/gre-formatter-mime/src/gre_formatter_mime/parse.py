"""A MIME entity as a message: tolerant in what it takes, bounded in what it costs."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from gre_core.api import Attachment, Message, Notice
from gre_core.errors import ParseFailed
from gre_core.mime_text.charsets import to_text
from gre_core.mime_text.flowed import unflow
from gre_core.mime_text.html_text import text_of_html
from gre_formatter_mime import headers_read as read
from gre_formatter_mime import notices
from gre_formatter_mime.addresses import addresses
from gre_formatter_mime.attachments import MESSAGE_TYPES, attachment_of
from gre_formatter_mime.bare_text import bare_text, is_mail
from gre_formatter_mime.content import SIGNATURE_TYPE, find_content, has_message_fields
from gre_formatter_mime.headers_write import trim_references
from gre_formatter_mime.legacy_display import copied_fields, repeats, without_legacy_display
from gre_formatter_mime.limits import (
    MAX_DEPTH,
    MAX_OTHER_FIELDS,
    MAX_PARTS,
    MAX_REFLOWED,
    MAX_SUBJECT,
    MAX_TEXT,
)
from gre_formatter_mime.part import Part, part_of
from gre_formatter_mime.protection import hidden_fields
from gre_formatter_mime.remote_content import would_load
from gre_formatter_mime.structure import parts_of
from gre_formatter_mime.transfer import decode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gre_formatter_mime.content import Content
    from gre_formatter_mime.source import Source

# What has a place of its own in the message, or only describes the structure.
_KNOWN_FIELDS: Final = frozenset(
    {
        "from", "to", "cc", "subject", "date", "message-id", "in-reply-to", "references", "mime-version",
        "content-type", "content-transfer-encoding", "content-disposition", "content-id",
        "content-description",
    }
)  # fmt: skip


_ONCE: Final = ("subject", "date", "message-id", "in-reply-to", "references")
"""Fields that may stand there once. From is looked at by itself; of several To and Cc all addresses count."""

_ENCRYPTED: Final = frozenset({"application/pgp-encrypted"})
_SMIME: Final = frozenset({"application/pkcs7-mime", "application/x-pkcs7-mime"})


@dataclass(slots=True)
class _Shown:
    """Something to read: a text, an HTML, or both forms of one content."""

    text: str | None = None
    html: str | None = None


@dataclass(slots=True)
class _Walk:
    """The state of reading one payload."""

    source: Source
    content: Content
    fields: read.Fields
    """The header fields of the message."""
    notices: list[Notice]
    attachments: list[Attachment] = field(default_factory=list)
    parts: int = 0
    room: int = MAX_TEXT
    """How many bytes of text may still be read into memory."""

    def count(self) -> None:
        """Count one part more."""
        self.parts += 1
        if self.parts > MAX_PARTS:
            raise ParseFailed(f"The message has more than {MAX_PARTS} parts", limit=MAX_PARTS)

    def note(self, notice: Notice) -> None:
        """Add a notice, once."""
        if notice not in self.notices:
            self.notices.append(notice)


def parse_source(source: Source) -> Message:
    """Read a payload.

    Raises:
        ParseFailed: it has no header section and is no text either, or is beyond the bounds of
            :mod:`gre_formatter_mime.limits`.
    """
    root = part_of(source, 0, source.size)
    if root.start == 0 if not root.fields else not is_mail(root.fields):
        return Message(text=bare_text(source), notices=(notices.NO_FIELDS,))
    content = find_content(source, root)
    part = content.part
    walk = _Walk(source, content, content.fields, list(content.notices), parts=content.layers)
    if not part.media_type.value.startswith("multipart/"):
        part.end = _without_last_line_end(source, part)
    if _is_read_receipt(part):
        walk.note(notices.READ_RECEIPT)
    shown = _together(_read(walk, part, depth=content.layers, first=True, main=True))
    return _message(walk, shown)


def _is_read_receipt(root: Part) -> bool:
    """Tell a notification that a message was displayed (RFC 8098, section 3)."""
    kind = root.media_type
    if kind.value == "multipart/report":
        return kind.parameters.get("report-type", "").lower() == "disposition-notification"
    return kind.value == "message/disposition-notification"


def _without_last_line_end(source: Source, root: Part) -> int:
    """Give the end of a text without its last line end, which inside a multipart is the delimiter's."""
    if not root.media_type.value.startswith("text/") or root.end < source.size:
        return root.end
    last = bytes(source.read(max(root.start, root.end - 2), root.end))
    return root.end - (2 if last == b"\r\n" else last.endswith(b"\n"))


# -- the header fields -----------------------------------------------------------------------------


def _message(walk: _Walk, shown: _Shown) -> Message:
    fields = walk.fields
    subject = fields.get("subject")
    senders = addresses(fields.get("from", []))
    _note_fields(walk, senders)
    if shown.html is not None and would_load(shown.html):
        walk.note(notices.REMOTE_CONTENT)
    message_ids = read.ids(fields.get("message-id", []))
    in_reply_to = read.ids(fields.get("in-reply-to", []))
    dates = fields.get("date")
    return Message(
        text=shown.text or text_of_html(shown.html or ""),
        html=shown.html,
        subject=read.free_text(subject[0])[:MAX_SUBJECT] if subject else None,
        attachments=tuple(walk.attachments),
        to=addresses(fields.get("to", [])),
        cc=addresses(fields.get("cc", [])),
        claimed_sender=senders[0] if senders else None,
        message_id=message_ids[0] if message_ids else None,
        in_reply_to=in_reply_to[0] if in_reply_to else None,
        references=tuple(trim_references(read.ids(fields.get("references", [])))),
        date=read.date(dates[0]) if dates else None,
        headers=_other_fields(fields),
        hidden=hidden_fields(fields, walk.content.part.media_type),
        signed=walk.content.signed,
        notices=tuple(walk.notices),
    )


def _note_fields(walk: _Walk, senders: tuple[str, ...]) -> None:
    fields = walk.fields
    if not has_message_fields(fields):
        walk.note(notices.NO_FIELDS)
        return
    if len(senders) > 1 and len({sender.casefold() for sender in senders}) > 1:
        walk.note(notices.SEVERAL_SENDERS)
    elif not senders and any(fields.get("from", ())):
        walk.note(notices.UNREADABLE_SENDER)
    repeated = [name for name in _ONCE if name in fields and len(fields[name]) > 1]
    if repeated:
        walk.note(notices.repeated_fields(repeated))


def _other_fields(fields: read.Fields) -> Mapping[str, tuple[str, ...]]:
    others: dict[str, tuple[str, ...]] = {}
    room = MAX_OTHER_FIELDS
    for name, values in fields.items():
        if name not in _KNOWN_FIELDS and room > 0:
            others[name] = tuple(map(read.free_text, values[:room]))
            room -= len(others[name])
    return MappingProxyType(others)


# -- the structure ---------------------------------------------------------------------------------


def _read(walk: _Walk, part: Part, *, depth: int, first: bool, main: bool) -> list[_Shown]:
    """Give what is to be read in a part, and collect its attachments.

    Arguments:
        walk: the state.
        part: the part.
        depth: how many parts are around it.
        first: it may be a body even if it has a file name, as the first part of a message.
        main: it is, or is a form of, the main body of the message (RFC 9788, section 1.3).
    """
    walk.count()
    kind = part.media_type.value
    if kind.startswith("multipart/"):
        children = parts_of(walk.source, part.start, part.end, part.boundary)
        if children:
            if depth == MAX_DEPTH:
                raise ParseFailed(f"The message has parts nested deeper than {MAX_DEPTH}", limit=MAX_DEPTH)
            return _read_multipart(walk, part, children, depth + 1, first=first, main=main)
        # Without a delimiter there is no structure. Show what is there.
        part.media_type = read.Structured("text/plain", part.media_type.parameters)
    length = part.end - part.start
    if _is_body(part, first=first) and length <= walk.room:
        walk.room -= length
        protected = main and "hp" in walk.content.part.media_type.parameters
        return [_shown(walk.source, part, protected=protected)]
    _attach(walk, part)
    return []


def _attach(walk: _Walk, part: Part, *, related: bool = False) -> None:
    kind = part.media_type.value
    if kind in _SMIME:
        walk.note(notices.SMIME)
    elif kind in _ENCRYPTED:
        walk.note(notices.ENCRYPTED_INSIDE)
    walk.attachments.append(attachment_of(walk.source, part, related=related))


def _read_multipart(
    walk: _Walk, around: Part, children: list[tuple[int, int]], depth: int, *, first: bool, main: bool
) -> list[_Shown]:
    kind = around.media_type.value
    default = MESSAGE_TYPES[0] if kind == "multipart/digest" else "text/plain"
    all_shown: list[_Shown] = []
    forms = _Shown()
    if kind == "multipart/encrypted":
        walk.note(notices.ENCRYPTED_INSIDE)
    for number, (start, end) in enumerate(children):
        part = part_of(walk.source, start, end, default)
        # What is encrypted a second time is kept apart from what is shown (EFAIL).
        if kind == "multipart/encrypted" or (kind == "multipart/related" and number):
            walk.count()
            _attach(walk, part, related=kind == "multipart/related")
            continue
        if number == 0 and around is walk.content.part and _is_copy_of_header(walk, part):
            walk.count()
            continue
        if kind == "multipart/signed" and number:
            walk.note(notices.PARTLY_SIGNED if part.media_type.value == SIGNATURE_TYPE else notices.SMIME)
        alternative = kind == "multipart/alternative"
        shown = _read(
            walk, part, depth=depth, first=first and number == 0, main=main and (alternative or number == 0)
        )
        if not alternative:
            all_shown += shown
        elif shown:
            # Of several forms in one language the last is the best (RFC 2046, section 5.1.4).
            form = _together(shown)
            forms.text = forms.text if form.text is None else form.text
            forms.html = forms.html if form.html is None else form.html
    return [forms] if forms != _Shown() else all_shown


def _is_body(part: Part, *, first: bool) -> bool:
    """Tell a text to be read from a file, as RFC 8621, section 4.1.4, does."""
    return (
        part.media_type.value in {"text/plain", "text/html"}
        and part.disposition.value != "attachment"
        and (first or not part.file_name)
    )


def _is_copy_of_header(walk: _Walk, part: Part) -> bool:
    """Tell the copy of protected fields that older programs show as a part of its own, and read what is only there."""
    around = walk.content.part
    if (
        around.media_type.value != "multipart/mixed"
        or "protected-headers" not in around.media_type.parameters
    ):
        return False
    copy = copied_fields(walk.source, part)
    if copy is None:
        return False
    if not has_message_fields(around.fields):
        walk.fields = {**around.fields, **copy}
        walk.notices = [notice for notice in walk.notices if notice is not notices.UNSIGNED_FIELDS]
        return True
    return repeats(copy, around.fields)


# -- the bodies ------------------------------------------------------------------------------------


def _shown(source: Source, part: Part, *, protected: bool) -> _Shown:
    parameters = part.media_type.parameters
    raw = decode(source.read(part.start, part.end), part.encoding)
    text = to_text(raw, parameters.get("charset", ""))
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    is_html = part.media_type.value == "text/html"
    if protected and parameters.get("hp-legacy-display") == "1":
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
