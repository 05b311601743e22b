"""The traps of slixmpp that show on the wire."""

from __future__ import annotations

import asyncio
from xml.etree.ElementTree import Element

import pytest
from slixmpp.exceptions import IqError, XMPPError
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import StanzaPath

from gre_core.errors import PeerError, PolicyChanged, Refused
from gre_core.model import Message
from gre_core.namespaces import ENCRYPTED_ONLY, GRE
from gre_core.outbox import SendState
from gre_core.policy import Policy
from gre_core.stanza_ports import StanzaNetwork
from gre_core.testing.slix import make_client, offline, online

DOMAIN, USER, LEGACY = "mail.localhost", "juliet@localhost", "bob@example.net"
CONTACT = rf"bob\40example.net@{DOMAIN}"
STANZAS = "{urn:ietf:params:xml:ns:xmpp-stanzas}"


async def errors_of(client):
    """Collect the error messages that a plain slixmpp client reads."""
    errors = asyncio.Queue()
    client.add_event_handler("message_error", errors.put_nowait)
    return errors


async def test_trap_01_policy_violation_goes_out_and_is_read(world):
    await world.gateway(engine=world.engine(encrypted_only=True))
    plain = await world.plain()
    errors = await errors_of(plain)
    plain.send_message(CONTACT, "not encrypted", mtype="chat")
    async with asyncio.timeout(90):
        error = (await errors.get())["error"]
    assert (error["condition"], error["type"]) == ("policy-violation", "modify")
    assert "encrypted" in error["text"]
    assert [child.tag for child in error.xml] == [f"{STANZAS}policy-violation", f"{STANZAS}text"]


async def test_trap_01_policy_violation_is_raised_by_slixmpp_itself(world):
    """A handler of the host that raises it is answered with it, not with feature-not-implemented."""
    relay = await world.gateway()

    def refuse(_iq):
        raise XMPPError("policy-violation", "Not here.", etype="modify")

    relay.component.register_plugin("xep_0092")
    relay.component.remove_handler("Software Version")
    relay.component.register_handler(Callback("host", StanzaPath("iq@type=get/software_version"), refuse))
    plain = await world.plain("juliet", "plain", "xep_0092")
    with pytest.raises(IqError) as caught:
        await plain.plugin["xep_0092"].get_version(DOMAIN, timeout=30)
    assert caught.value.iq["error"]["condition"] == "policy-violation"


async def test_trap_02_component_and_client_of_one_process_both_read_errors(world):
    relay = await world.gateway()
    plain = await world.plain("juliet", "plain", "xep_0030")
    with pytest.raises(IqError) as caught:
        await plain.plugin["xep_0030"].get_info(rf"\20bad@{DOMAIN}", timeout=30, cached=False)
    assert caught.value.iq["error"]["condition"] == "jid-malformed"
    # A component reads the errors that others send, and its own code sees them too.
    iq = relay.component.make_iq_get(ito=f"{USER}/nobody", ifrom=DOMAIN)
    iq.append(Element("{urn:test}query"))
    with pytest.raises(IqError) as caught:
        await iq.send(timeout=30)
    assert caught.value.iq["error"]["condition"] == "service-unavailable"
    with pytest.raises(PeerError) as refused:
        await relay.gre.stream.iq(f"{USER}/nobody", "get", Element("{urn:test}query"))
    assert refused.value.condition == "service-unavailable"


async def test_trap_04_a_message_without_body_arrives(world):
    relay, user = await world.gateway(), await world.user()
    async with asyncio.timeout(90):
        sent = await user.gre.send(CONTACT, "no body outside")
        relayed = await relay.relayed.get()
        assert relayed.id == sent.id
        assert relayed.stanza.find("{jabber:component:accept}body") is None
        assert (await user.gre.settled(sent, 60)).state is SendState.RELAYED


async def test_trap_04_the_host_never_takes_the_fallback_for_a_message(world):
    relay, user = await world.gateway(), await world.user()
    bodies = []
    user.xmpp.add_event_handler("message", lambda stanza: bodies.append(stanza["body"]))
    relay.deliver("read me", "m1")
    async with asyncio.timeout(90):
        received = await user.received.get()
    assert (received.message.text, received.id) == ("read me", "m1")
    assert bodies == []


