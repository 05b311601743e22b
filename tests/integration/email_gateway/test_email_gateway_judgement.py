"""What the proofs take for lost, and for repeated without need: the judge must be able to condemn."""

from __future__ import annotations

import pytest
from flight import SLACK, Death, Step
from ledger import Ledger

MAIL, MESSAGE = "out-juliet-1", "in-romeo-1"
NAME = "1@example.org"


@pytest.fixture
def ledger():
    ledger = Ledger()
    ledger.begin(MAIL, "out", 0, receipts=True)
    ledger.begin(MESSAGE, "in", 0, receipts=False)
    ledger.receipt(MAIL)
    ledger.accepted(MESSAGE, "250 stored")
    return ledger


def happened(ledger, marker, *steps, generation=1):
    """Note steps: time and what."""
    ledger.flight.steps[marker] += [Step(at, generation, what) for at, what in steps]


def arrive(ledger, marker, times):
    ledger.letters[marker].arrivals = [(float(number), NAME) for number in range(times)]


def died(ledger, kind, at, **more):
    ledger.flight.deaths.append(Death(kind, at, at, **more))


@pytest.mark.parametrize(
    ("steps", "repeats"),
    [
        ((), 0),
        (((1, "relay"),), 1),
        (((1, "relay"), (2, "relayed")), 1),
        (((1, "relay"), (2, "failed")), 0),
        (((1, "relay"), (2, "relayed"), (3, "sent")), 0),
        (((1, "relay"), (2, "failed"), (3, "relay")), 1),
    ],
)
def test_a_mail_may_be_repeated_when_its_process_died_between_relay_and_commit(ledger, steps, repeats):
    happened(ledger, MAIL, *steps)
    died(ledger, "gateway", 5, generation=1)
    died(ledger, "gateway", 9, generation=2)
    arrive(ledger, MAIL, 2)
    arrive(ledger, MESSAGE, 1)
    assert ledger.judge().unexplained == ([] if repeats else [MAIL])
    arrive(ledger, MAIL, 3)
    assert ledger.judge().unexplained == [MAIL], "one kill explains one repeat"
    assert not ledger.judge().lost


@pytest.mark.parametrize("kind", ["xmpp", "client", "database"])
def test_what_dies_elsewhere_explains_no_repeated_mail(ledger, kind):
    happened(ledger, MAIL, (1, "relay"), (9, "relayed"))
    died(ledger, kind, 5, user="juliet")
    arrive(ledger, MAIL, 2)
    assert MAIL in ledger.judge().unexplained


@pytest.mark.parametrize(("at", "explained"), [(0.5, False), (1.5, True), (3, False)])
def test_postfix_explains_the_repeat_of_a_mail_that_it_was_being_given(ledger, at, explained):
    happened(ledger, MAIL, (1, "relay"), (2, "failed"), (4, "relay"), (5, "relayed"), (6, "sent"))
    died(ledger, "postfix", at)
    arrive(ledger, MAIL, 2)
    assert (MAIL not in ledger.judge().unexplained) == explained


def test_postfix_explains_the_repeat_of_a_mail_that_it_had_not_finished(ledger):
    happened(ledger, MAIL, (1, "relay"), (2, "relayed"), (3, "sent"))
    arrive(ledger, MAIL, 2)
    died(ledger, "postfix", 4, held=frozenset({"another"}))
    assert MAIL in ledger.judge().unexplained
    died(ledger, "postfix", 5, held=frozenset({NAME}))
    assert MAIL not in ledger.judge().unexplained


@pytest.mark.parametrize(
    ("steps", "explained"),
    [
        ((), False),
        (((1, "courier"),), True),
        (((1, "courier"), (2, "proven")), True),
        (((1, "courier"), (2, "proven"), (3, "gone")), False),
    ],
)
def test_a_message_may_be_repeated_when_its_process_died_before_the_inbox_forgot_it(ledger, steps, explained):
    happened(ledger, MESSAGE, *steps)
    died(ledger, "gateway", 5, generation=1)
    arrive(ledger, MESSAGE, 2)
    assert (MESSAGE not in ledger.judge().unexplained) == explained


@pytest.mark.parametrize(
    ("kind", "user", "at", "explained"),
    [
        ("xmpp", "", 0.5, False),
        ("xmpp", "", 1.5, True),
        ("xmpp", "", 2.5, False),
        ("client", "romeo", 1.5, True),
        ("client", "juliet", 1.5, False),
        ("client", "romeo", 2.5, False),
        ("database", "", 1.5, False),
        ("postfix", "", 1.5, False),
    ],
)
def test_the_server_and_the_client_explain_the_repeat_of_an_unproven_message(
    ledger, kind, user, at, explained
):
    happened(ledger, MESSAGE, (1, "courier"), (2, "proven"), (2.1, "gone"))
    died(ledger, kind, at, user=user)
    arrive(ledger, MESSAGE, 2)
    assert (MESSAGE not in ledger.judge().unexplained) == explained


@pytest.mark.parametrize(
    ("kind", "user", "at", "excused"),
    [
        ("xmpp", "", 1.5, True),
        ("xmpp", "", 2 + SLACK / 2, True),
        ("xmpp", "", 2 + SLACK * 2, False),
        ("xmpp", "", 1 - SLACK * 2, False),
        ("client", "romeo", 1.5, True),
        ("client", "romeo", 2 + SLACK * 2, False),
        ("client", "juliet", 1.5, False),
        ("gateway", "", 1.5, False),
        ("database", "", 1.5, False),
    ],
)
def test_only_what_was_in_flight_without_receipts_may_be_lost(ledger, kind, user, at, excused):
    happened(ledger, MESSAGE, (1, "courier"), (2, "proven"), (2.1, "gone"))
    died(ledger, kind, at, user=user)
    arrive(ledger, MAIL, 1)
    verdict = ledger.judge()
    assert (MESSAGE not in verdict.lost) == excused
    ledger.letters[MESSAGE].receipts = True
    assert MESSAGE in ledger.judge().lost


def test_what_the_gateway_never_proved_is_lost(ledger):
    happened(ledger, MESSAGE, (1, "courier"))
    died(ledger, "xmpp", 1.5)
    assert MESSAGE in ledger.judge().lost


def test_a_mail_that_postfix_holds_is_not_lost(ledger):
    ledger.held = {MAIL}
    verdict = ledger.judge()
    assert verdict.held == [MAIL]
    assert MAIL not in verdict.lost
    assert not verdict.proven
