"""Everything that the author of a plugin needs. What a hook returns are providers; objects do the work.

::

    from gre_core.api import FormatterProvider, formatter, hookimpl


    def _make():
        from my_package.formatter import MyFormatter  # heavy imports only here

        return MyFormatter()


    @hookimpl
    def gre_formatters():
        return [FormatterProvider(formatter("my-format"), _make, title="GRE Formatter: My format")]

Register the module under the entry-point group ``gre.v1``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Protocol, TypeVar, runtime_checkable

import pluggy

from gre_core.model import (
    Attachment,
    Body,
    DataField,
    DataForm,
    DataRequest,
    Direction,
    Message,
    Notice,
    Opened,
    OpenJob,
    Question,
    Recipient,
    SealJob,
    Signature,
    SignedPart,
    Verdict,
)
from gre_core.namespaces import Kind, Namespace, encrypter, formatter

if TYPE_CHECKING:
    from pathlib import Path
    from xml.etree.ElementTree import Element

    from gre_core.ports import Ports

__all__ = [
    "ENTRY_POINT_GROUP",
    "Acquainting",
    "AddsFields",
    "Attachment",
    "Body",
    "DataContributor",
    "DataField",
    "DataForm",
    "DataProvider",
    "DataRequest",
    "Direction",
    "Encrypter",
    "EncrypterProvider",
    "Explaining",
    "FileEncrypter",
    "FileFormatter",
    "Formatter",
    "FormatterProvider",
    "JudgesSigned",
    "Kind",
    "Learning",
    "Message",
    "NamesMessages",
    "Namespace",
    "Notice",
    "Observing",
    "OpenJob",
    "Opened",
    "Preparing",
    "Question",
    "Recipient",
    "RequestsData",
    "SealJob",
    "Signature",
    "SignedPart",
    "TellsApart",
    "UsesWorker",
    "Verdict",
    "WorkerParsing",
    "encrypter",
    "formatter",
    "hookimpl",
]

PROJECT: Final = "gre"
ENTRY_POINT_GROUP: Final = "gre.v1"
"""The entry-point group of plugins. Its name is the version of the ABI."""

hookimpl: pluggy.HookimplMarker = pluggy.HookimplMarker(PROJECT)
"""Marks the function of a plugin that answers a hook: ``@hookimpl``, without arguments.

The arguments of pluggy's markers order or wrap the answers of several plugins, or give a function another name. The
hooks only collect, and promise no order: leave the arguments out.

:meta hide-value:
"""

K = TypeVar("K")
K_contra = TypeVar("K_contra", contravariant=True)


class Formatter(Protocol):
    """Turns a message into the payload that will be encrypted, and back (GRE, "Formatter").

    Pure and safe to call from several threads: no I/O but reading attachments, no clock, no state.
    """

    def format(self, message: Message, job: SealJob, /) -> bytes:
        """Give the formatted payload.

        Raises:
            FormatFailed: the format cannot express the message.
        """
        ...

    def parse(self, payload: bytes, job: OpenJob, /) -> Message:
        """Read a formatted payload, which may be hostile: bounded in size, depth and time.

        Raises:
            ParseFailed: the payload is not what the format allows.
        """
        ...


class Encrypter(Protocol[K]):
    """Encrypts payloads and decrypts bodies (GRE, "Encrypter"). ``K`` is key material, opaque to the core."""

    async def seal_keys(self, job: SealJob, ports: Ports, /) -> K:
        """Find the keys of all recipients and our own. Called before the message is formatted.

        Raises:
            NoUsableKey: a key is missing, expired, revoked or not trusted; the text says what to do.
            PolicyChanged: the user has to decide first.
        """
        ...

    async def encrypt(self, payload: bytes, keys: K, ports: Ports, /) -> Body:
        """Encrypt and sign.

        Raises:
            EncryptFailed: it did not work.
        """
        ...

    async def open_keys(self, body: Body, job: OpenJob, ports: Ports, /) -> K:
        """Find the keys to open a body.

        Raises:
            BadEncrypted: the body is not what the specification of the encrypter allows.
            NotForUs: we hold no key that it is encrypted to.
        """
        ...

    async def decrypt(self, body: Body, keys: K, ports: Ports, /) -> Opened:
        """Decrypt, and judge the signature.

        Raises:
            DecryptFailed: damaged, forged or not accepted.
            NotForUs: none of our keys opens it.
        """
        ...


class DataContributor(Protocol):
    """Adds fields to the data form of a gateway (GRE, "Relayed Encryption Data")."""

    async def fields(self, request: DataRequest, /) -> Iterable[DataField]:
        """Give the fields for one request, all in the namespace of the provider.

        Raises:
            Refused: the request must be answered with an error.
        """
        ...


# -- optional abilities: an object that has them also implements these Protocols --------------------


@runtime_checkable
class RequestsData(Protocol):
    """A formatter or encrypter that puts child elements into the data request."""

    def data_children(self) -> Iterable[Element]:
        """Give the elements for ``<data/>``."""
        ...


@runtime_checkable
class Preparing(Protocol):
    """An encrypter that has something to do when a session starts, such as checking its published key."""

    async def prepare(self, account: str, ports: Ports, /) -> Iterable[Notice]:
        """Prepare for a session of our bare JID; what it returns is shown to the user."""
        ...


@runtime_checkable
class Observing(Protocol):
    """An encrypter that follows pubsub nodes of its contacts (XEP-0163, section 4)."""

    @property
    def nodes(self) -> Iterable[str]:
        """The names of the nodes, without ``+notify``."""
        ...

    async def notified(self, jid: str, node: str, ports: Ports, /) -> Iterable[Notice]:
        """React to a change of a node of a bare JID. The event's payload is not passed on: read the node."""
        ...


