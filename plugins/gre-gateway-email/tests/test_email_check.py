"""``check``: what it says about this machine, a relay, and the ports, without servers."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
from gre_gateway_email.commands import check_here, check_there
from gre_gateway_email.config import load
from gre_gateway_email.operate.operations import Operations
from gre_gateway_email.operate.running import Running, read_running
from gre_gateway_email.store import default_url, open_store

CONFIG = """
[xmpp]
domain = "mail.example.org"
secret = "s"
[mail]
domains = ["example.org"]
[http]
enabled = true
port = 0
[listen]
port = 0
"""


@pytest.fixture
def make(tmp_path):
    def config_with(extra=""):
        path = tmp_path / "gateway.toml"
        path.write_text(CONFIG + extra)
        path.chmod(0o640)
        return load(path, {})

    return config_with


def texts(findings, level):
    return [finding.text for finding in findings if finding.level == level]


async def collect(findings):
    return [finding async for finding in findings]


# -- this machine ----------------------------------------------------------------------------------


def test_a_readable_secret_is_a_note(make, tmp_path):
    (tmp_path / "gateway.toml").touch()
    config = make()
    assert texts(check_here.configuration(config), "note") == [
        "[mail] verifier is not given: keys in received mail are always shown as unauthenticated"
    ]
    config.path.chmod(0o644)
    assert any(
        "chmod o-rwx" in text for text in texts(check_here.configuration(load(config.path, {})), "note")
    )


def test_a_state_directory_is_not_made_by_looking(make):
    config = make()
    (finding,) = check_here.state(config, None)
    assert (finding.level, finding.text) == ("ok", f"[state] {config.state} is made at the first start")
    assert not config.state.exists()
    config.state.mkdir(mode=0o755)
    assert texts(check_here.state(config, None), "wrong") == [
        f"[state] {config.state} is open to other users of this machine: chmod 700 {config.state}"
    ]
    config.state.chmod(0o700)
    assert texts(check_here.state(config, None), "wrong") == []


def test_a_full_disk_is_told(make, monkeypatch):
    config = make()
    config.state.mkdir(mode=0o700)
    monkeypatch.setattr(check_here.shutil, "disk_usage", lambda _: SimpleNamespace(free=1024))
    assert texts(check_here.state(config, None), "wrong") == [
        "[state] only 1.0 KiB are free there: mail is refused for now when the disk is full"
    ]


def test_two_encrypters_are_no_problem_of_a_gateway(make):
    """Which one to use is for clients to say. Here both for OpenPGP are installed."""
    assert [problem.stage for problem in check_here.Plugins.discover().problems] == ["ambiguous"]
    assert texts(check_here.plugins(make()), "wrong") == []


async def test_the_database_is_looked_at_and_not_changed(make):
    config = make()
    assert (await check_here.database(config)).text == "[database] is made at the first start"
    config.state.mkdir(mode=0o700)
    await (await open_store(default_url(config.state))).close()
    finding = await check_here.database(config)
    assert finding.level == "ok"
    assert "opens, and its tables are up to date" in finding.text
    from gre_gateway_email.commands import check_here as module

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "HEAD", "99")
        finding = await check_here.database(config)
    assert finding.level == "note"
    assert "brought up to date at the next start. Make a backup first" in finding.text


async def test_a_broken_database_is_told(make):
    config = make()
    config.state.mkdir(mode=0o700)
    (config.state / "gateway.db").write_bytes(b"this is no database at all" * 100)
    assert (await check_here.database(config)).level == "wrong"


async def test_a_postgresql_that_is_away_is_told_without_its_password(make):
    config = make('[database]\nurl = "postgresql://gre:s3cret@127.0.0.1:1/gre"\n')
    finding = await check_here.database(config)
    assert finding.level == "wrong"
    assert "s3cret" not in finding.text


def test_a_clock_that_is_wrong_is_told(make, monkeypatch):
    config = make()
    assert texts(check_here.clock(config), "wrong") == []
    config.state.mkdir()
    file = config.state / "gateway.db"
    file.touch()
    os.utime(file, (time.time() + 86400,) * 2)
    assert "was written later: set it" in texts(check_here.clock(config), "wrong")[0]
    monkeypatch.setattr(check_here.time, "time", lambda: 86400.0)
    assert "1970-01-02 00:00:00Z, which is long ago" in texts(check_here.clock(config), "wrong")[0]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (("virtual_mailbox_domains = example.org\nvirtual_transport = lmtp:inet:127.0.0.1:2424\n"
         "smtpd_recipient_restrictions = reject_unverified_recipient\nmessage_size_limit = 1048576"), []),
        (("virtual_mailbox_domains = hash:/etc/postfix/domains\nvirtual_transport = virtual\n"
         "smtpd_recipient_restrictions =\nmessage_size_limit = 99999999"),
         ["virtual_transport is virtual, not port 2424", "reject_unverified_recipient", "message_size_limit 99999999"]),
        (("virtual_mailbox_domains = example.net\nvirtual_transport = lmtp:inet:127.0.0.1:2424\n"
         "smtpd_recipient_restrictions = reject_unverified_recipient\nmessage_size_limit = 1"), ["lacks example.org"]),
    ],
)  # fmt: skip
async def test_the_settings_of_postfix_are_read(make, tmp_path, monkeypatch, values, says):
    (tmp_path / "bin").mkdir()
    postconf = tmp_path / "bin" / "postconf"
    postconf.write_text(f"#!/bin/sh\ncat <<'EOF'\n{values}\nEOF\n")
    postconf.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/bin")
    config = make().path
    config.write_text(CONFIG.replace("[listen]\nport = 0", "[listen]\nport = 2424"))
    notes = texts(await check_here.postfix(load(config, {})), "note")
    assert len(notes) == len(says)
    for note, text in zip(notes, says, strict=True):
        assert text in note


# -- ports -----------------------------------------------------------------------------------------


async def test_a_port_that_another_program_has_is_told(make):
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    config = make().path
    config.write_text(CONFIG.replace("[listen]\nport = 0", f"[listen]\nport = {port}"))
    config = load(config, {})
    found = await collect(check_there.ports(config, None))
    assert "Another program has it" in texts(found, "wrong")[0]
    running = Running(1, "1", 1.0, "d", 2.0, port, None)
    found = await collect(check_there.ports(config, running))
    assert texts(found, "wrong") == []
    assert f"[listen] lmtp on 127.0.0.1:{port} is used by the running gateway" in texts(found, "ok")
    server.close()


async def test_an_open_listener_is_wrong(make):
    config = make().path
    config.write_text(CONFIG.replace("[listen]", '[listen]\nhost = "0.0.0.0"'))
    found = await collect(check_there.ports(load(config, {}), None))
    assert any("is open to other machines" in text for text in texts(found, "wrong"))


async def test_the_running_gateway_is_asked_for_its_health(make):
    class Store:
        users = None

        async def counts(self):
            return ()

    config = make()

    def at(port):
        return replace(config, xmpp=replace(config.xmpp, port=port))

    operations = Operations(config)
    operations.take()
    await operations.start(Store())
    try:
        operations.listening(5)
        found = await collect(check_there.ports(config, read_running(config.state)))
        assert texts(found, "wrong") == [], "that it is not connected is told once"
        assert any("answers, and waits for the XMPP server" in text for text in texts(found, "ok"))
        found = await collect(check_there.xmpp(at(1), read_running(config.state)))
        assert (
            "cannot be reached (Connection refused): is the XMPP server running" in texts(found, "wrong")[0]
        )
        async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            found = await collect(check_there.xmpp(at(port), read_running(config.state)))
        assert texts(found, "wrong")[0].endswith(
            "answers, and the running gateway is not connected: see its log"
        )
        operations.connected(yes=True)
        found = await collect(check_there.ports(config, read_running(config.state)))
        assert any("says that it is ready" in text for text in texts(found, "ok"))
        found = await collect(check_there.xmpp(config, read_running(config.state)))
        assert "the running gateway is connected since" in texts(found, "ok")[0]
    finally:
        await operations.stop()


# -- the relay -------------------------------------------------------------------------------------


class Script:
    """An SMTP server that answers each verb as told."""

    def __init__(self, **answers):
        self.answers = {"EHLO": "250-relay\r\n250-SIZE 10485760\r\n250 DSN"} | answers
        self.heard = []

    async def __call__(self, reader, writer):
        writer.write(b"220 relay ESMTP\r\n")
        while line := await reader.readline():
            self.heard.append(line.decode().strip())
            verb = line.decode().split()[0].upper()
            writer.write((self.answers.get(verb, "250 OK") + "\r\n").encode())
            if verb == "QUIT":
                break
        writer.close()


async def ask_relay(config_file, script, extra=""):
    server = await asyncio.start_server(script, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    config_file.write_text(CONFIG + f"[smtp]\nport = {port}\n{extra}")
    found = await collect(check_there.relay(load(config_file, {})))
    server.close()
    return found


async def test_the_relay_is_asked_what_it_can_and_sends_nothing(make):
    script = Script()
    found = await ask_relay(make().path, script)
    assert texts(found, "wrong") == []
    assert texts(found, "ok")[0].endswith("answers, without TLS, and can SIZE, DSN")
    assert "has no SMTPUTF8" in texts(found, "note")[0]
    assert texts(found, "ok")[1].endswith("relays for the gateway")
    assert "RCPT TO:<postmaster@example.com>" in script.heard
    assert not any(line.startswith("DATA") for line in script.heard)
    assert "RSET" in script.heard


async def test_a_relay_that_does_not_relay_is_wrong(make):
    found = await ask_relay(make().path, Script(RCPT="554 5.7.1 Relay access denied"))
    assert (
        "does not relay for the gateway (554 5.7.1 Relay access denied): add the gateway's address to mynetworks"
        in texts(found, "wrong")[0]
    )
    found = await ask_relay(make().path, Script(RCPT="451 4.7.1 later"))
    assert "does not relay at this moment (451 4.7.1 later)" in texts(found, "note")[-1]


async def test_a_relay_that_lacks_things_is_noted(make):
    found = await ask_relay(make().path, Script(EHLO="250-relay\r\n250 SIZE 1000"))
    notes = " ".join(texts(found, "note"))
    assert "has no DSN" in notes
    assert "takes mails of 1000 bytes at most" in notes


async def test_why_a_relay_cannot_be_used(make):
    found = await ask_relay(make().path, Script(), 'tls = "starttls"\n')
    assert "[smtp] 127.0.0.1:" in texts(found, "wrong")[0]
    assert "STARTTLS" in texts(found, "wrong")[0]
    found = await ask_relay(make().path, Script(), 'tls = "implicit"\n')
    assert "speaks no TLS on this port" in texts(found, "wrong")[0]
    config = make("[smtp]\nport = 1\n")
    (finding,) = await collect(check_there.relay(config))
    assert (
        finding.text
        == "[smtp] 127.0.0.1:1 cannot be reached: is Postfix running there, with the snippets of `init`, "
        "and listening on this port?"
    )
