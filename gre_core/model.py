"""The values that travel between engines, formatters, encrypters and hosts. All are frozen.

Fields that hold plaintext or key material never show in a ``repr``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, BinaryIO, Final

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path
    from xml.etree.ElementTree import Element

    from gre_core.namespaces import Namespace

_NOTHING: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({})
_NO_PARAMS: Final[Mapping[str, str]] = MappingProxyType({})
_NO_FORMS: Final[Mapping[str, DataForm]] = MappingProxyType({})


# -- messages --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that travels with a message.

    Arguments:
        name: the file name as people see it; without folders.
        media_type: for example ``image/png`` (RFC 2045, section 5).
        open: called without arguments, gives a fresh binary stream at the start of the content.
        size: length of the content in bytes, when known.
        inline: shown within the text (RFC 2183, section 2.1).
        content_id: what an HTML body refers to as ``cid:...``, without angle brackets (RFC 2392).
    """

    name: str = field(repr=False)
    media_type: str
    open: Callable[[], BinaryIO] = field(repr=False, compare=False)
    size: int | None = None
    inline: bool = False
    content_id: str | None = None

    @classmethod
    def from_bytes(
        cls,
        name: str,
        media_type: str,
        content: bytes,
        *,
        inline: bool = False,
        content_id: str | None = None,
    ) -> Attachment:
        """Make an attachment from its content."""
        from io import BytesIO  # noqa: PLC0415 - the model itself needs no I/O

        return cls(name, media_type, lambda: BytesIO(content), len(content), inline, content_id)

    @classmethod
    def from_path(cls, path: Path, media_type: str | None = None, name: str | None = None) -> Attachment:
        """Make an attachment from a file; the content is read when it is needed.

        Raises:
            OSError: the file cannot be read.
        """
        import mimetypes  # noqa: PLC0415 - costs 10 ms, only hosts that attach files need it

        guessed = media_type or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        return cls(name or path.name, guessed, lambda: path.open("rb"), path.stat().st_size)

    def read(self) -> bytes:
        """Give the whole content."""
        with self.open() as stream:
            return stream.read()


@dataclass(frozen=True, slots=True)
class SignedPart:
    """A signed part inside the encryption (RFC 3156, section 6.1): signed first, then encrypted.

    Arguments:
        content: exactly the bytes that the signature covers, with CRLF line ends (RFC 3156, section 5).
        signature: as it stands in the message, for OpenPGP mostly armored.
        protocol: the media type of the signature, ``application/pgp-signature``.
    """

    content: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    protocol: str


@dataclass(frozen=True, slots=True)
class Message:
    """What a person writes or reads, independent of any network.

    Arguments:
        text: the plain text.
        html: an alternative in HTML, or None.
        subject: or None.
        attachments: in their order.
        to: legacy ids of the recipients as the message itself names them (read: from inside the encryption).
        cc: further ones.
        claimed_sender: who the message itself says it is from. Only the signature verdict makes it true.
        message_id: id on the legacy network, without angle brackets.
        in_reply_to: id of the message that this one answers, without angle brackets.
        references: ids of the thread, oldest first, without angle brackets.
        date: when it was written, with a time zone.
        headers: further protected fields that a formatter read, by lower-case name.
        hidden: lower-case names of the header fields that were confidential: read, those that were not visible
            outside as they are inside; written, those that the message answered kept confidential. A reply takes
            it over unchanged, and what the formatter cannot keep confidential then, it refuses (RFC 9788,
            section 6.1).
        signed: a detached signature over the whole content that the formatter found and cannot judge. It is not
            among the attachments: who does not judge it has to say so.
        notices: what the formatter wants to be shown, such as a structure that was repaired.
    """

    text: str = field(default="", repr=False)
    html: str | None = field(default=None, repr=False)
    subject: str | None = field(default=None, repr=False)
    attachments: tuple[Attachment, ...] = ()
    to: tuple[str, ...] = field(default=(), repr=False)
    cc: tuple[str, ...] = field(default=(), repr=False)
    claimed_sender: str | None = field(default=None, repr=False)
    message_id: str | None = None
    in_reply_to: str | None = None
    references: tuple[str, ...] = ()
    date: datetime | None = None
    headers: Mapping[str, tuple[str, ...]] = field(
        default_factory=lambda: _NOTHING, repr=False, compare=False
    )
    hidden: tuple[str, ...] = field(default=(), compare=False)
    signed: SignedPart | None = field(default=None, repr=False, compare=False)
    notices: tuple[Notice, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Body:
    """What stands inside ``<encrypted/>``: opaque to everyone but its encrypter.

    Arguments:
        text: the character data.
        children: child elements, for encrypters that need them. Treat them as read-only.
    """

    text: str = field(default="", repr=False)
    children: tuple[Element, ...] = field(default=(), repr=False)

    @property
    def size(self) -> int:
        """A lower bound of its length on the wire, in characters."""
        return len(self.text) + sum(len(child.text or "") for top in self.children for child in top.iter())


# -- the data form ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DataField:
    """One field of the data form, in Clark notation (XEP-0068, GRE "Relayed Encryption Data").

    Arguments:
        namespace: the namespace of the formatter, encrypter or extension that owns the field.
        name: the local name.
        values: its values; none is an empty field.
    """

    namespace: str
    name: str
    values: tuple[str, ...]

    @property
    def var(self) -> str:
        """The name of the form field: ``{namespace}name``."""
        return f"{{{self.namespace}}}{self.name}"


@dataclass(frozen=True, slots=True)
class DataForm:
    """What a gateway answers to a data request (GRE, "Relayed Encryption Data").

    Arguments:
        sender_id: our identifier on the legacy network, as others see it there.
        fields: the fields in Clark notation, by ``{namespace}name``.
    """

    sender_id: str
    fields: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: _NOTHING)

    def values(self, namespace: Namespace | str, name: str) -> tuple[str, ...] | None:
        """Give the values of a field, or None when the gateway did not send it."""
        return self.fields.get(f"{{{namespace}}}{name}")


