"""The log: two formats, nothing personal unless asked for, nothing that libraries say."""

from __future__ import annotations

import io
import json
import logging

import pytest
from gre_gateway_email.config import Log
from gre_gateway_email.operate.log import set_up_logging

from gre_core.log import get_logger


@pytest.fixture
def log_as(logging_restored):
    """``log_as(format="json")`` sets up the log of this process, and gives what is written."""

    def set_up(**settings):
        stream = io.StringIO()
        set_up_logging(Log(**({"level": "info", "format": "json", "addresses": False} | settings)), stream)
        return stream

    return set_up


LOG = get_logger("gre_gateway_email.example")


def test_json_has_one_object_for_each_line(log_as):
    written = log_as()
    LOG.info("mail-relayed", peer_domain="example.net", size=12, secret="x")
    entry = json.loads(written.getvalue())
    assert entry.pop("timestamp").endswith("Z")
    assert entry == {
        "event": "mail-relayed", "level": "info", "peer_domain": "example.net", "size": 12, "dropped": 1,
    }  # fmt: skip


def test_the_console_shows_event_and_fields(log_as):
    written = log_as(format="console")
    LOG.warning("xmpp-unreachable", peer_domain="example.net")
    line = written.getvalue()
    assert "warning" in line
    assert "xmpp-unreachable" in line
    assert "peer_domain=example.net" in line
    assert "\x1b" not in line


def test_addresses_are_shown_only_when_asked_for(log_as):
    written = log_as()
    LOG.info("mail-relayed", address="bob@example.net", user="juliet@localhost")
    assert "@" not in written.getvalue()
    assert "dropped" not in written.getvalue()
    written = log_as(addresses=True)
    LOG.info("mail-relayed", address="bob@example.net", user="juliet@localhost")
    entry = json.loads(written.getvalue())
    assert (entry["address"], entry["user"]) == ("bob@example.net", "juliet@localhost")


@pytest.mark.parametrize("form", ["json", "console"])
def test_what_libraries_say_is_not_shown_but_where_they_say_it(log_as, form):
    written = log_as(format=form, level="debug")
    for name in ("sqlalchemy.engine", "alembic", "aiosmtplib", "other"):
        logging.getLogger(name).error("juliet@example.org said %s", "hello")
        logging.getLogger(name).info("hello")
    try:
        raise ValueError("juliet@example.org said hello")
    except ValueError:
        logging.getLogger("asyncio").exception("Task of juliet@example.org failed")
    for name in ("slixmpp.xmlstream", "mail.log", "aiohttp.access"):
        logging.getLogger(name).error("hello")
    text = written.getvalue()
    assert len(text.splitlines()) == 5
    assert text.count("library-message") == 5
    assert "juliet" not in text
    assert "hello" not in text
    assert "test_email_log.py:" in text
    assert "ValueError at test_email_log.py" in text


def test_the_level_is_that_of_the_configuration(log_as):
    written = log_as(level="warning")
    LOG.info("seen-by-nobody")
    LOG.warning("seen-by-all")
    assert [json.loads(line)["event"] for line in written.getvalue().splitlines()] == ["seen-by-all"]
