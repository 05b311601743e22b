"""Mail addresses that may go into an SMTP dialogue, and nothing else (RFC 5321, section 4.1.2; RFC 6531).

>>> check_address("alice@example.org")
>>> check_address("a,b@x.org")
Traceback (most recent call last):
gre_core.errors.InvalidAddress: 'a,b@x.org' is not a mail address: "," is not allowed before the @

Mail libraries quote or cut what they do not like: ``a,b@x.org`` would reach ``a``. So an address is checked
here, after XEP-0106 was undone, and is used as it stands from then on.

Beyond ASCII only what a JID can carry is an address: XMPP servers change the rest (they make ``strasse`` of
``straße``), and an answer would go to somebody else.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final

import idna

from gre_core.errors import InvalidAddress

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_ADDRESS: Final = 254
"""Longest address, in bytes (RFC 5321, section 4.5.3.1.3, without the angle brackets)."""

MAX_LOCAL_PART: Final = 64
"""Longest part before the @, in bytes (RFC 5321, section 4.5.3.1.1)."""

_NOT_ATEXT = re.compile(r"[^A-Za-z0-9!#$%&'*+/=?^_`{|}~.\x80-\U0010ffff-]")
# Letters, marks, digits. No controls, no format characters (bidi controls, joiners), no separators, nothing unassigned.
_WRITTEN: Final = frozenset({"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Nd"})
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_PRINTABLE_LIMIT: Final = 80


def check_address(address: str) -> None:
    """Make sure that an address is one that we relay to or from.

    Only dot-strings are taken, not quoted ones, and only host names, not address literals. What RFC 5321
    allows in a dot-string passes, ``%`` and ``!`` too: the relay decides whether it follows such old routes,
    and the key that a message is encrypted to belongs to the whole address in any case.

    Raises:
        InvalidAddress: it is none. The text says why.
    """
    if not address:
        raise _invalid(address, "it is empty")
    if len(address) > MAX_ADDRESS or len(address.encode("utf-8", "surrogatepass")) > MAX_ADDRESS:
        raise _invalid(address, f"it is longer than {MAX_ADDRESS} bytes")
    if not address.isprintable() and any(char < " " or char == "\x7f" for char in address):
        raise _invalid(address, "it has a control character")
    local, at, domain = address.partition("@")
    if not at or not local or not domain:
        raise _invalid(address, "it needs a name, one @ and a domain")
    if "@" in domain:
        raise _invalid(address, "it has more than one @")
    if not address.isascii():
        _check_international(address)
    _check_local_part(address, local)
    _check_domain(address, domain)


def composed(address: str) -> str:
    """Give the one form that an address is compared and used in: NFC (RFC 6532, section 3.1)."""
    return address if address.isascii() else unicodedata.normalize("NFC", address)


def on_the_wire(address: str) -> str:
    """Give a checked address as mail systems get it: in ASCII wherever that is possible (RFC 5891).

    >>> on_the_wire("bob@bücher.example"), on_the_wire("bücher@example.org")
    ('bob@xn--bcher-kva.example', 'bücher@example.org')
    """
    local, _, domain = address.rpartition("@")
    return address if address.isascii() or not local.isascii() else f"{local}@{ascii_domain(domain)}"


def ascii_domain(domain: str) -> str:
    """Give a checked domain in ASCII (RFC 5890, A-labels)."""
    return domain if domain.isascii() else idna.encode(domain.lower()).decode("ascii")


def domain_of(address: str) -> str:
    """Give the part after the last @, or ``""``: what a log may show of an address."""
    return address.rpartition("@")[2] if "@" in address else ""


def address_list(addresses: Sequence[str]) -> str:
    """Write checked addresses for a header field, one a line; without any, all get blind copies (RFC 5322, 3.6.3)."""
    return ",\r\n ".join(map(on_the_wire, addresses)) or "undisclosed-recipients:;"


def _check_international(address: str) -> None:
    """Refuse what does not come out of a JID as it went in (RFC 6122, appendix A), or looks like something else."""
    for char in address:
        # Node names know the characters of Unicode 3.2 only (RFC 3491, section 2).
        if not char.isascii() and (
            unicodedata.category(char) not in _WRITTEN or unicodedata.ucd_3_2_0.category(char) == "Cn"
        ):
            raise _invalid(address, f"the character U+{ord(char):04X} cannot stand in an address")
    if composed(address) != address:
        raise _invalid(address, "its accents are not composed (Unicode NFC)")
    if unicodedata.normalize("NFKC", address.casefold()) != address.lower():
        raise _invalid(address, "it has characters that a JID cannot carry: they would become others")
    # RFC 3454, section 6: the whole of it is one part of a JID.
    directions = [unicodedata.bidirectional(char) for char in address]
    right_to_left = {"R", "AL"}
    if right_to_left.intersection(directions) and (
        "L" in directions or not {directions[0], directions[-1]} <= right_to_left
    ):
        raise _invalid(address, "it is written in both directions, which a JID cannot carry")


def _check_local_part(address: str, local: str) -> None:
    if len(local.encode("utf-8", "surrogatepass")) > MAX_LOCAL_PART:
        raise _invalid(address, f"the part before the @ is longer than {MAX_LOCAL_PART} bytes")
    foreign = _NOT_ATEXT.search(local)
    if foreign is not None:
        shown = "a space" if foreign[0] == " " else f'"{foreign[0]}"'
        raise _invalid(address, f"{shown} is not allowed before the @")
    if "=?" in local:
        # Legal, used by nobody, and read by some programs as an encoded word of anything (RFC 2047, section 5).
        raise _invalid(address, '"=?" is not allowed before the @')
    if local.startswith(".") or local.endswith(".") or ".." in local:
        raise _invalid(address, "a dot stands at an edge or beside another dot")


def _check_domain(address: str, domain: str) -> None:
    if domain.startswith("["):
        raise _invalid(address, "an address literal instead of a domain is not relayed")
    try:
        labels = ascii_domain(domain).split(".")
    except UnicodeError:
        raise _invalid(address, "what stands after the @ is not a domain") from None
    if not all(_LABEL.fullmatch(label) for label in labels):
        raise _invalid(address, "what stands after the @ is not a domain")
    if len(labels) == 1 or labels[-1].isdigit():
        raise _invalid(address, "what stands after the @ is not a full domain, such as example.org")


def _invalid(address: str, why: str) -> InvalidAddress:
    shown = address if len(address) <= _PRINTABLE_LIMIT else address[:_PRINTABLE_LIMIT] + "..."
    return InvalidAddress(f"{shown!r} is not a mail address: {why}", address=shown)
