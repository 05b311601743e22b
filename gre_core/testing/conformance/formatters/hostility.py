"""What a hostile peer, or a clumsy user, may do to a formatter."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

from hypothesis import strategies as st

from gre_core.model import Attachment, Message
from gre_core.testing.conformance import strategies
from gre_core.testing.conformance.bombs import bombs_inside
from gre_core.testing.conformance.bounding import bounded, hostile
from gre_core.testing.conformance.damaging import extended, flipped, rubbish, truncated
from gre_core.testing.conformance.formatters.contract import Contract
from gre_core.testing.conformance.rules import demand
from gre_core.testing.conformance.switches import only_with

if TYPE_CHECKING:
    from gre_core.api import Formatter

MALLORY: Final = "mallory@evil.example"
_BREAKS: Final = ("\r\n", "\n", "\r", "\0", "\x0b", "\u2028", '"', "</a>", '", "', "\r\n\r\n")
_EVIL_NAMES: Final = (
    "../../etc/passwd", "..\\..\\boot.ini", "/etc/passwd", "C:\\a.txt", "..", ".", "a/b.txt", "a\0b.txt", "", "~/x",
)  # fmt: skip


class Hostility(Contract):
    """Own errors only, bounded time and memory, nothing smuggled in."""

    def test_damaged_payloads_raise_our_own_errors_only(self) -> None:
        made, payload = self.make(), self._valid()
        damaged = [
            *flipped(payload, 5 * self.examples),
            *truncated(payload, self.examples),
            *extended(payload),
            *rubbish(),
        ]
        for doing, bad in damaged:
            read = self.try_parse(made, bad, doing)
            if isinstance(read, Message):
                _check_types(read, doing)

    def test_random_payloads_raise_our_own_errors_only(self) -> None:
        made = self.make()

        def check(payload: bytes) -> None:
            self.try_parse(made, payload, f"{payload[:60]!r}")

        strategies.explore(st.binary(max_size=400), self.examples, check)

    def test_whatever_is_written_raises_our_own_errors_only(self) -> None:
        made = self.make()
        for strange in (
            "\ud800",
            "\udfff\ud800",
            "\0",
            "\x1b[31m",
            "\ufffe",
            "\uffff",
            "\U0010ffff",
            "a\r\nb",
        ):
            for message in _with(strange):
                payload = self.try_format(made, message, doing=f"{strange!r} in a field")
                if isinstance(payload, bytes):
                    self.try_parse(made, payload)

    def test_what_is_read_has_the_types_of_the_model(self) -> None:
        made = self.make()
        for message in (Message(), self.rich()):
            _check_types(self.through(made, message), "a message")

    def test_attachments_give_fresh_streams(self) -> None:
        only_with(self, "attachments")
        content = bytes(range(256)) * 40
        message = Message("a", attachments=(Attachment.from_bytes("a.bin", "image/png", content),))
        for each in self.through(self.make(), message).attachments:
            with each.open() as first:
                begun = first.read(100)
                with each.open() as second:
                    whole = second.read()
                rest = first.read()
            demand(begun + rest == whole == content, "fresh-streams", "a second stream does not start anew")
            size = each.size
            demand(size in {None, len(content)}, "fresh-streams", f"size is {size}, not {len(content)}")

    def test_names_of_files_lead_nowhere(self) -> None:
        only_with(self, "attachments")
        made = self.make()
        for name in _EVIL_NAMES:
            message = Message("a", attachments=(Attachment.from_bytes(name, "text/plain", b"a"),))
            payload = self.try_format(made, message, doing=f"a file of name {name!r}")
            if isinstance(payload, bytes):
                for each in self.parse(made, payload).attachments:
                    bad = each.name in {"", ".", ".."} or set(each.name) & set("/\\\0")
                    demand(not bad, "file-names", f"{name!r} was read as {each.name!r}")

    def test_nothing_is_smuggled_in(self) -> None:
        made, job = self.make(), self.seal_job()
        clean = self.through(made, self.rich(), job)
        for cut in _BREAKS:
            for field in ("To", "Cc", "From", "to", "cc", "from", "Message-ID", "id", "X-Injected"):
                evil = f"a{cut}{field}: {MALLORY}{cut}"
                for where, message in _smuggling(evil, self.can()):
                    payload = self.try_format(made, message, job, f"{evil!r} as {where}")
                    if not isinstance(payload, bytes):
                        continue
                    read = self.parse(made, payload)
                    _check_nothing_new(clean, read, f"{evil!r} as {where}")

    def test_hostile_payloads_take_bounded_time_and_memory(self) -> None:
        made, job = self.make(), self.open_job()
        own = [(f"hostile[{number}]", bad) for number, bad in enumerate(self.hostile)]
        valid = self._valid()
        bounded(
            [*own, *bombs_inside(valid), *hostile(valid, self.hostile_size)],
            lambda bad: made.parse(bad, job),
            self.seconds,
            self.memory,
        )

    def _valid(self) -> bytes:
        made: Formatter = self.make()
        return self.format(made, self.rich())


def _with(strange: str) -> list[Message]:
    return [
        Message(strange),
        Message("a", strange),
        Message("a", subject=strange),
        Message("a", to=(strange,)),
        Message("a", cc=(strange,)),
        Message("a", in_reply_to=strange),
        Message("a", references=(strange,)),
        Message("a", attachments=(Attachment.from_bytes(strange, "text/plain", b"a"),)),
        Message("a", attachments=(Attachment.from_bytes("a.txt", strange, b"a"),)),
        Message(
            "a", "b", attachments=(Attachment.from_bytes("a", "a/b", b"", inline=True, content_id=strange),)
        ),
    ]


def _smuggling(evil: str, can: frozenset[str]) -> list[tuple[str, Message]]:
    found = [("text", Message(evil))]
    if "subject" in can:
        found.append(("subject", Message("a", subject=evil)))
    if "html" in can:
        found.append(("html", Message("a", evil)))
    if "attachments" in can:
        found.append(
            ("a file name", Message("a", attachments=(Attachment.from_bytes(evil, "text/plain", b"a"),)))
        )
    if "replies" in can:
        found.append(("in_reply_to", Message("a", in_reply_to=evil)))
    return found


def _check_nothing_new(clean: Message, read: Message, doing: str) -> None:
    same = (
        read.cc == clean.cc
        and MALLORY not in str(read.to)
        and read.claimed_sender == clean.claimed_sender
        and read.message_id == clean.message_id
        and len(read.attachments) <= 1
        and "x-injected" not in read.headers
    )
    demand(same, "no-injection", f"{doing} changed another field")


def _check_types(read: Message, doing: str) -> None:
    texts = (read.html, read.subject, read.claimed_sender, read.message_id, read.in_reply_to)
    lists = (read.to, read.cc, read.references)
    found = ""
    if not isinstance(read.text, str) or any(not isinstance(each, str | None) for each in texts):
        found = "a field that has to be a text is something else"
    elif any(not isinstance(each, tuple) or any(not isinstance(e, str) for e in each) for each in lists):
        found = "to, cc and references have to be tuples of texts"
    elif not isinstance(read.attachments, tuple) or any(
        not isinstance(each, Attachment) for each in read.attachments
    ):
        found = "attachments have to be a tuple of Attachment"
    elif read.date is not None and not (isinstance(read.date, datetime) and read.date.tzinfo):
        found = "the date has no time zone"
    elif any(type(each.read()) is not bytes or not isinstance(each.name, str) for each in read.attachments):
        found = "an attachment gives something else than bytes, or has no name"
    demand(not found, "parse-types", f"{doing}: {found}")