async def test_trap_08_case_is_folded_and_the_answer_finds_its_way(world):
    relay, user = await world.gateway(), await world.user()
    relay.gre.deliver(USER, "Bob@Example.NET", world.pair, world.body("hello"), "m1")
    async with asyncio.timeout(90):
        received = await user.received.get()
        assert received.peer == CONTACT
        await user.gre.send(received.peer, "answer")
        assert (await relay.relayed.get()).recipients[0].legacy_id == LEGACY


async def test_trap_09_forms_are_read_with_plain_form_types(world):
    """slixmpp gives FORM_TYPE as a list; what we read of disco#info has it as the key."""
    await world.gateway(engine=world.engine(encrypted_only=True))
    user = await world.user()
    info = await StanzaNetwork(user.gre._stream).disco_info(DOMAIN)
    assert info.forms == {"urn:xmpp:data-policy:0": {"data_transmission": ("gre",)}}


@pytest.mark.parametrize("how", ["presence", "lifetime"])
async def test_trap_10_a_withdrawn_encrypted_only_is_seen(world, how):
    """By the presence that announces other capabilities, or when the cache has had its time."""
    first = await world.gateway(engine=world.engine(encrypted_only=True))
    answers = []

    async def decide(question):
        answers.append(question.code)
        return question.code == "confirm-sender-id"

    user = await world.user(
        decide=decide, policy=Policy(capabilities_lifetime=0.05 if how == "lifetime" else 3600)
    )
    user.xmpp.register_plugin("xep_0030")
    if how == "presence":
        first.gre.presences.greet(USER)
    async with asyncio.timeout(90):
        sent = await user.gre.send(CONTACT, "encrypted")
        await user.gre.settled(sent, 60)
        with pytest.raises(Refused):
            await user.gre.engine.send_plain(CONTACT, "plain")
        assert ENCRYPTED_ONLY in (await user.gre.engine._capabilities._ask(CONTACT))[0].features
        first.component.disconnect()
        await first.component.disconnected
        second = await world.gateway(engine=world.engine(encrypted_only=False))
        if how == "presence":
            second.gre.presences.greet(USER)
        await asyncio.sleep(0.3)
        with pytest.raises(PolicyChanged) as caught:
            await user.gre.engine.send_plain(CONTACT, "plain")
    assert caught.value.question.code == "encrypted-only-withdrawn"


@pytest.mark.parametrize("jid", [DOMAIN, CONTACT, rf"{CONTACT}/resource", rf"\e9\40x.org@{DOMAIN}"])
async def test_trap_11_disco_answers_on_the_domain_and_on_each_contact(world, jid):
    relay = await world.gateway(engine=world.engine(encrypted_only=True))
    plain = await world.plain("juliet", "plain", "xep_0030", "xep_0128")
    version = relay.gre.announced.version(contact="@" in jid, encrypted_only=True)
    node = f"urn:xmpp:gre:gateway#{version}"
    for asked in (None, node):
        info = (await plain.plugin["xep_0030"].get_info(jid, asked, timeout=30, cached=False))["disco_info"]
        assert {GRE, ENCRYPTED_ONLY, *map(str, world.pair)} <= info["features"]
        assert ("gateway", "smtp", None, "Gateway") in info["identities"]
        assert info["node"] == (asked or "")


@pytest.mark.parametrize(
    ("jid", "node", "condition"),
    [
        (DOMAIN, "urn:xmpp:gre:gateway#AAAAAAAAAAAAAAAAAAAAAAAAAAA=", "item-not-found"),
        (CONTACT, "other", "item-not-found"),
        (rf"\20edge@{DOMAIN}", None, "jid-malformed"),
    ],
)
async def test_trap_11_disco_refuses_other_nodes_and_no_contacts(world, jid, node, condition):
    await world.gateway()
    plain = await world.plain("juliet", "plain", "xep_0030")
    with pytest.raises(IqError) as caught:
        await plain.plugin["xep_0030"].get_info(jid, node, timeout=30, cached=False)
    assert caught.value.iq["error"]["condition"] == condition
    assert caught.value.iq["error"]["text"]


