"""Requests that the host answers: exactly one answer, in time, and each error has a text."""

from __future__ import annotations

import asyncio
from xml.etree.ElementTree import Element, SubElement

import pytest

from gre_core.errors import Refused
from gre_core.slixmpp import requests

DOMAIN, USER = "mail.localhost", "juliet@localhost"
CONTACT = rf"bob\40example.net@{DOMAIN}"
TAG = "{urn:test}ask"
ASK = "<ask xmlns='urn:test'/>"
STANZAS = "{urn:ietf:params:xml:ns:xmpp-stanzas}"


async def ask(raw, to, type_="get", payload=ASK, id_="q1"):
    raw.write(f"<iq type='{type_}' id='{id_}' to='{to}'>{payload}</iq>")
    async with asyncio.timeout(30):
        while (answer := await raw.read()).get("id") != id_:
            pass
    return answer


def error(answer):
    (found,) = [each for each in answer if each.tag.endswith("}error")]
    assert found.findtext(f"{STANZAS}text")
    return found.get("type"), found[0].tag.removeprefix(STANZAS)


@pytest.fixture
async def relay(world):
    return await world.gateway()


async def test_a_handler_sees_who_asks_whom_and_its_child_is_the_answer(world, relay):
    seen = []

    async def answer(request):
        seen.append(request)
        return Element("{urn:test}answer")

    relay.gre.requests.on(TAG, answer, types=("get", "set"), where=("gateway", "contact"))
    raw = await world.raw()
    assert (await ask(raw, DOMAIN))[0].tag == "{urn:test}answer"
    assert (await ask(raw, CONTACT, "set", id_="q2")).get("from") == CONTACT
    first, second = seen
    assert (first.user, first.user_full, first.type, first.contact) == (USER, f"{USER}/raw", "get", None)
    assert (second.type, second.contact.legacy_id, second.payload.tag) == ("set", "bob@example.net", TAG)


async def test_what_a_handler_does_not_take_is_refused(world, relay):
    async def answer(_request):
        return None

    relay.gre.requests.on(TAG, answer)
    raw = await world.raw()
    assert len(await ask(raw, DOMAIN)) == 0
    assert error(await ask(raw, DOMAIN, "set")) == ("cancel", "not-allowed")
    assert error(await ask(raw, CONTACT)) == ("cancel", "service-unavailable")
    assert error(await ask(raw, rf"\20edge@{DOMAIN}")) == ("modify", "jid-malformed")


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (Refused("no", condition="forbidden", error_type="auth"), ("auth", "forbidden")),
        (ZeroDivisionError("secret"), ("wait", "internal-server-error")),
        (asyncio.CancelledError(), ("wait", "internal-server-error")),
    ],
)
async def test_a_handler_that_raises_is_answered_by_one_error(world, relay, raised, expected):
    after = []

    async def job():
        after.append(1)

    async def answer(request):
        request.after(job)
        raise raised

    relay.gre.requests.on(TAG, answer)
    raw = await world.raw()
    answered = await ask(raw, DOMAIN)
    assert error(answered) == expected
    assert "secret" not in "".join(answered.itertext())
    assert [each for each in await raw.until_pong() if each.get("id") == "q1"] == []
    assert after == [], "work for after the answer is not done after an error"


async def test_a_handler_that_hangs_is_answered_in_time(world, relay, monkeypatch):
    monkeypatch.setattr(requests, "ANSWER_TIMEOUT", 0.2)

    async def answer(_request):
        await asyncio.sleep(3600)

    relay.gre.requests.on(TAG, answer)
    assert error(await ask(await world.raw(), DOMAIN)) == ("wait", "remote-server-timeout")


async def test_an_answer_that_cannot_be_sent_becomes_an_error(world, relay):
    async def illegal(_request):
        answer = Element("{urn:test}answer")
        answer.text = "\x00"
        return answer

    async def huge(_request):
        answer = Element("{urn:test}answer")
        SubElement(answer, "{urn:test}x").text = "x" * 600_000
        return answer

    relay.gre.requests.on(TAG, illegal)
    relay.gre.requests.on("{urn:test}huge", huge)
    raw = await world.raw()
    assert error(await ask(raw, DOMAIN))[1] == "internal-server-error"
    assert error(await ask(raw, DOMAIN, payload="<huge xmlns='urn:test'/>"))[0] == "wait"
    assert relay.gre.stream.up


async def test_the_answer_is_on_the_stream_before_the_work_that_follows_it(world, relay):
    async def answer(request):
        async def job():
            relay.gre.presences.send(f"{USER}/raw", "unavailable")

        request.after(job)

    relay.gre.requests.on(TAG, answer)
    raw = await world.raw()
    raw.write(f"<iq type='get' id='q1' to='{DOMAIN}'>{ASK}</iq>")
    async with asyncio.timeout(30):
        got = [await raw.read(), await raw.read()]
    assert [each.tag.rpartition("}")[2] for each in got] == ["iq", "presence"]


async def test_the_host_adds_features_and_nodes(world, relay):
    disco = "http://jabber.org/protocol/disco#"

    class Nodes:
        async def info(self, request, node):
            return Element(f"{{{disco}info}}query") if (node, request.user) == ("mine", USER) else None

        async def items(self, _request, node):
            return Element(f"{{{disco}items}}query") if node == "mine" else None

    relay.gre.answers.add_nodes(Nodes())
    relay.gre.announced.add(["urn:test:feature"])
    raw = await world.raw()
    info = await ask(raw, DOMAIN, payload=f"<query xmlns='{disco}info'/>")
    assert "urn:test:feature" in {each.get("var") for each in info[0]}
    info = await ask(raw, CONTACT, payload=f"<query xmlns='{disco}info'/>")
    assert "urn:test:feature" not in {each.get("var") for each in info[0]}
    for kind in ("info", "items"):
        found = await ask(raw, DOMAIN, payload=f"<query xmlns='{disco}{kind}' node='mine'/>")
        assert found[0].get("node") == "mine"
        other = await ask(raw, DOMAIN, payload=f"<query xmlns='{disco}{kind}' node='other'/>")
        assert error(other) == ("cancel", "item-not-found")
