"""People with mail programs that are not ours, and a user of ours with the real plugins: Postfix and the gateway between.

What they write goes by SMTP to a real Postfix, by LMTP to the gateway, and is opened by our client; what our client writes
goes back through the same Postfix to the mail server of the other.
"""

from __future__ import annotations

import asyncio
import smtplib
from email import message_from_bytes
from pathlib import Path

import gre_encrypter_openpgp.plugin
import gre_formatter_mime.plugin
import pytest
from gre_encrypter_openpgp.contact_keys import ContactKeys
from gre_encrypter_openpgp.management import OwnKeys
from gre_openpgp.autocrypt import header_value
from gre_openpgp.xep0373 import PublicKey
from peers.deltachat import DeltaChat
from peers.gnupg import GnuPG
from peers.notmuch import Notmuch
from peers.peer import Letter, autocrypt_key
from peers.table import DEFAULT

from gre_core.errors import NoUsableKey
from gre_core.model import Attachment, Message, Signature
from gre_core.outbox import SendState
from gre_core.registry import Plugins
from gre_core.slixmpp import attach_client
from gre_core.stores import MemoryStore
from gre_core.testing import require
from gre_core.testing.fakes import say_yes
from gre_core.testing.prosody import ProsodyServer
from gre_core.testing.slix import make_client, offline, online

ADDRESS = "juliet@example.org"
BOB = "bob@example.net"
CONTACT = r"bob\40example.net@mail.localhost"
SECONDS = 60
FILE = bytes(range(256)) * 40 + b"\r\n.\r\n\n"


class GnuPGAndNotmuch(Notmuch, GnuPG):
    """Reads with notmuch, writes with GnuPG: one keyring."""

    name = "GnuPG and notmuch"
    package = "apt-get install gnupg notmuch"


@pytest.fixture
def server_class():
    """One XMPP server is enough here: these tests are about mail programs."""
    require(ProsodyServer.installed(), "Prosody (apt-get install prosody)")
    return ProsodyServer


class Client:
    """Juliet's program, with a key of its own."""

    def __init__(self, server):
        self.opened = asyncio.Queue()
        self.plain = asyncio.Queue()
        self.xmpp = make_client(server, "juliet", "balcony")
        plugins = Plugins.of(gre_formatter_mime.plugin, gre_encrypter_openpgp.plugin, strict=True)
        self.gre = attach_client(self.xmpp, plugins, store=MemoryStore(), decide=say_yes)
        self.gre.on_received(self.opened.put_nowait)
        self.gre.on_unopened(self.opened.put_nowait)
        self.xmpp.add_event_handler("message", self._keep_plain)

    def _keep_plain(self, stanza):
        if (
            stanza["from"].bare == CONTACT
            and stanza["body"]
            and stanza.xml.find("{urn:xmpp:gre:0}encrypted") is None
        ):
            self.plain.put_nowait(stanza["body"])

    async def start(self):
        keys = OwnKeys("juliet@localhost", self.gre.engine.ports)
        await online(self.xmpp)
        self.xmpp.send_presence()
        async with asyncio.timeout(SECONDS):
            await self.gre.ready.wait()
        await keys.make(ADDRESS)
        await keys.publish()
        self.fingerprint = (await keys.show()).fingerprint
        self.certificate = await keys.export()

    async def send(self, message):
        sent = await self.gre.settled(await self.gre.send(CONTACT, message), SECONDS)
        assert sent.state is SendState.RELAYED, sent

    async def next(self):
        """What came encrypted, or why it could not be opened."""
        async with asyncio.timeout(SECONDS):
            return await self.opened.get()

    async def next_plain(self):
        async with asyncio.timeout(SECONDS):
            return await self.plain.get()


@pytest.fixture
async def client(server):
    made = Client(server)
    yield made
    await offline(made.xmpp)


@pytest.fixture
async def bob_with():
    """``await bob_with(Peer)``: Bob with a mail program of that kind, and a key."""
    peers = []

    async def make(kind):
        peers.append(kind(BOB))
        await asyncio.to_thread(peers[0].prepare)
        return peers[0]

    yield make
    for peer in peers:
        await asyncio.to_thread(peer.close)


async def hand_over(postfix, mail):
    """Bob's mail server hands a mail of his to Juliet's."""

    def dialogue():
        with smtplib.SMTP("127.0.0.1", postfix.port, timeout=SECONDS) as smtp:
            smtp.sendmail(BOB, [ADDRESS], mail)

    await asyncio.to_thread(dialogue)


async def arrived(far, *secrets):
    """The next mail at Bob's mail server; nothing of what was written can be read in it."""
    sender, to, mail = await far.next()
    assert (sender, to) == (ADDRESS, [BOB])
    assert message_from_bytes(mail).get_content_type() == "multipart/encrypted"
    assert not [secret for secret in secrets if secret.encode() in mail]
    return mail


def fingerprint_of(peer):
    return PublicKey.read(peer.certificate()).fingerprint