@runtime_checkable
class AddsFields(Protocol[K_contra]):
    """An encrypter with header fields that belong inside the encryption, such as Autocrypt (Autocrypt 1.1)."""

    def protected_fields(self, keys: K_contra, job: SealJob, /) -> Iterable[tuple[str, str]]:
        """Give them as (name, value), unfolded, for one message. Called after ``seal_keys``, before formatting."""
        ...


@runtime_checkable
class JudgesSigned(Protocol):
    """An encrypter that judges a signed part inside its encryption (RFC 3156, section 6.1)."""

    async def judge_signed(self, part: SignedPart, job: OpenJob, ports: Ports, /) -> Opened:
        """Judge the signature. ``payload`` of the result is empty; ``missing`` counts as in ``decrypt``.

        Raises:
            OpenError: it cannot be judged at all.
        """
        ...


@runtime_checkable
class TellsApart(Protocol):
    """An encrypter that tells two signatures over the same content apart.

    A message that protects no id of its own may say the same as one before, and still be new.
    """

    async def signature_id(self, body: Body, part: SignedPart | None, job: OpenJob, ports: Ports, /) -> str:
        """Name the valid signature of a message, or of the signed part inside it.

        The name stays the same in whatever way the signed content is sent once more. It is asked for only when the
        verdict is good and the message has no id.

        Arguments:
            body: the encrypted message.
            part: the signed part inside, when its signature decided.
            job: see ``Encrypter.open_keys``.
            ports: see there.

        Result:
            A short text; ``""`` when there is no such signature.

        Raises:
            GreError: it cannot be told.
        """
        ...


@runtime_checkable
class Learning(Protocol):
    """An encrypter that learns from messages that were opened, such as the keys of Autocrypt fields."""

    async def learn(
        self, message: Message, opened: Opened, job: OpenJob, ports: Ports, /
    ) -> Iterable[Notice]:
        """Look at a message once its signature is judged; what it returns is shown beside the message.

        When signers were missing (``Opened.missing``), it is called before the engine judges the signature once more:
        the message may have brought the key itself.
        """
        ...


@runtime_checkable
class Explaining(Protocol):
    """An encrypter that tells what it would do with a message, and why."""

    async def explain(self, job: SealJob, ports: Ports, /) -> Iterable[Notice]:
        """Give the keys, their sources and the encryption format for a message, without asking the user anything.

        Raises:
            SealError: there is no usable key; the text says why.
        """
        ...


