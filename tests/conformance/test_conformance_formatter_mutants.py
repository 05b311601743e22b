"""Formatters that are broken on purpose: each breaks one rule, and the kit says which."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import zlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gre_core.api import FormatterProvider, Message, encrypter, formatter
from gre_core.errors import FormatFailed, ParseFailed
from gre_core.message_codec import encode_message
from gre_core.testing.conformance import FormatterConformance
from gre_core.testing.toys import InsecureToyFormatter, toy_payload

if TYPE_CHECKING:
    from collections.abc import Callable

    from gre_core.api import OpenJob, SealJob
    from gre_core.model import Attachment

MUTANTS: list[tuple[str, type[FormatterConformance]]] = []
"""The suites over the mutants, each with the rule that it breaks."""

TITLE = "GRE Formatter: Test"
QUICK = {"huge": 200_000, "examples": 8, "hostile_size": 1 << 13}


def breaks(rule: str, provider: dict[str, Any] | None = None, **suite: Any) -> Callable[[Any], Any]:
    """Register a broken formatter.

    Args:
        rule: the one that it breaks.
        provider: what is different about its provider.
        suite: attributes of the test class.
    """

    def register(made: Any) -> Any:
        facts = {"namespace": formatter("test"), "make": made, "title": TITLE} | (provider or {})
        attributes = {"provider": FormatterProvider(**facts), **QUICK, **suite}
        MUTANTS.append((rule, type(f"Suite{made.__name__}", (FormatterConformance,), attributes)))
        return made

    return register


class Toy(InsecureToyFormatter):
    """The base of the mutants: hooks before writing and after reading."""

    def written(self, message: Message, job: SealJob) -> Message:
        return message

    def read(self, message: Message) -> Message:
        return message

    def format(self, message: Message, job: SealJob, /) -> bytes:
        return super().format(self.written(message, job), job)

    def parse(self, payload: bytes, job: OpenJob, /) -> Message:
        return self.read(super().parse(payload, job))


# -- the provider --------------------------------------------------------------------------------------


@breaks("namespace-grammar", {"namespace": "urn:xmpp:gre:formatter:Test:00"})
class NamespaceIsText(Toy):
    pass


@breaks("namespace-grammar", {"namespace": encrypter("test")})
class NamespaceOfTheOtherKind(Toy):
    pass


@breaks("title", {"title": "My formatter"})
class WrongTitle(Toy):
    pass


@breaks("dynamic-data", {"dynamic_data": True})
class FetchesEachTime(Toy):
    pass


SHARED = Toy()


@breaks("make-twice", {"make": lambda: SHARED})
class MadeOnce(Toy):
    pass


@breaks("make-works")
class CannotBeMade(Toy):
    def __init__(self) -> None:
        raise RuntimeError("no configuration")


@breaks("interface")
class TooManyArguments(Toy):
    def parse(self, payload: bytes, job: OpenJob, strict: bool, /) -> Message:  # type: ignore[override]
        return super().parse(payload, job)


@breaks("interface")
class Asynchronous(Toy):
    async def format(self, message: Message, job: SealJob, /) -> bytes:  # type: ignore[override]
        return super().format(message, job)


@breaks("abilities-complete")
class HalfAFileFormatter(Toy):
    def format_to(self, message: Message, job: SealJob, sink: Any, /) -> None:
        sink.write(self.format(message, job))


@breaks("abilities-declared", abilities=())
class CanMoreThanDeclared(Toy):
    pass


# -- switches ------------------------------------------------------------------------------------------


@breaks("switch-hides-ability", html=False)
class HidesHtml(Toy):
    pass


@breaks("switch-hides-ability", sender=False)
class HidesSender(Toy):
    pass


@breaks("loses-nothing-silently", attachments=False, inline=False)
class LosesAttachments(Toy):
    def written(self, message: Message, job: SealJob) -> Message:
        return replace(message, attachments=())


# -- purity --------------------------------------------------------------------------------------------


@breaks("loop-free")
class AsksForALoop(Toy):
    def read(self, message: Message) -> Message:
        asyncio.Event()
        return message


@breaks("no-clock")
class LooksAtTheClock(Toy):
    def written(self, message: Message, job: SealJob) -> Message:
        datetime.now(UTC)
        return message


@breaks("no-io")
class OpensAFile(Toy):
    def read(self, message: Message) -> Message:
        with Path(os.devnull).open("rb"):
            return message


@breaks("inputs-unchanged")
class ChangesItsJob(Toy):
    def written(self, message: Message, job: SealJob) -> Message:
        if isinstance(job.options, dict):
            job.options.clear()
        return message


@breaks("no-state")
class StaysBroken(Toy):
    broken = False

    def parse(self, payload: bytes, job: OpenJob, /) -> Message:
        try:
            read = super().parse(payload, job)
        except ParseFailed:
            self.broken = True
            raise
        return Message("unreadable") if self.broken else read


@breaks("eight-threads")
class KeepsTheMessage(Toy):
    kept: Message

    def written(self, message: Message, job: SealJob) -> Message:
        self.kept = message
        sum(range(2000))
        return self.kept


@breaks("eight-threads")
class KeepsTheMessageAMoment(Toy):
    """Without anything that takes long: threads have to be stopped in the middle of it."""

    def format(self, message: Message, job: SealJob, /) -> bytes:
        self.message = message
        self.job = job
        return InsecureToyFormatter().format(self.message, self.job)


# -- secrets -------------------------------------------------------------------------------------------


@breaks("no-secret-in-repr")
class ShowsTheLastText(Toy):
    last = ""

    def written(self, message: Message, job: SealJob) -> Message:
        self.last = message.text
        return message

    def __repr__(self) -> str:
        return f"ShowsTheLastText({self.last!r})"


@breaks("no-secret-in-log")
class LogsPlaintext(Toy):
    def read(self, message: Message) -> Message:
        logging.getLogger("mutant").debug("read %s", message.text)
        return message


@breaks("no-secret-in-errors")
class QuotesThePayload(Toy):
    def parse(self, payload: bytes, job: OpenJob, /) -> Message:
        try:
            return super().parse(payload, job)
        except ParseFailed as error:
            raise ParseFailed(f"This is no payload: {payload!r}") from error


# -- bounds --------------------------------------------------------------------------------------------


@breaks("bounded-time", seconds=1.0, hostile_size=1 << 19)
class TakesEver(Toy):
    def parse(self, payload: bytes, job: OpenJob, /) -> Message:
        if payload.startswith(b"=?utf-8?q?"):
            for end in range(len(payload)):
                payload[end:].count(b"x")
        return super().parse(payload, job)


@breaks("bounded-memory", memory=256 << 20, hostile_size=1 << 19)
class TakesAll(Toy):
    def parse(self, payload: bytes, job: OpenJob, /) -> Message:
        if payload.startswith(b"=?utf-8?q?"):
            payload = (payload * 2000)[: len(payload)]
        return super().parse(payload, job)


@breaks("bounded-memory", hostile_size=1 << 13)
class UnpacksBombs(Toy):
    def parse(self, payload: bytes, job: OpenJob, /) -> Message:
        try:
            payload = zlib.decompress(payload)
        except zlib.error:
            raise ParseFailed("This is not packed.") from None
        return super().parse(payload, job)

    def format(self, message: Message, job: SealJob, /) -> bytes:
        return zlib.compress(super().format(message, job))


# -- round trips ---------------------------------------------------------------------------------------


@breaks("format-gives-bytes")
class GivesText(Toy):
    def format(self, message: Message, job: SealJob, /) -> bytes:
        return super().format(message, job).decode()  # type: ignore[return-value]


@breaks("expresses-messages")
class TakesSmallOnesOnly(Toy):
    def written(self, message: Message, job: SealJob) -> Message:
        if len(message.text) > 100_000:
            raise FormatFailed("Too long.")
        return message


@breaks("reads-its-own")
class ReadsSmallOnesOnly(Toy):
    def parse(self, payload: bytes, job: OpenJob, /) -> Message:
        if len(payload) > 100_000:
            raise ParseFailed("Too long.")
        return super().parse(payload, job)


@breaks("round-trip-text")
class StripsText(Toy):
    def read(self, message: Message) -> Message:
        return replace(message, text=message.text.strip())


@breaks("round-trip-html")
class RewritesHtml(Toy):
    def read(self, message: Message) -> Message:
        return replace(message, html=message.html and message.html.replace("<p>", "<P>"))


@breaks("round-trip-subject")
class CutsTheSubject(Toy):
    def written(self, message: Message, job: SealJob) -> Message:
        return replace(message, subject=message.subject and message.subject[:78])


@breaks("round-trip-attachments")
class ForgetsEmptyFiles(Toy):
    def read(self, message: Message) -> Message:
        return replace(message, attachments=tuple(each for each in message.attachments if each.size))


@breaks("round-trip-inline")
class ForgetsWhatIsInline(Toy):
    def read(self, message: Message) -> Message:
        files = tuple(replace(each, inline=False, content_id=None) for each in message.attachments)
        return replace(message, attachments=files)


@breaks("round-trip-replies")
class CutsReferences(Toy):
    def written(self, message: Message, job: SealJob) -> Message:
        return replace(message, references=message.references[:20])


@breaks("round-trip-addresses")
class ForgetsCc(Toy):
    def read(self, message: Message) -> Message:
        return replace(message, cc=())


@breaks("sender-id")
class LetsTheMessageClaim(Toy):
    def format(self, message: Message, job: SealJob, /) -> bytes:
        if message.claimed_sender:
            job = replace(job, data=replace(job.data, sender_id=message.claimed_sender))
        return super().format(message, job)


@breaks("round-trip-date")
class IsAnHourLate(Toy):
    def read(self, message: Message) -> Message:
        return replace(message, date=message.date and message.date + timedelta(hours=1))


@breaks("message-id")
class NamesAnotherId(Toy):
    def read(self, message: Message) -> Message:
        return replace(message, message_id="other@example.org")


@breaks("send-again")
class WritesNoMessageThatWasRead(Toy):
    def written(self, message: Message, job: SealJob) -> Message:
        if message.date is not None:
            raise FormatFailed("This was sent before.")
        return message


# -- errors and hostile input --------------------------------------------------------------------------


@breaks("unreadable-attachment")
class SwallowsWhatCannotBeRead(Toy):
    def written(self, message: Message, job: SealJob) -> Message:
        kept = []
        for each in message.attachments:
            try:
                each.read()
            except OSError:
                continue
            kept.append(each)
        return replace(message, attachments=tuple(kept))


@breaks("format-own-errors")
class ChokesOnSurrogates(Toy):
    def written(self, message: Message, job: SealJob) -> Message:
        message.text.encode()
        return message


@breaks("parse-own-errors")
class LetsOthersRaise(Toy):
    def parse(self, payload: bytes, job: OpenJob, /) -> Message:
        json.loads(payload)
        return super().parse(payload, job)


@breaks("parse-types")
class GivesLists(Toy):
    def read(self, message: Message) -> Message:
        return replace(message, attachments=list(message.attachments))  # type: ignore[arg-type]


@breaks("parse-types")
class ForgetsTheZone(Toy):
    def read(self, message: Message) -> Message:
        return (
            replace(message, date=message.date and message.date.replace(tzinfo=None))
            if not message.text
            else message
        )


class Unclosed(io.BytesIO):
    def close(self) -> None:
        pass


@breaks("fresh-streams")
class SharesTheStream(Toy):
    def read(self, message: Message) -> Message:
        return replace(message, attachments=tuple(map(self.shared, message.attachments)))

    @staticmethod
    def shared(file: Attachment) -> Attachment:
        stream = Unclosed(file.read())

        def rewound() -> io.BytesIO:
            stream.seek(0)
            return stream

        return replace(file, open=rewound)


@breaks("file-names")
class TrustsNames(Toy):
    def parse(self, payload: bytes, job: OpenJob, /) -> Message:
        message = super().parse(payload, job)
        names = [each[0] for each in json.loads(payload)["files"]]
        files = (replace(each, name=name) for each, name in zip(message.attachments, names, strict=True))
        return replace(message, attachments=tuple(files))


@breaks("no-injection")
class ReadsFieldsOutOfTheSubject(Toy):
    def read(self, message: Message) -> Message:
        lines = (message.subject or "").splitlines()
        named = tuple(line[4:] for line in lines if line.startswith("Cc: "))
        return replace(message, cc=message.cc + named)


@breaks("unknown-data-ignored")
class RefusesUnknownFields(Toy):
    def written(self, message: Message, job: SealJob) -> Message:
        if job.data.fields:
            raise FormatFailed("What is this?")
        return message


# -- optional abilities --------------------------------------------------------------------------------


@breaks("file-methods")
class WritesAnotherFile(Toy):
    def format_to(self, message: Message, job: SealJob, sink: Any, /) -> None:
        sink.write(toy_payload(replace(message, text=message.text.upper()), job.data.sender_id))

    def parse_from(self, payload: Any, job: OpenJob, /) -> Message:
        return self.parse(payload.read(), job)


@breaks("file-methods")
class HasNoFilesYet(Toy):
    def format_to(self, message: Message, job: SealJob, sink: Any, /) -> None:
        raise NotImplementedError

    def parse_from(self, payload: Any, job: OpenJob, /) -> Message:
        raise NotImplementedError


@breaks("abilities-work")
class AsksWithTexts(Toy):
    def data_children(self) -> list[str]:
        return ["<wish/>"]


@breaks("message-id")
class NamesNotAll(Toy):
    def message_id(self, job: SealJob, /) -> str:
        job.origin_id.encode("ascii")
        return super().message_id(job)


def read_upper_case(payload: bytes) -> bytes:
    read = InsecureToyFormatter().parse(payload, None)  # type: ignore[arg-type]
    return encode_message(replace(read, text=read.text.upper()))


@breaks("worker-parser")
class ReadsOtherwiseInTheWorker(Toy):
    worker_parser = f"{__name__}:read_upper_case"


@breaks("worker-parser")
class NamesNoFunction(Toy):
    worker_parser = "gre_core.testing.toys:not_there"


@pytest.mark.parametrize(
    ("rule", "suite"), [pytest.param(*each, id=f"{each[1].__name__[5:]}-{each[0]}") for each in MUTANTS]
)
def test_a_mutant_breaks_its_rule_and_no_other(
    must_break: Any, rule: str, suite: type[FormatterConformance]
) -> None:
    must_break(suite, rule)
