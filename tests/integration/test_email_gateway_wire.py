"""The email gateway as a process of its own, and a client that shares no code with ours.

The client is slixmpp alone; what it sends is written here as XML, as ``wire.md`` and the specification say.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import random
import shutil
import subprocess
import sys
from xml.etree import ElementTree as ET

import pytest
from aiosmtpd.smtp import SMTP

from gre_core.testing import require

DOMAIN = "mail.localhost"
BOB = "bob\\40example.net@mail.localhost"
GRE = "{urn:xmpp:gre:0}"
PAIR = "formatter='urn:xmpp:gre:formatter:mime:0' encrypter='urn:xmpp:gre:encrypter:openpgp:0'"
REQUEST = "<request xmlns='urn:xmpp:receipts'/>"


def openpgp(size=500, seed=1):
    """Bytes in the shape of an encrypted OpenPGP message."""
    return b"\xd2\xff" + (size + 1).to_bytes(4, "big") + b"\x01" + random.Random(seed).randbytes(size)


class Relay:
    """A mail relay that keeps what it takes, or answers as told."""

    def __init__(self):
        self.mails = asyncio.Queue()
        self.answer = None
        self.count = 0

    async def handle_RCPT(self, server, session, envelope, address, options):
        if self.answer and self.answer[0] in "45":
            return self.answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if self.answer == "hang":
            await asyncio.sleep(30)
        self.count += 1
        self.mails.put_nowait((envelope.mail_from, envelope.rcpt_tos, envelope.content))
        return "250 OK"

    async def next(self):
        async with asyncio.timeout(10):
            return await self.mails.get()


@pytest.fixture
async def relay():
    made = Relay()
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(made), "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()


class GatewayProcess:
    """``gre-email-gateway run`` as an operator starts it."""

    def __init__(self, folder, text):
        self.config = folder / "gateway.toml"
        self.config.write_text(text)
        self.state = folder / "state"
        self.log = folder / "gateway.log"
        self.process = None
        self.lmtp_port = 0

    async def start(self):
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "gre_gateway_email", "run", "--config", self.config,
                stdout=asyncio.subprocess.PIPE, stderr=log,
            )  # fmt: skip
        async with asyncio.timeout(20):
            line = (await self.process.stdout.readline()).decode()
        assert line.startswith("ready: mail.localhost"), self.log.read_text()
        self.lmtp_port = int(line.partition("127.0.0.1:")[2].partition(",")[0])

    async def stop(self, *, kill=False):
        if self.process.returncode is None:
            (self.process.kill if kill else self.process.terminate)()
        async with asyncio.timeout(15):
            return await self.process.wait()

    async def deliver(self, mail, *, to=("juliet@example.org",), sender="bob@example.net"):
        """Hand over a mail by LMTP; give the replies, one for each recipient that was taken."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.lmtp_port)

        async def say(line):
            if line:
                writer.write(line + b"\r\n")
            while True:
                reply = (await reader.readline()).decode()
                if reply[3:4] != "-":
                    return reply.strip()

        async with asyncio.timeout(10):
            await say(b"")
            await say(b"LHLO mx.example.org")
            await say(b"MAIL FROM:<" + sender.encode() + b">")
            refused = [
                r
                for each in to
                if not (r := await say(b"RCPT TO:<" + each.encode() + b">")).startswith("250")
            ]
            if len(refused) == len(to):
                return refused
            await say(b"DATA")
            stuffed = mail.replace(b"\r\n.", b"\r\n..")
            replies = [await say(stuffed + (b"." if mail.endswith(b"\r\n") else b"\r\n."))]
            replies += [await say(b"") for _ in range(len(to) - len(refused) - 1)]
        writer.close()
        return replies


