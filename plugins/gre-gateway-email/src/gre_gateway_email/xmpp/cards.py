"""Who the gateway and its contacts are: vCards (XEP-0054, XEP-0292), software (XEP-0092), old discovery (XEP-0094)."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Final
from urllib.parse import quote
from xml.etree.ElementTree import Element, SubElement

if TYPE_CHECKING:
    from gre_core.slixmpp.requests import Request

VCARD: Final = "vcard-temp"
VCARD_TAG: Final = f"{{{VCARD}}}vCard"
VCARD4: Final = "urn:ietf:params:xml:ns:vcard-4.0"
VCARD4_TAG: Final = f"{{{VCARD4}}}vcard"
VERSION: Final = "jabber:iq:version"
VERSION_TAG: Final = f"{{{VERSION}}}query"
AGENTS: Final = "jabber:iq:agents"
AGENTS_TAG: Final = f"{{{AGENTS}}}query"

NAME: Final = "gre-gateway-email"
SHOWN: Final = "Email"
"""The gateway's name for people."""
_DESCRIPTION: Final = "Gateway to email. It relays encrypted messages that it cannot read."


async def vcard(request: Request) -> Element:
    """Give the vCard of a contact, with nothing but the address, or of the gateway."""
    card = Element(VCARD_TAG)
    if request.contact is None:
        SubElement(card, f"{{{VCARD}}}FN").text = SHOWN
        SubElement(card, f"{{{VCARD}}}DESC").text = _DESCRIPTION
        return card
    SubElement(card, f"{{{VCARD}}}FN").text = request.contact.legacy_id
    email = SubElement(card, f"{{{VCARD}}}EMAIL")
    SubElement(email, f"{{{VCARD}}}INTERNET")
    SubElement(email, f"{{{VCARD}}}USERID").text = request.contact.legacy_id
    SubElement(card, f"{{{VCARD}}}JABBERID").text = request.contact.jid
    return card


async def vcard4(request: Request) -> Element:
    """Give the same in the newer format (RFC 6351)."""
    card = Element(VCARD4_TAG)
    if request.contact is None:
        fields = [("fn", "text", SHOWN), ("note", "text", _DESCRIPTION)]
    else:
        address, uri = request.contact.legacy_id, f"xmpp:{quote(request.contact.jid, safe='@')}"
        fields = [("fn", "text", address), ("email", "text", address), ("impp", "uri", uri)]
    for name, kind, value in fields:
        SubElement(SubElement(card, f"{{{VCARD4}}}{name}"), f"{{{VCARD4}}}{kind}").text = value
    return card


async def software(_request: Request) -> Element:
    """Give name and version, and nothing about the machine."""
    query = Element(VERSION_TAG)
    SubElement(query, f"{{{VERSION}}}name").text = NAME
    SubElement(query, f"{{{VERSION}}}version").text = version(NAME)
    return query


async def agents(request: Request) -> Element:
    """Tell what disco#info tells, to programs from before it (XEP-0100, section 8, rule 3)."""
    query = Element(AGENTS_TAG)
    agent = SubElement(query, f"{{{AGENTS}}}agent", {"jid": request.to.partition("/")[0]})
    SubElement(agent, f"{{{AGENTS}}}name").text = SHOWN
    SubElement(agent, f"{{{AGENTS}}}service").text = "smtp"
    for ability in ("transport", "register"):
        SubElement(agent, f"{{{AGENTS}}}{ability}")
    return query
