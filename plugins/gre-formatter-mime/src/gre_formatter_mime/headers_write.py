"""Writing header fields: ASCII, folded, and closed against injection.

Python's ``email`` folds long References and Autocrypt fields into encoded words, so the few fields that a
message needs are written here. What does not fit the grammar of its field is encoded or raises
``FormatFailed``.
"""

from __future__ import annotations

import re
from datetime import UTC
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import pybase64

from gre_core.errors import FormatFailed
from gre_formatter_mime.limits import (
    HARD_LINE,
    LINE,
    MAX_ADDRESSES,
    MAX_ID,
    MAX_ORIGIN_ID,
    MAX_REFERENCES,
    MAX_SUBJECT,
    MAX_VALUE,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

_ATEXT: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN: Final = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")
_ADDRESS: Final = re.compile(
    rf"(?=[^@]{{1,64}}@){_ATEXT}+(?:\.{_ATEXT}+)*@(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*"
)
_ORIGIN_ID: Final = re.compile(rf"{_ATEXT}+(?:\.{_ATEXT}+)*")
_ID: Final = re.compile(rf"[!-;=?-~]{{1,{MAX_ID}}}")
_FIELD_NAME: Final = re.compile(r"[!-9;-~]{1,76}")
_TOKEN: Final = r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]"  # noqa: S105 - the token of RFC 2045
_MEDIA_TYPE: Final = re.compile(rf"({_TOKEN}{{1,127}}/{_TOKEN}{{1,127}})")
_PARAMETER: Final = re.compile(
    rf"\s*;\s*({_TOKEN}{{1,64}})\s*=\s*(?:({_TOKEN}{{1,200}})|\"([ !#-\[\]-~]{{0,200}})\")\s*"
)

_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_PLAIN_TEXT: Final = re.compile(rf"[!-~]{{1,{LINE}}}(?: [!-~]{{1,{LINE}}})*")
_PLAIN_VALUE: Final = re.compile(r"[ !#-\[\]-~]{0,50}")
_KEPT_IN_PERCENT: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_WORD_BYTES: Final = 39
"""Bytes of text in one encoded word: even a line that starts with ``Subject: `` has at most 76 columns."""

_OWN_FIELDS: Final = frozenset(
    {
        "from", "to", "cc", "bcc", "subject", "date", "message-id", "in-reply-to", "references", "hp-outer",
        "mime-version",
    }
)  # fmt: skip
"""Fields that this package writes itself, or never."""

_AUTOCRYPT: Final = frozenset({"autocrypt", "autocrypt-gossip"})
_KEY_DATA_LINE: Final = 76
"""Characters of key data in one line, so that it has 77 columns."""

_SECTION: Final = 50
"""Characters in one section of a long parameter (RFC 2231, section 3)."""


def fold(name: str, words: Sequence[str]) -> str:
    """Write a field of words, joined by one space each, in lines of 78 columns where that is possible.

    Raises:
        FormatFailed: a word is longer than a line may ever be (RFC 5322, section 2.1.1).
    """
    line = f"{name}:"
    whole = f"{line} {' '.join(words)}"
    if len(whole) <= LINE:
        return f"{whole.rstrip()}\r\n"
    lines = []
    for word in words:
        if len(line) + 1 + len(word) > LINE and line != f"{name}:":
            lines.append(line)
            line = ""
        line += f" {word}"
        if len(line) > HARD_LINE:
            raise FormatFailed(
                f"The header field {name} has a word that is longer than a line may be", field=name
            )
    return "\r\n".join([*lines, line, ""])


@lru_cache(maxsize=1024)
def address(legacy_id: str, role: str) -> str:
    """Check an address (RFC 5322, section 3.4.1: the dot-atom form in ASCII) and give it back.

    Raises:
        FormatFailed: it is no such address.
    """
    if _ADDRESS.fullmatch(legacy_id) is None:
        raise FormatFailed(
            f"{legacy_id[:80]!r} ({role}) is not an address that mail can carry. It must look like "
            "name@example.org, in ASCII; write an international domain in its xn-- form",
            role=role,
        )
    return legacy_id


