"""Hostile and honest mails through a whole client engine with OpenPGP and MIME: each verdict, and no false alarm."""

from __future__ import annotations

import base64
import importlib.util
import sys
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from xml.etree.ElementTree import Element, SubElement

import gre_encrypter_openpgp.plugin
import gre_formatter_mime.plugin
import pytest
from gre_openpgp.contact_record import By, ContactRecord, KeyState, KnownKey, Seen, Source, save_record
from gre_openpgp.xep0373 import PublicKey

from gre_core import ClientEngine, DataForm, wire, worker_functions
from gre_core.api import Message, Signature, encrypter, formatter
from gre_core.errors import NoUsableKey
from gre_core.opening import Received, Unopened
from gre_core.ports import Ports
from gre_core.registry import Plugins
from gre_core.stores import MemoryStore
from gre_core.testing.fakes import FakeNetwork, FakePubSub, InlineWorker, run, say_yes, through_xml

if TYPE_CHECKING:
    from types import ModuleType

ACCOUNT, OURS = "juliet@example.org", "juliet@capulet.example"
GATEWAY = "mail.example.net"
BOB, ADDRESS = f"bob\\40mail.example@{GATEWAY}", "bob@mail.example"
MIME, OPENPGP = formatter("mime"), encrypter("openpgp")
PROTECTED: Final = 'text/plain; charset=utf-8; hp="cipher"'
FORGING = Path(__file__).parents[2] / "plugins/gre-encrypter-openpgp/tests/forging.py"


def _forging() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gre_engine_forging", FORGING)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


forge: Any = _forging()


class Scene:
    """Juliet's client, and Bob with a key made by hand that she accepted."""

    def __init__(self, *, worker: bool) -> None:
        self.store = MemoryStore()
        self.pubsub = FakePubSub(ACCOUNT)
        self.network = FakeNetwork()
        self.network.announce(GATEWAY, "urn:xmpp:gre:0", MIME, OPENPGP, wire.RECEIPTS)
        self.network.answer_data(DataForm(OURS))
        self.worker = InlineWorker() if worker else None
        worker_functions.allow(["gre_formatter_mime.worker:parse"])
        self.number = 0
        self.bob = forge.Key()
        self.restart()
        self._make_key()
        self.accept(self.bob.certificate(ADDRESS))

    def restart(self) -> None:
        """Start the client anew with the same store."""
        plugins = Plugins.of(gre_formatter_mime.plugin, gre_encrypter_openpgp.plugin, strict=True)
        ports = Ports(self.store, self.pubsub, say_yes, worker=self.worker)
        self.encrypter: Any = plugins.encrypter(OPENPGP)
        self.client = ClientEngine(ACCOUNT, plugins, ports, self.network)
        self.ports = ports

    def _make_key(self) -> None:
        with pytest.raises(NoUsableKey):  # of Bob; ours comes first
            run(self.client.seal(BOB, Message("makes our key")))
        own = self.encrypter._account(ACCOUNT, self.client.ports).own
        self.head, self.session = forge.session_of(own.secret, own.parsed.key.data)

    def accept(self, *certs: bytes, jid: str = BOB) -> None:
        now = datetime.now(UTC)
        seen = {Source.XEP0373: Seen(now, now)}
        keys = [KnownKey(PublicKey.read(cert), KeyState.ACCEPTED, By.USER, seen, told=True) for cert in certs]
        run(save_record(jid, ContactRecord().with_keys(keys), self.store))

    # -- what comes ----------------------------------------------------------------------------------

    def mail(
        self,
        text: str = "Hello",
        *,
        message_id: str | None = "",
        date: datetime | None = None,
        sender: str = ADDRESS,
        to: str = OURS,
        media_type: str = PROTECTED,
    ) -> bytes:
        """Write a mail with a header; its id is a new one, or none."""
        self.number += 1
        lines = [f"From: {sender}", f"To: {to}", f"Date: {format_datetime(date or datetime.now(UTC))}"]
        if message_id is not None:
            lines.append(f"Message-ID: <{message_id or f'{self.number}@mail.example'}>")
        return "\r\n".join([*lines, f"Content-Type: {media_type}", "", text, ""]).encode()

    def seal(self, packets: bytes) -> bytes:
        sealed: bytes = self.head + forge.container(packets, self.session)
        return sealed

    def signed(self, payload: bytes, *, created: int | None = None, more: bytes = b"") -> bytes:
        """Sign as Bob, and encrypt; ``more`` is a signature of somebody else around it."""
        bob = self.bob
        whole = bob.one_pass() + forge.literal(payload) + bob.signature(payload, created=created)
        return self.seal(whole + more)

    def deliver(self, message: bytes, stanza_id: str | None = "", peer: str = BOB) -> Any:
        """Receive a message; its stanza has a new id, or none."""
        self.number += 1
        stanza = Element("{jabber:client}message", {"from": peer, "to": ACCOUNT, "type": "chat"})
        if stanza_id is not None:
            stanza.set("id", stanza_id or f"stanza-{self.number}")
        names = {"formatter": str(MIME), "encrypter": str(OPENPGP)}
        SubElement(stanza, wire.ENCRYPTED_TAG, names).text = base64.b64encode(message).decode()
        return run(self.client.handle(through_xml(stanza)))

    def verdict(self, message: bytes, stanza_id: str | None = "", peer: str = BOB) -> Signature:
        received = self.deliver(message, stanza_id, peer)
        assert isinstance(received, Received), received
        assert received.message.text
        return received.verdict.signature


