"""Keys of contacts come with their mails: kept for who received them, shown with their source, used for the answer.

Bob's program is GnuPG; Juliet's is ours, with the real plugins; Romeo's is slixmpp alone.
"""

from __future__ import annotations

import asyncio
import base64
import shutil
import subprocess

import gre_encrypter_openpgp.plugin
import gre_formatter_mime.plugin
import pytest
from gre_encrypter_openpgp.contact_keys import ContactKeys
from gre_encrypter_openpgp.management import OwnKeys
from gre_openpgp.autocrypt import header_value
from gre_openpgp.key_origin import Origin

from gre_core.errors import NoUsableKey, PolicyChanged
from gre_core.model import Signature
from gre_core.outbox import SendState
from gre_core.registry import Plugins
from gre_core.slixmpp import attach_client
from gre_core.stores import MemoryStore
from gre_core.testing import require
from gre_core.testing.slix import make_client, offline, online

BOB = r"bob\40example.net@mail.localhost"
NOBODY = r"nobody\40example.net@mail.localhost"
USERS = '"juliet@example.org" = "juliet@localhost"\n"romeo@example.org" = "romeo@localhost"'
NODE = "urn:xmpp:openpgp:0:public-keys"
SECONDS = 60


class Gnupg:
    """Bob's keyring."""

    def __init__(self, home):
        self.home = home
        home.mkdir(mode=0o700)

    def __call__(self, *arguments, data=None, check=True):
        return subprocess.run(
            ["gpg", "--homedir", self.home, "--batch", "--quiet", "--trust-model", "always", "--status-fd", "2",
             "--pinentry-mode", "loopback", "--passphrase", "", *arguments],
            input=data, capture_output=True, check=check,
        )  # fmt: skip

    def new_key(self):
        """Make a further key of Bob's; give its fingerprint and the value of its Autocrypt header."""
        made = self(
            "--yes", "--quick-generate-key", "Bob <bob@example.net>", "future-default", "default", "never"
        )
        fingerprint = made.stderr.decode().partition("KEY_CREATED ")[2].split()[1]
        key = self("--export", fingerprint).stdout
        return fingerprint, header_value("bob@example.net", key, mutual=True)

    def opened(self, sent):
        """Decrypt a mail; give its text and the fingerprints of the key that did it."""
        # Juliet's key is not known to him: that her signature cannot be checked is no matter here.
        done = self("-d", data=sent.partition(b"octet-stream")[2], check=False)
        status = done.stderr.decode()
        assert "DECRYPTION_OKAY" in status, status
        return done.stdout, status.partition("DECRYPTION_KEY ")[2].split()[1]

    def stop(self):
        subprocess.run(["gpgconf", "--homedir", self.home, "--kill", "all"], check=False)


@pytest.fixture
def bob(tmp_path):
    require(shutil.which("gpg"), "GnuPG (apt-get install gpg)")
    made = Gnupg(tmp_path / "gnupg")
    yield made
    made.stop()


def mail(autocrypt=None, *fields, text="Good morrow"):
    lines = [
        *fields,
        "From: Bob <bob@example.net>",
        "To: juliet@example.org",
        f"Subject: {text}",
        f"Message-ID: <{text.replace(' ', '-')}@example.net>",
        *([f"Autocrypt: {autocrypt}"] if autocrypt else []),
        "",
        text,
        "",
    ]
    return "\r\n".join(lines).encode()


class Client:
    """Juliet's program."""

    def __init__(self, server):
        self.questions = []
        self.answer = True
        self.got = asyncio.Queue()
        self.xmpp = make_client(server, "juliet", "balcony")
        plugins = Plugins.of(gre_formatter_mime.plugin, gre_encrypter_openpgp.plugin, strict=True)
        self.gre = attach_client(self.xmpp, plugins, store=MemoryStore(), decide=self._decide)
        self.gre.on_received(self.got.put_nowait)
        self.notices = asyncio.Queue()
        self.gre.on_notice(self.notices.put_nowait)

    async def _decide(self, question):
        self.questions.append(question)
        return self.answer

    async def start(self):
        keys = OwnKeys("juliet@localhost", self.gre.engine.ports)
        await online(self.xmpp)
        self.xmpp.send_presence()
        async with asyncio.timeout(SECONDS):
            await self.gre.ready.wait()
        await keys.make("juliet@example.org")
        await keys.publish()

    async def send(self, text):
        return await self.gre.settled(await self.gre.send(BOB, text), SECONDS)

    async def keys(self):
        return {
            info.fingerprint: info
            for info in await ContactKeys("juliet@localhost", self.gre.engine.ports).list(BOB)
        }

    async def noticed(self, code):
        async with asyncio.timeout(SECONDS):
            while (notice := await self.notices.get()).code != code:
                pass
        return notice

    async def explain(self):
        return await self.gre.engine.explain(BOB)


@pytest.fixture
async def client(server):
    made = Client(server)
    yield made
    await offline(made.xmpp)


async def ask(romeo, contact, node=NODE):
    payload = f"<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='{node}'/></pubsub>"
    return await romeo.iq(contact, payload)