@dataclass(frozen=True, slots=True)
class DataRequest:
    """A request for data (GRE, "Relayed Encryption Data").

    Arguments:
        requester: bare JID of the XMPP user.
        recipient: bare JID of the contact on the gateway.
        legacy_id: the contact's identifier on the legacy network (XEP-0106 undone).
        formatter: the chosen one; None when the client named none.
        encrypter: the chosen one; None when the client named none.
        children: child elements that belong to the formatter or encrypter. Treat them as read-only.
    """

    requester: str
    recipient: str
    legacy_id: str
    formatter: Namespace | None = None
    encrypter: Namespace | None = None
    children: tuple[Element, ...] = field(default=(), repr=False)


# -- jobs ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Recipient:
    """One recipient of a message.

    Arguments:
        jid: bare JID on the gateway.
        legacy_id: identifier on the legacy network, for example a mail address.
    """

    jid: str
    legacy_id: str


@dataclass(frozen=True, slots=True)
class SealJob:
    """The facts that a formatter and an encrypter need to seal one message.

    Arguments:
        account: our bare JID.
        recipients: at least one.
        data: the gateway's data form, for the first recipient.
        formatter: the negotiated one.
        encrypter: the negotiated one.
        origin_id: the stanza's XEP-0359 origin-id, also the left part of a mail's Message-ID.
        date: now, with time zone UTC.
        outer: header fields that will be visible outside the encryption, by name.
        max_size: how many bytes the ``<encrypted/>`` element may have, or None.
        protected: further header fields that belong inside, as (name, value); from encrypters
            (:class:`~gre_core.api.AddsFields`).
        options: the user's wishes for formatters and encrypters, in Clark notation; unknown ones are ignored.
        forms: the gateway's data form for each recipient by JID, when there are several.
    """

    account: str
    recipients: tuple[Recipient, ...]
    data: DataForm
    formatter: Namespace
    encrypter: Namespace
    origin_id: str
    date: datetime
    outer: Mapping[str, str] = field(default_factory=dict)
    max_size: int | None = None
    protected: tuple[tuple[str, str], ...] = ()
    options: Mapping[str, str] = field(default_factory=lambda: _NO_PARAMS)
    forms: Mapping[str, DataForm] = field(default_factory=lambda: _NO_FORMS)

    def data_for(self, jid: str) -> DataForm:
        """Give the gateway's data form for one of the recipients."""
        return self.forms.get(jid, self.data)

    def option(self, namespace: Namespace | str, name: str, default: str = "") -> str:
        """Give a wish of the user for a formatter or encrypter."""
        return self.options.get(f"{{{namespace}}}{name}", default)


