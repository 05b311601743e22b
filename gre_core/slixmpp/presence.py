"""Presence of a gateway and of its users: subscriptions, entity capabilities, and what clients announce."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element, SubElement

from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import StanzaPath

from gre_core import wire
from gre_core.errors import RemoteProtocolError
from gre_core.namespaces import GRE
from gre_core.slixmpp.ports import DISCO, Stream, read_disco
from slixmpp.stanza import Presence

if TYPE_CHECKING:
    from slixmpp import ComponentXMPP
    from slixmpp.xmlstream.stanzabase import StanzaBase

    from gre_core.gateway import GatewayEngine

CAPS: Final = "http://jabber.org/protocol/caps"
CAPS_NODE: Final = "urn:xmpp:gre:gateway"
_MAX_RESOURCES: Final = 32
_MAX_USERS: Final = 100_000


def caps_version(query: Element) -> str:
    """Give the verification string of a disco#info answer (XEP-0115, section 5.1), with SHA-1 as it demands."""
    text = ""
    identities = [
        "/".join((node.get("category", ""), node.get("type", ""), "", node.get("name", "")))
        for node in query.iterfind(f"{{{DISCO}}}identity")
    ]
    features = [node.get("var", "") for node in query.iterfind(f"{{{DISCO}}}feature")]
    text += "".join(f"{part}<" for part in (*sorted(identities), *sorted(features)))
    forms = []
    for x in query.iterfind(f"{{{wire.FORM}}}x"):
        fields = {
            field.get("var", ""): sorted(
                value.text or "" for value in field.iterfind(f"{{{wire.FORM}}}value")
            )
            for field in x.iterfind(f"{{{wire.FORM}}}field")
        }
        name = "".join(fields.pop("FORM_TYPE", []))
        forms.append(
            "".join(
                f"{part}<" for part in (name, *(p for var in sorted(fields) for p in (var, *fields[var])))
            )
        )
    text += "".join(sorted(forms))
    return base64.b64encode(hashlib.sha1(text.encode(), usedforsecurity=False).digest()).decode()


class Presences:
    """Answers presence for the gateway and its contacts, and remembers the clients of users that are there.

    Arguments:
        component: the component; slixmpp's own roster is told to stay out.
        stream: the stream.
        engine: knows who is registered.
        query: what the gateway answers to disco#info, for its capabilities.
    """

    def __init__(
        self, component: ComponentXMPP, stream: Stream, engine: GatewayEngine, query: Element
    ) -> None:
        self.caps_node = CAPS_NODE
        self.caps_version = caps_version(query)
        self._component = component
        self._stream = stream
        self._engine = engine
        self._online: dict[str, dict[str, str]] = {}
        self._known: dict[tuple[str, str], frozenset[str]] = {}
        component.auto_authorize = None
        component.auto_subscribe = False
        component.register_handler(Callback("GRE presence", StanzaPath("presence"), self._presence))
        component.add_event_handler("disconnected", self._forget)

    def _forget(self, _event: object = None) -> None:
        self._online.clear()
        self._known.clear()

    def send(self, to: str, type_: str | None = None, sender: str | None = None) -> None:
        """Send presence from the gateway or one of its contacts; available presence names our capabilities.

        Does nothing while the stream is down.
        """
        if not self._stream.up:
            return
        presence = Element(
            f"{{{self._component.default_ns}}}presence", {"to": to, "from": sender or self._engine.domain}
        )
        if type_ is not None:
            presence.set("type", type_)
        else:
            caps = {"hash": "sha-1", "node": self.caps_node, "ver": self.caps_version}
            SubElement(presence, f"{{{CAPS}}}c", caps)
        Presence(self._component, xml=presence).send()

    def greet(self, user: str) -> None:
        """Tell a user that the gateway is there, and ask who of their clients is (XEP-0100, section 4.2)."""
        self.send(user)
        self.send(user, "probe")

    def _presence(self, stanza: StanzaBase) -> None:
        self._component.loop.create_task(self._handle(stanza.xml))

    async def _handle(self, stanza: Element) -> None:
        kind, full, to = stanza.get("type"), stanza.get("from", ""), wire.bare(stanza.get("to", ""))
        user = wire.bare(full)
        if kind == "subscribe":
            registered = await self._engine.is_registered(user)
            self.send(user, "subscribed" if registered else "unsubscribed", to)
            if registered:
                self.send(user, None, to)
        elif kind == "probe":
            if await self._engine.is_registered(user):
                self.send(full, None, to)
        elif kind == "unsubscribe":
            self.send(user, "unsubscribed", to)
        elif kind == "unavailable":
            self._online.get(user, {}).pop(full, None)
            self._known = {key: value for key, value in self._known.items() if key[0] != full}
        elif kind is None and await self._engine.is_registered(user):
            self._available(user, full, stanza)

    def _available(self, user: str, full: str, stanza: Element) -> None:
        caps = stanza.find(f"{{{CAPS}}}c")
        resources = self._online.setdefault(user, {})
        if len(resources) < _MAX_RESOURCES and len(self._online) <= _MAX_USERS:
            resources[full] = "" if caps is None else caps.get("ver", "")[:256]

    def is_online(self, user: str) -> bool:
        """Tell whether a client of a user is known to be there."""
        return bool(self._online.get(user))

    async def features_of(self, user: str) -> frozenset[str]:
        """Give the features that all GRE clients of a user have in common; each client is asked once per version."""
        common: frozenset[str] | None = None
        for full, version in list(self._online.get(user, {}).items()):
            features = self._known.get((full, version))
            if features is None:
                try:
                    answer = await self._stream.iq(full, "get", Element(f"{{{DISCO}}}query"))
                except RemoteProtocolError:
                    continue
                features = read_disco(answer).features
                self._known[full, version] = features
            if GRE in features:
                common = features if common is None else common & features
        return common or frozenset()