@pytest.fixture
async def start(server, relay, tmp_path):
    """``await start(extra="")``: a running gateway with juliet as its user."""
    running = []

    async def start_gateway(extra="", users='"juliet@example.org" = "juliet@localhost"'):
        text = f"""
[xmpp]
domain = "{DOMAIN}"
port = {server.component_port}
secret = "{server.components[DOMAIN]}"
[smtp]
port = {relay.port}
timeout = 2
[listen]
port = 0
[users]
{users}
{extra}
"""
        gateway = GatewayProcess(tmp_path, text)
        running.append(gateway)
        await gateway.start()
        return gateway

    yield start_gateway
    for gateway in running:
        await gateway.stop()


class Juliet:
    """A slixmpp client that sends XML as it stands here and keeps every message that comes."""

    def __init__(self, client):
        self.client = client
        self.inbox = asyncio.Queue()
        client.add_filter("in", self._keep)

    def _keep(self, stanza):
        if stanza.name == "message":
            self.inbox.put_nowait(ET.fromstring(ET.tostring(stanza.xml)))
        return stanza

    def send(self, xml):
        self.client.send_raw(xml)

    async def next(self):
        async with asyncio.timeout(10):
            return await self.inbox.get()

    async def until(self, tag):
        while True:
            message = await self.next()
            if message.find(tag) is not None:
                return message

    async def iq(self, to, payload, type_="get"):
        iq = self.client.make_iq(ito=to, itype=type_)
        iq.xml.append(ET.fromstring(payload))
        with contextlib.suppress(Exception):
            iq["id"] = f"q{random.randrange(10**9)}"
        found = asyncio.get_running_loop().create_future()

        def keep(stanza):
            if stanza.name == "iq" and stanza.xml.get("id") == iq["id"] and not found.done():
                found.set_result(ET.fromstring(ET.tostring(stanza.xml)))
            return stanza

        self.client.add_filter("in", keep)
        iq.send(timeout=10, callback=lambda _: None)
        try:
            async with asyncio.timeout(10):
                return await found
        finally:
            self.client.del_filter("in", keep)


@pytest.fixture
async def juliet(connect):
    return Juliet(await connect("juliet", "balcony", plugins=("xep_0030", "xep_0199")))


def message(data, *, id_="m1", to=BOB, extra=REQUEST, type_="type='chat'", text=None):
    body = base64.b64encode(data).decode() if text is None else text
    return (
        f"<message to='{to}' id='{id_}' {type_}>"
        f"<encrypted xmlns='urn:xmpp:gre:0' {PAIR}>{body}</encrypted>{extra}</message>"
    )


def pgp_mime(data):
    """A PGP/MIME mail as any mail program makes it."""
    lines = base64.encodebytes(data).decode().replace("\n", "\r\n")
    return (
        "From: Bob <bob@example.net>\r\nTo: juliet@example.org\r\nSubject: ...\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/encrypted; protocol="application/pgp-encrypted"; boundary="sep"\r\n\r\n'
        "--sep\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n\r\n"
        "--sep\r\nContent-Type: application/octet-stream\r\n\r\n"
        f"-----BEGIN PGP MESSAGE-----\r\n\r\n{lines}-----END PGP MESSAGE-----\r\n\r\n--sep--\r\n"
    ).encode()


def binary_of(mail):
    """What stands in the armor of a mail, read without our code."""
    armor = mail.partition(b"-----BEGIN PGP MESSAGE-----\r\n\r\n")[2].partition(b"-----END PGP MESSAGE-----")[
        0
    ]
    return base64.b64decode(armor.partition(b"\r\n=")[0])


def error_of(stanza):
    """Type, condition and text of a stanza error."""
    error = next(each for each in stanza if each.tag.endswith("}error"))
    names = [each.tag.rpartition("}")[2] for each in error]
    text = next((each.text for each in error if each.tag.endswith("}text")), None)
    return error.get("type"), next(name for name in names if name != "text"), text


# -- out ---------------------------------------------------------------------------------------------


