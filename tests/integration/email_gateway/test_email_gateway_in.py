"""From the mail server to the client: stored before it is acknowledged, kept until it has arrived."""

from __future__ import annotations

import asyncio
import base64

DOMAIN = "mail.localhost"
BOB = "bob\\40example.net@mail.localhost"
GRE = "{urn:xmpp:gre:0}"


async def test_a_mail_becomes_a_message_that_carbons_and_archives_take(start, juliet, kit):
    gateway = await start()
    data = kit.openpgp(3000)
    assert await gateway.deliver(kit.pgp_mime(data)) == ["250 2.1.5 Stored"]
    got = await juliet.until(f"{GRE}encrypted")
    encrypted = got.find(f"{GRE}encrypted")
    assert (got.get("from"), got.get("type")) == (BOB, "chat")
    assert encrypted.get("formatter") == "urn:xmpp:gre:formatter:mime:0"
    assert encrypted.get("encrypter") == "urn:xmpp:gre:encrypter:openpgp:0"
    assert base64.b64decode(encrypted.text, validate=True) == data
    assert len(encrypted) == 0
    assert got.find("{urn:xmpp:eme:0}encryption").get("namespace") == "urn:xmpp:gre:0"
    assert got.find("{urn:xmpp:hints}store") is not None
    assert got.find("{urn:xmpp:sid:0}origin-id").get("id") == got.get("id")


async def test_what_stood_around_the_encrypted_part_is_noted_in_codes(start, juliet, kit):
    gateway = await start()
    mail = kit.pgp_mime(kit.openpgp()).replace(b"--sep--", b"--sep\r\n\r\nBuy cheap pills\r\n--sep--")
    assert await gateway.deliver(mail) == ["250 2.1.5 Stored"]
    got = await juliet.until(f"{GRE}encrypted")
    (note,) = got.findall("{urn:xmpp:gre:notes:0}note")
    assert note.attrib == {"code": "list-footer"}
    assert "pills" not in "".join(got.itertext())


async def test_a_mail_for_several_gets_an_answer_for_each(start, juliet, connect, kit):
    gateway = await start(
        users='"juliet@example.org" = "juliet@localhost"\n"romeo@example.org" = "romeo@localhost"'
    )
    romeo = kit.Juliet(await connect("romeo", "orchard"))
    to = ("juliet@example.org", "nobody@example.org", "romeo@example.org")
    assert await gateway.deliver(kit.pgp_mime(kit.openpgp()), to=to) == [
        "250 2.1.5 Stored",
        "250 2.1.5 Stored",
    ]
    await juliet.until(f"{GRE}encrypted")
    await romeo.until(f"{GRE}encrypted")
    assert (await gateway.deliver(kit.pgp_mime(kit.openpgp()), to=("nobody@example.org",)))[0].startswith(
        "550 5.1.1"
    )


async def test_a_mail_too_large_for_a_stanza_is_held_and_announced_and_the_stream_lives(start, juliet, kit):
    gateway = await start()
    assert await gateway.deliver(kit.pgp_mime(kit.openpgp(450_000))) == ["250 2.1.5 Stored"]
    notice = await juliet.until("{jabber:client}body")
    assert notice.get("from") == DOMAIN, "never as the words of the contact"
    assert "from bob@example.net" in notice.findtext("{jabber:client}body")
    assert "586 KB" in notice.findtext("{jabber:client}body")
    largest = 370_000
    assert await gateway.deliver(kit.pgp_mime(kit.openpgp(largest))) == ["250 2.1.5 Stored"]
    got = await juliet.until(f"{GRE}encrypted")
    assert len(base64.b64decode(got.findtext(f"{GRE}encrypted"))) == largest + 7


