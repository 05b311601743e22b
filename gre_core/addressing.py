"""Several recipients of one stanza: Extended Stanza Addressing (XEP-0033)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element, SubElement

from gre_core import wire
from gre_core.errors import Refused
from gre_core.jid_escape import canonical
from gre_core.xml_text import clean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gre_core.model import Recipient

ADDRESS: Final = "http://jabber.org/protocol/address"
"""Feature of who sends one stanza on to several recipients, and namespace of their list."""

ADDRESSES_TAG: Final = f"{{{ADDRESS}}}addresses"
MAX_ADDRESSES: Final = 50
"""How many recipients one stanza may have (XEP-0033, section 8, wants a limit between 20 and 100)."""

_ADDRESS_TAG: Final = f"{{{ADDRESS}}}address"
_RECIPIENTS: Final = frozenset({"to", "cc", "bcc"})


def build_addresses(jids: Iterable[str]) -> Element:
    """Make the list of recipients. All are of the type ``to``: who of them got a copy stands inside the encryption."""
    addresses = Element(ADDRESSES_TAG)
    for jid in jids:
        SubElement(addresses, _ADDRESS_TAG, {"type": "to", "jid": jid})
    return addresses


def _read_addresses(stanza: Element) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Give the JIDs that a stanza is still to be sent to: those that all may see, and those of blind copies.

    Raises:
        Refused: there are too many, or one is no JID.
    """
    shown: list[str] = []
    blind: list[str] = []
    entries = [
        entry for addresses in stanza.iterfind(ADDRESSES_TAG) for entry in addresses.iterfind(_ADDRESS_TAG)
    ]
    if len(entries) > MAX_ADDRESSES:
        raise Refused(
            f"A message has at most {MAX_ADDRESSES} recipients. Send it in several parts.",
            condition="not-acceptable",
            error_type="modify",
        )
    for entry in entries:
        kind = entry.get("type")
        if kind not in _RECIPIENTS or entry.get("delivered") in {"true", "1"}:
            continue
        jid = entry.get("jid")
        if not jid or entry.get("uri") is not None:
            raise Refused(
                "Each recipient needs the JID of a contact of this gateway, not a URI.",
                condition="jid-malformed",
                error_type="modify",
            )
        (blind if kind == "bcc" else shown).append(jid)
    return tuple(shown), tuple(blind)


def recipients_of(
    stanza: Element, domain: str, check: Callable[[str], Recipient]
) -> tuple[tuple[Recipient, ...], tuple[Recipient, ...]]:
    """Give who a message to a gateway is for: those that all may see, and those of blind copies.

    Arguments:
        stanza: a ``<message/>``.
        domain: the gateway's.
        check: gives the contact of a JID of that domain, or raises ``Refused``.

    Raises:
        Refused: somebody cannot be reached; then nobody gets the message.
    """
    to = canonical(stanza.get("to", ""))
    shown, blind = _read_addresses(stanza)
    if all(canonical(jid) == to for jid in (*shown, *blind)):
        return (check(to),), ()
    if to != domain:
        raise Refused(
            f"A message to several recipients is sent to {domain}, so that all of them get it.",
            condition="bad-request",
            error_type="modify",
        )
    found: dict[str, Recipient] = {}
    problems: list[Refused] = []
    for jid in (*shown, *blind):
        try:
            recipient = _ours(jid, domain, check)
            found.setdefault(recipient.jid, recipient)
        except Refused as error:
            problems.append(error)
    if problems:
        text = " ".join(dict.fromkeys(error.text for error in problems))
        raise Refused(
            f"Nobody got the message. {text}",
            condition=problems[0].condition,
            error_type=problems[0].error_type,
        )
    seen = {canonical(jid) for jid in shown}
    return (
        tuple(one for one in found.values() if one.jid in seen),
        tuple(one for one in found.values() if one.jid not in seen),
    )


def _ours(jid: str, domain: str, check: Callable[[str], Recipient]) -> Recipient:
    if wire.domain(canonical(jid)) != domain:
        raise Refused(
            f"{clean(jid[:160])} is not a contact of this gateway.", condition="forbidden", error_type="auth"
        )
    return check(jid)