@pytest.fixture(params=["here", "worker"])
def scene(request: pytest.FixtureRequest) -> Scene:
    return Scene(worker=request.param == "worker")


# -- honest mail is good ---------------------------------------------------------------------------


def test_a_conversation_over_days_is_good(scene: Scene) -> None:
    today = datetime.now(UTC)
    for days in (6, 3, 1, 0):
        for _ in range(3):
            message = scene.signed(scene.mail("Ok", date=today - timedelta(days=days)))
            assert scene.verdict(message) is Signature.GOOD


@pytest.mark.parametrize(
    "to", ["Juliet@Capulet.EXAMPLE", '"J" <JULIET@capulet.example>, x@y.example', "list:;"]
)
def test_ways_to_write_to_us_are_good(scene: Scene, to: str) -> None:
    assert scene.verdict(scene.signed(scene.mail(to=to))) is Signature.GOOD


def test_the_sender_in_other_letters_is_good(scene: Scene) -> None:
    assert scene.verdict(scene.signed(scene.mail(sender="Bob <BOB@Mail.Example>"))) is Signature.GOOD


def test_a_sender_with_a_plus_is_good(scene: Scene) -> None:
    address, jid = "bob+xmpp@mail.example", f"bob+xmpp\\40mail.example@{GATEWAY}"
    scene.accept(scene.bob.certificate(address), jid=jid)
    assert scene.verdict(scene.signed(scene.mail(sender=address)), peer=jid) is Signature.GOOD


@pytest.mark.parametrize("wrap", ["plain", "zip", "bzip2"])
def test_the_same_words_without_a_message_id_are_new_when_they_are_signed_anew(
    scene: Scene, wrap: str
) -> None:
    """As mutt writes: nothing but the text is protected."""
    bare = b"Content-Type: text/plain\r\n\r\nOk\r\n"
    squeeze = forge.COMPRESSIONS.get(wrap, bytes)

    def written(created: int, name: bytes = b"") -> bytes:
        literal = forge.literal(bare, name=name)
        return scene.seal(
            squeeze(scene.bob.one_pass() + literal + scene.bob.signature(bare, created=created))
        )

    first, second = written(forge.NOW - 60), written(forge.NOW - 30)
    assert scene.verdict(first, "a") is Signature.GOOD
    assert scene.verdict(second, "b") is Signature.GOOD
    assert scene.verdict(first, "a") is Signature.GOOD  # by a gateway that had no receipt
    # The same signature comes again: as it was, encrypted anew, and in another literal packet.
    again = (first, written(forge.NOW - 60), written(forge.NOW - 30, name=b"other"))
    assert {scene.verdict(message) for message in again} == {Signature.REPLAYED}
    scene.restart()
    assert scene.verdict(first) is Signature.REPLAYED


def test_further_signatures_make_no_new_message_of_an_old_one(scene: Scene) -> None:
    bare = b"Content-Type: text/plain\r\n\r\nPay 1 coin.\r\n"
    inner = scene.bob.one_pass() + forge.literal(bare) + scene.bob.signature(bare, created=forge.NOW - 60)
    assert scene.verdict(scene.seal(inner)) is Signature.GOOD
    eve = forge.Key()
    for key, other in ((eve, eve.signature(bare)), (scene.bob, scene.bob.signature(b"else"))):
        assert scene.verdict(scene.seal(key.one_pass(nested=True) + inner + other)) is Signature.REPLAYED


