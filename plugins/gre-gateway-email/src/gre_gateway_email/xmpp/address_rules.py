"""Which addresses users may have when they register by themselves."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gre_core.errors import InvalidAddress, Refused
from gre_gateway_email.mail.addresses import MAX_LOCAL_PART, check_address

if TYPE_CHECKING:
    from collections.abc import Container

RESERVED: Final = frozenset(
    {
        "abuse", "admin", "administrator", "ftp", "hostmaster", "info", "list", "list-request", "mailer-daemon",
        "marketing", "news", "no-reply", "noc", "noreply", "postmaster", "root", "sales", "security", "ssladmin",
        "ssladministrator", "sslwebmaster", "support", "sysadmin", "trouble", "usenet", "uucp", "webmaster", "www",
    }
)  # fmt: skip
"""Names of RFC 2142, and those by which certificate authorities check who owns a domain."""

_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?")
_DOUBLE: Final = re.compile(r"[._-]{2}")


def usable_address(name: str, domain: str, reserved: Container[str]) -> str:
    """Give the address that a name makes.

    Arguments:
        name: what stands before the @, in any case.
        domain: one of the gateway's.
        reserved: names that the operator keeps, besides those of :data:`RESERVED`.

    Raises:
        Refused: ``not-acceptable``, with the reason.
    """
    name = name.lower()
    if not _NAME.fullmatch(name) or _DOUBLE.search(name) or len(name) > MAX_LOCAL_PART:
        raise not_acceptable(
            "What stands before the @ has letters from a to z, digits, and single dots, hyphens or underscores "
            f"between them, at most {MAX_LOCAL_PART} characters."
        )
    if name in RESERVED or name in reserved:
        raise not_acceptable(
            f"The name {name} is reserved. Choose another one, or ask the operator of this gateway."
        )
    address = f"{name}@{domain}"
    try:
        check_address(address)
    except InvalidAddress as error:
        raise not_acceptable(error.text) from error
    return address


def not_acceptable(text: str) -> Refused:
    """Make the error for what a user entered."""
    return Refused(text, condition="not-acceptable", error_type="modify")