async def test_a_key_comes_with_a_mail_and_the_answer_is_encrypted_to_it(
    start, client, connect, relay, bob, kit
):
    gateway = await start(users=USERS)
    await client.start()

    # Before: nothing is invented, and it is said where it was looked for.
    with pytest.raises(NoUsableKey, match=r"Looked for it in: .*the mails that you received"):
        await client.send("too early")
    assert "Looked for it in" in (await client.explain()).error.text

    # Bob writes in clear; his program adds his key.
    fingerprint, header = bob.new_key()
    assert await gateway.deliver(mail(header)) == ["250 2.1.5 Stored"]

    # The answer is encrypted, and only he reads it.
    assert (await client.send("Parting is such sweet sorrow")).state is SendState.RELAYED
    _, _, answer = await relay.next()
    assert b"sorrow" not in answer
    text, opened_with = bob.opened(answer)
    assert b"sorrow" in text
    assert opened_with == fingerprint
    info = (await client.keys())[fingerprint]
    assert (info.origin.name, info.origin.authenticated) == ("autocrypt", False)
    texts = " ".join(notice.text for notice in (await client.explain()).details)
    assert "anybody can have sent it" in texts

    # Nobody else sees that key.
    romeo = kit.Juliet(await connect("romeo", "garden"))
    for node in (NODE, f"{NODE}:{fingerprint}"):
        found = await ask(romeo, BOB, node)
        assert kit.error_of(found)[:2] == ("cancel", "item-not-found")
    assert fingerprint not in kit.error_of(found)[2]

    # Another key of Bob's is a question, which says where the gateway has it from.
    second, header = bob.new_key()
    await gateway.deliver(mail(header, text="Good night"))
    assert "came with a mail to you (Autocrypt)" in (await client.noticed("key-changed")).text
    client.questions.clear()
    client.answer = False
    with pytest.raises(PolicyChanged):
        await client.send("no")
    (question,) = client.questions
    assert (question.code, question.before, question.after) == ("key-changed", fingerprint, second)
    assert "came with a mail to you (Autocrypt)" in question.text
    client.answer = True
    assert (await client.send("Good night")).state is SendState.RELAYED
    _, _, answer = await relay.next()
    assert bob.opened(answer)[1] == second


async def test_a_stranger_gets_one_answer_for_all_addresses(start, client, connect, bob, kit):
    gateway = await start()
    _, header = bob.new_key()
    await gateway.deliver(mail(header))
    romeo = kit.Juliet(await connect("romeo", "garden"))
    answers = {kit.error_of(await ask(romeo, contact)) for contact in (BOB, NOBODY)}
    assert len(answers) == 1
    assert answers.pop()[:2] == ("auth", "registration-required")


async def test_the_signature_of_a_bob_who_wrote_before_is_checked_with_his_key(
    start, client, relay, bob, kit
):
    gateway = await start(users=USERS)
    await client.start()
    _, header = bob.new_key()
    await gateway.deliver(mail(header))
    await client.send("hello")
    _, _, sent = await relay.next()
    field = next(
        line
        for line in sent.partition(b"\r\n\r\n")[0].replace(b"\r\n ", b"").split(b"\r\n")
        if line.startswith(b"Autocrypt:")
    )
    bob("--import", data=base64.b64decode(field.partition(b"keydata=")[2]))
    text = b"From: bob@example.net\r\nTo: juliet@example.org\r\nContent-Type: text/plain\r\n\r\nIt is the east\r\n"
    sealed = bob("-es", "-r", "juliet@example.org", data=text).stdout
    await gateway.deliver(kit.pgp_mime(sealed))
    async with asyncio.timeout(SECONDS):
        while (received := await client.got.get()).verdict.signature is not Signature.GOOD:
            pass
    assert received.message.text.strip() == "It is the east"
    (notice,) = [each for each in received.notices if each.code == "key-from-gateway-only"]
    assert Origin("autocrypt", authenticated=False).describe()[-30:] in notice.text


async def test_the_operators_mail_server_vouches_for_a_key(start, connect, bob, kit):
    gateway = await start('[mail]\nauthserv_id = "mx.example.org"', users=USERS)
    romeo = kit.Juliet(await connect("romeo", "garden"))
    first, header = bob.new_key()
    _, forged = bob.new_key()
    passed = "Authentication-Results: mx.example.org; dkim=pass header.d=example.net"
    foreign = "Authentication-Results: mx.evil.example; dkim=pass header.d=example.net"
    elsewhere = "Authentication-Results: mx.example.org; dkim=pass header.d=evil.example"

    async def listed():
        entry = next((await ask(romeo, BOB)).iter("{urn:xmpp:openpgp:0}pubkey-metadata"))
        (source,) = entry
        assert source.tag == "{urn:xmpp:gre:key-source:0}source"
        return entry.get("v4-fingerprint"), source.get("name"), source.get("authenticated")

    for number, field in enumerate((foreign, elsewhere)):
        await gateway.deliver(mail(forged, field, text=f"not vouched {number}"), to=("romeo@example.org",))
        assert (await listed())[1:] == ("autocrypt", "false")
    await gateway.deliver(mail(header, passed, text="vouched"), to=("romeo@example.org",))
    assert await listed() == (first, "autocrypt", "true")
    for number, field in enumerate((foreign, elsewhere)):
        await gateway.deliver(mail(forged, field, text=f"forged {number}"), to=("romeo@example.org",))
        assert await listed() == (first, "autocrypt", "true"), (
            "it never takes the place of one that is vouched for"
        )
