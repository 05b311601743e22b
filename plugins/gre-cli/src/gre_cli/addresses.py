"""From what a person writes to the JID of a contact on a gateway (XEP-0106).

``romeo@montague.example`` with the gateway ``mail.example.org`` becomes
``romeo\\40montague.example@mail.example.org``.
"""

from __future__ import annotations

from gre_cli.settings import UsageError
from gre_core.errors import InvalidAddress
from gre_core.jid_escape import escape, unescape


def contact_jid(to: str, gateway: str | None) -> str:
    """Give the bare JID of a contact.

    Arguments:
        to: a JID on a gateway, or an address on the gateway's network.
        gateway: domain of the gateway; None when none is configured.

    Raises:
        UsageError: it cannot be one, or the gateway is missing.
    """
    to = to.strip().removeprefix("xmpp:").removeprefix("mailto:")
    local, at, domain = to.rpartition("@")
    if at and (is_escaped(local) or domain == gateway):
        if "/" in domain:
            raise UsageError(f"{to!r} has a resource. Leave out what follows the slash.")
        return f"{local}@{domain}"
    if gateway is None:
        raise UsageError(
            f"Which gateway leads to {to}? Give --gateway DOMAIN, or gateway in [account] of the configuration, or "
            "write the JID, as in alice\\40example.org@mail.example.org."
        )
    try:
        return f"{escape(to)}@{gateway}"
    except InvalidAddress as error:
        raise UsageError(error.text) from error


def is_escaped(localpart: str) -> bool:
    """Tell whether a localpart holds an escaped ``@``: then it is a contact's on a gateway."""
    return "\\40" in localpart


def legacy_id(jid: str) -> str:
    """Give the contact's address on the gateway's network; the JID itself when there is none in it."""
    local, at, _ = jid.partition("/")[0].rpartition("@")
    try:
        return unescape(local) if at else jid
    except InvalidAddress:
        return jid
