"""What users send to a gateway: encrypted messages, plain ones, and what is neither."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from gre_core import wire
from gre_core.errors import Refused
from gre_core.xml_text import local_name

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from gre_core.model import Body, Recipient
    from gre_core.namespaces import Namespace

_FILES: Final = {("jabber:x:oob", "x"), ("urn:xmpp:sfs:0", "file-sharing")}
_REACTIONS: Final = ("urn:xmpp:reactions:0", "reactions")
_RETRACTIONS: Final = {
    ("urn:xmpp:message-retract:0", "retract"),
    ("urn:xmpp:message-retract:1", "retract"),
    ("urn:xmpp:fasten:0", "apply-to"),
}
_CONTENT: Final = {("http://jabber.org/protocol/xhtml-im", "html"), _REACTIONS, *_FILES, *_RETRACTIONS}


@dataclass(frozen=True, slots=True)
class Relayed:
    """An encrypted message that a user sent.

    Arguments:
        user: bare JID of the sender.
        user_full: full JID of the sender, for the receipt.
        sender_id: the sender's identifier on the legacy network.
        recipients: who it is for; all of them may see each other.
        formatter: as the message names it; it is one of ours.
        encrypter: as the message names it; the pair is one of ours.
        body: opaque to the gateway.
        id: the origin-id, else the stanza's id; a resent message bears the same. None when it has neither.
        stanza: the message as it came, for the receipt or the error.
        hidden: who gets it besides and is shown to nobody (XEP-0033, ``bcc``).
    """

    user: str
    user_full: str
    sender_id: str
    recipients: tuple[Recipient, ...]
    formatter: Namespace
    encrypter: Namespace
    body: Body
    id: str | None
    stanza: Element = field(repr=False)
    hidden: tuple[Recipient, ...] = ()


@dataclass(frozen=True, slots=True)
class Plain:
    """A message that a user sent unencrypted.

    Arguments:
        user: bare JID of the sender.
        user_full: full JID of the sender.
        sender_id: the sender's identifier on the legacy network.
        recipients: who it is for; all of them may see each other.
        text: its body; ``""`` when it has only a subject or links to files.
        subject: or None.
        id: the origin-id, else the stanza's id; None when it has neither.
        stanza: the message as it came.
        hidden: who gets it besides and is shown to nobody (XEP-0033, ``bcc``).
    """

    user: str
    user_full: str
    sender_id: str
    recipients: tuple[Recipient, ...]
    text: str = field(repr=False)
    subject: str | None = field(repr=False)
    id: str | None
    stanza: Element = field(repr=False)
    hidden: tuple[Recipient, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """Where the answer to a message goes that is given later, even after a restart: all that has to be stored for it.

    Arguments:
        user_full: full JID of the sender.
        stanza_id: id of the stanza, or ``""``.
        stanza_to: what the stanza was addressed to; the answer comes from there.
        stanza_type: ``chat`` or another.
        wants_receipt: the stanza asked for a receipt (XEP-0184).
    """

    user_full: str
    stanza_id: str
    stanza_to: str
    stanza_type: str = "chat"
    wants_receipt: bool = False

    @classmethod
    def to(cls, message: Relayed | Plain) -> Answer:
        """Give where the answer to a message goes."""
        stanza = message.stanza
        return cls(
            message.user_full,
            stanza.get("id", ""),
            stanza.get("to", ""),
            stanza.get("type", "normal"),
            stanza.find(wire.REQUEST_TAG) is not None,
        )


class Later:
    """What a handler returns that stored a message and answers it later (``LATER``)."""


LATER: Final = Later()


def has_content(stanza: Element) -> bool:
    """Tell whether a message carries something that a person wrote."""
    for node in stanza:
        namespace, name = local_name(node.tag)
        if name in {"body", "subject"} and namespace == local_name(stanza.tag)[0]:
            return True
        if (namespace, name) in _CONTENT:
            return True
        if _is_encrypted(node):
            return True
    return False


def _is_encrypted(node: Element) -> bool:
    """Tell whether a child is content that is encrypted in another way: OMEMO, XEP-0373, XEP-0027 and the like."""
    namespace, name = local_name(node.tag)
    return name in {"encrypted", "openpgp"} or namespace == "jabber:x:encrypted"


def read_plain(
    stanza: Element,
    user: str,
    user_full: str,
    sender_id: str,
    recipients: tuple[Recipient, ...],
    hidden: tuple[Recipient, ...],
) -> Plain:
    """Read a message that is not encrypted with GRE.

    Raises:
        Refused: it is encrypted in another way, has no text, or wants something of a message that was sent before.
    """
    if stanza.find(wire.ENCRYPTION_TAG) is not None or any(map(_is_encrypted, stanza)):
        raise Refused(
            "This gateway cannot pass on that kind of encryption. Use Gateway Relayed Encryption (urn:xmpp:gre:0).",
            condition="not-acceptable",
            error_type="modify",
        )
    body, subject = wire.child(stanza, "body"), wire.child(stanza, "subject")
    names = {local_name(node.tag) for node in stanza}
    if names & _RETRACTIONS:
        raise Refused(
            "This gateway cannot take back a message that was sent.", condition="feature-not-implemented"
        )
    has_file = any(local_name(node.tag) in _FILES and len(node) for node in stanza)
    if body is None and not has_file and (subject is None or not subject.text):
        what = (
            "This gateway cannot pass on reactions. Answer with words."
            if _REACTIONS in names
            else "The message has no text."
        )
        raise Refused(what, condition="not-acceptable", error_type="modify")
    return Plain(
        user,
        user_full,
        sender_id,
        recipients,
        "" if body is None else body.text or "",
        None if subject is None else subject.text,
        wire.stanza_id(stanza),
        stanza,
        hidden,
    )