def good(received, text, fingerprint):
    """Tell that a message was opened, with this text, and a signature of this key."""
    assert received.verdict.signature is Signature.GOOD, received
    assert received.verdict.signer == fingerprint
    assert received.message.text.replace("\r\n", "\n").rstrip() == text
    assert received.message.claimed_sender == BOB
    assert received.peer == CONTACT
    # Nobody compared the fingerprint: that is said, and nothing else.
    assert {notice.code for notice in received.notices} <= {"key-from-gateway-only"}
    return received.message


def plain_mail(text, *fields):
    return "\r\n".join(
        [
            *fields,
            f"From: {BOB}",
            f"To: {ADDRESS}",
            "Subject: First",
            "Message-ID: <first@example.net>",
            "",
            text,
            "",
        ]
    ).encode()


async def converse(client, peer, far, postfix):
    """Juliet writes, Bob reads with notmuch and answers with GnuPG, and she reads that."""
    text = "Hello,\n\nFrom here — it’s fine.\n.\nJuliet"
    subject = "Schöne Grüße: a subject"
    file = Attachment.from_bytes("map 1.bin", "application/octet-stream", FILE)
    await client.send(Message(text, subject=subject, attachments=(file,)))
    mail = await arrived(far, "Hello,", subject, "map 1.bin", "Schöne")
    # Her key comes with the mail.
    assert PublicKey.read(autocrypt_key(mail)).fingerprint == client.fingerprint
    await asyncio.to_thread(peer.meet, mail, ADDRESS)
    seen = await asyncio.to_thread(peer.open, mail)
    assert (seen.signature, seen.signer) == ("good", client.fingerprint)
    assert (seen.subject, seen.text, dict(seen.files)) == (subject, text, {"map 1.bin": FILE})

    answer = Letter(
        "Über die Mauer", "Hello Juliet,\n\nFrom there — it’s fine.\n.\nB.", {"Grüße.bin": FILE},
        answers=message_from_bytes(mail)["Message-ID"].strip("<>"),
    )  # fmt: skip
    written = await asyncio.to_thread(peer.write, answer, ADDRESS, DEFAULT)
    assert b"From there" not in written.mail
    await hand_over(postfix, written.mail)
    message = good(await client.next(), answer.text, fingerprint_of(peer))
    assert (message.subject, message.in_reply_to) == (answer.subject, answer.answers)
    assert {each.name: each.read() for each in message.attachments} == answer.files


async def test_gnupg_and_notmuch_with_a_key_of_the_operators_directory(
    mail_system, client, far, bob_with, tmp_path
):
    bob = await bob_with(GnuPGAndNotmuch)
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / f"{BOB}.asc").write_bytes(bob.certificate())
    system = await mail_system(extra=f'[keys]\ndirectory = "{tmp_path / "keys"}"')
    await client.start()
    await converse(client, bob, far, system.postfix)
    assert client.opened.empty()


async def test_gnupg_and_notmuch_with_a_key_that_came_with_a_mail(mail_system, client, far, bob_with):
    bob = await bob_with(GnuPGAndNotmuch)
    system = await mail_system()
    await client.start()
    with pytest.raises(NoUsableKey):
        await client.send(Message("too early"))
    autocrypt = header_value(BOB, bob.certificate(), mutual=True)
    await hand_over(system.postfix, plain_mail("Good morrow", f"Autocrypt: {autocrypt}"))
    assert "Good morrow" in await client.next_plain()
    await converse(client, bob, far, system.postfix)
    assert client.opened.empty()
    assert far.mails.empty(), "nothing left in clear"


async def test_the_key_that_a_first_mail_brings_is_there_to_be_fetched_at_once(
    mail_system, client, far, bob_with
):
    bob = await bob_with(GnuPGAndNotmuch)
    system = await mail_system()
    await client.start()
    await asyncio.to_thread(bob.learn, client.certificate, ADDRESS)
    written = await asyncio.to_thread(bob.write, Letter("First", "Good morrow"), ADDRESS, DEFAULT)
    autocrypt = header_value(BOB, bob.certificate(), mutual=True)
    first = f"Autocrypt: {autocrypt}\r\n".encode() + written.mail
    await hand_over(system.postfix, first)
    received = await client.next()
    assert received.message.text.rstrip() == "Good morrow"
    # Nothing is looked up because a message was opened; it is when the user says so.
    assert received.verdict.signature is Signature.UNKNOWN_SIGNER
    contacts = ContactKeys("juliet@localhost", client.gre.engine.ports)
    await contacts.fetch(CONTACT)
    assert [info.fingerprint for info in await contacts.list(CONTACT)] == [fingerprint_of(bob)]
    written = await asyncio.to_thread(bob.write, Letter("Second", "Good night"), ADDRESS, DEFAULT)
    await hand_over(system.postfix, written.mail)
    good(await client.next(), "Good night", fingerprint_of(bob))
    assert far.mails.empty()