async def test_a_message_becomes_a_mail_and_the_receipt_comes_when_the_relay_has_it(start, juliet, relay):
    await start()
    data = openpgp()
    juliet.send(message(data, extra=REQUEST + "<origin-id xmlns='urn:xmpp:sid:0' id='m1'/>"))
    receipt = await juliet.until("{urn:xmpp:receipts}received")
    assert receipt.find("{urn:xmpp:receipts}received").get("id") == "m1"
    assert receipt.get("from") == BOB
    sender, recipients, mail = await relay.next()
    assert (sender, recipients) == ("juliet@example.org", ["bob@example.net"])
    assert binary_of(mail) == data
    assert b"\r\nMessage-ID: <m1@example.org>\r\n" in mail
    assert b"\r\nSubject: [...]\r\n" in mail


async def test_a_resent_message_gets_its_receipt_and_is_mailed_once(start, juliet, relay):
    gateway = await start()
    stanza = message(openpgp(), extra=REQUEST + "<origin-id xmlns='urn:xmpp:sid:0' id='m1'/>")
    for _ in range(2):
        juliet.send(stanza)
        await juliet.until("{urn:xmpp:receipts}received")
    assert await gateway.stop() == 0
    await gateway.start()
    juliet.send(stanza)
    await juliet.until("{urn:xmpp:receipts}received")
    assert relay.count == 1


REFUSED = {
    "4xx": ("451 4.3.0 try later", "wait", "recipient-unavailable", "try later"),
    "5xx": ("550 5.1.1 no such user", "cancel", "item-not-found", "no such user"),
    "hangs": ("hang", "wait", "remote-server-timeout", "did not answer in time"),
}


async def test_a_relay_that_refuses_gives_an_error_with_a_text_on_the_right_message(start, juliet, relay):
    await start()
    for name, (answer, error_type, condition, words) in REFUSED.items():
        relay.answer = answer
        juliet.send(message(openpgp(), id_=name))
        error = await juliet.next()
        assert (error.get("type"), error.get("id"), error.get("from")) == ("error", name, BOB)
        assert error_of(error)[:2] == (error_type, condition), name
        assert words in error_of(error)[2]
        relay.answer = None
        if answer != "hang":
            juliet.send(message(openpgp(), id_=f"after {name}"))
            assert (await juliet.until("{urn:xmpp:receipts}received"))[0].get("id") == f"after {name}"


BAD_CONTENT = {
    "not base64": "this is my secret",
    "plain text in base64": base64.b64encode(b"this is my secret").decode(),
    "empty": "",
}


async def test_what_is_not_encrypted_is_never_mailed(start, juliet, relay):
    await start()
    for name, content in BAD_CONTENT.items():
        juliet.send(message(b"", text=content, id_=name))
        error = await juliet.next()
        assert error.get("id") == name
        assert error_of(error)[0] == "modify"
        assert error_of(error)[2]
        assert "secret" not in error_of(error)[2]
    assert relay.count == 0


RECIPIENTS = {
    "a comma": "a,b\\40x.org@mail.localhost",
    "quotes": "\\22a\\22\\40x.org@mail.localhost",
    "two @": "a\\40b\\40x.org@mail.localhost",
    "no @": "alice@mail.localhost",
    "not ASCII": "b\N{LATIN SMALL LETTER O WITH DIAERESIS}b\\40x.org@mail.localhost",
    "a space within": "a\\20b\\40x.org@mail.localhost",
    "no domain": "alice\\40@mail.localhost",
    "an address literal": "alice\\40[127.0.0.1]@mail.localhost",
}


async def test_a_recipient_that_is_no_address_is_an_error_with_a_text(start, juliet, relay):
    await start()
    for name, jid in RECIPIENTS.items():
        juliet.send(message(openpgp(), to=jid, id_=name))
        error = await juliet.next()
        assert (error.get("type"), error.get("id")) == ("error", name)
        assert error_of(error)[2], name
        answer = await juliet.iq(jid, f"<data xmlns='urn:xmpp:gre:0' {PAIR}/>")
        assert error_of(answer)[2], name
    assert relay.count == 0


