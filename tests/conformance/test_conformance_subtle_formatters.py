"""Formatters and contributors that are broken in ways that are easily missed; the kit says which rule each breaks."""

from __future__ import annotations

import base64
import bz2
import json
import logging
import re
import socket
import time
import unicodedata
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gre_core.api import DataField, DataProvider, FormatterProvider, encrypter, formatter
from gre_core.errors import ParseFailed
from gre_core.testing.conformance import (
    DataContributorConformance,
    FormatterConformance,
    NonConformance,
    bounding,
)
from gre_core.testing.toys import InsecureToyFormatter

if TYPE_CHECKING:
    from collections.abc import Callable

    from gre_core.api import DataRequest, Message, OpenJob, SealJob
    from gre_core.model import Attachment
    from gre_core.ports import Ports

MUTANTS: list[tuple[str, type[Any]]] = []
NAMESPACE = str(encrypter("test"))


def breaks(rule: str, **suite: Any) -> Callable[[Any], Any]:
    """Register a broken formatter, or a contributor."""

    def register(made: Any) -> Any:
        if hasattr(made, "fields"):
            provider: object = DataProvider(NAMESPACE, made, "Test")
            suites: tuple[type, ...] = (DataContributorConformance,)
        else:
            provider = FormatterProvider(formatter("test"), made, title="GRE Formatter: Test")
            suites = (FormatterConformance,)
        quick = {"huge": 200_000, "examples": 8, "hostile_size": 1 << 13} | suite
        MUTANTS.append((rule, type(f"Suite{made.__name__}", suites, {"provider": provider, **quick})))
        return made

    return register


class Toy(InsecureToyFormatter):
    """The base of the mutants."""

    def read(self, message: Message) -> Message:
        return message

    def file(self, file: Attachment) -> Attachment:
        return file

    def parse(self, payload: bytes, job: OpenJob, /) -> Message:
        message = super().parse(payload, job)
        return self.read(replace(message, attachments=tuple(map(self.file, message.attachments))))


@breaks("round-trip-text")
class DropsLoneCarriageReturns(Toy):
    def read(self, message: Message) -> Message:
        return replace(message, text=re.sub("\r(?!\n)", "", message.text))


@breaks("round-trip-text")
class DoublesLineEnds(Toy):
    def read(self, message: Message) -> Message:
        return replace(message, text=message.text.replace("\r\n", "\n\n"))


@breaks("round-trip-attachments")
class ComposesNames(Toy):
    def file(self, file: Attachment) -> Attachment:
        return replace(file, name=unicodedata.normalize("NFC", file.name))


@breaks("round-trip-attachments")
class ForgetsARareType(Toy):
    def file(self, file: Attachment) -> Attachment:
        return replace(file, media_type=file.media_type.replace("text/csv", "text/plain"))


@breaks("round-trip-html")
class CleansHtml(Toy):
    def read(self, message: Message) -> Message:
        return replace(message, html=message.html and re.sub("<script.*?</script>", "", message.html))


@breaks("loses-nothing-silently", subject=False)
class LosesTheSubject(Toy):
    def format(self, message: Message, job: SealJob, /) -> bytes:
        return super().format(replace(message, subject=None), job)


@breaks("title", provider=FormatterProvider(formatter("test"), Toy, title="GRE Formatter: Test\nof mine"))
class HasATitleOfTwoLines(Toy):
    pass


@breaks("unknown-data-ignored")
class LooksAllOptionsUp(Toy):
    def format(self, message: Message, job: SealJob, /) -> bytes:
        known = {"{urn:example}padding": 1}
        assert all(known[name] for name in job.options)
        return super().format(message, job)


@breaks("no-io")
class OpensASocketWhenMade(Toy):
    def __init__(self) -> None:
        socket.socket().close()


@breaks("no-clock")
class UsesTheZoneOfTheSystem(Toy):
    def read(self, message: Message) -> Message:
        time.localtime()
        return message


@breaks("no-secret-in-log")
class LogsToItself(Toy):
    def __init__(self) -> None:
        self.log = logging.getLogger("kit.mutant.formatter")
        self.log.propagate = False

    def read(self, message: Message) -> Message:
        self.log.debug(message.text)
        return message


@breaks("no-secret-in-errors")
class KeepsWhatCouldNotBeDecoded(Toy):
    def parse(self, payload: bytes, job: OpenJob, /) -> Message:
        try:
            payload.decode()
        except UnicodeDecodeError as error:
            raise ParseFailed("This is no text.") from error
        return super().parse(payload, job)