def test_a_signed_part_is_told_from_the_same_words_signed_anew(scene: Scene) -> None:
    """RFC 3156, section 6.1, without a header inside."""

    def written(created: int, after: bytes = b"") -> bytes:
        part = b"Content-Type: text/plain\r\n\r\nOk\r\n"
        signature = base64.encodebytes(scene.bob.signature(part, created=created)).replace(b"\n", b"\r\n")
        armored = b"-----BEGIN PGP SIGNATURE-----\r\n\r\n" + signature + b"-----END PGP SIGNATURE-----\r\n"
        head = b'Content-Type: multipart/signed; protocol="application/pgp-signature"; boundary=x\r\n\r\n'
        file = b"\r\n--x\r\nContent-Type: application/pgp-signature\r\n\r\n" + armored
        return scene.seal(forge.literal(head + b"--x\r\n" + part + file + b"\r\n--x--\r\n" + after))

    assert scene.verdict(written(forge.NOW - 60)) is Signature.GOOD
    assert scene.verdict(written(forge.NOW - 30)) is Signature.GOOD
    assert scene.verdict(written(forge.NOW - 30, b"after")) is Signature.REPLAYED


# -- hostile mail is never good --------------------------------------------------------------------


def test_a_replay_is_seen_with_another_id_with_none_and_after_a_restart(scene: Scene) -> None:
    message = scene.signed(scene.mail())
    assert scene.verdict(message, "a") is Signature.GOOD
    assert scene.verdict(message, "a") is Signature.GOOD
    assert scene.verdict(message) is Signature.REPLAYED
    assert scene.verdict(message, None) is Signature.REPLAYED
    scene.restart()
    assert scene.verdict(message) is Signature.REPLAYED


def test_a_replay_of_a_message_that_came_without_an_id_is_seen(scene: Scene) -> None:
    message = scene.signed(scene.mail())
    assert scene.verdict(message, None) is Signature.GOOD
    assert scene.verdict(message, None) is Signature.REPLAYED


def test_each_misuse_has_its_verdict(scene: Scene) -> None:
    old = datetime.now(UTC) - timedelta(days=30)
    eve = forge.Key()
    mail = scene.mail("weak")
    weak = scene.bob.one_pass() + forge.literal(mail) + scene.bob.signature(mail, algorithm="sha1")
    found = {
        "forwarded": scene.verdict(scene.signed(scene.mail(to="eve@mail.example"))),
        "stale": scene.verdict(scene.signed(scene.mail(date=old))),
        "another sender": scene.verdict(scene.signed(scene.mail(sender="mallory@mail.example"))),
        "same name": scene.verdict(scene.seal(eve.signed(scene.mail()))),
        "unsigned": scene.verdict(scene.seal(forge.literal(scene.mail()))),
        "sha1": scene.verdict(scene.seal(weak)),
    }
    assert found == {
        "forwarded": Signature.OTHER_RECIPIENTS,
        "stale": Signature.STALE,
        "another sender": Signature.WRONG_SIGNER,
        "same name": Signature.UNKNOWN_SIGNER,
        "unsigned": Signature.UNSIGNED,
        "sha1": Signature.BAD,
    }


def test_what_cannot_be_opened_is_kept(scene: Scene) -> None:
    good = scene.signed(scene.mail("secret words"))
    bomb = forge.zlibbed(forge.bzipped(forge.literal(bytes(64 << 20))))
    bad = {
        "changed": good[:-30] + bytes([good[-30] ^ 1]) + good[-29:],
        "cut": good[:-1],
        "behind": good + b"\xb4\x03abc",
        "two": good + good,
        "two inside": scene.seal(scene.bob.signed(b"a") + scene.bob.signed(b"b")),
        "not encrypted": scene.bob.signed(scene.mail("in the clear")),
        "bomb": scene.seal(bomb),
    }
    for name, message in bad.items():
        came = scene.deliver(message)
        assert isinstance(came, Unopened), name
        assert "secret words" not in repr(came)
    assert len(run(scene.store.keys("unopened/"))) == len(bad)
    assert scene.verdict(good) is Signature.GOOD
