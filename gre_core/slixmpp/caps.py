"""What a gateway answers to disco#info, and the hash of it for presence (XEP-0115)."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element, SubElement

from gre_core.stanza_ports import DISCO, PUBSUB
from gre_core.wire import FORM

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gre_core.gateway import GatewayEngine

CAPS: Final = "http://jabber.org/protocol/caps"
CAPS_TAG: Final = f"{{{CAPS}}}c"
CAPS_NODE: Final = "urn:xmpp:gre:gateway"
PING: Final = "urn:xmpp:ping"


class Announced:
    """What the gateway's domain and its contacts announce; who wants encrypted messages only is told so.

    Arguments:
        engine: knows features and forms.
        identity: category, type and name, of the domain and of contacts.
    """

    def __init__(self, engine: GatewayEngine, identity: tuple[str, str, str]) -> None:
        self._engine = engine
        self._identity = identity
        self._extra: dict[bool, list[str]] = {False: [], True: []}
        self._versions: dict[tuple[bool, bool], str] = {}

    def add(self, features: Iterable[str], *, gateway: bool = True, contacts: bool = False) -> None:
        """Announce more. Call it before ``connect()``: what was announced before is not corrected.

        Arguments:
            features: namespaces.
            gateway: the domain has them.
            contacts: each contact has them.
        """
        for contact, wanted in ((False, gateway), (True, contacts)):
            if wanted:
                self._extra[contact] += [each for each in features if each not in self._extra[contact]]
        self._versions.clear()

    def info(self, *, contact: bool, encrypted_only: bool) -> Element:
        """Make the answer to disco#info.

        Arguments:
            contact: of a contact, not of the domain.
            encrypted_only: for who has that policy.
        """
        return disco_info(
            self._engine, self._identity, encrypted_only=encrypted_only, more=self._extra[contact]
        )

    def version(self, *, contact: bool, encrypted_only: bool) -> str:
        """Give the verification string of :meth:`info`, for presence."""
        kind = contact, encrypted_only
        found = self._versions.get(kind)
        if found is None:
            found = self._versions[kind] = caps_version(
                self.info(contact=contact, encrypted_only=encrypted_only)
            )
        return found

    def of_node(self, node: str, *, contact: bool) -> Element | None:
        """Give what a node of XEP-0115 stands for, whoever asks: servers ask in their own name (section 6.2)."""
        for strict in (False, True):
            if node == f"{CAPS_NODE}#{self.version(contact=contact, encrypted_only=strict)}":
                return self.info(contact=contact, encrypted_only=strict)
        return None


def disco_info(
    engine: GatewayEngine,
    identity: tuple[str, str, str],
    *,
    encrypted_only: bool = False,
    more: Iterable[str] = (),
) -> Element:
    """Make the ``<query/>`` that the domain and each contact answer to disco#info (XEP-0030; forms: XEP-0128).

    Arguments:
        engine: knows features and forms.
        identity: category, type and name.
        encrypted_only: for who has the stricter policy.
        more: further features.
    """
    query = Element(f"{{{DISCO}}}query")
    SubElement(query, f"{{{DISCO}}}identity", dict(zip(("category", "type", "name"), identity, strict=True)))
    features = (
        DISCO,
        *engine.features(encrypted_only=encrypted_only),
        PING,
        f"{PUBSUB}#retrieve-items",
        *more,
    )
    for feature in dict.fromkeys(features):
        SubElement(query, f"{{{DISCO}}}feature", {"var": feature})
    for form_type, fields in engine.forms(encrypted_only=encrypted_only).items():
        x = SubElement(query, f"{{{FORM}}}x", {"type": "result"})
        for var, values in {"FORM_TYPE": (form_type,), **fields}.items():
            attributes = {"var": var} | ({"type": "hidden"} if var == "FORM_TYPE" else {})
            field = SubElement(x, f"{{{FORM}}}field", attributes)
            for value in values:
                SubElement(field, f"{{{FORM}}}value").text = value
    return query


def caps_version(query: Element) -> str:
    """Give the verification string of a disco#info answer (XEP-0115, section 5.1), with SHA-1 as it demands."""
    identities = [
        "/".join((node.get("category", ""), node.get("type", ""), "", node.get("name", "")))
        for node in query.iterfind(f"{{{DISCO}}}identity")
    ]
    features = [node.get("var", "") for node in query.iterfind(f"{{{DISCO}}}feature")]
    forms = sorted(map(_form_parts, query.iterfind(f"{{{FORM}}}x")))
    parts = [*sorted(identities), *sorted(features), *(part for form in forms for part in form)]
    text = "".join(f"{part}<" for part in parts)
    return base64.b64encode(hashlib.sha1(text.encode(), usedforsecurity=False).digest()).decode()


def _form_parts(x: Element) -> list[str]:
    fields = {
        field.get("var", ""): sorted(value.text or "" for value in field.iterfind(f"{{{FORM}}}value"))
        for field in x.iterfind(f"{{{FORM}}}field")
    }
    form_type = fields.pop("FORM_TYPE", [])
    return [*form_type, *(part for var in sorted(fields) for part in (var, *fields[var]))]
