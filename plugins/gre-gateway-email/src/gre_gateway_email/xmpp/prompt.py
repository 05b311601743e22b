"""The prompt for a mail address that becomes a JID (``jabber:iq:gateway``: XEP-0100, section 6.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element, SubElement

from gre_core.errors import InvalidAddress, Refused
from gre_gateway_email.mail.addresses import check_address

if TYPE_CHECKING:
    from gre_core.gateway import GatewayEngine
    from gre_core.slixmpp.requests import Request

GATEWAY: Final = "jabber:iq:gateway"
QUERY: Final = f"{{{GATEWAY}}}query"

_DESCRIPTION: Final = "Enter the mail address of the person whom you want to write to."
_PROMPT: Final = "Mail address"
_MOST: Final = 1024


def jid_of(engine: GatewayEngine, text: str) -> str:
    """Give the JID of a mail address as people write it.

    Arguments:
        engine: knows the gateway's domain.
        text: perhaps with ``mailto:``, angle brackets or white space around it.

    Raises:
        Refused: it is no mail address.
    """
    address = text.strip()
    if len(address) > _MOST:
        raise _bad("That is too long for a mail address.")
    address = address.removeprefix("mailto:").removeprefix("<").removesuffix(">")
    try:
        check_address(address)
        return engine.jid_of(address)
    except InvalidAddress as error:
        raise _bad(error.text) from error


def _bad(text: str) -> Refused:
    return Refused(text, condition="not-acceptable", error_type="modify")


class Prompt:
    """Answers ``jabber:iq:gateway`` at the gateway's domain, to everybody: it tells nothing about anybody.

    Arguments:
        engine: escapes addresses (XEP-0106).
    """

    def __init__(self, engine: GatewayEngine) -> None:
        self._engine = engine

    async def answer(self, request: Request) -> Element:
        """Answer a request; see :data:`gre_core.slixmpp.requests.Handler`."""
        query = Element(QUERY)
        if request.type == "get":
            SubElement(query, f"{{{GATEWAY}}}desc").text = _DESCRIPTION
            SubElement(query, f"{{{GATEWAY}}}prompt").text = _PROMPT
            return query
        prompt = request.payload.find(f"{{{GATEWAY}}}prompt")
        if prompt is None:
            raise Refused(
                "Send the mail address in a <prompt/> element.",
                condition="bad-request",
                error_type="modify",
            )
        jid = jid_of(self._engine, prompt.text or "")
        SubElement(query, f"{{{GATEWAY}}}jid").text = jid
        return query