async def test_a_stranger_is_refused_with_a_text(start, connect, relay):
    await start()
    romeo = Juliet(await connect("romeo", "orchard"))
    romeo.send(message(openpgp()))
    error = await romeo.next()
    assert error_of(error)[1] == "registration-required"
    assert error_of(error)[2]
    assert error_of(await romeo.iq(BOB, "<data xmlns='urn:xmpp:gre:0'/>"))[2]
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


async def test_encrypted_only_refuses_plain_words_both_ways(start, juliet, relay):
    gateway = await start("[policy]\nencrypted_only = true")
    juliet.send(f"<message to='{BOB}' type='chat' id='p1'><body>my secret</body></message>")
    error = await juliet.next()
    assert error_of(error)[:2] == ("modify", "policy-violation")
    assert "ncrypt" in error_of(error)[2]
    assert (await gateway.deliver(b"Subject: x\r\n\r\nmy secret\r\n"))[0].startswith("523 5.7.10")
    info = await juliet.iq(DOMAIN, "<query xmlns='http://jabber.org/protocol/disco#info'/>")
    assert "urn:xmpp:gre:encrypted_only:0" in [each.get("var") for each in info[0]]
    juliet.send(message(openpgp()))
    await juliet.until("{urn:xmpp:receipts}received")
    assert (await gateway.deliver(pgp_mime(openpgp()))) == ["250 2.1.5 Stored"]
    assert "secret" not in gateway.log.read_text()


# -- discovery and data ------------------------------------------------------------------------------


async def test_the_domain_and_each_contact_announce_the_gateway(start, juliet):
    await start()
    for jid in (DOMAIN, BOB):
        info = await juliet.iq(jid, "<query xmlns='http://jabber.org/protocol/disco#info'/>")
        features = {each.get("var") for each in info[0]}
        assert {
            "urn:xmpp:gre:0", "urn:xmpp:gre:formatter:mime:0", "urn:xmpp:gre:encrypter:openpgp:0", "urn:xmpp:eme:0",
        } <= features  # fmt: skip
        identity = next(each for each in info[0] if each.tag.endswith("identity"))
        assert (identity.get("category"), identity.get("type")) == ("gateway", "smtp")


async def test_the_data_form_has_sender_domain_and_size_limit(start, juliet):
    await start()
    answer = await juliet.iq(BOB, f"<data xmlns='urn:xmpp:gre:0' {PAIR}/>")
    fields = {each.get("var"): [v.text for v in each] for each in answer.iter("{jabber:x:data}field")}
    assert fields["FORM_TYPE"] == ["urn:xmpp:gre:data"]
    assert fields["sender_id"] == ["juliet@example.org"]
    assert fields["{urn:xmpp:gre:formatter:mime:0}domain"] == ["example.org"]
    assert int(fields["{urn:xmpp:gre:limits:0}max-size"][0]) > 400_000
    assert "{urn:xmpp:gre:encrypter:openpgp:0}fingerprints" in fields


async def test_the_habits_of_libervia_are_served(start, juliet, relay):
    """A bare ``<data/>``, then disco on the contact, then a message without type, without hints, without ids."""
    gateway = await start()
    answer = await juliet.iq(BOB, "<data xmlns='urn:xmpp:gre:0'/>")
    fields = {each.get("var"): [v.text for v in each] for each in answer.iter("{jabber:x:data}field")}
    assert fields["sender_id"] == ["juliet@example.org"]
    await juliet.iq(BOB, "<query xmlns='http://jabber.org/protocol/disco#info'/>")
    data = openpgp(seed=7)
    for _ in range(2):
        text = base64.encodebytes(data).decode()
        juliet.send(
            f"<message to='{BOB}'><encrypted xmlns='urn:xmpp:gre:0' {PAIR}>{text}</encrypted></message>"
        )
    mails = [(await relay.next())[2] for _ in range(2)]
    assert [binary_of(mail) for mail in mails] == [data, data], (
        "without an id nothing is taken for a repetition"
    )
    assert await gateway.deliver(pgp_mime(data)) == ["250 2.1.5 Stored"]
    got = await juliet.until(f"{GRE}encrypted")
    assert base64.b64decode(got.findtext(f"{GRE}encrypted")) == data


