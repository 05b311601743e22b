"""Logging: quiet by default, an allow-list of fields, and nothing global."""

from __future__ import annotations

import logging
import subprocess
import sys
from types import SimpleNamespace

import pytest
import structlog

from gre_core.log import FIELDS, get_logger

log = get_logger("gre_core.test_log")


def only(caplog: pytest.LogCaptureFixture) -> logging.LogRecord:
    (record,) = caplog.records
    return record


def test_allowed_fields_reach_the_host_as_text_and_as_data(caplog: pytest.LogCaptureFixture) -> None:
    log.warning("stanza-refused", stanza_id="a1", size=7, code=None)
    record = only(caplog)
    assert record.getMessage() == "stanza-refused stanza_id=a1 size=7"
    assert record.levelno == logging.WARNING
    assert vars(record)["gre"] == {"event": "stanza-refused", "stanza_id": "a1", "size": 7}


def test_unknown_fields_are_dropped_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    log.error("sealed", text="s3cret", exc_info=ValueError("s3cret"), payload=b"s3cret", ms=1.5)
    record = only(caplog)
    assert record.getMessage() == "sealed ms=1.5 dropped=3"
    assert "s3cret" not in repr(vars(record))


@pytest.mark.parametrize("event", ["to alice@example.org", "s3cret!", "x" * 65, "", "a\nb"])
def test_an_event_that_is_not_a_fixed_word_is_withheld(event: str, caplog: pytest.LogCaptureFixture) -> None:
    log.warning(event)
    assert only(caplog).getMessage() == "event-withheld"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("a\nWARNING forged", r"a\nWARNING forged"),
        ("\x1b[2J", r"\x1b[2J"),
        ("x" * 500, "x" * 199 + "…"),
        (b"s3cret", "<bytes>"),
        (SimpleNamespace(key="s3cret"), "<SimpleNamespace>"),
        (["s3cret"], "<list>"),
        (True, "True"),
    ],
)
def test_values_are_plain_short_and_on_one_line(
    value: object, shown: str, caplog: pytest.LogCaptureFixture
) -> None:
    log.warning("event", code=value)
    assert only(caplog).getMessage() == f"event code={shown}"


def test_a_percent_sign_is_just_a_percent_sign(caplog: pytest.LogCaptureFixture) -> None:
    log.warning("event", code="100%s %(message)s")
    assert only(caplog).getMessage() == "event code=100%s %(message)s"


def test_the_level_of_the_host_is_respected(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        log.warning("event")
    with caplog.at_level(logging.DEBUG):
        log.debug("seen")
        log.info("seen")
    assert [record.levelname for record in caplog.records] == ["DEBUG", "INFO"]


def test_no_field_clashes_with_the_names_of_the_wrapper() -> None:
    assert not FIELDS & {"event", "dropped_event", "gre", "exc_info"}


def test_structlog_is_not_configured_globally(caplog: pytest.LogCaptureFixture) -> None:
    log.warning("event")
    assert caplog.records
    assert not structlog.is_configured()


QUIET = """
import sys
from gre_core.log import get_logger
log = get_logger("gre_core.example")
log.error("failed", code="x")
assert "structlog" not in sys.modules, "nobody listens, so structlog must not be loaded"
assert "asyncio" not in sys.modules
"""


def test_an_unconfigured_host_sees_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", QUIET], capture_output=True, check=True, text=True)
    assert (done.stdout, done.stderr) == ("", "")