class Direction(StrEnum):
    """Where a message that we open comes from."""

    RECEIVED = "received"
    SENT = "sent"
    """A carbon copy of what another device of ours sent (XEP-0280)."""


@dataclass(frozen=True, slots=True)
class OpenJob:
    """The facts that a formatter and an encrypter need to open one message.

    Arguments:
        account: our bare JID.
        peer: bare JID of the contact: the sender, or the recipient when we sent the message ourselves.
        direction: received, or a copy of what we sent.
        formatter: as the message names it.
        encrypter: as the message names it.
        expected_sender: the legacy id that the signer and the claimed sender must match, when known.
        stanza_id: the message stanza's id, when it has one.
        missing: identifiers of signers that ``decrypt`` asked for; set only in the second call of ``open_keys``.
        received: when the message reached our server, with a time zone (XEP-0203 for delayed and archived ones).
        parser: what reads the payload inside a worker process, as ``module:function``; ``""`` for none. An encrypter
            that decrypts in a worker runs it there on the payload and gives its result as ``Opened.parsed``.
    """

    account: str
    peer: str
    direction: Direction
    formatter: Namespace
    encrypter: Namespace
    expected_sender: str | None = None
    stanza_id: str | None = None
    missing: tuple[str, ...] = ()
    received: datetime | None = None
    parser: str = ""


# -- results ---------------------------------------------------------------------------------------


class Signature(StrEnum):
    """How the signature of a received message was judged."""

    GOOD = "good"
    """Valid, by a key that is bound to the expected sender."""
    UNSIGNED = "unsigned"
    UNKNOWN_SIGNER = "unknown-signer"
    """Signed by a key that we do not have, so that nothing is proven."""
    WRONG_SIGNER = "wrong-signer"
    """Valid, but by a key that is not bound to the expected sender."""
    BAD = "bad"
    """The signature does not fit: treat the content as forged."""
    OTHER_RECIPIENTS = "other-recipients"
    """Valid, but the message names others, not us: somebody passed on what was written to them."""
    REPLAYED = "replayed"
    """Valid, but the same message came before under another stanza id."""
    STALE = "stale"
    """Valid, but written long before it came, or in the future."""
    REFLECTED = "reflected"
    """Valid, but by ourselves: our own message, shown to us as theirs."""
    PARTIAL = "partial"
    """Valid, but the mail around it held more, which nobody signed or encrypted."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement of a signature, with what it rests on.

    Arguments:
        signature: the judgement.
        signer: identifier of the signing key (an OpenPGP fingerprint, say), when known.
        source: where the key came from (``xep-0373``, ``pinned``), when known.
        detail: for people, without any secret.
    """

    signature: Signature
    signer: str | None = None
    source: str | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that the host should show beside a message or an action.

    Arguments:
        code: stable (``sender-mismatch``).
        text: for people.
        params: what the text was made of.
    """

    code: str
    text: str
    params: Mapping[str, str] = field(default_factory=lambda: _NO_PARAMS)


@dataclass(frozen=True, slots=True)
class Opened:
    """What ``Encrypter.decrypt`` gives.

    Arguments:
        payload: the formatted plaintext.
        verdict: the judgement of the signature.
        signer_ids: the identifiers of all signers whose signatures are valid.
        missing: identifiers of signers whose keys were not there. When it is not empty, the engine calls
            ``open_keys`` once more with them and decrypts again; with an encrypter that learns, after it did so.
        warnings: to be shown.
        parsed: what ``OpenJob.parser`` gave for the payload inside the worker: the message, encoded by
            :mod:`gre_core.message_codec`; None when it was not run.
    """

    payload: bytes = field(repr=False)
    verdict: Verdict
    signer_ids: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    warnings: tuple[Notice, ...] = ()
    parsed: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Question:
    """Something that only the user can decide.

    Arguments:
        code: stable: ``confirm-sender-id``, ``sender-id-changed``, ``encrypted-only-withdrawn``,
            ``pair-weaker``, ``key-changed``, ``key-added`` and those of plugins.
        peer: bare JID or domain that it is about.
        text: for people: what changed, and what each answer means.
        before: the remembered value, or ``""``.
        after: the new value.
    """

    code: str
    peer: str
    text: str
    before: str = ""
    after: str = ""