@runtime_checkable
class NamesMessages(Protocol):
    """A formatter that gives each message an id of the legacy network, as mails have a Message-ID."""

    def message_id(self, job: SealJob, /) -> str:
        """Give the id that ``format`` will write for this job, without angle brackets.

        Raises:
            FormatFailed: the origin-id cannot be part of one.
        """
        ...


@runtime_checkable
class WorkerParsing(Protocol):
    """A formatter whose reading can run in a worker process."""

    @property
    def worker_parser(self) -> str:
        """Name the function, ``module:function``.

        It takes a payload and gives a message encoded by :func:`gre_core.message_codec.encode_message`; it raises
        :class:`ParseFailed`.
        """
        ...


@runtime_checkable
class UsesWorker(Protocol):
    """An encrypter that works in the host's worker process (``Ports.worker``)."""

    @property
    def worker_functions(self) -> Iterable[str]:
        """Name what it calls there, each as ``module:function``: from bytes to bytes."""
        ...


@runtime_checkable
class Acquainting(Protocol):
    """An encrypter that can look up contacts before a message of theirs is opened: opening looks nothing up."""

    async def acquaint(self, account: str, contacts: Iterable[str], ports: Ports, /) -> Iterable[Notice]:
        """Fetch the keys of those bare JIDs that nothing is known of. The user is not asked anything.

        Called at the start of a session, with contacts on gateways: those of the roster, and those whose messages
        wait in the archive.
        """
        ...


@runtime_checkable
class FileFormatter(Protocol):
    """A formatter that can write and read large payloads piece by piece."""

    def format_to(self, message: Message, job: SealJob, sink: BinaryIO, /) -> None:
        """Write the formatted payload; raises :class:`FormatFailed`."""
        ...

    def parse_from(self, payload: BinaryIO, job: OpenJob, /) -> Message:
        """Read a payload from a seekable stream; the attachments read from it later. Raises :class:`ParseFailed`."""
        ...


@runtime_checkable
class FileEncrypter(Protocol[K_contra]):
    """An encrypter that works from file to file, up to the binary ciphertext."""

    async def encrypt_file(self, source: Path, target: Path, keys: K_contra, ports: Ports, /) -> None:
        """Encrypt and sign; raises :class:`EncryptFailed`. On failure there is no target."""
        ...

    async def decrypt_file(self, source: Path, target: Path, job: OpenJob, ports: Ports, /) -> Opened:
        """Decrypt into a new file of mode 0600, and judge the signature. ``payload`` of the result is empty.

        Raises:
            OpenError: as ``open_keys`` and ``decrypt`` do. On failure there is no target.
        """
        ...


# -- providers: what hooks return -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FormatterProvider:
    """Announces a formatter and knows how to make it.

    Arguments:
        namespace: of kind formatter, with version.
        make: called once, when the formatter is needed first; heavy imports belong inside.
        title: as its specification is named: ``GRE Formatter: MIME``.
        dynamic_data: the data form must be fetched before each message (GRE, "Business Rules"; discouraged).
    """

    namespace: Namespace
    make: Callable[[], Formatter]
    title: str = ""
    dynamic_data: bool = False


@dataclass(frozen=True, slots=True)
class EncrypterProvider:
    """Announces an encrypter and knows how to make it.

    Arguments:
        namespace: of kind encrypter, with version.
        make: called once, when the encrypter is needed first; heavy imports belong inside.
        title: as its specification is named: ``GRE Encrypter: OpenPGP``.
        dynamic_data: the data form must be fetched before each message (GRE, "Business Rules"; discouraged).
    """

    namespace: Namespace
    make: Callable[[], Encrypter[Any]]
    title: str = ""
    dynamic_data: bool = False


@dataclass(frozen=True, slots=True)
class DataProvider:
    """Announces a contributor of data fields, for gateways.

    Arguments:
        namespace: that of all its fields: a formatter's, an encrypter's or one of its own.
        make: called once per gateway with the gateway's ports.
        title: for people.
    """

    namespace: str
    make: Callable[[Ports], DataContributor]
    title: str = ""


Provider = FormatterProvider | EncrypterProvider | DataProvider