@breaks("no-secret-in-errors")
class HidesThePayloadInAGroup(Toy):
    def parse(self, payload: bytes, job: OpenJob, /) -> Message:
        try:
            return super().parse(payload, job)
        except ParseFailed:
            group = ExceptionGroup("all that was tried", [ValueError(payload)])
            raise ParseFailed("This cannot be read.") from group


@breaks("no-state")
class RemembersTheFirstRecipients(Toy):
    to: tuple[str, ...] = ()

    def format(self, message: Message, job: SealJob, /) -> bytes:
        self.to = self.to or tuple(each.legacy_id for each in job.recipients)
        return super().format(replace(message, to=message.to or self.to), job)


@breaks("bounded-time", seconds=1.0, hostile_size=1 << 12)
class GoesBack(Toy):
    def parse(self, payload: bytes, job: OpenJob, /) -> Message:
        re.match(rb"^(\s+)+$", payload[:60] + payload[-1:])
        return super().parse(payload, job)


class Packs(Toy):
    def pack(self, payload: bytes) -> bytes:
        return payload

    def unpack(self, payload: bytes) -> bytes:
        return payload

    def format(self, message: Message, job: SealJob, /) -> bytes:
        return self.pack(super().format(message, job))

    def parse(self, payload: bytes, job: OpenJob, /) -> Message:
        try:
            payload = self.unpack(payload)
        except (ValueError, OSError, zlib.error, KeyError, TypeError, RecursionError):
            raise ParseFailed("This is not packed.") from None
        return super().parse(payload, job)


@breaks("bounded-memory")
class UnpacksBombsBehindAHeader(Packs):
    def pack(self, payload: bytes) -> bytes:
        return b"NOTE\x01" + zlib.compress(payload)

    def unpack(self, payload: bytes) -> bytes:
        if not payload.startswith(b"NOTE\x01"):
            raise ValueError
        return zlib.decompress(payload[5:])


@breaks("bounded-memory")
class UnpacksBombsInText(Packs):
    def pack(self, payload: bytes) -> bytes:
        return json.dumps({"packed": base64.b64encode(zlib.compress(payload)).decode()}).encode()

    def unpack(self, payload: bytes) -> bytes:
        return zlib.decompress(base64.b64decode(json.loads(payload)["packed"], validate=True))


@breaks("bounded-memory", memory=128 << 20)
class UnpacksOtherBombs(Packs):
    def pack(self, payload: bytes) -> bytes:
        return bz2.compress(payload)

    def unpack(self, payload: bytes) -> bytes:
        return bz2.decompress(payload)


# -- contributors --------------------------------------------------------------------------------------


class Contributor:
    def __init__(self, ports: Ports) -> None:
        self.ports = ports

    async def fields(self, request: DataRequest, /) -> list[DataField]:
        return [DataField(NAMESPACE, "for", (request.legacy_id,))]


@breaks("fields-repeat")
class AnswersTheFirstRequest(Contributor):
    first: DataField | None = None

    async def fields(self, request: DataRequest, /) -> list[DataField]:
        self.first = self.first or (await super().fields(request))[0]
        return [self.first]


@breaks("inputs-unchanged")
class EmptiesChildren(Contributor):
    async def fields(self, request: DataRequest, /) -> list[DataField]:
        for child in request.children:
            child.clear()
        return await super().fields(request)


@breaks("no-io")
class OpensASocket(Contributor):
    def __init__(self, ports: Ports) -> None:
        super().__init__(ports)
        socket.socket().close()


@pytest.mark.parametrize(
    ("rule", "suite"), [pytest.param(*each, id=f"{each[1].__name__[5:]}-{each[0]}") for each in MUTANTS]
)
def test_a_mutant_breaks_its_rule_and_no_other(must_break: Any, rule: str, suite: type[Any]) -> None:
    must_break(suite, rule)


def test_time_that_grows_with_the_square_is_noticed_within_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounding, "_SUSPICIOUS", 0.1)
    inputs = [("long", b"a" * 8000)]

    def square(data: bytes) -> None:
        for _ in range(len(data) ** 2 // 2):
            pass

    def linear(data: bytes) -> None:
        for _ in range(len(data) * 4000):
            pass

    bounding.bounded(inputs, linear, 100, 1 << 28)
    with pytest.raises(NonConformance, match="grows with the square"):
        bounding.bounded(inputs, square, 100, 1 << 28)
