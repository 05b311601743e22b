"""Mail addresses that may go into an SMTP dialogue, and nothing else (RFC 5321, section 4.1.2).

>>> check_address("alice@example.org")
>>> check_address("a,b@x.org")
Traceback (most recent call last):
gre_core.errors.InvalidAddress: 'a,b@x.org' is not a mail address: "," is not allowed before the @

Mail libraries quote or cut what they do not like: ``a,b@x.org`` would reach ``a``. So an address is checked
here, after XEP-0106 was undone, and is used as it stands from then on.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gre_core.errors import InvalidAddress

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_ADDRESS: Final = 254
"""Longest address, in characters (RFC 5321, section 4.5.3.1.3, without the angle brackets)."""

MAX_LOCAL_PART: Final = 64
"""Longest part before the @, in characters (RFC 5321, section 4.5.3.1.1)."""

_NOT_ATEXT = re.compile(r"[^A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]")
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
    if len(address) > MAX_ADDRESS:
        raise _invalid(address, f"it is longer than {MAX_ADDRESS} characters")
    if any(char < " " or char == "\x7f" for char in address):
        raise _invalid(address, "it has a control character")
    if not address.isascii():
        raise _invalid(
            address,
            "it has characters outside of ASCII, which need SMTPUTF8 (RFC 6531), and this gateway does not "
            "relay that; ask your correspondent for an address in ASCII",
        )
    local, at, domain = address.partition("@")
    if not at or not local or not domain:
        raise _invalid(address, "it needs a name, one @ and a domain")
    if "@" in domain:
        raise _invalid(address, "it has more than one @")
    _check_local_part(address, local)
    _check_domain(address, domain)


def domain_of(address: str) -> str:
    """Give the part after the last @, or ``""``: what a log may show of an address."""
    return address.rpartition("@")[2] if "@" in address else ""


def address_list(addresses: Sequence[str]) -> str:
    """Write checked addresses for a header field, one a line; without any, all get blind copies (RFC 5322, 3.6.3)."""
    return ",\r\n ".join(addresses) or "undisclosed-recipients:;"


def _check_local_part(address: str, local: str) -> None:
    if len(local) > MAX_LOCAL_PART:
        raise _invalid(address, f"the part before the @ is longer than {MAX_LOCAL_PART} characters")
    foreign = _NOT_ATEXT.search(local)
    if foreign is not None:
        shown = "a space" if foreign[0] == " " else f'"{foreign[0]}"'
        raise _invalid(address, f"{shown} is not allowed before the @")
    if local.startswith(".") or local.endswith(".") or ".." in local:
        raise _invalid(address, "a dot stands at an edge or beside another dot")


def _check_domain(address: str, domain: str) -> None:
    if domain.startswith("["):
        raise _invalid(address, "an address literal instead of a domain is not relayed")
    labels = domain.split(".")
    if not all(_LABEL.fullmatch(label) for label in labels):
        raise _invalid(address, "what stands after the @ is not a domain")
    if len(labels) == 1 or labels[-1].isdigit():
        raise _invalid(address, "what stands after the @ is not a full domain, such as example.org")


def _invalid(address: str, why: str) -> InvalidAddress:
    shown = address if len(address) <= _PRINTABLE_LIMIT else address[:_PRINTABLE_LIMIT] + "..."
    return InvalidAddress(f"{shown!r} is not a mail address: {why}", address=shown)
