"""One message to several mail users with GnuPG: what each gets, what nobody learns, and what comes back."""

from __future__ import annotations

import asyncio
import base64
import shutil
import subprocess
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.utils import format_datetime

import pytest

from gre_core.errors import PolicyChanged
from gre_core.model import Message, Signature
from gre_core.outbox import SendState
from gre_core.registry import Plugins
from gre_core.slixmpp import attach_client
from gre_core.stores import MemoryStore
from gre_core.testing import require
from gre_core.testing.slix import make_client, offline, online

DOMAIN = "mail.localhost"
US = "juliet@example.org"
BOB, CAROL, ERIN, DAVE = (f"{name}@example.net" for name in ("bob", "carol", "erin", "dave"))


def jid(address):
    return address.replace("@", "\\40") + f"@{DOMAIN}"


class MailUser:
    """A mail user with a GnuPG home of his own."""

    def __init__(self, folder, address):
        self.address = address
        self.home = folder / address.partition("@")[0]
        self.home.mkdir(mode=0o700)
        self.gpg("--quick-generate-key", address, "future-default", "default", "never")
        self.key = self.gpg("--export", address).stdout
        listing = self.gpg("--list-keys", "--with-colons", address).stdout.decode()
        self.ids = {line.split(":")[4] for line in listing.splitlines() if line[:3] in {"pub", "sub"}}

    def gpg(self, *arguments, data=None, check=True):
        return subprocess.run(
            ["gpg", "--homedir", self.home, "--batch", "--quiet", "--trust-model", "always", "--status-fd", "2",
             "--pinentry-mode", "loopback", "--passphrase", "", *arguments],
            input=data, capture_output=True, check=check,
        )  # fmt: skip

    def learn(self, mail):
        """Import the sender's key from the Autocrypt header of a mail."""
        value = message_from_bytes(mail)["Autocrypt"]
        self.gpg("--import", data=base64.b64decode("".join(value.partition("keydata=")[2].split())))

    def open(self, mail):
        """Decrypt a mail; give what stands inside, and what GnuPG said."""
        done = self.gpg("-d", data=armor_of(mail), check=False)
        return (done.stdout if done.returncode == 0 else None), done.stderr

    def close(self):
        subprocess.run(["gpgconf", "--homedir", self.home, "--kill", "all"], check=False)

    def mail(self, readers, *, to, text, headers=""):
        """Write, sign and encrypt a mail with protected headers."""
        inner = (
            f"From: {self.address}\r\nTo: {', '.join(to)}\r\nDate: {format_datetime(datetime.now(UTC))}\r\n{headers}"
            f'Content-Type: text/plain; charset=utf-8; hp="cipher"\r\n\r\n{text}\r\n'
        )
        arguments = [word for reader in readers for word in ("-r", reader)]
        return self.gpg("-es", "-z", "0", *arguments, data=inner.encode()).stdout


def armor_of(mail):
    start = mail.index(b"-----BEGIN PGP MESSAGE-----")
    return (
        mail[start : mail.index(b"-----END PGP MESSAGE-----") + len(b"-----END PGP MESSAGE-----")] + b"\r\n"
    )


def key_ids(user, mail):
    """Give the ids of the keys that a mail is encrypted to, as GnuPG reads them."""
    said = user.gpg("--list-packets", data=armor_of(mail), check=False).stdout.decode()
    return {
        line.split("keyid ")[1].strip() for line in said.splitlines() if line.startswith(":pubkey enc packet")
    }


@pytest.fixture
def people(tmp_path):
    require(shutil.which("gpg"), "GnuPG (apt-get install gpg)")
    made = {address: MailUser(tmp_path, address) for address in (BOB, CAROL, ERIN, DAVE)}
    yield made
    for user in made.values():
        user.close()


@pytest.fixture
async def world(server, start, relay, people, tmp_path):
    """Juliet's real client, with the keys of Bob, Carol, Erin and Dave at the gateway."""
    folder = tmp_path / "keys"
    folder.mkdir()
    for address, user in people.items():
        (folder / f"{address}.gpg").write_bytes(user.key)
    gateway = await start(f'[keys]\ndirectory = "{folder}"')
    asked = []

    async def decide(question):
        asked.append(question)
        return question.code != "leave-out-recipients"

    xmpp = make_client(server, "juliet", "balcony")
    plugins = Plugins.discover(prefer={"urn:xmpp:gre:encrypter:openpgp:0": "gre-encrypter-openpgp"})
    gre = attach_client(xmpp, plugins, store=MemoryStore(), decide=decide, reconnect=False)
    gre.gateway, gre.inbox, gre.keys, gre.asked = gateway, asyncio.Queue(), folder, asked
    gre.on_received(gre.inbox.put_nowait)
    gre.on_unopened(gre.inbox.put_nowait)
    await online(xmpp)
    await asyncio.wait_for(gre.ready.wait(), 20)
    xmpp.send_presence()
    yield gre
    await offline(xmpp)


async def settled(gre, parts):
    return [(await gre.settled(part, 20)) for part in parts]


async def came(gre):
    async with asyncio.timeout(90):
        return await gre.inbox.get()


