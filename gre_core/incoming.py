"""Sorts a received ``<message/>``: a carbon, a receipt, an error, an encrypted or a plain message."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast, get_args

from gre_core import wire
from gre_core.delay import delayed
from gre_core.errors import PeerError, StanzaErrorType
from gre_core.jid_escape import canonical
from gre_core.model import Direction
from gre_core.xml_text import clean, local_name

if TYPE_CHECKING:
    from datetime import datetime
    from xml.etree.ElementTree import Element

CARBONS: Final = "urn:xmpp:carbons:2"
FORWARD: Final = "urn:xmpp:forward:0"
STANZAS: Final = "urn:ietf:params:xml:ns:xmpp-stanzas"
MAX_TEXT: Final = 1000

_TYPES = frozenset(get_args(StanzaErrorType))


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message stanza, a carbon already opened.

    Arguments:
        stanza: the message itself; of a carbon, the one inside.
        direction: received, or sent by another device of ours.
        peer: bare JID of the contact, in its canonical form; our own for an error of our own server.
        peer_full: the JID as it stands in the stanza.
        carbon: it came as a carbon copy.
        id: the origin-id, else the stanza's id.
        received: when it reached our server, if that was earlier (XEP-0203); with a time zone.
    """

    stanza: Element = field(repr=False)
    direction: Direction
    peer: str
    peer_full: str
    carbon: bool
    id: str | None
    received: datetime | None = None


def sort_message(stanza: Element, account: str) -> Incoming | None:
    """Open a carbon, and tell who the peer is.

    Arguments:
        stanza: a ``<message/>``.
        account: our bare JID, in its canonical form.

    Result:
        None for a carbon that does not come from our own bare JID (XEP-0280, section 11) or is malformed, and for a
        message without sender that is no error.
    """
    for name, direction in (("received", Direction.RECEIVED), ("sent", Direction.SENT)):
        copy = stanza.find(f"{{{CARBONS}}}{name}")
        if copy is None:
            continue
        forwarded = copy.find(f"{{{FORWARD}}}forwarded")
        inner = None if forwarded is None else forwarded.find(wire.MESSAGE_TAG)
        sender = stanza.get("from", account)
        if inner is None or "/" in sender or canonical(sender) != account:
            return None
        assert forwarded is not None
        received = delayed(forwarded, account, trusted=True)
        return _incoming(inner, direction, account, received, carbon=True)
    return _incoming(stanza, Direction.RECEIVED, account, delayed(stanza, account), carbon=False)


def sort_archived(stanza: Element, account: str, received: datetime | None) -> Incoming | None:
    """Tell whose message the archive of our account gave (XEP-0313).

    Arguments:
        stanza: the ``<message/>`` as it was archived.
        account: our bare JID, in its canonical form.
        received: when it was archived.

    Result:
        None for a message without sender or recipient.
    """
    if canonical(stanza.get("from", "")) == account:
        return _incoming(stanza, Direction.SENT, account, received, carbon=True)
    return _incoming(stanza, Direction.RECEIVED, account, received, carbon=False)


def _incoming(
    stanza: Element, direction: Direction, account: str, received: datetime | None, *, carbon: bool
) -> Incoming | None:
    sender, to = stanza.get("from", ""), stanza.get("to", "")
    if direction is Direction.SENT and canonical(sender) != account:
        return None
    peer = to if direction is Direction.SENT else sender
    if not peer and stanza.get("type") == "error" and not carbon:
        peer = account
    if not peer:
        return None
    return Incoming(stanza, direction, canonical(peer), peer, carbon, wire.stanza_id(stanza), received)


def receipt_for(stanza: Element) -> str | None:
    """Give the id that a receipt confirms (XEP-0184), or None when this is no receipt.

    A message with content is a message, also when it bears a receipt: it must not be taken for that alone.
    """
    received = stanza.find(wire.RECEIVED_TAG)
    content = stanza.find(wire.ENCRYPTED_TAG) is not None or wire.child(stanza, "body") is not None
    return None if received is None or content or stanza.get("type") == "error" else received.get("id")


def read_error(stanza: Element) -> PeerError | None:
    """Read a stanza error (RFC 6120, section 8.3); None when the stanza is no error."""
    if stanza.get("type") != "error":
        return None
    element = next((node for node in stanza if local_name(node.tag)[1] == "error"), None)
    condition, text, kind = "undefined-condition", "", "cancel"
    if element is not None:
        kind = element.get("type", "cancel")
        for node in element:
            namespace, name = local_name(node.tag)
            if namespace == STANZAS and name == "text":
                text = clean((node.text or "")[:MAX_TEXT])
            elif namespace == STANZAS:
                condition = name[:64]
    return PeerError(
        text or f"The peer answered with the error {condition!r} and no explanation.",
        condition=condition,
        error_type=cast("StanzaErrorType", kind if kind in _TYPES else "cancel"),
        peer_text=text,
    )
