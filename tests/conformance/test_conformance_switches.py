"""Each switch turns its section off where everybody sees it, and only for those who cannot do what it is about."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gre_core.api import EncrypterProvider, FormatterProvider, encrypter, formatter
from gre_core.errors import FormatFailed, NotForUs, NoUsableKey
from gre_core.model import Direction, Opened, Signature, Verdict
from gre_core.testing.conformance import run_suite
from gre_core.testing.conformance.encrypters.round_trips import RoundTrips as EncrypterRoundTrips
from gre_core.testing.conformance.formatters.base import SWITCHES
from gre_core.testing.conformance.formatters.round_trips import RoundTrips as FormatterRoundTrips
from gre_core.testing.fakes import KEY_NODE, InsecureToyEncrypter
from gre_core.testing.toys import InsecureToyFormatter

if TYPE_CHECKING:
    from gre_core.api import Message, OpenJob, SealJob
    from gre_core.model import Body
    from gre_core.ports import Ports
    from gre_core.testing.conformance import People, Report

FORMATTERS = [*SWITCHES, "sender", "date"]
ENCRYPTERS = ["signs", "own_copies", "several_recipients", "needs_keys", "asks_about_changed_keys"]
NAMES = ("romeo", "juliet", "nurse", "mallory")


class WithoutFormatter(InsecureToyFormatter):
    """Has no place for one thing."""

    lacks = ""

    def format(self, message: Message, job: SealJob, /) -> bytes:
        if self.lacks == "attachments" and message.attachments:
            raise FormatFailed("There is no place for files. Send them otherwise.")
        if self.lacks == "html" and message.html and not message.text:
            raise FormatFailed("There is no place for HTML. Write a text.")
        if self.lacks == "subject" and message.subject:
            raise FormatFailed("There is no place for a subject. Write it into the text.")
        return super().format(message, job)

    def parse(self, payload: bytes, job: OpenJob, /) -> Message:
        message = super().parse(payload, job)
        files = tuple(replace(each, inline=False, content_id=None) for each in message.attachments)
        changes: dict[str, dict[str, Any]] = {
            "html": {"html": None},
            "inline": {"attachments": files},
            "replies": {"in_reply_to": None, "references": ()},
            "addresses": {"to": (), "cc": ()},
            "sender": {"claimed_sender": None},
            "date": {"date": None},
        }
        return replace(message, **changes.get(self.lacks, {}))


class WithoutEncrypter(InsecureToyEncrypter):
    """Cannot do one thing."""

    lacks = ""

    def __init__(self) -> None:
        super().__init__(keys=self.lacks not in {"needs_keys", "asks_about_changed_keys"})

    async def seal_keys(self, job: SealJob, ports: Ports, /) -> dict[str, Any]:
        if self.lacks == "several_recipients" and len(job.recipients) > 1:
            raise NoUsableKey("One at a time. Write to each alone.")
        return await super().seal_keys(job, ports)

    async def decrypt(self, body: Body, keys: dict[str, Any], ports: Ports, /) -> Opened:
        if self.lacks == "own_copies" and keys["job"].direction is Direction.SENT:
            raise NotForUs("It is for others.")
        opened = await super().decrypt(body, keys, ports)
        return replace(opened, verdict=Verdict(Signature.UNSIGNED)) if self.lacks == "signs" else opened


class ToyEncrypterSuite(EncrypterRoundTrips):
    accounts = {name: (f"{name}@example.org",) * 2 for name in NAMES}  # noqa: RUF012 - as in the docs

    def introduce(self, people: People, *names: str) -> None:
        for name in names:
            people[name].pubsub.put(people[name].account, KEY_NODE, f"{name}-{people[name].times}")


def formatter_report(lacks: str, **switches: bool) -> Report:
    made = type("Made", (WithoutFormatter,), {"lacks": lacks})
    provider = FormatterProvider(formatter("test"), made, title="GRE Formatter: Test")
    facts = {"provider": provider, "huge": 20_000, "examples": 5, **switches}
    return run_suite(type("Suite", (FormatterRoundTrips,), facts))


def encrypter_report(lacks: str, **switches: bool) -> Report:
    made = type("Made", (WithoutEncrypter,), {"lacks": lacks})
    provider = EncrypterProvider(encrypter("test"), made, "GRE Encrypter: Test")
    facts = {"provider": provider, "huge": 20_000, "examples": 5, **switches}
    return run_suite(type("Suite", (ToyEncrypterSuite,), facts))


def off(switch: str) -> dict[str, bool]:
    """Give the switch, and those that make no sense without."""
    more = {"attachments": ["inline"], "needs_keys": ["asks_about_changed_keys"]}
    return dict.fromkeys([switch, *more.get(switch, [])], False)


def told(report: Report, switch: str) -> bool:
    return f"switched off in Suite: {switch} = False" in report.skipped.values()


@pytest.mark.parametrize("switch", FORMATTERS)
def test_who_has_no_place_for_something_switches_it_off(brief: None, switch: str) -> None:
    report = formatter_report(switch, **off(switch))
    assert (report.broken, report.foreign) == ({}, {})
    assert told(report, switch)
    without_switch = formatter_report(switch)
    assert without_switch.rules
    assert not told(without_switch, switch)


@pytest.mark.parametrize("switch", FORMATTERS)
def test_a_switch_hides_nothing_that_a_formatter_carries(brief: None, switch: str) -> None:
    assert formatter_report("", **{switch: False}).rules == {"switch-hides-ability"}


@pytest.mark.parametrize("switch", ENCRYPTERS)
def test_who_cannot_do_something_switches_it_off(brief: None, switch: str) -> None:
    # Who needs no keys is never asked about changed ones either, and the other way around.
    keys = {"needs_keys", "asks_about_changed_keys"}
    report = encrypter_report(switch, **(dict.fromkeys(keys, False) if switch in keys else off(switch)))
    assert (report.broken, report.foreign) == ({}, {})
    assert told(report, switch)
    without_switch = encrypter_report(switch)
    assert without_switch.rules
    assert not told(without_switch, switch)


@pytest.mark.parametrize("switch", ENCRYPTERS)
def test_a_switch_hides_nothing_that_an_encrypter_can(brief: None, switch: str) -> None:
    assert encrypter_report("", **{switch: False}).rules == {"switch-hides-ability"}