async def test_keys_of_contacts_are_served_from_the_key_directory(start, juliet, tmp_path):
    require(shutil.which("gpg"), "GnuPG (apt-get install gpg)")
    home = tmp_path / "gnupg"
    home.mkdir(mode=0o700)
    (tmp_path / "keys").mkdir()

    def gpg(*arguments, **options):
        return subprocess.run(
            ["gpg", "--homedir", home, "--batch", "--quiet", "--pinentry-mode", "loopback", *arguments],
            capture_output=True, check=True, **options,
        ).stdout  # fmt: skip

    gpg("--passphrase", "", "--quick-generate-key", "Bob <bob@example.net>", "ed25519", "sign", "never")
    public = gpg("--export", "bob@example.net")
    (tmp_path / "keys" / "bob.gpg").write_bytes(public)
    subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False)
    await start('[keys]\ndirectory = "keys"')
    node = "urn:xmpp:openpgp:0:public-keys"
    query = "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='{}'/></pubsub>"
    listed = await juliet.iq(BOB, query.format(node))
    (entry,) = listed.iter("{urn:xmpp:openpgp:0}pubkey-metadata")
    fingerprint = entry.get("v4-fingerprint")
    assert fingerprint.encode() in gpg("--with-colons", "--fingerprint")
    key = await juliet.iq(BOB, query.format(f"{node}:{fingerprint}"))
    assert base64.b64decode(next(key.iter("{urn:xmpp:openpgp:0}data")).text) == public
    form = await juliet.iq(BOB, f"<data xmlns='urn:xmpp:gre:0' {PAIR}/>")
    fields = {each.get("var"): [v.text for v in each] for each in form.iter("{jabber:x:data}field")}
    assert fields["{urn:xmpp:gre:encrypter:openpgp:0}fingerprints"] == [fingerprint]
    missing = await juliet.iq("eve\\40example.net@mail.localhost", query.format(node))
    assert error_of(missing)[1] == "item-not-found"
    subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False)


# -- in ----------------------------------------------------------------------------------------------


async def test_a_mail_becomes_a_message_that_carbons_and_archives_take(start, juliet):
    gateway = await start()
    data = openpgp(3000)
    assert await gateway.deliver(pgp_mime(data)) == ["250 2.1.5 Stored"]
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


async def test_a_mail_for_several_gets_an_answer_for_each(start, juliet, connect):
    gateway = await start(
        users='"juliet@example.org" = "juliet@localhost"\n"romeo@example.org" = "romeo@localhost"'
    )
    romeo = Juliet(await connect("romeo", "orchard"))
    to = ("juliet@example.org", "nobody@example.org", "romeo@example.org")
    assert await gateway.deliver(pgp_mime(openpgp()), to=to) == ["250 2.1.5 Stored", "250 2.1.5 Stored"]
    await juliet.until(f"{GRE}encrypted")
    await romeo.until(f"{GRE}encrypted")
    assert (await gateway.deliver(pgp_mime(openpgp()), to=("nobody@example.org",)))[0].startswith("550 5.1.1")


async def test_a_mail_too_large_for_a_stanza_is_refused_and_the_stream_lives(start, juliet):
    gateway = await start()
    (reply,) = await gateway.deliver(pgp_mime(openpgp(450_000)))
    assert reply.startswith("552 5.3.4")
    largest = 370_000
    assert await gateway.deliver(pgp_mime(openpgp(largest))) == ["250 2.1.5 Stored"]
    got = await juliet.until(f"{GRE}encrypted")
    assert len(base64.b64decode(got.findtext(f"{GRE}encrypted"))) == largest + 7