async def test_an_acknowledged_mail_survives_a_lost_stream_and_kill_9(start, server, juliet, kit):
    gateway = await start()
    await server.kick(DOMAIN)
    await asyncio.sleep(0.1)
    data = kit.openpgp(seed=9)
    assert await gateway.deliver(kit.pgp_mime(data)) == ["250 2.1.5 Stored"]
    await gateway.stop(kill=True)
    assert gateway.waiting() == 1
    await gateway.start()
    got = await juliet.until(f"{GRE}encrypted")
    assert base64.b64decode(got.findtext(f"{GRE}encrypted")) == data
    async with asyncio.timeout(60):
        while gateway.waiting():
            await asyncio.sleep(0.05)


async def test_a_client_with_receipts_has_the_last_word(start, juliet, kit):
    for feature in ("urn:xmpp:gre:0", "urn:xmpp:receipts"):
        juliet.client.plugin["xep_0030"].add_feature(feature)
    gateway = await start()
    # slixmpp agrees to the gateway's subscription by itself; from then on the gateway sees this client.
    async with asyncio.timeout(60):
        while DOMAIN not in juliet.client.client_roster or not juliet.client.client_roster[DOMAIN]["from"]:
            await asyncio.sleep(0.05)
    await gateway.deliver(kit.pgp_mime(kit.openpgp()))
    got = await juliet.until(f"{GRE}encrypted")
    await juliet.client.plugin["xep_0199"].ping(DOMAIN, timeout=30)
    await asyncio.sleep(0.3)
    assert gateway.waiting() == 1
    juliet.send(
        f"<message to='{BOB}' id='r1'><received xmlns='urn:xmpp:receipts' id='{got.get('id')}'/></message>"
    )
    async with asyncio.timeout(60):
        while gateway.waiting():
            await asyncio.sleep(0.02)


async def test_it_connects_again_and_goes_on(start, server, juliet, relay, kit):
    gateway = await start()
    await server.kick(DOMAIN)
    assert await gateway.deliver(kit.pgp_mime(kit.openpgp())) == ["250 2.1.5 Stored"]
    await juliet.until(f"{GRE}encrypted")
    juliet.send(kit.message(kit.openpgp()))
    await juliet.until("{urn:xmpp:receipts}received")


def report_about(message_id, *, to="bob@example.net"):
    """What a mail system sends back when a recipient does not exist (RFC 3464)."""
    return (
        "From: MAILER-DAEMON@example.net\r\nTo: juliet@example.org\r\nSubject: Undelivered\r\n"
        'MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n'
        "--b\r\nContent-Type: text/plain\r\n\r\nSorry.\r\n"
        "--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example.net\r\n\r\n"
        f"Final-Recipient: rfc822; {to}\r\nAction: failed\r\nStatus: 5.1.1\r\n"
        "Diagnostic-Code: smtp; 550 5.1.1 no such mailbox\r\n\r\n"
        f"--b\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: <{message_id}>\r\n\r\n--b--\r\n"
    ).encode()


async def test_a_report_is_an_error_on_the_message_that_had_its_receipt(start, juliet, relay, kit):
    gateway = await start()
    # slixmpp agrees to the gateway's subscription by itself; from then on the gateway sees this client.
    async with asyncio.timeout(60):
        while DOMAIN not in juliet.client.client_roster or not juliet.client.client_roster[DOMAIN]["from"]:
            await asyncio.sleep(0.05)
    juliet.send(kit.message(kit.openpgp(), id_="m7"))
    await juliet.until("{urn:xmpp:receipts}received")
    await relay.next()
    forged = report_about("m7@example.org", to="eve@example.net")
    assert await gateway.deliver(forged, sender="") == ["250 2.1.5 Stored"]
    shown = await juliet.until("{jabber:client}body")
    assert shown.get("from") == "mailer-daemon\\40example.org@mail.localhost"
    assert await gateway.deliver(report_about("m7@example.org"), sender="") == ["250 2.1.5 Stored"]
    error = await juliet.until("{jabber:client}error")
    assert (error.get("type"), error.get("id"), error.get("from")) == ("error", "m7", BOB)
    assert kit.error_of(error)[:2] == ("cancel", "item-not-found")
    assert "no such mailbox" in kit.error_of(error)[2]
    async with asyncio.timeout(60):
        while gateway.waiting():
            await asyncio.sleep(0.05)