async def test_three_recipients_and_a_blind_copy(world, relay, people):
    message = Message(text="Meet me at nine", subject="Moonlight")
    parts = await world.engine.send_all([jid(BOB), jid(CAROL)], message, cc=[jid(ERIN)], bcc=[jid(DAVE)])
    assert [part.state for part in await settled(world, parts)] == [SendState.RELAYED] * 2
    mails = {tuple(recipients): mail for _, recipients, mail in [await relay.next(), await relay.next()]}
    together, blind = mails[BOB, CAROL, ERIN], mails[DAVE,]
    outer = message_from_bytes(together, policy=policy.default)
    assert [each.addr_spec for each in outer["To"].addresses] == [BOB, CAROL, ERIN]
    assert message_from_bytes(blind)["To"] == DAVE
    assert outer["Message-ID"] == message_from_bytes(blind)["Message-ID"]

    own = {
        each
        for each in key_ids(people[BOB], together)
        if not any(each in user.ids for user in people.values())
    }
    assert len(own) == 1, "ours"
    for address in (BOB, CAROL, ERIN):
        assert key_ids(people[BOB], together) & people[address].ids
        assert not key_ids(people[BOB], blind) & people[address].ids
    assert not key_ids(people[BOB], together) & people[DAVE].ids
    assert key_ids(people[DAVE], blind) & people[DAVE].ids
    assert DAVE.encode() not in together.lower()

    for address in (BOB, CAROL, ERIN):
        people[address].learn(together)
        inside, said = people[address].open(together)
        assert b"GOODSIG" in said
        assert DAVE.encode() not in inside.lower()
        assert people[address].open(blind)[0] is None
        read = message_from_bytes(inside, policy=policy.default)
        assert [each.addr_spec for each in read["To"].addresses] == [BOB, CAROL]
        assert [each.addr_spec for each in read["Cc"].addresses] == [ERIN]
        assert read["Message-ID"] == outer["Message-ID"]
        assert read["Subject"] == "Moonlight"
        assert "Bcc" not in read
    assert people[DAVE].open(together)[0] is None
    people[DAVE].learn(blind)
    inside, said = people[DAVE].open(blind)
    assert b"GOODSIG" in said
    read = message_from_bytes(inside, policy=policy.default)
    assert [each.addr_spec for each in (*read["To"].addresses, *read["Cc"].addresses)] == [BOB, CAROL, ERIN]
    assert "Bcc" not in read


async def test_nothing_is_sent_while_somebody_lacks_a_key(world, relay):
    everybody = [jid(BOB), jid("nobody@example.net"), jid("noone@example.net")]
    with pytest.raises(PolicyChanged) as caught:
        await world.engine.send_all(everybody, Message("Hello"))
    question = caught.value.question
    assert (question.code, question.after) == (
        "leave-out-recipients",
        "nobody@example.net, noone@example.net",
    )
    assert await world.engine.pending() == []
    assert relay.mails.empty()
    await world.engine.approve(question)
    (part,) = await settled(world, await world.engine.send_all(everybody, Message("Hello")))
    assert (part.state, part.recipients) == (SendState.RELAYED, (jid(BOB),))
    assert (await relay.next())[1] == [BOB]


async def test_a_recipient_that_the_relay_refuses_is_named_and_nobody_gets_the_mail(world, relay):
    relay.unknown = {CAROL}
    parts = await world.engine.send_all([jid(BOB), jid(CAROL)], Message("Hello"))
    (part,) = await settled(world, parts)
    assert part.state is SendState.REFUSED
    assert CAROL in part.error
    assert "550 5.1.1 no such user" in part.error
    assert BOB not in part.error
    assert relay.count == 0


async def test_an_answer_to_all_and_what_attackers_make_of_it(world, relay, people, kit):
    bob, carol = people[BOB], people[CAROL]
    (sent,) = await settled(world, await world.engine.send_all([jid(BOB), jid(CAROL)], Message("Nine?")))
    _, _, mail = await relay.next()
    message_id = message_from_bytes(mail)["Message-ID"]
    for user in (bob, carol):
        user.learn(mail)
    bob.gpg("--import", data=carol.key)
    sealed = bob.mail(
        [US, CAROL],
        to=[US, CAROL],
        text="Ten.",
        headers=f"Subject: Re: Nine\r\nMessage-ID: <ten@example.net>\r\nIn-Reply-To: {message_id}\r\n",
    )
    await world.gateway.deliver(kit.pgp_mime(sealed))
    received = await came(world)
    assert received.verdict.signature is Signature.GOOD
    assert received.message.text.strip() == "Ten."
    assert (received.reply_to, f"<{received.thread}>") == (sent.id, message_id)

    (answer,) = await settled(world, await world.engine.reply(received, Message("Good."), to_all=True))
    assert answer.state is SendState.RELAYED
    _, recipients, mail = await relay.next()
    assert recipients == [BOB, CAROL]
    read = message_from_bytes(carol.open(mail)[0], policy=policy.default)
    assert read["Subject"] == "Re: Nine"
    assert read["In-Reply-To"] == "<ten@example.net>"
    assert read["References"].split() == [message_id, "<ten@example.net>"]
    assert b"ten@example.net" not in mail

    # The same mail once more, under another envelope.
    await world.gateway.deliver(b"X-Spam: no\r\n" + kit.pgp_mime(sealed))
    assert (await came(world)).verdict.signature is Signature.REPLAYED

    # What Bob wrote to Carol alone, encrypted to Juliet by Carol, as if Bob had sent it to her.
    passed_on = bob.mail([US], to=[CAROL], text="I never want to see Juliet again.")
    await world.gateway.deliver(kit.pgp_mime(passed_on))
    received = await came(world)
    assert received.verdict.signature is Signature.OTHER_RECIPIENTS
    assert CAROL in received.verdict.detail

    # Our own words, shown to us as Bob's.
    await settled(world, await world.engine.send_all([jid(BOB)], Message("I love you")))
    _, _, ours = await relay.next()
    await world.gateway.deliver(ours)
    assert (await came(world)).verdict.signature is Signature.REFLECTED