async def test_an_acknowledged_mail_survives_a_lost_stream_and_kill_9(start, server, juliet):
    gateway = await start()
    await server.kick(DOMAIN)
    await asyncio.sleep(0.1)
    data = openpgp(seed=9)
    assert await gateway.deliver(pgp_mime(data)) == ["250 2.1.5 Stored"]
    await gateway.stop(kill=True)
    assert len(list((gateway.state / "spool").glob("*.entry"))) == 1
    await gateway.start()
    got = await juliet.until(f"{GRE}encrypted")
    assert base64.b64decode(got.findtext(f"{GRE}encrypted")) == data
    async with asyncio.timeout(10):
        while list((gateway.state / "spool").glob("*.entry")):
            await asyncio.sleep(0.05)


async def test_a_wrong_secret_ends_the_gateway_with_a_text(server, relay, tmp_path):
    file = tmp_path / "gateway.toml"
    file.write_text(
        f'[xmpp]\ndomain = "{DOMAIN}"\nport = {server.component_port}\nsecret = "wrong"\n[listen]\nport = 0\n'
        '[users]\n"juliet@example.org" = "juliet@localhost"\n'
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gre_gateway_email", "run", "--config", file,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(20):
        said, log = await process.communicate()
    assert process.returncode == 2
    assert said == b""
    assert f"the XMPP server does not accept {DOMAIN} with this secret" in log.decode()
    assert b"Traceback" not in log


async def test_a_client_with_receipts_has_the_last_word(start, juliet):
    for feature in ("urn:xmpp:gre:0", "urn:xmpp:receipts"):
        juliet.client.plugin["xep_0030"].add_feature(feature)
    gateway = await start()
    # slixmpp agrees to the gateway's subscription by itself; from then on the gateway sees this client.
    async with asyncio.timeout(10):
        while DOMAIN not in juliet.client.client_roster or not juliet.client.client_roster[DOMAIN]["from"]:
            await asyncio.sleep(0.05)
    await gateway.deliver(pgp_mime(openpgp()))
    got = await juliet.until(f"{GRE}encrypted")
    await juliet.client.plugin["xep_0199"].ping(DOMAIN, timeout=5)
    await asyncio.sleep(0.3)
    assert len(list((gateway.state / "spool").glob("*.entry"))) == 1
    juliet.send(
        f"<message to='{BOB}' id='r1'><received xmlns='urn:xmpp:receipts' id='{got.get('id')}'/></message>"
    )
    async with asyncio.timeout(5):
        while list((gateway.state / "spool").glob("*.entry")):
            await asyncio.sleep(0.02)


async def test_it_connects_again_and_goes_on(start, server, juliet, relay):
    gateway = await start()
    await server.kick(DOMAIN)
    assert await gateway.deliver(pgp_mime(openpgp())) == ["250 2.1.5 Stored"]
    await juliet.until(f"{GRE}encrypted")
    juliet.send(message(openpgp()))
    await juliet.until("{urn:xmpp:receipts}received")


async def test_sigterm_ends_it_in_order_and_the_log_holds_no_address(start, juliet, relay):
    gateway = await start()
    juliet.send(message(openpgp()))
    await juliet.until("{urn:xmpp:receipts}received")
    await gateway.deliver(pgp_mime(openpgp()))
    await juliet.until(f"{GRE}encrypted")
    assert await gateway.stop() == 0
    log = gateway.log.read_text()
    assert "mail-relayed" in log
    assert "bob@" not in log
    assert "juliet@" not in log
    assert "Traceback" not in log


async def publish_key(juliet, key, home):
    """Publish a key on the user's own PEP as XEP-0373 says; give its fingerprint."""
    listing = await asyncio.create_subprocess_exec(
        "gpg",
        "--homedir",
        home,
        "--show-keys",
        "--with-colons",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await listing.communicate(key)
    fingerprint = next(line.split(":")[9] for line in said.decode().splitlines() if line.startswith("fpr"))
    node = "urn:xmpp:openpgp:0:public-keys"
    data = base64.b64encode(key).decode()
    for name, payload in (
        (f"{node}:{fingerprint}", f"<pubkey xmlns='urn:xmpp:openpgp:0'><data>{data}</data></pubkey>"),
        (
            node,
            (
                f"<public-keys-list xmlns='urn:xmpp:openpgp:0'><pubkey-metadata v4-fingerprint='{fingerprint}' "
                "date='2026-11-05T00:00:00Z'/></public-keys-list>"
            ),
        ),
    ):
        answer = await juliet.iq(
            "juliet@localhost",
            f"<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='{name}'><item id='current'>{payload}"
            "</item></publish><publish-options><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' "
            "type='hidden'><value>http://jabber.org/protocol/pubsub#publish-options</value></field>"
            "<field var='pubsub#access_model'><value>open</value></field></x></publish-options></pubsub>",
            "set",
        )
        assert answer.get("type") == "result"
    return fingerprint


# -- with GnuPG at both ends -------------------------------------------------------------------------


async def test_what_gnupg_encrypted_reaches_gnupg_unchanged_in_both_directions(
    start, juliet, relay, tmp_path
):
    require(shutil.which("gpg"), "GnuPG (apt-get install gpg)")
    home = tmp_path / "gnupg"
    home.mkdir(mode=0o700)

    def gpg(*arguments, data=None):
        return subprocess.run(
            ["gpg", "--homedir", home, "--batch", "--quiet", "--trust-model", "always", "--status-fd", "2",
             "--pinentry-mode", "loopback", "--passphrase", "", *arguments],
            input=data, capture_output=True, check=True,
        )  # fmt: skip

    gateway = await start()
    try:
        gpg("--quick-generate-key", "juliet@example.org", "future-default", "default", "never")
        fingerprint = await publish_key(juliet, gpg("--export", "juliet@example.org").stdout, home)
        sealed = gpg("-es", "-r", "juliet@example.org", data=b"Wherefore art thou?").stdout
        juliet.send(message(sealed))
        await juliet.until("{urn:xmpp:receipts}received")
        _, _, mail = await relay.next()
        opened = gpg("-d", data=mail.partition(b"octet-stream")[2])
        assert opened.stdout == b"Wherefore art thou?"
        assert b"GOODSIG" in opened.stderr
        assert b"Wherefore" not in mail
        headers = mail.partition(b"\r\n\r\n")[0].replace(b"\r\n ", b"").split(b"\r\n")
        (autocrypt,) = [line for line in headers if line.startswith(b"Autocrypt: ")]
        assert autocrypt.startswith(b"Autocrypt: addr=juliet@example.org; prefer-encrypt=mutual; keydata=")
        keydata = base64.b64decode(autocrypt.partition(b"keydata=")[2])
        assert fingerprint.encode() in gpg("--show-keys", "--with-colons", data=keydata).stdout
        assert await gateway.deliver(mail) == ["250 2.1.5 Stored"]
        got = await juliet.until(f"{GRE}encrypted")
        assert base64.b64decode(got.findtext(f"{GRE}encrypted")) == sealed
    finally:
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False)


def test_the_check_command_says_what_is_wrong(tmp_path):
    file = tmp_path / "gateway.toml"
    file.write_text(
        f'[xmpp]\ndomain = "{DOMAIN}"\nport = 1\nsecret = "x"\n[smtp]\nport = 1\n[listen]\nport = 0\n'
        '[keys]\ndirectory = "none"\n[users]\n"juliet@example.org" = "juliet@localhost"\n'
    )
    command = [sys.executable, "-m", "gre_gateway_email", "check", "--config", file]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env=os.environ | {"LC_ALL": "C"}
    )
    assert done.returncode == 1
    wrong = [line for line in done.stdout.splitlines() if line.startswith("WRONG")]
    assert [next(t for t in ("[keys]", "[xmpp]", "[smtp]") if t in line) for line in wrong] == [
        "[keys]",
        "[xmpp]",
        "[smtp]",
    ]
    assert "ok     carries urn:xmpp:gre:formatter:mime:0 with urn:xmpp:gre:encrypter:openpgp:0" in done.stdout
    assert "Traceback" not in done.stderr
