"""Bodies on the wire, and damaged ones."""

from __future__ import annotations

import base64
import binascii
import copy
from dataclasses import replace
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement

from gre_core import wire
from gre_core.testing.conformance.damaging import flipped, places, truncated
from gre_core.testing.conformance.rules import demand
from gre_core.testing.fakes import through_xml
from gre_core.xml_text import is_legal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gre_core.model import Body
    from gre_core.namespaces import Namespace

UNKNOWN = "{urn:example:unknown}extension"


def over_the_wire(body: Body, formatter: Namespace, encrypter: Namespace) -> Body:
    """Give a body as it arrives at the other end of a stream."""
    __tracebackhide__ = True
    rule = "body-survives-xml"
    demand(
        isinstance(body.text, str) and is_legal(body.text), rule, "the text has characters that XML forbids"
    )
    for child in body.children:
        demand(isinstance(child, Element), rule, f"a child is {type(child).__name__}")
        demand(str(child.tag).startswith("{"), rule, f"the child {child.tag} has no namespace")
    encrypted = wire.Encrypted(formatter, encrypter, body)
    try:
        stanza = through_xml(
            wire.build_message("a@example.org", "id", encrypted, receipt=False, origin_id="id")
        )
        read = next(stanza.iterfind(wire.ENCRYPTED_TAG))
        return wire.parse_encrypted(read).body
    except Exception as error:
        demand(condition=False, rule=rule, found=f"{type(error).__name__}: {error}")
        raise


def with_unknown_child(body: Body) -> Body:
    """Give a body with one more child that nobody knows."""
    extra = Element(UNKNOWN)
    SubElement(extra, UNKNOWN).text = "ignore me"
    return replace(body, children=(*body.children, extra))


def all_text(body: Body) -> str:
    """Give everything that stands in a body."""
    told = [body.text]
    for child in body.children:
        for each in child.iter():
            told += [each.tag, each.text or "", each.tail or "", *each.attrib.values()]
    return "\n".join(told)


def damaged(body: Body, count: int) -> Iterator[tuple[str, Body]]:
    """Damage a body in up to ``count`` places of each kind: its text, what base64 in it stands for, its children."""
    for doing, text in _damaged_text(body.text, count):
        yield f"text: {doing}", replace(body, text=text)
    for number, child in enumerate(body.children):
        yield (
            f"child {number} left out",
            replace(body, children=body.children[:number] + body.children[number + 1 :]),
        )
        for at, inner in enumerate(child.iter()):
            for doing, text in _damaged_text(inner.text or "", count):
                changed = copy.deepcopy(child)
                list(changed.iter())[at].text = text
                children = (*body.children[:number], changed, *body.children[number + 1 :])
                yield f"{inner.tag}: {doing}", replace(body, children=children)


def _damaged_text(text: str, count: int) -> Iterator[tuple[str, str]]:
    if not text:
        return
    for place in places(len(text), count):
        other = "B" if text[place] != "B" else "g"
        yield f"character {place} changed", text[:place] + other + text[place + 1 :]
    for place in places(len(text), count // 4):
        yield f"cut off after {place} characters", text[:place]
    yield "doubled", text + text
    yield "something added behind", text + "AAAA"
    yield "something added before", "AAAA" + text
    try:
        raw = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return
    for doing, data in [*flipped(raw, count), *truncated(raw, count // 4)]:
        yield doing, base64.b64encode(data).decode()
    yield "decoded, something added behind", base64.b64encode(raw + b"\0").decode()
    yield "decoded, doubled", base64.b64encode(raw + raw).decode()
