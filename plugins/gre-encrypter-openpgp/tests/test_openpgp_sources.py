"""Contacts' keys from several sources, end to end through the encrypter: domain, messages, the user's word."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pysequoia
import pytest
from gre_openpgp.autocrypt import header_value, parse
from gre_openpgp.contact_record import By, load_record
from gre_openpgp.encrypting.contact_keys import ContactKeys, KeyState, Outcome, Source
from gre_openpgp.encrypting.management import OwnKeys
from gre_openpgp.messages import check_message
from gre_openpgp.packets import read_certificate, walk
from gre_openpgp.wkd import locate
from gre_openpgp.xep0373 import PUBLIC_KEYS

from gre_core.api import Body, Direction, Message, Recipient, Signature
from gre_core.errors import NoSuchHost, NoUsableKey, PeerTimeout, PolicyChanged
from gre_core.ports import WebAnswer
from gre_core.stores import FileStore

ALICE = "alice@xmpp.example"
OURS = "alice@mail.example"
BOB = "bob\\40mail.example@gateway.example"
CAROL = "carol\\40mail.example@gateway.example"
ADDRESS = "bob@mail.example"


class Directory:
    """A Web Key Directory for everybody."""

    def __init__(self) -> None:
        self.keys: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.offline = False

    async def get(self, url: str, /, *, max_size: int) -> WebAnswer:
        self.asked.append(url)
        if self.offline:
            raise PeerTimeout("offline")
        for address, keys in self.keys.items():
            location = locate(address)
            assert location is not None
            if url == location.advanced:
                return WebAnswer(200, keys)
        if "openpgpkey.mail.example" in url:
            return WebAnswer(404, b"")
        raise NoSuchHost("none")


@pytest.fixture
def directory(world: Any) -> Directory:
    made = Directory()
    world.ports = replace(world.ports, web=made)
    return made


@pytest.fixture
def bob(world: Any) -> bytes:
    return bytes(world.bob.extract_certificate())


@pytest.fixture
def other(make_secret: Any, public_of: Any) -> bytes:
    """Another key with Bob's name: his next one, or somebody else's."""
    return bytes(public_of(make_secret(ADDRESS, 1)))


def name(cert: bytes) -> str:
    return read_certificate(cert).fingerprint


def revoked(secret: bytes) -> bytes:
    key = pysequoia.Tsk.from_bytes(secret)
    cert = key.extract_certificate()
    raw, revocation = bytes(cert), bytes(cert.revoke(key.certifier()))
    end = next(walk(raw)).end
    return bytes(raw[:end] + revocation + raw[end:])


def later(world: Any, **time: int) -> None:
    world.now = (world.now or datetime.now(UTC)) + timedelta(**time)


async def new_session(world: Any) -> list[str]:
    world.encrypter = type(world.encrypter)()
    return [notice.code for notice in await world.encrypter.prepare(ALICE, world.ports)]


async def record(world: Any, jid: str = BOB) -> Any:
    return await load_record(jid, world.ports.store)


# -- the contact's domain --------------------------------------------------------------------------


async def test_the_domain_confirms_the_gateway_and_is_named(
    world: Any, directory: Directory, bob: bytes
) -> None:
    directory.keys[ADDRESS] = bob
    alice = await world.own_cert()
    opened = await world.open(pysequoia.encrypt(b"x", [alice], world.bob.signer(), armor=False))
    assert (opened.verdict.signature, opened.verdict.source) == (Signature.GOOD, "xep-0373")
    assert opened.warnings == (), "more than the gateway stands behind it"
    known = (await record(world)).keys[name(bob)]
    assert (known.by, set(known.sources)) == (By.CONFIRMED, {Source.XEP0373, Source.WKD})


async def test_the_domain_serves_when_the_gateway_knows_no_key(
    world: Any, directory: Directory, bob: bytes
) -> None:
    directory.keys[ADDRESS] = bob
    world.nodes.nodes.clear()
    message = await world.seal(form=())
    assert pysequoia.decrypt(message, world.bob.decryptor()).bytes == b"hello"
    alice = await world.own_cert()
    opened = await world.open(pysequoia.encrypt(b"x", [alice], world.bob.signer(), armor=False))
    assert opened.verdict.source == "wkd"


async def test_the_gateway_against_the_domain_sends_nothing(
    world: Any, directory: Directory, bob: bytes, other: bytes
) -> None:
    directory.keys[ADDRESS] = other
    with pytest.raises(PolicyChanged, match="mail domain") as caught:
        await world.seal()
    assert caught.value.question.code == "key-contradiction"
    world.answer = True
    message = await world.seal()
    assert pysequoia.decrypt(message, world.bob.decryptor()).bytes == b"hello"


async def test_being_offline_is_no_error_and_unsays_nothing(
    world: Any, directory: Directory, other: bytes
) -> None:
    directory.offline = True
    assert await world.seal()
    directory.offline = False
    directory.keys[ADDRESS] = other
    later(world, minutes=16)
    with pytest.raises(PolicyChanged):
        await world.seal()
    directory.offline = True
    later(world, days=2)
    with pytest.raises(PolicyChanged, match="mail domain"):
        await world.seal()


async def test_the_domain_is_asked_once_a_day_and_never_when_opening(
    world: Any, directory: Directory, bob: bytes
) -> None:
    directory.keys[ADDRESS] = bob
    alice = await world.own_cert()
    directory.asked.clear()
    message = pysequoia.encrypt(b"x", [alice], world.bob.signer(), armor=False)
    for _ in range(3):
        await world.seal()
        await world.open(message)
        await world.open(message, peer=CAROL, expected_sender="carol@mail.example")
    assert directory.asked == []
    later(world, hours=25)
    await world.open(message)
    assert directory.asked == []
    await world.seal()
    assert len(directory.asked) == 1


async def test_without_a_web_port_nothing_is_looked_up(world: Any) -> None:
    await world.seal()
    assert (await record(world)).wkd is None


# -- revocation ------------------------------------------------------------------------------------


async def test_a_revocation_that_one_source_serves_is_remembered(
    world: Any, directory: Directory, make_secret: Any, bob: bytes
) -> None:
    await world.seal()
    directory.keys[ADDRESS] = revoked(make_secret(ADDRESS))
    later(world, days=2)
    with pytest.raises(NoUsableKey, match="revoked"):
        await world.seal()
    del directory.keys[ADDRESS]
    world.nodes.serve(BOB, bob, date="2026-12-12T00:00:00Z")
    later(world, days=2)
    await new_session(world)
    with pytest.raises(NoUsableKey, match="revoked"):
        await world.seal()
    assert (await record(world)).keys[name(bob)].revoked


async def test_an_old_copy_does_not_bring_a_revoked_subkey_back(
    world: Any, make_odd: Any, public_of: Any
) -> None:
    secret = make_odd(ADDRESS, subkeys=[{}])
    young = public_of(secret)
    key = pysequoia.Cert.from_bytes(young)
    world.nodes.serve(BOB, young)
    await world.seal()
    from gre_openpgp.encrypting.keymaking import _pgpy

    pgpy, c = _pgpy()
    full = pgpy.PGPKey.from_blob(secret)[0]
    subkey = next(iter(full.subkeys.values()))
    subkey |= full.revoke(subkey, sigtype=c.SignatureType.SubkeyRevocation)
    world.nodes.serve(BOB, public_of(bytes(full)), date="2026-02-02T00:00:00Z")
    await world.encrypter.notified(BOB, PUBLIC_KEYS, world.ports)
    with pytest.raises(NoUsableKey):
        await world.seal()
    world.nodes.serve(BOB, bytes(key), date="2026-03-03T00:00:00Z")
    await world.encrypter.notified(BOB, PUBLIC_KEYS, world.ports)
    with pytest.raises(NoUsableKey):
        await world.seal()


# -- the one source --------------------------------------------------------------------------------


async def test_a_key_that_only_the_gateway_serves_is_told_once(world: Any) -> None:
    alice = await world.own_cert()
    message = pysequoia.encrypt(b"x", [alice], world.bob.signer(), armor=False)
    opened = await world.open(message)
    assert opened.verdict.signature is Signature.GOOD
    assert [notice.code for notice in opened.warnings] == ["key-from-gateway-only"]
    assert (await world.open(message)).warnings == ()
    await new_session(world)
    assert (await world.open(message)).warnings == ()


# -- Autocrypt -------------------------------------------------------------------------------------


def mail(cert: bytes | None, *, sender: str = ADDRESS, addr: str = "", **more: Any) -> Message:
    values = () if cert is None else (header_value(addr or sender, cert, mutual=True),)
    return Message(
        "x", claimed_sender=sender, headers={"autocrypt": values, **more.pop("headers", {})}, **more
    )


async def receive(world: Any, secret: pysequoia.Tsk | None, message: Message, **job: Any) -> Any:
    """What an engine does with a message that holds these fields."""
    alice = await world.own_cert() if await world.ports.store.get("openpgp/own/active") is None else None
    if alice is None:
        account = world.encrypter._account(ALICE, world.ports)
        await account.load(world.ports)
        alice = pysequoia.Cert.from_bytes(account.own.parsed.key.data)
    sealed = pysequoia.encrypt(b"x", [alice], None if secret is None else secret.signer(), armor=False)
    body = Body(base64.b64encode(sealed).decode())
    first = world.open_job(**job)
    opened = await world.encrypter.decrypt(
        body, await world.encrypter.open_keys(body, first, world.ports), world.ports
    )
    notices = await world.encrypter.learn(message, opened, first, world.ports)
    if opened.missing:
        again = replace(first, missing=opened.missing)
        opened = await world.encrypter.decrypt(
            body, await world.encrypter.open_keys(body, again, world.ports), world.ports
        )
        notices = await world.encrypter.learn(message, opened, first, world.ports)
    return replace(opened, warnings=(*opened.warnings, *notices))


@pytest.fixture
async def unknown(world: Any) -> None:
    """Alice has a key, and knows nothing of Bob; nobody serves his key."""
    await world.seal()
    await world.ports.store.delete(f"openpgp/contacts/{BOB}")
    for jid, node in list(world.nodes.nodes):
        if jid == BOB:
            del world.nodes.nodes[jid, node]
    world.encrypter = type(world.encrypter)()
    world.nodes.asked.clear()


@pytest.mark.usefixtures("unknown")
async def test_the_first_message_of_a_stranger_brings_its_key(world: Any, bob: bytes) -> None:
    opened = await receive(world, world.bob, mail(bob))
    assert (opened.verdict.signature, opened.verdict.source) == (Signature.GOOD, "autocrypt")
    assert [notice.code for notice in opened.warnings] == ["key-not-verified"]
    assert world.nodes.asked == []
    message = await world.seal(form=())
    assert pysequoia.decrypt(message, world.bob.decryptor()).bytes == b"hello"


@pytest.mark.usefixtures("unknown")
@pytest.mark.parametrize("change", ["another key", "another sender", "another addr", "two headers", "none"])
async def test_a_field_that_does_not_fit_brings_nothing(
    world: Any, bob: bytes, other: bytes, make_secret: Any, public_of: Any, change: str
) -> None:
    eve = public_of(make_secret("eve@mail.example"))
    message = {
        "another key": mail(other),
        "another sender": mail(eve, sender="eve@mail.example"),
        "another addr": mail(eve, addr="eve@mail.example"),
        "two headers": mail(
            None, headers={"autocrypt": (header_value(ADDRESS, bob), header_value(ADDRESS, other))}
        ),
        "none": mail(None),
    }[change]
    opened = await receive(world, world.bob, message)
    assert opened.verdict.signature is Signature.UNKNOWN_SIGNER
    assert [notice.code for notice in opened.warnings] == ["signer-unknown"]
    assert (await record(world)).keys == {}


@pytest.mark.usefixtures("unknown")
async def test_a_message_that_is_not_signed_teaches_nothing(world: Any, bob: bytes) -> None:
    opened = await receive(world, None, mail(bob))
    assert opened.verdict.signature is Signature.UNSIGNED
    assert (await record(world)).keys == {}


async def test_another_key_in_a_good_message_is_told_and_not_used(
    world: Any, bob: bytes, other: bytes
) -> None:
    await world.seal()
    opened = await receive(world, world.bob, mail(other))
    assert opened.verdict.signature is Signature.GOOD
    assert "autocrypt-key" in [notice.code for notice in opened.warnings]
    known = (await record(world)).keys
    assert (known[name(other)].state, known[name(bob)].state) == (KeyState.NEW, KeyState.ACCEPTED)
    message = await world.seal()
    assert pysequoia.decrypt(message, world.bob.decryptor()).bytes == b"hello"


async def test_a_stranger_with_an_own_key_does_not_replace_a_known_one(
    world: Any, make_secret: Any, other: bytes
) -> None:
    await world.seal()
    opened = await receive(world, pysequoia.Tsk.from_bytes(make_secret(ADDRESS, 1)), mail(other))
    assert opened.verdict.signature is Signature.UNKNOWN_SIGNER
    assert [notice.code for notice in opened.warnings] == ["signer-not-accepted"]
    assert (await record(world)).keys[name(other)].state is KeyState.NEW
    assert (await record(world)).autocrypt.fingerprint == ""


async def test_the_policy_takes_a_key_that_a_good_message_named(
    world: Any, bob: bytes, other: bytes, make_secret: Any
) -> None:
    await world.seal()
    await receive(world, world.bob, mail(other))
    world.nodes.serve(BOB, other)
    await world.encrypter.notified(BOB, PUBLIC_KEYS, world.ports)
    with pytest.raises(PolicyChanged):
        await world.seal()
    option = {"{urn:xmpp:gre:encrypter:openpgp:0}trust": "accept-when-confirmed"}
    job = replace(world.job(), options=option)
    keys = await world.encrypter.seal_keys(job, world.ports)
    assert name(keys.theirs[0][1]) == name(other)
    assert world.questions[-1].code in {"key-changed", "key-contradiction"}


async def test_copies_of_what_we_sent_change_nothing(world: Any, bob: bytes, other: bytes) -> None:
    message = await world.seal()
    before = await record(world)
    opened = await world.open(message, direction=Direction.SENT)
    assert opened.verdict.signature is Signature.GOOD
    fields = mail(other, headers={"autocrypt-gossip": (header_value(ADDRESS, other),)}, to=(ADDRESS,))
    job = world.open_job(direction=Direction.SENT)
    assert list(await world.encrypter.learn(fields, opened, job, world.ports)) == []
    assert await record(world) == before


async def test_gossip_is_the_last_source_and_only_about_recipients(
    world: Any, bob: bytes, make_secret: Any, public_of: Any
) -> None:
    carol, eve = public_of(make_secret("carol@mail.example")), public_of(make_secret("eve@mail.example"))
    await world.seal()
    gossip = (header_value("carol@mail.example", carol), header_value("eve@mail.example", eve))
    message = mail(bob, headers={"autocrypt-gossip": gossip}, to=(OURS, "carol@mail.example"))
    await receive(world, world.bob, message)
    assert (await record(world, "eve\\40mail.example@gateway.example")).keys == {}
    known = (await record(world, CAROL)).keys[name(carol)]
    assert (known.state, known.source) == (KeyState.NEW, Source.GOSSIP)
    job = replace(world.job(), recipients=(Recipient(CAROL, "carol@mail.example"),))
    keys = await world.encrypter.seal_keys(job, world.ports)
    assert name(keys.theirs[0][1]) == name(carol)


async def test_a_known_message_writes_nothing_to_the_store(world: Any, bob: bytes) -> None:
    await world.seal()
    await receive(world, world.bob, mail(bob))
    before = await world.ports.store.get(f"openpgp/contacts/{BOB}")
    await receive(world, world.bob, mail(bob))
    assert await world.ports.store.get(f"openpgp/contacts/{BOB}") is before


async def test_our_fields_bear_our_key_and_with_several_recipients_theirs(
    world: Any, bob: bytes, make_secret: Any, public_of: Any
) -> None:
    carol = public_of(make_secret("carol@mail.example"))
    world.nodes.serve(CAROL, carol)
    one = world.job()
    both = replace(one, recipients=(*one.recipients, Recipient(CAROL, "carol@mail.example")))
    keys = await world.encrypter.seal_keys(one, world.ports)
    ((field, value),) = world.encrypter.protected_fields(keys, one)
    ours = parse(value)
    assert ours is not None
    assert (field, ours.address, ours.mutual) == ("Autocrypt", OURS, True)
    assert name(ours.keydata) == name(keys.own)
    assert "\n" not in value
    fields = list(world.encrypter.protected_fields(await world.encrypter.seal_keys(both, world.ports), both))
    gossip = [parse(value) for field, value in fields if field == "Autocrypt-Gossip"]
    assert [header.address for header in gossip if header] == [ADDRESS, "carol@mail.example"]
    assert [name(header.keydata) for header in gossip if header] == [name(bob), name(carol)]


# -- our own key -----------------------------------------------------------------------------------


async def test_a_foreign_key_served_as_ours_is_an_alarm_once_a_day(
    world: Any, directory: Directory, make_secret: Any, public_of: Any
) -> None:
    await world.seal()
    directory.keys[OURS] = public_of(make_secret(OURS, 1))
    assert "own-key-foreign" in await new_session(world)
    directory.asked.clear()
    assert "own-key-foreign" not in await new_session(world)
    assert directory.asked == []
    later(world, days=2)
    assert "own-key-foreign" in await new_session(world)


async def test_our_own_key_and_silence_are_no_alarm(world: Any, directory: Directory) -> None:
    alice = bytes(await world.own_cert())
    directory.offline = True
    assert "own-key-foreign" not in await new_session(world)
    directory.offline = False
    directory.keys[OURS] = alice
    directory.asked.clear()
    assert "own-key-foreign" not in await new_session(world)
    assert directory.asked, "being offline did not count"


# -- the facade ------------------------------------------------------------------------------------


async def test_the_users_word_counts_at_once(world: Any, bob: bytes, other: bytes) -> None:
    keys = ContactKeys(world.engine, ALICE, world.ports)
    await world.seal()
    world.nodes.serve(BOB, other)
    await world.encrypter.notified(BOB, PUBLIC_KEYS, world.ports)
    with pytest.raises(PolicyChanged):
        await world.seal()
    assert {info.fingerprint: info.state for info in await keys.list(BOB)} == {
        name(bob): KeyState.ACCEPTED,
        name(other): KeyState.NEW,
    }
    assert (await keys.trust(BOB, name(other)[-16:].lower(), yes=True)).state is KeyState.ACCEPTED
    assert await world.seal()
    await keys.trust(BOB, name(other), yes=False)
    with pytest.raises(NoUsableKey):
        await world.seal()


async def test_pin_and_unpin(world: Any, bob: bytes, other: bytes, make_secret: Any, public_of: Any) -> None:
    keys = ContactKeys(world.engine, ALICE, world.ports)
    info = await keys.pin(BOB, other)
    assert (info.state, info.address, list(info.sources)) == (KeyState.PINNED, ADDRESS, [Source.PINNED])
    world.nodes.errors[BOB, PUBLIC_KEYS] = PeerTimeout("late")
    sealed = await world.encrypter.seal_keys(world.job(), world.ports)
    assert [name(key) for _, key in sealed.theirs] == [name(other)]
    assert await keys.unpin(BOB) == (name(other),)
    assert (await keys.list(BOB))[0].state is KeyState.ACCEPTED
    for wrong in (
        b"",
        b"nonsense",
        public_of(make_secret("eve@mail.example")),
        revoked(make_secret(ADDRESS)),
    ):
        with pytest.raises(NoUsableKey):
            await keys.pin(BOB, wrong)
    with pytest.raises(NoUsableKey):
        await keys.pin("no jid", bob)


async def test_verify_wants_the_whole_fingerprint(world: Any, bob: bytes) -> None:
    keys = ContactKeys(world.engine, ALICE, world.ports)
    await world.seal()
    spaced = " ".join(name(bob)[at : at + 4] for at in range(0, 40, 4)).lower()
    assert (await keys.verify(BOB, spaced)).state is KeyState.VERIFIED
    for wrong in (name(bob)[-16:], "A" * 40, ""):
        with pytest.raises(NoUsableKey):
            await keys.verify(BOB, wrong)
    assert (await keys.trust(BOB, name(bob), yes=True)).state is KeyState.VERIFIED, "never less than before"
    (shown,) = await keys.show(name(bob)[-16:])
    assert (shown.jid, shown.by, shown.user_ids) == (BOB, "user", (f"<{ADDRESS}>",))
    with pytest.raises(NoUsableKey):
        await keys.show("F" * 40)


async def test_fetch_tells_what_each_source_says(
    world: Any, directory: Directory, bob: bytes, other: bytes
) -> None:
    keys = ContactKeys(world.engine, ALICE, world.ports)
    outcomes = {result.source: result.outcome for result in await keys.fetch(BOB)}
    assert outcomes == {Source.XEP0373: Outcome.KEYS, Source.WKD: Outcome.NOTHING}
    assert (await keys.list(BOB))[0].state is KeyState.ACCEPTED
    directory.keys[ADDRESS] = other
    results = {result.source: result for result in await keys.fetch(BOB)}
    assert results[Source.WKD].outcome is Outcome.CONTRADICTS
    assert results[Source.WKD].fingerprints == (name(other),)
    directory.offline = True
    world.nodes.errors[BOB, PUBLIC_KEYS] = PeerTimeout("late")
    results = {result.source: result for result in await keys.fetch(BOB)}
    assert {result.outcome for result in results.values()} == {Outcome.OFFLINE}
    plain = ContactKeys(world.engine, ALICE, replace(world.ports, web=None))
    assert [result.outcome for result in await plain.fetch(BOB)] == [Outcome.OFFLINE, Outcome.OFF]
    assert world.questions == []


async def test_export_gives_what_is_used(world: Any, bob: bytes) -> None:
    keys = ContactKeys(world.engine, ALICE, world.ports)
    with pytest.raises(NoUsableKey):
        await keys.export(BOB)
    await world.seal()
    assert pysequoia.Cert.from_bytes(await keys.export(BOB)).fingerprint.upper() == name(bob)
    assert [info.jid for info in await keys.list()] == [BOB], "our own key is not a contact's"


# -- explaining, and the format --------------------------------------------------------------------


async def explained(world: Any, **job: Any) -> dict[str, str]:
    notices = await world.encrypter.explain(replace(world.job(), **job), world.ports)
    return {notice.code: notice.text for notice in notices}


async def test_explain_asks_nobody_and_remembers_nothing(
    world: Any, directory: Directory, bob: bytes, other: bytes
) -> None:
    found = await explained(world)
    assert name(bob) in found["openpgp-key"]
    assert "no key on this device" in found["openpgp-own-key"]
    assert await world.ports.store.keys("openpgp/") == []
    await world.seal()
    directory.keys[ADDRESS] = other
    later(world, days=2)
    before = await world.ports.store.get(f"openpgp/contacts/{BOB}")
    found = await explained(world)
    assert "mail domain" in found["key-contradiction"]
    assert "xep-0373 since" in found["openpgp-key"]
    assert world.questions == []
    assert await world.ports.store.get(f"openpgp/contacts/{BOB}") == before
    world.nodes.nodes.clear()
    directory.keys.clear()
    with pytest.raises(NoUsableKey):
        await explained(world)


@pytest.fixture
def modern() -> Any:
    """Make keys that announce SEIPD version 2: of version 4 or 6."""

    def make(address: str, profile: str = "RFC4880") -> pysequoia.Tsk:
        return pysequoia.Tsk.generate(f"<{address}>", profile=getattr(pysequoia.Profile, profile))

    return make


@pytest.mark.sequoia
async def test_the_format_is_one_that_every_announced_key_reads(world: Any, modern: Any) -> None:
    theirs = modern(ADDRESS)
    world.nodes.serve(BOB, bytes(theirs.extract_certificate()))
    message = await world.seal()
    assert check_message(message).version == 1
    assert pysequoia.decrypt(message, theirs.decryptor()).bytes == b"hello"
    found = await explained(world)
    assert "SEIPD version 1" in found["openpgp-format"]
    own = world.encrypter._account(ALICE, world.ports).own.fingerprint
    assert own in found["openpgp-format"]


@pytest.mark.sequoia
async def test_version_6_only(world: Any, modern: Any) -> None:
    theirs = modern(ADDRESS, "RFC9580")
    await ContactKeys(world.engine, ALICE, world.ports).pin(BOB, bytes(theirs.extract_certificate()))
    message = await world.seal()
    assert check_message(message).version == 1, "our own key reads no more"
    assert pysequoia.decrypt(message, theirs.decryptor()).bytes == b"hello"
    await OwnKeys(world.engine, ALICE, world.ports).import_key(bytes(modern(OURS, "RFC9580")))
    world.answer = True
    world.encrypter = type(world.encrypter)()
    message = await world.seal()
    assert check_message(message).version == 2
    assert pysequoia.decrypt(message, theirs.decryptor()).bytes == b"hello"
    assert "SEIPD version 2" in (await explained(world))["openpgp-format"]


@pytest.mark.sequoia
async def test_mixed_recipients_get_what_the_oldest_reads(
    world: Any, modern: Any, make_secret: Any, public_of: Any
) -> None:
    await OwnKeys(world.engine, ALICE, world.ports).import_key(bytes(modern(OURS)))
    theirs, old = modern(ADDRESS, "RFC9580"), pysequoia.Tsk.from_bytes(make_secret("carol@mail.example"))
    await ContactKeys(world.engine, ALICE, world.ports).pin(BOB, bytes(theirs.extract_certificate()))
    world.nodes.serve(CAROL, bytes(old.extract_certificate()))
    job = replace(world.job(), recipients=(*world.job().recipients, Recipient(CAROL, "carol@mail.example")))
    keys = await world.encrypter.seal_keys(job, world.ports)
    body = await world.encrypter.encrypt(b"hello", keys, world.ports)
    message = base64.b64decode(body.text)
    assert check_message(message).version == 1
    for secret in (theirs, old):
        assert pysequoia.decrypt(message, secret.decryptor()).bytes == b"hello"


# -- many contacts ---------------------------------------------------------------------------------


async def test_a_file_store_serves_the_same(world: Any, tmp_path: Any, bob: bytes) -> None:
    world.ports = replace(world.ports, store=FileStore(tmp_path / "store"))
    await world.seal()
    world.encrypter = type(world.encrypter)()
    world.nodes.asked.clear()
    account = world.encrypter._account(ALICE, world.ports)
    contact = await account.contacts.to_verify(BOB, world.ports)
    assert [cert.key.fingerprint for cert in contact.parsed] == [name(bob)]
    assert world.nodes.asked == []
