"""Looks into a raw mail without building it anew: header fields, the parts of a multipart, their content.

Only what a gateway needs of RFC 2045, 2046 and 2231, on bytes, linear in time, and with bounds on everything
that a stranger chooses. A mail is never put together again from what is found here.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes

from gre_core.mime_text.charsets import to_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_HEADER: Final = 128 * 1024
"""Longest header block that is read, in bytes."""

MAX_FIELDS: Final = 1000
"""Most header fields in one block."""

MAX_STRUCTURED: Final = 2048
"""How much of a structured field is read, in bytes: more parameters are ignored."""

MAX_BOUNDARY: Final = 200
"""Longest boundary, in bytes. RFC 2046 allows 70; some programs do not care."""

MAX_FALSE_DELIMITERS: Final = 10_000
"""How many lines of one multipart may begin like its delimiter without being it."""

MAX_COUNTED: Final = 10_000
"""How far parts beyond the limit are counted."""

_REMEMBERED: Final = 32 * 1024
"""Mails of so many bytes are remembered while one after the other looks at them: as many as come at the same time."""

_END_OF_HEADER = re.compile(rb"\n\r?\n")  # begins with a letter that is found quickly
_FIELD_START = re.compile(rb"\r?\n(?![ \t])")
_PARAMETER = re.compile(r';\s*([^\s=;"]{1,64})\s*=\s*("(?:[^"\\]|\\.)*"|[^;\s]*)', re.DOTALL)
_CONTINUED = re.compile(r"(?P<name>[^*]+)(?:\*(?P<number>[0-9]{1,2}))?(?P<encoded>\*)?")
_NOT_BASE64 = bytes(
    sorted({*range(256)} - {*b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"})
)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


class Unreadable(ValueError):
    """The mail is beyond the bounds, or has no header. The text says which."""


@dataclass(frozen=True, slots=True)
class Entity:
    """A mail or one part of it.

    Arguments:
        raw: the whole mail.
        start: where the body begins in it.
        end: where the body ends.
        fields: lower-case names and unfolded values, in their order.
    """

    raw: bytes = field(repr=False)
    start: int
    end: int
    fields: tuple[tuple[str, str], ...] = field(repr=False)

    def values(self, name: str) -> Iterator[str]:
        """Give all values of a header field."""
        return (value for known, value in self.fields if known == name)

    def first(self, name: str, default: str = "") -> str:
        """Give the first value of a header field."""
        for known, value in self.fields:
            if known == name:
                return value
        return default

    def content(self, limit: int | None = None) -> bytes:
        """Give the body with its transfer encoding undone (RFC 2045, section 6); garbage is skipped.

        Arguments:
            limit: how many bytes of the encoded body are read; whole lines of it.
        """
        body = self.raw[self.start : self.end if limit is None else min(self.end, self.start + limit)]
        if limit is not None and len(body) < self.end - self.start:
            body = body[: body.rfind(b"\n") + 1] or body
        encoding = self.first("content-transfer-encoding").strip().lower()
        if encoding == "base64":
            return _from_base64(body)
        if encoding == "quoted-printable":
            return binascii.a2b_qp(body)
        return body

    def parts(self, boundary: str, limit: int) -> list[Entity]:
        """Read the parts of a multipart body (RFC 2046, section 5.1.1). A missing end is tolerated.

        Raises:
            Unreadable: there are more than ``limit``, or a part has a header beyond the bounds.
        """
        spans, more = self._spans(boundary, limit)
        if more:
            raise Unreadable(f"has more than {limit} parts in one multipart")
        return [read(self.raw, start, end) for start, end in spans]

    def first_parts(self, boundary: str, limit: int) -> tuple[list[Entity], int]:
        """Read the first parts of a multipart body; tell how many more there are, at most 10,000.

        Raises:
            Unreadable: a part has a header beyond the bounds, or too many lines look like a delimiter.
        """
        spans, more = self._spans(boundary, limit)
        return [read(self.raw, start, end) for start, end in spans], more

    def _spans(self, boundary: str, limit: int) -> tuple[list[tuple[int, int]], int]:
        mark = b"--" + boundary.encode("latin-1", "replace")
        spans: list[tuple[int, int]] = []
        opened: int | None = None
        for line_start, line_end, closing in self._delimiters(mark):
            if opened is not None:
                spans.append((opened, max(opened, _before_line_end(self.raw, line_start))))
                if len(spans) >= limit + MAX_COUNTED:
                    break
            opened = None if closing else line_end
            if closing:
                break
        if opened is not None:
            spans.append((opened, self.end))
        return spans[:limit], max(0, len(spans) - limit)

    def _delimiters(self, mark: bytes) -> Iterator[tuple[int, int, bool]]:
        at = self.raw.find(mark, self.start, self.end)
        false = 0
        while at >= 0:
            line_end = self.raw.find(b"\n", at, self.end)
            line_end = self.end if line_end < 0 else line_end + 1
            rest = self.raw[at + len(mark) : min(line_end, at + len(mark) + MAX_BOUNDARY)]
            closing = rest.startswith(b"--")
            at_line_start = at == self.start or self.raw[at - 1 : at] == b"\n"
            if at_line_start and not rest.removeprefix(b"--").strip(b" \t\r\n"):
                yield at, line_end, closing
            else:
                false += 1
                if false > MAX_FALSE_DELIMITERS:
                    raise Unreadable("has too many lines that look like a delimiter")
            at = self.raw.find(mark, line_end, self.end)


def read(raw: bytes, start: int = 0, end: int | None = None) -> Entity:
    """Read the header of a mail, or of the part between two offsets.

    Raises:
        Unreadable: the header is beyond the bounds.
    """
    if start == 0 and end is None and len(raw) <= _REMEMBERED:
        return _read_again(raw)
    return _read(raw, start, len(raw) if end is None else end)


def _read(raw: bytes, start: int, end: int) -> Entity:
    if raw.startswith((b"\r\n", b"\n"), start, end):
        return Entity(raw, start + (2 if raw.startswith(b"\r", start) else 1), end, ())
    found = _END_OF_HEADER.search(raw, start, min(end, start + MAX_HEADER))
    if found is None and end - start > MAX_HEADER:
        raise Unreadable(f"has a header longer than {MAX_HEADER} bytes")
    header_end, body = (end, end) if found is None else (found.start(), found.end())
    header = raw[start:header_end].replace(b"\r\n", b"\n")
    lines = header.replace(b"\n ", b" ").replace(b"\n\t", b"\t").split(b"\n")
    if len(lines) > MAX_FIELDS:
        raise Unreadable(f"has more than {MAX_FIELDS} header fields")
    fields = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if colon:
            fields.append((name.strip().lower().decode("latin-1"), value.strip().decode("utf-8", "replace")))
    return Entity(raw, body, end, tuple(fields))


@lru_cache(maxsize=64)
def _read_again(raw: bytes) -> Entity:
    return _read(raw, 0, len(raw))


def raw_fields(mail: bytes) -> tuple[list[tuple[bytes, bytes]], int]:
    """Give the names and the folded values of all header fields as they stand there, and where the body begins.

    Raises:
        Unreadable: the header is beyond the bounds.
    """
    body = read(mail).start
    fields = []
    for line in _FIELD_START.split(mail[:body].rstrip(b"\r\n")):
        name, colon, value = line.partition(b":")
        if colon:
            fields.append((name.rstrip(b" \t"), value))
    return fields, body


def structured(value: str) -> tuple[str, dict[str, str]]:
    """Split the value of Content-Type or Content-Disposition (RFC 2045, section 5.1; RFC 2231).

    Returns:
        The lower-case value before the parameters, and the parameters by lower-case name.
    """
    kind, parameters = _structured(value[:MAX_STRUCTURED])
    return kind, dict(parameters)


@lru_cache(maxsize=64)
def _structured(value: str) -> tuple[str, Mapping[str, str]]:
    """Split a value; most are the same in all mails, and several look at those of one mail."""
    kind = value.partition(";")[0].partition("(")[0].strip().lower()
    plain: dict[str, str] = {}
    pieces: dict[str, dict[int, bytes]] = {}
    charsets: dict[str, str] = {}
    for found in _PARAMETER.finditer(value):
        text = found[2]
        if text.startswith('"') and len(text) > 1:
            text = _ESCAPED.sub(r"\1", text[1:-1])
        split = _CONTINUED.fullmatch(found[1].lower())
        if split is None:
            continue
        if split["number"] is None and split["encoded"] is None:
            plain.setdefault(split["name"], text)
            continue
        number = int(split["number"] or 0)
        if split["encoded"] and number == 0:
            charset, _, rest = text.partition("'")
            charsets.setdefault(split["name"], charset)
            text = rest.partition("'")[2] if "'" in rest else rest or charset
        octets = unquote_to_bytes(text) if split["encoded"] else text.encode("utf-8", "replace")
        pieces.setdefault(split["name"], {}).setdefault(number, octets)
    for name, numbered in pieces.items():
        joined = b"".join(numbered[number] for number in sorted(numbered))
        plain.setdefault(name, to_text(joined, charsets.get(name, "")))
    return kind, plain


def boundary_of(parameters: dict[str, str]) -> str | None:
    """Give the boundary of a multipart, or None when there is none that can be used."""
    boundary = parameters.get("boundary", "").rstrip()
    return boundary if 0 < len(boundary) <= MAX_BOUNDARY else None


def _from_base64(body: bytes) -> bytes:
    try:
        return binascii.a2b_base64(body)
    except binascii.Error:
        # Cut off or damaged: what is there of it (RFC 2045, section 6.8).
        letters = body.partition(b"=")[0].translate(None, _NOT_BASE64)
        return binascii.a2b_base64(letters[: len(letters) // 4 * 4])


def _before_line_end(raw: bytes, at: int) -> int:
    # The line end before a delimiter belongs to the delimiter (RFC 2046, section 5.1.1).
    if raw[at - 2 : at] == b"\r\n":
        return at - 2
    return at - 1 if raw[at - 1 : at] == b"\n" else at
