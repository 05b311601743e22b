"""What one user may send in an hour: a window that slides, and memory that is bounded by who is active."""

from __future__ import annotations

import pytest
from gre_gateway_email.config.settings import Limits
from gre_gateway_email.relaying.limits import HourlyLimits

from gre_core.errors import Refused

USER = "juliet@localhost"


class Passed:
    seconds = 90.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def clock():
    return Passed()


@pytest.fixture
def limits(clock):
    return HourlyLimits(
        Limits(1000, messages=3, recipients=10, size=1000, waiting=1, waiting_size=1, queue=1), clock
    )


def test_the_window_slides(limits, clock):
    for _ in range(3):
        limits.take(USER, 1, 1)
        clock.seconds += 600
    with pytest.raises(Refused, match="in about 30 minutes"):
        limits.take(USER, 1, 1)
    clock.seconds += 1810
    limits.take(USER, 1, 1)
    with pytest.raises(Refused, match="in about 10 minutes"):
        limits.take(USER, 1, 1)


@pytest.mark.parametrize(("recipients", "size"), [(6, 1), (1, 600)], ids=["recipients", "bytes"])
def test_recipients_and_bytes_count(limits, recipients, size):
    limits.take(USER, recipients, size)
    with pytest.raises(Refused) as refused:
        limits.take(USER, recipients, size)
    assert (refused.value.condition, refused.value.error_type) == ("policy-violation", "wait")
    limits.take("romeo@localhost", recipients, size)


def test_one_message_that_is_more_than_an_hour_allows_is_told_so(limits):
    with pytest.raises(Refused, match="Send it in parts") as refused:
        limits.take(USER, 11, 1)
    assert refused.value.error_type == "modify"


def test_bytes_that_turn_up_later_count_also_when_they_are_too_many(limits, clock):
    limits.take(USER, 1, 100)
    limits.take_bytes(USER, 800)
    with pytest.raises(Refused, match="bytes in an hour"):
        limits.take_bytes(USER, 200)
    with pytest.raises(Refused, match="bytes in an hour"):
        limits.take(USER, 1, 1)
    clock.seconds += 3600
    limits.take_bytes(USER, 900)
    limits.take(USER, 1, 100)


def test_what_is_given_back_counts_no_more(limits):
    for _ in range(10):
        limits.take(USER, 5, 500)
        limits.give_back(USER, 5, 500)


def test_who_sends_nothing_for_an_hour_takes_no_memory(limits, clock):
    for number in range(100):
        limits.take(f"user{number}@localhost", 1, 1)
    clock.seconds += 3700
    limits.take(USER, 1, 1)
    assert len(limits._users) == 1
