"""Who the gateway and its contacts are: vCards (XEP-0054) and the version of the software (XEP-0092)."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element, SubElement

if TYPE_CHECKING:
    from gre_core.slixmpp.requests import Request

VCARD: Final = "vcard-temp"
VCARD_TAG: Final = f"{{{VCARD}}}vCard"
VERSION: Final = "jabber:iq:version"
VERSION_TAG: Final = f"{{{VERSION}}}query"

NAME: Final = "gre-gateway-email"
_DESCRIPTION: Final = "Gateway to email. It relays encrypted messages that it cannot read."


async def vcard(request: Request) -> Element:
    """Give the vCard of a contact, with nothing but the address, or of the gateway."""
    card = Element(VCARD_TAG)
    if request.contact is None:
        SubElement(card, f"{{{VCARD}}}FN").text = "Email"
        SubElement(card, f"{{{VCARD}}}DESC").text = _DESCRIPTION
        return card
    SubElement(card, f"{{{VCARD}}}FN").text = request.contact.legacy_id
    email = SubElement(card, f"{{{VCARD}}}EMAIL")
    SubElement(email, f"{{{VCARD}}}INTERNET")
    SubElement(email, f"{{{VCARD}}}USERID").text = request.contact.legacy_id
    SubElement(card, f"{{{VCARD}}}JABBERID").text = request.contact.jid
    return card


async def software(_request: Request) -> Element:
    """Give name and version, and nothing about the machine."""
    query = Element(VERSION_TAG)
    SubElement(query, f"{{{VERSION}}}name").text = NAME
    SubElement(query, f"{{{VERSION}}}version").text = version(NAME)
    return query
