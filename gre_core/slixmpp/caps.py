"""What a gateway answers to disco#info, and its hash for presence (XEP-0115)."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element, SubElement

from gre_core.slixmpp.ports import DISCO, PUBSUB
from gre_core.wire import FORM

if TYPE_CHECKING:
    from gre_core.gateway import GatewayEngine

CAPS: Final = "http://jabber.org/protocol/caps"
CAPS_TAG: Final = f"{{{CAPS}}}c"
CAPS_NODE: Final = "urn:xmpp:gre:gateway"
PING: Final = "urn:xmpp:ping"


def disco_info(engine: GatewayEngine, identity: tuple[str, str, str]) -> Element:
    """Make the ``<query/>`` that the domain and each contact answer to disco#info (XEP-0030; forms: XEP-0128).

    Arguments:
        engine: knows features and forms.
        identity: category, type and name.
    """
    query = Element(f"{{{DISCO}}}query")
    SubElement(query, f"{{{DISCO}}}identity", dict(zip(("category", "type", "name"), identity, strict=True)))
    for feature in (DISCO, *engine.features(), PING, f"{PUBSUB}#retrieve-items"):
        SubElement(query, f"{{{DISCO}}}feature", {"var": feature})
    for form_type, fields in engine.forms().items():
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
