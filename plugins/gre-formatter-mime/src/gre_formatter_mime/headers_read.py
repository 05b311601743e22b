"""Reading header sections of hostile mail in linear time: fields, parameters, addresses, ids, dates."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote_to_bytes

from gre_core.errors import ParseFailed

from gre_formatter_mime.charsets import decode_words, to_text
from gre_formatter_mime.limits import (
    MAX_ADDRESSES,
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
_FIELD: Final = re.compile(r"([!-9;-~]++)[ \t]*+:([^\n]*+(?:\n[ \t][^\n]*+)*+)")
_FOLD: Final = re.compile(r"\r?\n")
_MBOX_LINE: Final = re.compile(rb">?From [^\n]*+\n")
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

_TYPE: Final = re.compile(r"[a-z0-9!#$%&'*+.^_`{|}~-]{1,127}/[a-z0-9!#$%&'*+.^_`{|}~-]{1,127}")
_PARAMETER: Final = re.compile(r';\s*+([^\s=;"]++)\s*+=\s*+("(?:[^"\\]++|\\.)*+"?|[^;]*+)', re.DOTALL)
_QUOTED_PAIR: Final = re.compile(r"\\(.)", re.DOTALL)
_SECTION_NAME: Final = re.compile(r"([^*]+)(?:\*([0-9]{1,3}))?(\*)?")

_ADDRESS_TOKEN: Final = re.compile(
    r'"(?:[^"\\]++|\\.)*+"?|<[^<>]*+>?|\[[^\]]*+\]?|\\.|[(),;:]|[^"<>\[\](),;:\\]++|.', re.DOTALL
)
_ADDRESS: Final = re.compile(r'(?:[^\s<>",;:()\[\]\\@]+|"(?:[^"\\\r\n]|\\[ -~])*")@[^\s<>",;()\\@]+')
_LONGEST_ADDRESS: Final = 320
_ID: Final = re.compile(rf"<([!-;=?-~]{{1,{MAX_ID}}})>")
_BARE_ID: Final = re.compile(rf"[!-;=?-~]{{1,{MAX_ID}}}")
_DATE: Final = re.compile(
    r"(?:[A-Za-z]{3}, +)?([0-9]{1,2}) +([A-Za-z]{3}) +([0-9]{4}) +([0-9]{2}):([0-9]{2})(?::([0-9]{2}))?"
    r" +([+-])([0-9]{2})([0-9]{2})(?: *\([A-Za-z ]{0,40}\))?"
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

    A line that is no field ends the section and belongs to the body, as when the empty line between is missing.

    Raises:
        ParseFailed: larger than 512 KiB, or more than 2,000 fields.
    """
    data, first, last = source.window(start, end)
    shift = start - first
    if data.startswith((b"From ", b">From "), first) and (line := _MBOX_LINE.match(data, first, last)):
        first = line.end()
    found = _SECTION.match(data, first, last)
    stop = found.end() if found else first
    if stop == last and last + shift < end:
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
        return section.decode("latin-1")


def _fields(section: str) -> Fields:
    pairs = _FIELD.findall(section)
    if len(pairs) > MAX_HEADER_FIELDS:
        raise ParseFailed(f"A header section has more than {MAX_HEADER_FIELDS} fields", limit=MAX_HEADER_FIELDS)
    fields: Fields = {}
    for name, value in pairs:
        cut = value[:MAX_VALUE]
        if "\n" in cut:
            cut = _FOLD.sub("", cut)
        cut = cut.strip(" \t\r")
        key = name.lower()
        if key in fields:
            fields[key].append(cut)
        else:
            fields[key] = [cut]
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
    head, semicolon, _ = text.partition(";")
    return Structured(head.strip().lower(), _parameters(text[len(head) :]) if semicolon else {})


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
    charset, raw = "utf-8", b""
    for number in range(len(by_number)):
        if number not in by_number:
            break
        value, extended = by_number[number]
        if extended and number == 0 and value.count("'") >= 2:  # noqa: PLR2004 - charset'language'text
            charset, _, value = value.split("'", 2)
        raw += unquote_to_bytes(value) if extended else value.encode("utf-8", "replace")
    return to_text(raw, charset)


# -- addresses, ids, dates -------------------------------------------------------------------------


def addresses(values: list[str]) -> tuple[str, ...]:
    """Give the addresses of some fields, without names, comments and groups; at most 1,000."""
    found: list[str] = []
    for value in values:
        if len(value) <= _LONGEST_ADDRESS and _ADDRESS.fullmatch(value):
            found.append(value)
        else:
            _scan_addresses(value, found)
        if len(found) >= MAX_ADDRESSES:
            break
    return tuple(found[:MAX_ADDRESSES])


def _scan_addresses(value: str, found: list[str]) -> None:
    depth = 0
    words: list[str] = []
    angle = ""

    def end_of_address() -> None:
        nonlocal angle
        text = angle or "".join(words).strip()
        if len(text) <= _LONGEST_ADDRESS and _ADDRESS.fullmatch(text):
            found.append(text)
        words.clear()
        angle = ""

    for token in _ADDRESS_TOKEN.findall(value):
        if token == "(":
            depth += 1
        elif depth:
            depth -= token == ")"
        elif token in ",;":
            end_of_address()
            if len(found) >= MAX_ADDRESSES:
                return
        elif token == ":":
            words.clear()
        elif token.startswith("<"):
            # An obsolete route stands before a colon (RFC 5322, section 4.4).
            angle = token.strip("<> \t").rpartition(":")[2] if token.startswith("<@") else token.strip("<> \t")
        else:
            words.append(token)
    end_of_address()


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
        ahead = timedelta(hours=int(found[8]), minutes=int(found[9]))
        zone = UTC if not ahead else timezone(ahead if found[7] == "+" else -ahead)
        second = min(int(found[6] or 0), 59)  # a leap second
        return datetime(int(found[3]), month, int(found[1]), int(found[4]), int(found[5]), second, tzinfo=zone)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _unusual_date(value: str) -> datetime | None:
    if len(value) > _LONGEST_DATE:
        return None
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - rare, and slow to import

    moment = parsedate_to_datetime(value)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