def addresses(name: str, legacy_ids: Sequence[str]) -> str:
    """Write To or Cc, without display names.

    Raises:
        FormatFailed: one is no address, or there are more than 1,000.
    """
    if len(legacy_ids) > MAX_ADDRESSES:
        raise FormatFailed(
            f"{name} has {len(legacy_ids)} addresses; at most {MAX_ADDRESSES} are allowed", field=name
        )
    words = [f"{address(legacy_id, name)}," for legacy_id in legacy_ids]
    words[-1] = words[-1][:-1]
    return fold(name, words)


def unstructured(name: str, text: str) -> str:
    """Write a field of free text; what is not plain ASCII goes into encoded words (RFC 2047).

    Control characters become spaces: no reader shows a header field in several lines.
    """
    text = _CONTROLS.sub(" ", text)
    if not text:
        return f"{name}:\r\n"
    if _PLAIN_TEXT.fullmatch(text) and "=?" not in text:
        return fold(name, text.split(" "))
    return fold(name, _encoded_words(text))


def subject(text: str) -> str:
    """Write the Subject.

    Raises:
        FormatFailed: longer than 2,000 characters.
    """
    if len(text) > MAX_SUBJECT:
        raise FormatFailed(
            f"The subject has {len(text)} characters. Shorten it to {MAX_SUBJECT}", field="Subject"
        )
    return unstructured("Subject", text)


def _encoded_words(text: str) -> list[str]:
    raw = text.encode()
    words = []
    start = 0
    while start < len(raw):
        end = min(start + _WORD_BYTES, len(raw))
        while end < len(raw) and raw[end] & 0xC0 == 0x80:  # noqa: PLR2004 - inside a character of UTF-8
            end -= 1
        words.append(f"=?utf-8?B?{pybase64.b64encode_as_string(raw[start:end])}?=")
        start = end
    return words


@lru_cache(maxsize=256)
def outer_field(name: str, value: str) -> str:
    """Write an HP-Outer field: what stands outside the encryption (RFC 9788, section 2.2).

    Raises:
        FormatFailed: the name is not that of a field.
    """
    if _FIELD_NAME.fullmatch(name) is None:
        raise FormatFailed(f"{name[:80]!r} is not the name of a header field")
    value = _CONTROLS.sub(" ", value)
    if value.isascii():
        return fold("HP-Outer", [f"{name}:", *value.split()])
    return fold("HP-Outer", [f"{name}:", *_encoded_words(value)])


@lru_cache(maxsize=256)
def protected(name: str, value: str) -> str:
    """Write a further field that belongs inside, such as Autocrypt.

    The key data of Autocrypt fields is cut into lines: white space in it is ignored (Autocrypt 1.1, section 2.1).

    Raises:
        FormatFailed: not the name of a further field, longer than 64 KiB, or an Autocrypt field that is not ASCII.
    """
    lower = name.lower()
    if _FIELD_NAME.fullmatch(name) is None or lower in _OWN_FIELDS or lower.startswith("content-"):
        raise FormatFailed(f"{name[:80]!r} is not the name of a further header field", field=name[:80])
    if len(value) > MAX_VALUE:
        raise FormatFailed(
            f"The header field {name} has {len(value)} characters; at most {MAX_VALUE} are allowed",
            field=name,
        )
    if lower not in _AUTOCRYPT:
        return unstructured(name, value)
    if not value.isascii():
        raise FormatFailed(f"The header field {name} has to be ASCII", field=name)
    words = []
    for word in _CONTROLS.sub(" ", value).split():
        step = _KEY_DATA_LINE if word.startswith("keydata=") else len(word)
        words += [word[start : start + step] for start in range(0, len(word), step)]
    return fold(name, words)


def date(moment: datetime) -> str:
    """Write the Date in UTC, so that it does not tell where the sender is.

    Raises:
        FormatFailed: the moment has no time zone.
    """
    if moment.utcoffset() is None:
        raise FormatFailed(
            "The date of the message has no time zone; give it one, for example UTC", field="Date"
        )
    utc = moment.astimezone(UTC)
    return (
        f"Date: {_DAYS[utc.weekday()]}, {utc.day:02} {_MONTHS[utc.month - 1]} {utc.year:04}"
        f" {utc.hour:02}:{utc.minute:02}:{utc.second:02} +0000\r\n"
    )


