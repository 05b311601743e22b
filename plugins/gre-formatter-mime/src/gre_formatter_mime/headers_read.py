"""Reading header sections of hostile mail in linear time: fields, parameters, ids, dates."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote_to_bytes

from gre_core.errors import ParseFailed
from gre_core.mime_text.charsets import decode_words, to_text
from gre_formatter_mime.limits import (
    MAX_HEADER,
    MAX_HEADER_FIELDS,
    MAX_ID,
    MAX_PARAMETERS,
    MAX_STRUCTURED,
    MAX_VALUE,
)

if TYPE_CHECKING:
    from gre_formatter_mime.source import Source

Fields = dict[str, list[str]]
"""Values by lower-case name, unfolded, in their order."""

# Possessive quantifiers throughout: no backtracking, so no input takes more than linear time.
_SECTION: Final = re.compile(rb"(?:[!-9;-~]++[ \t]*+:[^\n]*+(?:\n|\Z)(?:[ \t][^\n]*+(?:\n|\Z))*+)*+")
_MBOX_LINE: Final = re.compile(rb">?From (?![ \t]*+:)[^\n]*+\n")
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

_TYPE: Final = re.compile(r"[a-z0-9!#$%&'*+.^_`{|}~-]{1,127}/[a-z0-9!#$%&'*+.^_`{|}~-]{1,127}")
_HEAD: Final = re.compile(r"[^\s;]*+")
# Some writers forget the semicolon. A white space counts only where its run begins, for linear time.
_PARAMETER: Final = re.compile(
    r'(?:;|(?<!\s)\s)\s*+([^\s=;"]++)\s*+=\s*+("(?:[^"\\]++|\\.)*+"?|[^;]*+)', re.DOTALL
)
_QUOTED_PAIR: Final = re.compile(r"\\(.)", re.DOTALL)
_SECTION_NAME: Final = re.compile(r"([^*]+)(?:\*([0-9]{1,3}))?(\*)?")

_ID: Final = re.compile(rf"<([!-;=?-~]{{1,{MAX_ID}}})>")
_BARE_ID: Final = re.compile(rf"[!-;=?-~]{{1,{MAX_ID}}}")
_DATE: Final = re.compile(
    r"(?:[A-Za-z]{3}, +)?([0-9]{1,2}) +([A-Za-z]{3}) +([0-9]{4}) +([0-9]{2}):([0-9]{2})(?::([0-9]{2}))?"
    r" +([+-])([0-9]{4})(?: *\([A-Za-z ]{0,40}\))?"
)
_LONGEST_DATE: Final = 100
_MONTHS: Final = {
    name: number
    for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), start=1
    )
}


class Header(NamedTuple):
    """The header section of a part."""

    fields: Fields
    body: int
    """Where the body begins."""


def read_header(source: Source, start: int, end: int) -> Header:
    """Read the header section that starts there.

    A line that is no field ends the section and belongs to the body: the empty line between may be missing.

    Raises:
        ParseFailed: larger than 512 KiB, or more than 2,000 fields.
    """
    data, first, last = source.window(start, end)
    shift = start - first
    if data.startswith((b"From ", b">From "), first) and (line := _MBOX_LINE.match(data, first, last)):
        first = line.end()
    found = _SECTION.match(data, first, last)
    stop = found.end() if found else first
    if last + shift < end and data.find(b"\n", stop, last) < 0:
        raise ParseFailed(f"A header section is larger than {MAX_HEADER} bytes", limit=MAX_HEADER)
    body = stop
    if data.startswith(b"\n", stop):
        body = stop + 1
    elif data.startswith(b"\r\n", stop):
        body = stop + 2
    return Header(_fields(_text(data[first:stop])), min(body + shift, end))


def _text(section: bytes) -> str:
    try:
        return section.decode()
    except UnicodeDecodeError:
        return "\n".join(to_text(line, "") for line in section.split(b"\n"))


def _fields(section: str) -> Fields:
    if "\r\n" in section:
        section = section.replace("\r\n", "\n")
    if "\n " in section or "\n\t" in section:
        section = section.replace("\n ", " ").replace("\n\t", "\t")
    lines = section.rstrip("\n").split("\n") if section else []
    if len(lines) > MAX_HEADER_FIELDS:
        raise ParseFailed(
            f"A header section has more than {MAX_HEADER_FIELDS} fields", limit=MAX_HEADER_FIELDS
        )
    fields: Fields = {}
    for line in lines:
        name, _, value = line.partition(":")
        name = name.rstrip(" \t").lower()
        value = value[:MAX_VALUE].strip(" \t\r")
        if name in fields:
            fields[name].append(value)
        else:
            fields[name] = [value]
    return fields


def free_text(value: str) -> str:
    """Decode a field of free text; control characters become spaces."""
    value = decode_words(value)
    return value if value.isprintable() else _CONTROLS.sub(" ", value)


# -- Content-Type and Content-Disposition ----------------------------------------------------------


class Structured(NamedTuple):
    """The value of a Content field."""

    value: str
    """In lower case; ``""`` when there is none."""
    parameters: dict[str, str]
    """Decoded, by lower-case name. Of duplicates the first counts."""


def structured(fields: Fields, name: str) -> Structured:
    """Read a Content-Disposition, or another field of that shape."""
    values = fields.get(name)
    if values is None:
        return Structured("", {})
    text = values[0][:MAX_STRUCTURED]
    head = _HEAD.match(text)
    value = head[0] if head else ""
    return Structured(value.lower(), _parameters(text[len(value) :]) if len(value) < len(text) else {})


def content_type(fields: Fields, default: str) -> Structured:
    """Read the Content-Type; what is none counts as the default (RFC 2045, section 5.2)."""
    read = structured(fields, "content-type")
    return read if _TYPE.fullmatch(read.value) else Structured(default, read.parameters)


def _parameters(text: str) -> dict[str, str]:
    plain: dict[str, str] = {}
    sections: dict[str, dict[int, tuple[str, bool]]] = {}
    for count, found in enumerate(_PARAMETER.finditer(text)):
        if count == MAX_PARAMETERS:
            break
        name, value = found[1].lower(), found[2]
        if value.startswith('"'):
            value = value[1:].removesuffix('"')
            if "\\" in value:
                value = _QUOTED_PAIR.sub(r"\1", value)
        else:
            value = value.strip()
        if "*" not in name:
            plain.setdefault(name, decode_words(value))
        elif (parts := _SECTION_NAME.fullmatch(name)) is not None:
            by_number = sections.setdefault(parts[1], {})
            by_number.setdefault(int(parts[2] or 0), (value, parts[3] is not None))
    for name, by_number in sections.items():
        plain[name] = _joined(by_number)
    return plain


def _joined(by_number: dict[int, tuple[str, bool]]) -> str:
    """Join the sections of a parameter and decode it (RFC 2231, sections 3 and 4)."""
    if not any(extended for _, extended in by_number.values()):
        in_order = range(len(by_number))
        return decode_words("".join(by_number[number][0] for number in in_order if number in by_number))
    charset, raw = "utf-8", b""
    for number in range(len(by_number)):
        if number not in by_number:
            break
        value, extended = by_number[number]
        if extended and number == 0 and value.count("'") >= 2:  # noqa: PLR2004 - charset'language'text
            charset, _, value = value.split("'", 2)
        raw += unquote_to_bytes(value) if extended else value.encode("utf-8", "replace")
    return to_text(raw, charset)


# -- ids and dates ---------------------------------------------------------------------------------


def ids(values: list[str]) -> tuple[str, ...]:
    """Give the message ids of some fields, without angle brackets; what is none is passed over."""
    found = [identifier for value in values for identifier in _ID.findall(value)]
    if not found and values and _BARE_ID.fullmatch(values[0]):
        found = [values[0]]
    return tuple(found)


def date(value: str) -> datetime | None:
    """Read a date with its zone; None when it cannot be told."""
    found = _DATE.fullmatch(value)
    month = _MONTHS.get(found[2].lower()) if found else None
    try:
        if not found or not month:
            return _unusual_date(value)
        day, _, year, hour, minute, second, sign, ahead = found.groups("0")
        zone = UTC if ahead == "0000" else _zone(sign, int(ahead))
        # A leap second is counted to the second before it.
        return datetime(int(year), month, int(day), int(hour), int(minute), min(int(second), 59), tzinfo=zone)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _zone(sign: str, ahead: int) -> timezone:
    minutes = ahead // 100 * 60 + ahead % 100
    return timezone(timedelta(minutes=minutes if sign == "+" else -minutes))


def _unusual_date(value: str) -> datetime | None:
    if len(value) > _LONGEST_DATE:
        return None
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - rare, and slow to import

    moment = parsedate_to_datetime(value)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
