"""From the client to the mail relay: receipts, errors with a text, nothing plain by mistake."""

from __future__ import annotations

import asyncio
import base64

import pytest

DOMAIN = "mail.localhost"
BOB = "bob\\40example.net@mail.localhost"
PAIR = "formatter='urn:xmpp:gre:formatter:mime:0' encrypter='urn:xmpp:gre:encrypter:openpgp:0'"
REQUEST = "<request xmlns='urn:xmpp:receipts'/>"


async def test_a_message_becomes_a_mail_and_the_receipt_comes_when_the_relay_has_it(
    start, juliet, relay, kit
):
    await start()
    data = kit.openpgp()
    juliet.send(kit.message(data, extra=REQUEST + "<origin-id xmlns='urn:xmpp:sid:0' id='m1'/>"))
    receipt = await juliet.until("{urn:xmpp:receipts}received")
    assert receipt.find("{urn:xmpp:receipts}received").get("id") == "m1"
    assert receipt.get("from") == BOB
    sender, recipients, mail = await relay.next()
    assert (sender, recipients) == ("juliet@example.org", ["bob@example.net"])
    assert kit.binary_of(mail) == data
    assert b"\r\nMessage-ID: <m1@example.org>\r\n" in mail
    assert b"\r\nSubject: [...]\r\n" in mail


async def test_a_resent_message_gets_its_receipt_and_is_mailed_once(start, juliet, relay, kit):
    gateway = await start()
    stanza = kit.message(kit.openpgp(), extra=REQUEST + "<origin-id xmlns='urn:xmpp:sid:0' id='m1'/>")
    for _ in range(2):
        juliet.send(stanza)
        await juliet.until("{urn:xmpp:receipts}received")
    assert await gateway.stop() == 0
    await gateway.start()
    juliet.send(stanza)
    await juliet.until("{urn:xmpp:receipts}received")
    assert relay.count == 1


async def test_a_relay_that_refuses_for_good_gives_an_error_with_a_text_on_the_right_message(
    start, juliet, relay, kit
):
    gateway = await start()
    relay.answer = "550 5.1.1 no such user"
    juliet.send(kit.message(kit.openpgp(), id_="refused"))
    error = await juliet.next()
    assert (error.get("type"), error.get("id"), error.get("from")) == ("error", "refused", BOB)
    assert kit.error_of(error)[:2] == ("cancel", "item-not-found")
    assert "no such user" in kit.error_of(error)[2]
    relay.answer = None
    juliet.send(kit.message(kit.openpgp(), id_="after"))
    assert (await juliet.until("{urn:xmpp:receipts}received"))[0].get("id") == "after"
    assert gateway.waiting("outbox") == 0


@pytest.mark.parametrize("answer", ["451 4.3.0 try later", "hang"], ids=["4xx", "hangs"])
async def test_what_the_relay_does_not_take_now_is_tried_again_also_after_kill_9(
    start, juliet, relay, kit, answer
):
    gateway = await start("[retry]\nfirst_seconds = 1\nlongest_seconds = 1")
    relay.answer = answer
    juliet.send(kit.message(kit.openpgp(), id_="patient"))
    async with asyncio.timeout(60):
        while not gateway.waiting("outbox"):
            await asyncio.sleep(0.05)
    await gateway.stop(kill=True)
    relay.answer = None
    await gateway.start()
    receipt = await juliet.until("{urn:xmpp:receipts}received")
    assert receipt[0].get("id") == "patient"
    assert gateway.waiting("outbox") == 0


BAD_CONTENT = {
    "not base64": "this is my secret",
    "plain text in base64": base64.b64encode(b"this is my secret").decode(),
    "empty": "",
}


async def test_what_is_not_encrypted_is_never_mailed(start, juliet, relay, kit):
    await start()
    for name, content in BAD_CONTENT.items():
        juliet.send(kit.message(b"", text=content, id_=name))
        error = await juliet.next()
        assert error.get("id") == name
        assert kit.error_of(error)[0] == "modify"
        assert kit.error_of(error)[2]
        assert "secret" not in kit.error_of(error)[2]
    assert relay.count == 0


RECIPIENTS = {
    "a comma": "a,b\\40x.org@mail.localhost",
    "quotes": "\\22a\\22\\40x.org@mail.localhost",
    "two @": "a\\40b\\40x.org@mail.localhost",
    "no @": "alice@mail.localhost",
    "a space within": "a\\20b\\40x.org@mail.localhost",
    "no domain": "alice\\40@mail.localhost",
    "an address literal": "alice\\40[127.0.0.1]@mail.localhost",
}


async def test_a_recipient_that_is_no_address_is_an_error_with_a_text(start, juliet, relay, kit):
    await start()
    for name, jid in RECIPIENTS.items():
        juliet.send(kit.message(kit.openpgp(), to=jid, id_=name))
        error = await juliet.next()
        assert (error.get("type"), error.get("id")) == ("error", name)
        assert kit.error_of(error)[2], name
        answer = await juliet.iq(jid, f"<data xmlns='urn:xmpp:gre:0' {PAIR}/>")
        assert kit.error_of(answer)[2], name
    assert relay.count == 0


async def test_a_stranger_is_refused_with_a_text(start, connect, relay, kit):
    await start()
    romeo = kit.Juliet(await connect("romeo", "orchard"))
    romeo.send(kit.message(kit.openpgp()))
    error = await romeo.next()
    assert kit.error_of(error)[1] == "registration-required"
    assert kit.error_of(error)[2]
    assert kit.error_of(await romeo.iq(BOB, "<data xmlns='urn:xmpp:gre:0'/>"))[2]
    assert relay.count == 0


async def test_plain_messages_both_ways_when_the_policy_allows(start, juliet, relay):
    gateway = await start()
    juliet.send(
        f"<message to='{BOB}' type='chat' id='p1'><body>Gr\u00fc\u00dfe &amp; K\u00fcsse</body>{REQUEST}</message>"
    )
    await juliet.until("{urn:xmpp:receipts}received")
    _, _, mail = await relay.next()
    assert base64.b64encode("Gr\u00fc\u00dfe & K\u00fcsse".encode()) in mail
    assert await gateway.deliver(b"Subject: Re\r\n\r\nAdieu\r\n") == ["250 2.1.5 Stored"]
    got = await juliet.until("{jabber:client}body")
    assert got.findtext("{jabber:client}body") == "Adieu"
    assert got.findtext("{jabber:client}subject") == "Re"
    assert got.get("from") == BOB


async def test_encrypted_only_refuses_plain_words_both_ways(start, juliet, relay, kit):
    gateway = await start("[policy]\nencrypted_only = true")
    juliet.send(f"<message to='{BOB}' type='chat' id='p1'><body>my secret</body></message>")
    error = await juliet.next()
    assert kit.error_of(error)[:2] == ("modify", "policy-violation")
    assert "ncrypt" in kit.error_of(error)[2]
    assert (await gateway.deliver(b"Subject: x\r\n\r\nmy secret\r\n"))[0].startswith("523 5.7.10")
    info = await juliet.iq(DOMAIN, "<query xmlns='http://jabber.org/protocol/disco#info'/>")
    assert "urn:xmpp:gre:encrypted_only:0" in [each.get("var") for each in info[0]]
    juliet.send(kit.message(kit.openpgp()))
    await juliet.until("{urn:xmpp:receipts}received")
    assert (await gateway.deliver(kit.pgp_mime(kit.openpgp()))) == ["250 2.1.5 Stored"]
    assert "secret" not in gateway.log.read_text()
