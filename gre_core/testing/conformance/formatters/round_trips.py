"""What is formatted is read again as it was."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gre_core.api import NamesMessages
from gre_core.errors import FormatFailed
from gre_core.model import Attachment, Message
from gre_core.testing.conformance import strategies
from gre_core.testing.conformance.calling import call
from gre_core.testing.conformance.corpus import TINY_PNG
from gre_core.testing.conformance.formatters.base import FormatterSuite
from gre_core.testing.conformance.formatters.comparing import differences
from gre_core.testing.conformance.rules import demand
from gre_core.testing.conformance.switches import only_if_able, section

if TYPE_CHECKING:
    from gre_core.api import Formatter

_FILE = Attachment.from_bytes("pixel.png", "image/png", TINY_PNG)


class RoundTrips(FormatterSuite):
    """Round trips over the corpus and over random messages."""

    def _comes_back(self, made: Formatter, message: Message, name: str) -> None:
        __tracebackhide__ = True
        job = self.seal_job()
        read = self.through(made, message, job, name)
        for rule, found in differences(message, read, job, self.can()):
            demand(condition=False, rule=rule, found=f"{name}: {found}")

    def _all_come_back(self, about: str | None) -> None:
        __tracebackhide__ = True
        made = self.make()
        for sample in self.corpus(about):
            self._comes_back(made, sample.message, sample.name)

    def _survives(self, message: Message, switch: str) -> bool:
        """Tell whether a message that needs a switch comes back although it is off."""
        made, job = self.make(), self.seal_job()
        read = made.parse(made.format(message, job), self.open_job())
        return not list(differences(message, read, job, self.can() | {switch}))

    def test_texts_of_every_script_and_size(self) -> None:
        self._all_come_back(None)

    def test_subjects(self) -> None:
        section(self, "subject", lambda: self._survives(Message("a", subject="Balcony"), "subject"))
        self._all_come_back("subject")

    def test_html(self) -> None:
        section(self, "html", lambda: self._survives(Message("a", "<p>a</p>"), "html"))
        self._all_come_back("html")

    def test_attachments(self) -> None:
        message = Message("a", attachments=(_FILE,))
        section(self, "attachments", lambda: self._survives(message, "attachments"))
        self._all_come_back("attachments")

    def test_what_is_shown_inside_the_text(self) -> None:
        inside = replace(_FILE, inline=True, content_id="a@example.org")
        message = Message("a", '<img src="cid:a@example.org">' if self.html else None, attachments=(inside,))
        section(self, "inline", lambda: self.attachments and self._survives(message, "inline"))
        self._all_come_back("inline")

    def test_replies(self) -> None:
        message = Message("a", in_reply_to="a@example.org", references=("a@example.org",))
        section(self, "replies", lambda: self._survives(message, "replies"))
        self._all_come_back("replies")

    def test_recipients(self) -> None:
        section(self, "addresses", lambda: self._survives(Message("a", to=self.legacy_ids[1:]), "addresses"))
        self._all_come_back("addresses")

    def test_the_sender_is_the_one_that_the_gateway_names(self) -> None:
        made, ours = self.make(), self.legacy_ids[0]
        section(self, "sender", lambda: self.through(made, Message("a")).claimed_sender == ours)
        for claimed in (None, self.legacy_ids[-1]):
            read = self.through(made, Message("a", claimed_sender=claimed))
            demand(read.claimed_sender == ours, "sender-id", f"{ours} became {read.claimed_sender}")

    def test_the_date_is_that_of_the_job(self) -> None:
        made, when = self.make(), self.seal_job().date
        section(self, "date", lambda: self.through(made, Message("a")).date == when)
        read = self.through(made, Message("a")).date
        demand(read == when, "round-trip-date", f"{when} became {read}")

    def test_the_id_is_the_one_that_was_named(self) -> None:
        made = self.make()
        only_if_able(made, NamesMessages)
        for origin in ("5d2f6c1a-9a0e-4b57", "a"):
            job = self.seal_job(origin_id=origin)
            named = call(
                lambda job=job: made.message_id(job),  # type: ignore[misc]
                own=(),
                rule="message-id",
                doing="message_id()",
            )
            read = self.through(made, Message("a"), job).message_id
            demand(read == named, "message-id", f"message_id() says {named!r}, the payload {read!r}")
        for odd in ("", "a\r\nb", "<a>", "\ud800", "é" * 300):
            job = self.seal_job(origin_id=odd)
            call(
                lambda job=job: made.message_id(job),  # type: ignore[misc]
                own=(FormatFailed,),
                rule="message-id",
                doing=f"message_id() of {odd[:10]!r}",
            )

    def test_random_messages(self) -> None:
        made = self.make()

        def check(message: Message) -> None:
            self._comes_back(made, message, "a random message")

        strategies.explore(strategies.messages(self.can(), self.legacy_ids[1:]), self.examples, check)

    def test_what_was_read_can_be_sent_again(self) -> None:
        made, job, can = self.make(), self.seal_job(), self.can()
        for switch in (None, *sorted(can)):
            for sample in self.corpus(switch)[:4]:
                once = self.through(made, sample.message, job, sample.name)
                again = self.try_format(made, once, job, sample.name)
                demand(isinstance(again, bytes), "send-again", f"{sample.name}: {again!r:.200}")
                assert isinstance(again, bytes)
                for _, found in differences(once, self.parse(made, again), job, can):
                    demand(condition=False, rule="send-again", found=f"{sample.name}: {found}")

    def test_nothing_is_lost_in_silence(self) -> None:
        made = self.make()
        for switch, message in (
            ("attachments", Message("a", attachments=(_FILE,))),
            ("html", Message(html="<p>Wherefore</p>")),
            ("subject", Message("a", subject="Wherefore")),
        ):
            if getattr(self, switch):
                continue
            payload = self.try_format(made, message)
            if not isinstance(payload, bytes):
                continue
            read = self.parse(made, payload)
            told = (
                bool(read.attachments)
                if switch == "attachments"
                else "Wherefore" in f"{read.text}{read.html}{read.subject}"
            )
            demand(
                told, "loses-nothing-silently", f"a message with {switch} was formatted without, and no error"
            )