def is_domain(text: str) -> bool:
    """Tell whether a text is a domain name in ASCII."""
    return _DOMAIN.fullmatch(text) is not None


def message_id(origin_id: str, domain: str) -> str:
    """Write the Message-ID; raises as :func:`new_id`."""
    return f"Message-ID: <{new_id(origin_id, domain)}>\r\n"


def new_id(origin_id: str, domain: str) -> str:
    """Make the id of a new message, ``ORIGIN-ID@DOMAIN``.

    Raises:
        FormatFailed: the origin-id cannot be the left part of a message id (RFC 5322, section 3.6.4).
    """
    if len(origin_id) > MAX_ORIGIN_ID or _ORIGIN_ID.fullmatch(origin_id) is None:
        raise FormatFailed(
            f"The origin-id {origin_id[:80]!r} cannot be part of a Message-ID. Use letters, digits and "
            f"hyphens, at most {MAX_ORIGIN_ID}",
            field="Message-ID",
        )
    return f"{origin_id}@{domain}"


def ids(name: str, values: Sequence[str]) -> str:
    """Write In-Reply-To or References, one id a line when they are many.

    Of more than 200 ids the first and the last ones are kept (RFC 5322, section 3.6.4, allows to trim).

    Raises:
        FormatFailed: one of them is no message id.
    """
    return fold(name, [f"<{_checked_id(value, name)}>" for value in trim_references(values)])


def trim_references(values: Sequence[str]) -> Sequence[str]:
    """Keep the first id, which names the thread, and the last ones."""
    return values if len(values) <= MAX_REFERENCES else (values[0], *values[1 - MAX_REFERENCES :])


def content_id(value: str) -> str:
    """Write the Content-ID (RFC 2045, section 7).

    Raises:
        FormatFailed: it is no id.
    """
    return f"Content-ID: <{_checked_id(value, 'Content-ID')}>\r\n"


def _checked_id(value: str, name: str) -> str:
    if _ID.fullmatch(value) is None:
        raise FormatFailed(
            f"{value[:80]!r} cannot stand in {name}. An id is ASCII without spaces and angle brackets, "
            f"at most {MAX_ID} characters, such as abc@example.org",
            field=name,
        )
    return value


def media_type(value: str) -> tuple[str, str]:
    """Check a media type (RFC 2045, section 5.1).

    Arguments:
        value: ``type/subtype``, perhaps with parameters.

    Result:
        the type in lower case, and the parameters but ``name`` and ``boundary``, each on a line of its own.

    Raises:
        FormatFailed: it is no media type.
    """
    found = _MEDIA_TYPE.match(value)
    kind = found[1].lower() if found else ""
    parameters = ""
    while found and found.end() < len(value):
        found = _PARAMETER.match(value, found.end())
        if found and found[1].lower() not in {"boundary", "name"} and "*" not in found[1]:
            parameters += f';\r\n {found[1].lower()}="{found[2] or found[3] or ""}"'
    if found is None:
        raise FormatFailed(
            f"{value[:80]!r} is not a media type such as image/png. If you do not know it, "
            "use application/octet-stream"
        )
    return kind, parameters


def parameter(name: str, value: str) -> str:
    """Write a parameter for a line of its own, in RFC 2231 form when it is long or not plain ASCII.

    There is no second copy in ASCII beside it: readers differ in which of the two they believe.
    """
    if _PLAIN_VALUE.fullmatch(value):
        return f';\r\n {name}="{value}"'
    sections = [""]
    for char in value:
        piece = "".join(chr(byte) if byte in _KEPT_IN_PERCENT else f"%{byte:02X}" for byte in char.encode())
        if len(sections[-1]) + len(piece) > _SECTION:
            sections.append("")
        sections[-1] += piece
    if len(sections) == 1:
        return f";\r\n {name}*=utf-8''{sections[0]}"
    sections[0] = f"utf-8''{sections[0]}"
    return "".join(f";\r\n {name}*{index}*={section}" for index, section in enumerate(sections))
