"""Answers to plain mails: they stand with the mail that they answer, and the gateway remembers nothing for it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from email import message_from_bytes, policy

import pytest

from gre_core.testing import require

BOB = "bob\\40example.net@mail.localhost"
BODY, THREAD = "{jabber:client}body", "{jabber:client}thread"
RECEIVED = "<received xmlns='urn:xmpp:receipts' id='{}'/>"


def mail(message_id, *more):
    fields = [
        "From: bob@example.net",
        "To: juliet@example.org",
        "Subject: Tomorrow",
        f"Message-ID: <{message_id}>",
    ]
    return "\r\n".join([*fields, *more, "", f"This is {message_id}.", ""]).encode()


async def received(juliet, gateway):
    """Get a message, and confirm it: then the gateway has only hashes of it."""
    got = await juliet.until(BODY)
    juliet.send(f"<message to='{BOB}' type='chat' id='r'>{RECEIVED.format(got.get('id'))}</message>")
    async with asyncio.timeout(60):
        while gateway.waiting():
            await asyncio.sleep(0.1)
    return got


def answer(id_, children):
    return f"<message to='{BOB}' id='{id_}' type='chat'><body>Yes: {id_}</body>{children}</message>"


def reply_to(got):
    """What Conversations, Dino and Gajim send (XEP-0461)."""
    origin = got.find("{urn:xmpp:sid:0}origin-id").get("id")
    assert origin == got.get("id")
    return f"<reply xmlns='urn:xmpp:reply:0' to='{BOB}' id='{origin}'/>"


@pytest.fixture
def notmuch(tmp_path):
    """``notmuch(mails)``: the threads that notmuch makes of mails, as sets of Message-IDs."""
    require(shutil.which("notmuch"), "notmuch (apt-get install notmuch)")

    def threads(mails):
        folder = tmp_path / "maildir"
        (folder / "cur").mkdir(parents=True)
        (tmp_path / "notmuch-config").write_text(
            f"[database]\npath={folder}\n[user]\nname=Bob\nprimary_email=bob@example.net\n"
        )
        for number, raw in enumerate(mails):
            (folder / "cur" / f"{number}:2,S").write_bytes(raw)
        environment = {**os.environ, "NOTMUCH_CONFIG": str(tmp_path / "notmuch-config")}

        def run(*arguments):
            return subprocess.run(
                ["notmuch", *arguments],
                env=environment,
                check=True,
                capture_output=True,
                text=True,
                timeout=60,
            ).stdout

        run("new")
        found = json.loads(run("search", "--output=threads", "--format=json", "*"))
        return [
            set(json.loads(run("search", "--output=messages", "--format=json", f"thread:{each}")))
            for each in found
        ]

    return threads


async def test_answers_stand_with_their_mails_also_after_a_restart(start, juliet, relay, notmuch):
    gateway = await start()
    mails = [mail("first@example.net")]
    await gateway.deliver(mails[-1])
    first = await received(juliet, gateway)
    await gateway.stop(kill=True)
    await gateway.start()
    juliet.send(answer("a1", reply_to(first)))
    mails.append((await relay.next())[2])
    parsed = message_from_bytes(mails[-1], policy=policy.default)
    assert parsed["In-Reply-To"] == parsed["References"] == "<first@example.net>"
    # Bob answers the answer; Juliet's next client knows threads only.
    mails.append(
        mail(
            "third@example.net",
            "In-Reply-To: <a1@example.org>",
            "References: <first@example.net> <a1@example.org>",
        )
    )
    await gateway.deliver(mails[-1])
    third = await received(juliet, gateway)
    assert third.findtext(THREAD) == first.findtext(THREAD), "one conversation"
    juliet.send(answer("a2", f"<thread>{third.findtext(THREAD)}</thread>"))
    mails.append((await relay.next())[2])
    parsed = message_from_bytes(mails[-1], policy=policy.default)
    assert (parsed["In-Reply-To"], parsed["References"]) == (None, "<first@example.net>")
    juliet.send(answer("a3", ""))
    mails.append((await relay.next())[2])
    assert message_from_bytes(mails[-1], policy=policy.default)["References"] is None, "nothing is guessed"
    together = {"first@example.net", "a1@example.org", "third@example.net", "a2@example.org"}
    assert sorted(notmuch(mails), key=len) == [{"a3@example.org"}, together]
    assert b"first@example.net" not in (gateway.state / "gateway.db").read_bytes(), (
        "of what is through, hashes alone"
    )


async def test_an_error_for_any_part_of_a_message_is_an_error_for_all_of_it(start, juliet, kit):
    juliet.announce(*kit.CONFIRMING)
    gateway = await start()
    await juliet.seen()
    await gateway.deliver(mail("x@example.net"))
    got = await juliet.until(BODY)
    error = "<error type='cancel'><not-acceptable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
    juliet.send(f"<message to='{BOB}' type='error' id='{got.get('id')}'>{error}</message>")
    async with asyncio.timeout(60):
        while gateway.waiting():
            await asyncio.sleep(0.1)
