"""Routing as in RFC 6120 section 10, and in the details as Prosody does it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gre_core.testing.loopback import iqs, jids, messages, pep_events, presence
from gre_core.testing.loopback.accounts import Account, Origin, Session
from gre_core.testing.loopback.stanza import (
    IQ,
    MESSAGE,
    PRESENCE,
    add,
    addressed,
    error_reply,
    make,
    needs_answer,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from xml.etree.ElementTree import Element

    from gre_core.testing.loopback.jids import Jid

_NOT_CONNECTED = "{xmpp:prosody.im/protocol/component}not-connected"


class ServerOrigin:
    """Stanzas that the server makes itself; nobody hears an answer."""

    account = None

    def send(self, _stanza: Element, /) -> bool:
        """Drop it."""
        return False

    def close(self, _condition: str, _text: str | None = None, /) -> None:
        """Nothing is open."""


class Router:
    """All accounts of one domain and its components, in memory.

    Args:
        domain: the domain of the accounts.
        accounts: passwords by user name.
        components: the domains of the components.
    """

    def __init__(self, domain: str, accounts: Mapping[str, str], components: Iterable[str]) -> None:
        self.domain = domain
        self.server: ServerOrigin = ServerOrigin()
        self.accounts: dict[str, Account] = {}
        for user, password in accounts.items():
            jid = jids.parse(f"{user}@{domain}")
            if jid is None:
                message = f"{user!r} cannot be a user name in a JID."
                raise ValueError(message)
            self.accounts[jid.bare] = Account(jid.bare, password)
        self.components: dict[str, Origin | None] = dict.fromkeys(components)
        self.caps: dict[str, frozenset[str]] = {}
        """Caps hash (XEP-0115) to the nodes with ``+notify``."""

    def account(self, jid: Jid | None) -> Account | None:
        """Return the local account of a JID, if there is one."""
        return self.accounts.get(jid.bare) if jid is not None else None

    # -- in ----------------------------------------------------------------------------------------

    def from_client(self, session: Session, stanza: Element) -> None:
        """Take a stanza from a bound client, stamp its sender, and deliver it."""
        kind = stanza.get("type")
        stanza.attrib.pop("from", None)
        if kind == "error" and not len(stanza):
            return
        if stanza.tag == IQ:
            if kind not in {"get", "set", "result", "error"}:
                problem: str | None = "Invalid IQ type"
            elif stanza.get("id") is None:
                problem = "Missing required 'id' attribute"
            elif kind in {"get", "set"} and len(stanza) != 1:
                problem = "Incorrect number of children for IQ stanza"
            else:
                problem = None
            if problem is not None:
                session.send(error_reply(stanza, "modify", "bad-request", problem))
                return
        stanza.set("from", session.jid)
        if self._prepare(session, stanza, "to", "destination"):
            self.deliver(session, stanza, outbound=True)

    def from_component(self, domain: str, origin: Origin, stanza: Element) -> None:
        """Take a stanza from a component; its ``from`` has to be in the component's domain."""
        sender = stanza.get("from")
        if stanza.tag not in {IQ, MESSAGE, PRESENCE}:
            origin.close("unsupported-stanza-type")
            return
        if sender is None:
            stanza.set("from", domain)
        elif jids.bare(sender).rpartition("@")[2] != domain:
            text = f"Component tried to send from address <{sender}> which is not in domain <{domain}>"
            origin.close("invalid-from", text)
            return
        if stanza.get("to") is None:
            if needs_answer(stanza):
                text = "Components MUST specify a 'to' address on stanzas"
                origin.send(error_reply(stanza, "modify", "bad-request", text))
            return
        if self._prepare(origin, stanza, "to", "destination") and self._prepare(
            origin, stanza, "from", "source"
        ):
            self.deliver(origin, stanza)

    def _prepare(self, origin: Origin, stanza: Element, attribute: str, role: str) -> bool:
        address = stanza.get(attribute)
        if address is None:
            return True
        jid = jids.parse(address)
        if jid is not None:
            stanza.set(attribute, str(jid))
            return True
        if needs_answer(stanza):
            text = f"The {role} address is invalid: {address}"
            origin.send(error_reply(stanza, "modify", "jid-malformed", text))
        return False

    # -- out ---------------------------------------------------------------------------------------

    def deliver(self, origin: Origin, stanza: Element, *, outbound: bool = False) -> None:
        """Bring a stanza with prepared addresses to where it belongs, or answer why not.

        Args:
            origin: who gets the error.
            stanza: in ``jabber:client``.
            outbound: it comes fresh from a client, so that carbons and roster states are due.
        """
        address = stanza.get("to")
        to = jids.parse(address) if address is not None else None
        account = origin.account
        if account is not None and to is not None and str(to) == account.bare:
            stanza, to = addressed(stanza, to=None), None
        if outbound and isinstance(origin, Session):
            if stanza.tag == MESSAGE:
                stanza = messages.send_carbons(origin.account, stanza, sent_by=origin)
            elif stanza.tag == PRESENCE and presence.outbound(self, origin, stanza, to):
                return
        if to is None or to.domain == self.domain:
            self._deliver_here(origin, stanza, to)
        elif to.domain in self.components:
            self._deliver_to_component(origin, stanza, to.domain)
        elif needs_answer(stanza):
            text = "Communication with remote domains is not enabled"
            origin.send(error_reply(stanza, "cancel", "not-allowed", text))

    def _deliver_here(self, origin: Origin, stanza: Element, to: Jid | None) -> None:
        if stanza.tag == MESSAGE:
            messages.deliver(self, origin, stanza, to)
        elif stanza.tag == PRESENCE:
            pep_events.on_presence(self, origin, stanza, to)
            presence.deliver(self, origin, stanza, to)
        elif stanza.tag == IQ:
            iqs.deliver(self, origin, stanza, to)
        else:
            origin.close("unsupported-stanza-type")

    def _deliver_to_component(self, origin: Origin, stanza: Element, domain: str) -> None:
        component = self.components[domain]
        if component is not None:
            component.send(stanza)
        elif needs_answer(stanza):
            answer = error_reply(stanza, "wait", "remote-server-timeout", "Component unavailable", by=domain)
            add(answer[0], _NOT_CONNECTED)
            origin.send(answer)

    # -- sessions ----------------------------------------------------------------------------------

    def bind(self, session: Session) -> None:
        """Add a session; one with the same resource is closed."""
        old = session.account.sessions.get(session.resource)
        if old is not None:
            old.close("conflict", "Replaced by new connection")
        session.account.sessions[session.resource] = session

    def unbind(self, session: Session) -> None:
        """Remove a session, and tell those who saw it."""
        sessions = session.account.sessions
        if sessions.get(session.resource) is not session:
            return
        gone = make(PRESENCE, type="unavailable", from_=session.jid)
        if session.presence is not None:
            self.deliver(session, gone, outbound=True)
        else:
            for address in session.directed:
                self.deliver(session, addressed(gone, to=address))
        del sessions[session.resource]
