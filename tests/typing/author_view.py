"""What type checkers tell the author of a plugin. Checked by mypy and pyright, never run.

A comment that ignores an error is a test as well: mypy reports it when the error is gone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, assert_type

from gre_core.api import (
    Body,
    DataContributor,
    DataField,
    DataProvider,
    DataRequest,
    Encrypter,
    EncrypterProvider,
    Formatter,
    FormatterProvider,
    Message,
    Namespace,
    Opened,
    OpenJob,
    SealJob,
    Signature,
    Verdict,
    encrypter,
    formatter,
    hookimpl,
)

if TYPE_CHECKING:
    from gre_core.ports import Ports


class Shout:
    """A formatter; it inherits from nothing."""

    def format(self, message: Message, job: SealJob, /) -> bytes:
        assert_type(message.text, str)
        assert_type(message.subject, str | None)
        assert_type(job.formatter, Namespace)
        return message.text.upper().encode()

    def parse(self, payload: bytes, _job: OpenJob, /) -> Message:
        return Message(text=payload.decode())


class Keys:
    """Key material of :class:`Lock`."""


class Lock:
    """An encrypter with key material of its own type."""

    async def seal_keys(self, _job: SealJob, ports: Ports, /) -> Keys:
        assert_type(await ports.store.get("key"), bytes | None)
        return Keys()

    async def encrypt(self, payload: bytes, _keys: Keys, _ports: Ports, /) -> Body:
        return Body(payload.hex())

    async def open_keys(self, _body: Body, _job: OpenJob, _ports: Ports, /) -> Keys:
        return Keys()

    async def decrypt(self, body: Body, _keys: Keys, _ports: Ports, /) -> Opened:
        return Opened(bytes.fromhex(body.text), Verdict(Signature.UNSIGNED))


class Fields:
    """A contributor of data fields."""

    def __init__(self, ports: Ports) -> None:
        self.ports = ports

    async def fields(self, request: DataRequest, /) -> Iterable[DataField]:
        assert_type(request.formatter, Namespace | None)
        return [DataField("urn:example:shout", "loud", ("yes",))]


@hookimpl
def gre_formatters() -> Iterable[FormatterProvider]:
    """A hook keeps its type under the marker."""
    return [FormatterProvider(formatter("shout"), Shout, title="GRE Formatter: Shout")]


assert_type(gre_formatters(), Iterable[FormatterProvider])

a_formatter: Formatter = Shout()
an_encrypter: Encrypter[Keys] = Lock()
a_contributor: type[DataContributor] = Fields
EncrypterProvider(encrypter("lock"), Lock)
DataProvider("urn:example:shout", Fields)


class Deaf:
    """Half a formatter."""

    def format(self, _message: Message, _job: SealJob, /) -> bytes:
        return b""


class Blocking:
    """An encrypter that forgot ``async``."""

    def seal_keys(self, _job: SealJob, _ports: Ports, /) -> Keys:
        return Keys()


FormatterProvider(formatter("deaf"), Deaf)  # type: ignore[arg-type]
FormatterProvider("urn:xmpp:gre:formatter:shout:0", Shout)  # type: ignore[arg-type]
EncrypterProvider(encrypter("blocking"), Blocking)  # type: ignore[arg-type]
other_keys: Encrypter[int] = Lock()  # type: ignore[assignment]


def change(message: Message) -> None:
    """The values are frozen."""
    message.text = "other"  # type: ignore[misc]


def any_keys(made: Encrypter[Any]) -> Encrypter[Keys]:
    """What the registry gives fits every type of keys."""
    return made