async def test_trap_07_one_context_serves_many_clients(world):
    """A client of the test helpers costs no TLS context of its own."""
    first, second = (make_client(world.server, "juliet", name) for name in "ab")
    assert first.ssl_context is second.ssl_context


async def test_trap_05_login_without_tls_on_test_servers(world):
    client = make_client(world.server, "romeo", "x")
    await online(client)
    assert client.is_connected()
    assert client.socket.getpeername()[0] == "127.0.0.1"
    await offline(client)


async def test_trap_14_a_host_handler_that_raises_leaves_the_session(world):
    relay, user = await world.gateway(), await world.user()
    calls = []

    def broken(received):
        calls.append(received)
        raise ZeroDivisionError

    user.gre.on_received(broken)
    relay.deliver("first", "m1")
    async with asyncio.timeout(90):
        await user.received.get()
        # What the host could not take is not confirmed, and given again when the gateway repeats it.
        user.gre._handlers[type(calls[0])].remove(broken)
        relay.deliver("first", "m1")
        assert (await user.received.get()).repeated
        assert await relay.receipts.get() == (USER, "m1")
        # Once it has it, the host is not told again, and the gateway hears so.
        relay.deliver("first", "m1")
        assert await relay.receipts.get() == (USER, "m1")
        relay.deliver("second", "m2")
        assert (await user.received.get()).message.text == "second"
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("error", "condition", "kind"),
    [
        (Refused("No such mailbox.", condition="recipient-unavailable", error_type="cancel"), "recipient-unavailable", "cancel"),
        (ZeroDivisionError("secret"), "internal-server-error", "wait"),
        (asyncio.CancelledError(), "internal-server-error", "wait"),
        (Refused("Control \x1b[31m characters \ud800"), "policy-violation", "modify"),
    ],
)  # fmt: skip
async def test_trap_14_a_relay_that_raises_is_an_error_on_the_right_message(world, error, condition, kind):
    relay, user = await world.gateway(), await world.user()

    async def broken(message):
        if message.id == "bad":
            raise error

    relay.relay = broken
    async with asyncio.timeout(90):
        bad = await user.gre.engine.send(CONTACT, Message("bad"), "bad")
        good = await user.gre.send(CONTACT, "good")
        bad, good = await user.gre.settled(bad, 5), await user.gre.settled(good, 60)
    assert (bad.state, bad.condition) == (SendState.REFUSED, condition)
    assert bad.error
    assert "secret" not in bad.error
    assert good.state is SendState.RELAYED


async def test_trap_14_an_iq_handler_of_the_host_that_raises_is_answered(world):
    relay = await world.gateway()

    def broken(_iq):
        raise ZeroDivisionError

    relay.component.register_handler(Callback("host", StanzaPath("iq@type=get/query"), broken))
    raw = await world.raw()
    raw.write(f"<iq type='get' id='q' to='{DOMAIN}'><x xmlns='urn:host'/></iq>")
    async with asyncio.timeout(90):
        answers = await raw.until_pong()
    assert [(a.get("id"), a.get("type")) for a in answers] == [("q", "error")]


async def test_trap_14_errors_are_never_answered_with_errors(world):
    """A handler that raises on an error stanza would make slixmpp answer it, and two such programs would never stop."""
    relay, user = await world.gateway(), await world.user()

    def broken(_stanza):
        raise ZeroDivisionError

    relay.component.add_event_handler("message_error", broken)
    user.xmpp.add_event_handler("message_error", broken)
    raw = await world.raw()
    error = f"<error type='cancel'><gone xmlns='{STANZAS[1:-1]}'/></error>"
    raw.write(f"<message type='error' id='e1' to='{CONTACT}'><body>x</body>{error}</message>")
    raw.write(
        f"<iq type='error' id='e2' to='{DOMAIN}'>{error}</iq><iq type='result' id='e3' to='{CONTACT}'/>"
    )
    raw.write(f"<message type='error' id='e4' to='{user.xmpp.boundjid}'><body>x</body>{error}</message>")
    async with asyncio.timeout(90):
        assert await raw.until_pong() == []
        assert (await relay.errors.get())[1] == "e1"