async def test_what_bob_did_not_sign_is_not_good(mail_system, client, far, bob_with, tmp_path):
    bob = await bob_with(GnuPGAndNotmuch)
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / f"{BOB}.asc").write_bytes(bob.certificate())
    system = await mail_system(extra=f'[keys]\ndirectory = "{tmp_path / "keys"}"')
    await client.start()
    await client.send(Message("Hello"))
    await asyncio.to_thread(bob.meet, await arrived(far), ADDRESS)
    bob.encrypt = lambda content, to, _: (
        bob.gpg("--armor", "--encrypt", "--recipient", to, data=content).stdout
    )
    written = await asyncio.to_thread(bob.write, Letter("Forged", "Forged"), ADDRESS, DEFAULT)
    await hand_over(system.postfix, written.mail)
    received = await client.next()
    assert received.verdict.signature is not Signature.GOOD


# -- Delta Chat ------------------------------------------------------------------------------------


def first_words(bob):
    """Let Bob write to somebody whose key his program does not know; give the mail as it leaves."""
    bob.account.set_config(
        "force_encryption", "0"
    )  # otherwise it writes to nobody whose key it does not know
    bob.account.create_contact(ADDRESS).create_chat().send_text("Good morrow")
    mail = bob.outbox.mails.get(timeout=SECONDS)
    bob.account.set_config("force_encryption", "1")
    return mail


def shown(bob, mail):
    """What Delta Chat shows of a mail from Juliet; Bob goes on in that chat."""
    (message,) = bob.receive(mail)
    bob.chat = message.chat
    bob.chat.accept()
    return message


async def chat(client, bob, far, postfix):
    """Juliet writes, Bob answers, Juliet answers that: all of it with the padlock, all of it good."""
    await client.send(Message("Parting is such sweet sorrow", subject="Good night"))
    mail = await arrived(far, "sorrow", "Good night")
    assert PublicKey.read(autocrypt_key(mail)).fingerprint == client.fingerprint
    message = await asyncio.to_thread(shown, bob, mail)
    assert message.show_padlock
    assert (message.subject, message.text) == ("Good night", "Good night – Parting is such sweet sorrow")

    answer = Letter("", "Sleep dwell upon thine eyes", {"map.bin": FILE})
    written = await asyncio.to_thread(bob.write, answer, ADDRESS, DEFAULT)
    assert b"Sleep dwell" not in written.mail
    await hand_over(postfix, written.mail)
    said = good(await client.next(), answer.text, fingerprint_of(bob))
    assert said.subject == "Re: Good night"
    assert {each.name: each.read() for each in said.attachments} == answer.files

    more = Message(
        "A thousand times",
        subject=said.subject,
        in_reply_to=said.message_id,
        references=said.references,
        attachments=(Attachment.from_bytes("rose 1.bin", "application/octet-stream", FILE),),
    )
    await client.send(more)
    message = await asyncio.to_thread(shown, bob, await arrived(far, "thousand"))
    assert message.show_padlock
    assert message.text == "A thousand times"
    assert bob.id_of(message.parent_id) == said.message_id
    assert (message.file_name, Path(message.file).read_bytes()) == ("rose 1.bin", FILE)


async def test_delta_chat_writes_first(mail_system, client, far, bob_with):
    bob = await bob_with(DeltaChat)
    system = await mail_system()
    await client.start()
    await hand_over(system.postfix, await asyncio.to_thread(first_words, bob))
    assert "Good morrow" in await client.next_plain()
    await chat(client, bob, far, system.postfix)
    assert client.opened.empty()
    assert far.mails.empty(), "nothing left in clear"


async def test_delta_chat_is_written_to_first(mail_system, client, far, bob_with, tmp_path):
    bob = await bob_with(DeltaChat)
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / f"{BOB}.pgp").write_bytes(bob.certificate())
    system = await mail_system(extra=f'[keys]\ndirectory = "{tmp_path / "keys"}"')
    await client.start()
    await chat(client, bob, far, system.postfix)
    assert client.opened.empty()


async def test_delta_chat_and_plain_words(mail_system, juliet, far, bob_with):
    """Bob writes to somebody without a key, whose plain client names what it answers (XEP-0461)."""
    bob = await bob_with(DeltaChat)
    system = await mail_system()
    mail = await asyncio.to_thread(first_words, bob)
    await hand_over(system.postfix, mail)
    got = await juliet.until("{jabber:client}body")
    assert (got.findtext("{jabber:client}body"), got.get("from")) == ("Good morrow", CONTACT)
    juliet.send(
        f"<message to='{CONTACT}' id='a1' type='chat'><body>Good morrow, Bob</body>"
        f"<reply xmlns='urn:xmpp:reply:0' to='{CONTACT}' id='{got.get('id')}'/></message>"
    )
    sender, recipients, answer = await far.next()
    assert (sender, recipients) == (ADDRESS, [BOB])
    bob.account.set_config("force_encryption", "0")
    message = await asyncio.to_thread(shown, bob, answer)
    assert "Good morrow, Bob" in message.text
    assert not message.show_padlock
    assert bob.id_of(message.parent_id) == message_from_bytes(mail)["Message-ID"].strip("<>")
