"""Stanzas: elements with Clark names, replies and errors (RFC 6120 section 8).

Inside the router every stanza is in ``jabber:client``, whatever stream it came by.
"""

from __future__ import annotations

from typing import Final
from xml.etree.ElementTree import Element, SubElement

CLIENT: Final = "jabber:client"
STREAMS: Final = "http://etherx.jabber.org/streams"
STANZA_ERRORS: Final = "urn:ietf:params:xml:ns:xmpp-stanzas"

IQ: Final = f"{{{CLIENT}}}iq"
MESSAGE: Final = f"{{{CLIENT}}}message"
PRESENCE: Final = f"{{{CLIENT}}}presence"


def make(tag: str, **attributes: str | None) -> Element:
    """Return an element; attributes that are None are left out, ``from_`` is written ``from``."""
    return Element(tag, {name.rstrip("_"): value for name, value in attributes.items() if value is not None})


def add(parent: Element, tag: str, text: str | None = None, **attributes: str | None) -> Element:
    """Append a child and return it; an unqualified tag is in the parent's namespace."""
    if not tag.startswith("{"):
        tag = parent.tag[: parent.tag.find("}") + 1] + tag
    child = SubElement(parent, tag, make(tag, **attributes).attrib)
    child.text = text
    return child


def namespace(element: Element) -> str:
    """Return the element's namespace."""
    return element.tag[1:].partition("}")[0] if element.tag.startswith("{") else ""


def copy_top(stanza: Element) -> Element:
    """Return a stanza with attributes of its own and the same children."""
    copy = Element(stanza.tag, dict(stanza.attrib))
    copy.text = stanza.text
    copy.extend(stanza)
    return copy


def addressed(stanza: Element, *, to: str | None, from_: str | None = None) -> Element:
    """Return a copy for another recipient (and, when given, from another sender)."""
    copy = copy_top(stanza)
    copy.attrib.pop("to", None)
    if to is not None:
        copy.set("to", to)
    if from_ is not None:
        copy.set("from", from_)
    return copy


def reply(stanza: Element) -> Element:
    """Return the empty result for an iq, or an empty stanza back to the sender."""
    return make(
        stanza.tag,
        id=stanza.get("id"),
        from_=stanza.get("to"),
        to=stanza.get("from"),
        type="result" if stanza.tag == IQ else stanza.get("type"),
    )


def error_reply(
    stanza: Element, kind: str, condition: str, text: str | None = None, *, by: str | None = None
) -> Element:
    """Return the error for a stanza.

    Args:
        stanza: what cannot be done; itself no error.
        kind: ``auth``, ``cancel``, ``modify`` or ``wait``.
        condition: a defined condition such as ``service-unavailable``.
        text: for people.
        by: who says so, when it is not the recipient.
    """
    answer = reply(stanza)
    answer.set("type", "error")
    error = add(answer, "error", type=kind, by=by if by != answer.get("from") else None)
    add(error, f"{{{STANZA_ERRORS}}}{condition}")
    if text is not None:
        add(error, f"{{{STANZA_ERRORS}}}text", text)
    return answer


def needs_answer(stanza: Element) -> bool:
    """Tell whether a stanza that cannot be delivered is answered with an error."""
    kind = stanza.get("type")
    return kind != "error" and not (stanza.tag == IQ and kind == "result")
