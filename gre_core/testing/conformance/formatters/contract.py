"""The contract of the methods: pure, without state, thread-safe, silent."""

from __future__ import annotations

import copy
import io
from typing import Any
from xml.etree.ElementTree import Element

from gre_core.api import FileFormatter, RequestsData, WorkerParsing
from gre_core.errors import FormatFailed, GreError, ParseFailed
from gre_core.message_codec import decode_message
from gre_core.model import Attachment, DataForm, Message, Recipient
from gre_core.testing.conformance.calling import call
from gre_core.testing.conformance.damaging import flipped, rubbish, truncated
from gre_core.testing.conformance.formatters.base import FormatterSuite
from gre_core.testing.conformance.formatters.comparing import differences
from gre_core.testing.conformance.leaks import CANARY, listening, shows, texts_of
from gre_core.testing.conformance.rules import demand
from gre_core.testing.conformance.switches import only_if_able, only_with
from gre_core.testing.conformance.together import in_threads
from gre_core.testing.conformance.watching import hands_off
from gre_core.worker_functions import allow, get


class Contract(FormatterSuite):
    """What ``gre_core.api.Formatter`` promises to hosts."""

    def rich(self, word: str = "Wherefore") -> Message:
        """Give a message with everything that is switched on."""
        can, file = self.can(), Attachment.from_bytes
        files: tuple[Attachment, ...] = ()
        if "attachments" in can:
            files = (file(f"{word}.txt", "text/plain", word.encode()),)
        if {"inline", "html"} <= can:
            files += (file("in.png", "image/png", b"x", inline=True, content_id="a@example.org"),)
        return Message(
            text=f"{word} art thou Romeo?",
            html=f"<p>{word}</p>" if "html" in can else None,
            subject=f"Re: {word}" if "subject" in can else None,
            attachments=files,
            to=self.legacy_ids[1:2] if "addresses" in can else (),
            in_reply_to="a@example.org" if "replies" in can else None,
        )

    def test_no_file_socket_clock_or_event_loop(self) -> None:
        made, message, job, opening = self.make(), self.rich(), self.seal_job(), self.open_job()
        with hands_off("format()"):
            payload = self.format(made, message, job)
        with hands_off("parse()"):
            self.try_parse(made, payload)
        for doing, bad in [*truncated(payload, 4), *rubbish()]:
            with hands_off(f"parse({doing})"):
                self.try_parse(made, bad)
        read = made.parse(payload, opening)
        with hands_off("Attachment.open()"):
            for each in read.attachments:
                each.read()

    def test_nothing_is_kept_between_messages(self) -> None:
        made, job = self.make(), self.seal_job()
        # Some of one length: also what is remembered by something too short is remembered wrongly.
        given = [
            self.rich("Wherefore"),
            Message("Nothing else"),
            self.rich("Therefore"),
            Message("Nothing more"),
        ]
        alone = {id(each): self.through(self.make(), each, job) for each in given}
        written = [(self.format(made, message, job), message) for message in given]
        for payload, message in (*written, written[0]):
            for doing, bad in rubbish():
                self.try_parse(made, bad, doing)
            self.try_format(made, Message("\ud800"), job)
            for read in (self.parse(made, payload), self.through(made, message, job)):
                for _, found in differences(alone[id(message)], read, job, self.can()):
                    demand(condition=False, rule="no-state", found=f"after other messages: {found}")
        other = self.seal_job(recipients=(Recipient("nurse@gateway.example", self.legacy_ids[-1]),))
        wanted, read = self.through(self.make(), given[1], other), self.through(made, given[1], other)
        for _, found in differences(wanted, read, other, self.can()):
            demand(condition=False, rule="no-state", found=f"after a message to somebody else: {found}")

    def test_eight_threads_at_once(self) -> None:
        made, job, can = self.make(), self.seal_job(), self.can()
        given = [self.rich(f"word{number}") for number in range(8)]
        wanted = [self.through(self.make(), each, job) for each in given]

        def work(number: int) -> list[str]:
            found: list[str] = []
            for _ in range(25):
                read = made.parse(made.format(given[number], job), self.open_job())
                found += [what for _, what in differences(wanted[number], read, job, can)]
            return found

        for result in in_threads(work):
            demand(not isinstance(result, BaseException), "eight-threads", f"a thread got {result!r:.300}")
            assert isinstance(result, list)
            demand(not result, "eight-threads", "; ".join(result[:1]))

    def test_its_arguments_stay_as_they_are(self) -> None:
        made, fields, options = self.make(), dict[str, tuple[str, ...]](), {"{urn:example}c": "d"}
        outer = {"Date": "Mon, 23 Nov 2026 17:04:09 +0000"}
        job = self.seal_job(data=DataForm(self.legacy_ids[0], fields), options=options, outer=outer)
        before = copy.deepcopy((fields, options, outer))
        message = self.rich()
        attributes = repr(message), message.text, message.html, message.subject, message.to
        self.parse(made, self.format(made, message, job, rule="unknown-data-ignored"))
        after = repr(message), message.text, message.html, message.subject, message.to
        demand((fields, options, outer) == before, "inputs-unchanged", "a mapping of the job was changed")
        demand(attributes == after, "inputs-unchanged", "the message was changed")

    def test_unknown_data_is_ignored(self) -> None:
        made, namespace, message = self.make(), self.namespace, self.rich()
        strange = {
            "{urn:example:unknown}field": ("value", "second"),
            "{urn:example:unknown}empty": (),
            f"{{{namespace}}}not-known-yet": ("value",),
        }
        options = {"{urn:example:unknown}wish": "yes", f"{{{namespace}}}not-known-yet": "yes"}
        job = self.seal_job(data=DataForm(self.legacy_ids[0], strange), options=options)
        try:
            payload: Any = made.format(message, job)
        except Exception as error:
            demand(condition=False, rule="unknown-data-ignored", found=f"format() raised {error!r:.300}")
            raise AssertionError from error
        known = self.through(made, message)
        for _, found in differences(known, self.parse(made, payload), job, self.can()):
            demand(condition=False, rule="unknown-data-ignored", found=f"with unknown fields {found}")

    # -- secrets -----------------------------------------------------------------------------------

    def test_no_secret_in_logs_errors_or_reprs(self) -> None:
        made, job, message = self.make(), self.seal_job(), self.rich(CANARY)
        with listening() as heard:
            payload = self.format(made, message, job)
            read = self.parse(made, payload)
            errors: list[object] = [self.try_format(made, bad, job) for bad in _inexpressible()]
            for doing, bad in [*flipped(payload, self.examples), *truncated(payload, self.examples)]:
                errors.append(self.try_parse(made, bad, doing))
        demand(
            not shows(heard.getvalue()), "no-secret-in-log", "the plaintext stands in the log or the output"
        )
        for error in errors:
            told = texts_of(error) if isinstance(error, GreError) else ""
            demand(not shows(told), "no-secret-in-errors", f"{type(error).__name__} quotes the plaintext")
        for each in (made, read, *read.attachments):
            demand(not shows(repr(each)), "no-secret-in-repr", f"repr of {type(each).__name__} shows it")

    # -- optional abilities ------------------------------------------------------------------------

    def test_the_file_methods_do_the_same(self) -> None:
        made, job, opening = self.make(), self.seal_job(), self.open_job()
        only_if_able(made, FileFormatter)
        for message in (Message(), self.rich()):
            sink = io.BytesIO()
            call(
                lambda sink=sink, message=message: made.format_to(message, job, sink),  # type: ignore[misc]
                own=(),
                rule="file-methods",
                doing="format_to()",
            )
            for payload in (sink.getvalue(), self.format(made, message, job)):
                wanted = self.through(made, message)
                read = call(
                    lambda payload=payload: made.parse_from(io.BytesIO(payload), opening),  # type: ignore[misc]
                    own=(),
                    rule="file-methods",
                    doing="parse_from()",
                )
                demand(isinstance(read, Message), "file-methods", f"parse_from() gave {type(read).__name__}")
                assert isinstance(read, Message)
                for each in (read, self.parse(made, payload)):
                    for _, found in differences(wanted, each, job, self.can()):
                        demand(condition=False, rule="file-methods", found=f"through files: {found}")
        for doing, bad in rubbish():
            try:
                made.parse_from(io.BytesIO(bad), opening)
            except ParseFailed:
                pass
            except Exception as error:  # noqa: BLE001 - that is what is looked for
                demand(
                    condition=False, rule="file-methods", found=f"parse_from({doing}) raised {error!r:.200}"
                )

    def test_the_worker_reads_the_same(self) -> None:
        made, job = self.make(), self.seal_job()
        only_if_able(made, WorkerParsing)
        name = made.worker_parser
        allow([name])
        try:
            function = get(name)
        except GreError as error:
            demand(condition=False, rule="worker-parser", found=f"{name!r}: {error}")
            raise
        for message in (Message(), self.rich()):
            payload = self.format(made, message, job)
            coded = call(
                lambda payload=payload: decode_message(function(payload)),  # type: ignore[misc]
                own=(),
                rule="worker-parser",
                doing=name,
            )
            assert isinstance(coded, Message)
            for _, found in differences(self.parse(made, payload), coded, job, self.can()):
                demand(condition=False, rule="worker-parser", found=f"in the worker: {found}")
        for doing, bad in rubbish():
            here: object = self.try_parse(made, bad, doing)
            try:
                there: object = function(bad)
            except ParseFailed as error:
                there = error
            except Exception as error:  # noqa: BLE001 - that is what is looked for
                there = error
                demand(condition=False, rule="worker-parser", found=f"{name}({doing}) raised {error!r:.200}")
            same = isinstance(here, ParseFailed) is isinstance(there, ParseFailed)
            demand(same, "worker-parser", f"{doing}: parse() and {name} do not agree whether it can be read")

    def test_its_data_children_are_elements(self) -> None:
        made = self.make()
        only_if_able(made, RequestsData)
        given: Any = call(
            lambda: list(made.data_children()), own=(), rule="abilities-work", doing="data_children()"
        )
        fine = all(isinstance(each, Element) and each.tag.startswith("{") for each in given)
        demand(fine, "abilities-work", f"data_children() gave {given!r:.200}, no elements with a namespace")

    def test_an_attachment_that_cannot_be_read(self) -> None:
        only_with(self, "attachments")
        made = self.make()

        def fail() -> Any:
            raise OSError(5, "Input/output error")

        message = Message("a", attachments=(Attachment("a.bin", "image/png", fail, 5),))
        try:
            made.format(message, self.seal_job())
        except FormatFailed:
            return
        except Exception as error:  # noqa: BLE001 - that is what is looked for
            demand(condition=False, rule="unreadable-attachment", found=f"format() raised {error!r:.200}")
        demand(condition=False, rule="unreadable-attachment", found="format() gave a payload without it")


def _inexpressible() -> list[Message]:
    """Give messages that many formats cannot express."""
    return [
        Message(CANARY + "\ud800"),
        Message("a", subject=CANARY + "\udfff"),
        Message(CANARY, to=("\x00\x01",)),
        Message(CANARY, attachments=(Attachment.from_bytes(CANARY, "no media type\r\n", CANARY.encode()),)),
    ]
