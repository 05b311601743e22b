"""What an attacker may send. Each message ends as one of our errors or with another verdict than "good"."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pysequoia
import pytest
from gre_encrypter_openpgp.engine import ENGINE
from gre_openpgp.contact_record import By, ContactRecord, KeyState, KnownKey, Seen, Source, save_record
from gre_openpgp.encrypting import unwrap as unwrapping
from gre_openpgp.encrypting.engine import Secret
from gre_openpgp.encrypting.opening import open_message
from gre_openpgp.messages import check_message
from gre_openpgp.xep0373 import PublicKey

from gre_core.api import Signature
from gre_core.errors import BadEncrypted, DecryptFailed, GreError, NotForUs

BOB = "bob\\40mail.example@gateway.example"
ADDRESS = "bob@mail.example"
CONTENT = b"Content-Type: text/plain\r\n\r\nPay 1 coin.\r\n"
REFUSED = "refused"


class Field:
    """Alice's world, and Bob with a key made by hand."""

    def __init__(self, world: Any, forge: Any) -> None:
        self.world, self.forge = world, forge
        self.bob = forge.Key()
        self.secret = self.public = self.head = b""
        self.session: Any = None
        self.record = ContactRecord()

    async def start(self) -> Field:
        self.public = bytes(await self.world.own_cert())
        self.secret = next(iter(self.world.encrypter._accounts.values()))[1].own.secret
        self.head, self.session = self.forge.session_of(self.secret, self.public)
        self.serve(self.bob.certificate(ADDRESS))
        return self

    def serve(self, *certs: bytes) -> None:
        """Let these be the keys that Alice accepted for Bob."""
        now = datetime.now(UTC)
        seen = {Source.XEP0373: Seen(now, now)}
        keys = [KnownKey(PublicKey.read(cert), KeyState.ACCEPTED, By.USER, seen, told=True) for cert in certs]
        self.record = ContactRecord().with_keys(keys)
        self.world.encrypter = type(self.world.encrypter)()

    def enclose(self, packets: bytes) -> bytes:
        message: bytes = self.head + self.forge.container(packets, self.session)
        return message

    async def open(self, packets: bytes) -> Any:
        return await self.open_message(self.enclose(packets))

    async def open_message(self, message: bytes) -> Any:
        await save_record(BOB, self.record, self.world.ports.store)
        return await self.world.open(message)

    async def outcome(self, packets: bytes) -> str:
        """Give the verdict, or that it was refused with one of our errors."""
        try:
            opened = await self.open(packets)
        except (BadEncrypted, DecryptFailed, NotForUs):
            return REFUSED
        assert (opened.signer_ids != ()) == (
            opened.verdict.signature in {Signature.GOOD, Signature.WRONG_SIGNER}
        )
        return str(opened.verdict.signature)


@pytest.fixture
async def field(world: Any, forge: Any) -> Field:
    return await Field(world, forge).start()


@pytest.fixture(params=["plain", "zip", "zlib", "bzip2"])
def wrap(request: Any, forge: Any) -> Any:
    return forge.COMPRESSIONS.get(request.param, lambda packets: packets)


# -- what has to work, so that the rest proves something --------------------------------------------


async def test_an_honest_message_made_by_hand_is_good(field: Field, wrap: Any) -> None:
    opened = await field.open(wrap(field.bob.signed(CONTENT)))
    assert (opened.payload, opened.verdict.signature) == (CONTENT, Signature.GOOD)


@pytest.mark.parametrize("form", ["old_packet", "partial_packet", "indeterminate_packet"])
async def test_every_form_of_lengths_is_read(field: Field, forge: Any, form: str) -> None:
    content = CONTENT * 40
    signed = field.bob.signed(content)
    wrapped = getattr(forge, form)(8, b"\x00" + signed)
    assert (await field.open(wrapped)).verdict.signature is Signature.GOOD
    inner = field.bob.one_pass() + forge.partial_packet(11, b"b\x00" + bytes(4) + content)
    opened = await field.open(forge.zipped(inner + field.bob.signature(content)))
    assert (opened.payload, opened.verdict.signature) == (content, Signature.GOOD)


async def test_signed_then_compressed_and_the_reverse_are_read(field: Field, forge: Any) -> None:
    inside = field.bob.one_pass() + forge.zipped(forge.literal(CONTENT)) + field.bob.signature(CONTENT)
    both = forge.zlibbed(inside)
    old = field.bob.signature(CONTENT) + forge.literal(CONTENT)
    for packets in (inside, both, forge.zipped(old)):
        opened = await field.open(packets)
        assert (opened.payload, opened.verdict.signature) == (CONTENT, Signature.GOOD)
    # A signature in front, as PGP 5 wrote it: Sequoia opens it, but does not find it valid unless it is compressed.
    pgpy = field.world.engine is not ENGINE
    assert (await field.open(old)).verdict.signature is (Signature.GOOD if pgpy else Signature.BAD)


async def test_text_signatures_are_read(field: Field, wrap: Any, forge: Any) -> None:
    content = b"one\ntwo\n"
    opened = await field.open(wrap(field.bob.signed(content, forge.TEXT)))
    assert (opened.payload, opened.verdict.signature) == (content, Signature.GOOD)


async def test_several_signers_around_one_content(field: Field, forge: Any, wrap: Any) -> None:
    eve = forge.Key()
    inner = field.bob.one_pass() + forge.literal(CONTENT) + field.bob.signature(CONTENT)
    packets = eve.one_pass(nested=True) + inner + eve.signature(CONTENT)
    opened = await field.open(wrap(packets))
    assert opened.verdict.signature is Signature.GOOD
    assert opened.signer_ids == (field.bob.fingerprint,)


async def test_a_valid_signer_beside_a_forged_one_is_good(field: Field, forge: Any, wrap: Any) -> None:
    inner = field.bob.one_pass() + forge.literal(CONTENT) + field.bob.signature(CONTENT)
    packets = field.bob.one_pass(nested=True) + inner + field.bob.signature(b"other")
    assert (await field.open(wrap(packets))).verdict.signature is Signature.GOOD


@pytest.mark.sequoia
@pytest.mark.parametrize("mode", [2, 3])
async def test_seipd_of_version_2_is_read_compressed(field: Field, forge: Any, mode: int) -> None:
    for content in (CONTENT, CONTENT * 300):
        packets = forge.zipped(field.bob.signed(content))
        message = _v6_message(forge, packets, mode)
        secret, public, data = message
        key = pysequoia.Tsk.from_bytes(secret).decryptor()
        cert = pysequoia.Cert.from_bytes(field.bob.certificate(ADDRESS))
        certs = dict.fromkeys((field.bob.fingerprint.lower(), field.bob.key_id.hex()), cert)
        judged = ENGINE.decrypt(data, [key], certs, [Secret(secret)])
        assert (judged.payload, judged.signers) == (content, (field.bob.fingerprint.lower(),))
        assert public


def _v6_message(forge: Any, packets: bytes, mode: int) -> tuple[bytes, bytes, bytes]:
    made = pysequoia.Tsk.generate("<alice@mail.example>", profile=pysequoia.Profile.RFC9580)
    secret, public = bytes(made), bytes(made.extract_certificate())
    head, session = forge.session_of(secret, public)
    return secret, public, head + forge.container_v2(packets, session, mode)


# -- changed on the way ----------------------------------------------------------------------------


async def test_a_change_in_every_bit_of_the_container_is_found(field: Field, wrap: Any) -> None:
    """By Sequoia for the plain message; by our own reader too."""
    message = field.enclose(wrap(field.bob.signed(b"x")))
    secrets = [Secret(field.secret)]
    assert open_message(message, secrets)
    start = check_message(message).container
    for at in range(start, len(message)):
        for bit in range(8):
            hurt = message[:at] + bytes([message[at] ^ 1 << bit]) + message[at + 1 :]
            with pytest.raises((BadEncrypted, DecryptFailed, NotForUs)):
                open_message(hurt, secrets)


async def test_a_change_in_every_byte_never_reaches_the_reader(field: Field, wrap: Any) -> None:
    message = field.enclose(wrap(field.bob.signed(b"x")))
    for at in range(len(message)):
        hurt = message[:at] + bytes([message[at] ^ 0x20]) + message[at + 1 :]
        try:
            opened = await field.open_message(hurt)
        except (BadEncrypted, DecryptFailed, NotForUs):
            continue
        # What names the recipient is not protected: version 3, a key id that is ours, or hidden.
        assert at < check_message(message).container
        assert (opened.payload, opened.verdict.signature) == (b"x", Signature.GOOD)


async def test_cut_off_at_every_byte(field: Field, wrap: Any) -> None:
    message = field.enclose(wrap(field.bob.signed(b"x")))
    for size in range(len(message)):
        with pytest.raises((BadEncrypted, DecryptFailed, NotForUs)):
            await field.open_message(message[:size])


@pytest.mark.parametrize("mode", [1, 2, 3])
def test_a_change_in_every_byte_of_an_aead_container_is_found(forge: Any, mode: int) -> None:
    from gre_openpgp.encrypting.container import open_container
    from gre_openpgp.encrypting.sessionkeys import SessionKey

    if mode == 1:
        body, session = EAX_SAMPLE, SessionKey(0, EAX_KEY)
    else:
        session = SessionKey(0, bytes(32))
        body = forge.container_v2(forge.literal(b"x" * 200), session, mode, chunk=0)[6:]
    assert open_container(body, session)
    for at in range(len(body)):
        assert open_container(body[:at] + bytes([body[at] ^ 4]) + body[at + 1 :], session) is None
        if at > 36:
            assert open_container(body[:at], session) is None
    step = 64 + 16
    assert open_container(body[: 36 + step] + body[-16:], session) is None  # whole chunks left out


# The sample of RFC 9580, appendix A.8.3: AES-128 in EAX mode.
EAX_KEY = bytes.fromhex("3881bafe985412459b86c36f98cb9a5e")
EAX_SAMPLE = bytes.fromhex(
    "020701069ff90e3b321964f3a42913c8dcc6619325015227efb7eaeaa49f04c2e674175d"
    "4a3d226ed6afcb9ca9ac122c1470e11c63d4c0ab241c6a938ad48bf99a5a99b90bba8325"
    "de61047540258ab7959a95ad051dda96eb15431dfef5f5e2255ca78261546e339a"
)


async def test_without_a_checksum_nothing_is_opened(field: Field, forge: Any) -> None:
    packets = forge.zipped(field.bob.signed(CONTENT))
    message = field.head + forge.container(packets, field.session, checksum=False)
    with pytest.raises(DecryptFailed):
        await field.open_message(message)
    with pytest.raises(DecryptFailed):
        open_message(message, [Secret(field.secret)])


# -- not encrypted, more than one ------------------------------------------------------------------


async def test_what_is_not_encrypted_is_refused(field: Field, forge: Any, wrap: Any) -> None:
    for packets in (field.bob.signed(CONTENT), forge.literal(CONTENT), b""):
        with pytest.raises(BadEncrypted):
            await field.open_message(wrap(packets))
    with pytest.raises(BadEncrypted):
        await field.open_message(field.head + forge.packet(9, bytes(100)))
    with pytest.raises(BadEncrypted):
        await field.open_message(field.head + forge.packet(20, b"\x01\x09\x02\x06" + bytes(100)))


async def test_two_messages_in_one_are_refused(field: Field, wrap: Any) -> None:
    one = field.enclose(wrap(field.bob.signed(CONTENT)))
    for data in (one + one, one + one[len(field.head) :], field.head + one, one + b"\x00", one + b"\xcb\x00"):
        with pytest.raises((BadEncrypted, NotForUs)):
            await field.open_message(data if not data.startswith(field.head * 2) else data + b"x")


@pytest.mark.parametrize(
    "name",
    [
        "signed twice",
        "literal first",
        "literal behind",
        "two literals",
        "two literals in one signature",
        "signature missing",
        "one-pass missing",
        "a signature too many",
        "nothing",
        "only signatures",
        "text behind",
        "key behind",
        "encrypted again",
        "session key inside",
        "literal between",
        "checksum packet inside",
        "unknown critical packet",
    ],
)
async def test_other_structures_are_never_good(field: Field, forge: Any, wrap: Any, name: str) -> None:
    bob, lit = field.bob, forge.literal
    good = bob.signed(CONTENT)
    evil = lit(b"Pay 1000 coins.")
    packets = {
        "signed twice": good + good,
        "literal first": evil + good,
        "literal behind": good + evil,
        "two literals": lit(CONTENT) + evil,
        "two literals in one signature": bob.one_pass() + lit(CONTENT) + evil + bob.signature(CONTENT),
        "signature missing": bob.one_pass() + lit(CONTENT),
        "one-pass missing": lit(CONTENT) + bob.signature(CONTENT),
        "a signature too many": good + bob.signature(CONTENT),
        "nothing": b"",
        "only signatures": bob.one_pass() + bob.signature(b""),
        "text behind": good + b"text",
        "key behind": good + bob.certificate(ADDRESS),
        "encrypted again": field.enclose(good),
        "session key inside": field.head + good,
        "literal between": bob.one_pass() + evil + lit(CONTENT) + bob.signature(CONTENT),
        "checksum packet inside": good + forge.packet(19, bytes(20)),
        "unknown critical packet": forge.packet(30, b"x") + good,
    }[name]
    assert await field.outcome(wrap(packets)) == REFUSED


async def test_unsigned_parts_beside_a_compressed_signed_one_are_refused(field: Field, forge: Any) -> None:
    good, evil = field.bob.signed(CONTENT), forge.literal(b"Pay 1000 coins.")
    for packets in (
        forge.zipped(good) + evil,
        evil + forge.zipped(good),
        forge.zipped(good) + forge.zipped(evil),
        forge.zipped(forge.zipped(good) + evil),
        forge.zipped(evil) + field.bob.signature(CONTENT),
        field.bob.one_pass() + forge.zipped(good) + field.bob.signature(b"") + evil,
    ):
        assert await field.outcome(packets) == REFUSED


async def test_markers_and_padding_change_nothing(field: Field, forge: Any, wrap: Any) -> None:
    marker, padding = forge.packet(10, b"PGP"), forge.packet(21, bytes(100))
    for packets in (marker + field.bob.signed(CONTENT), padding + field.bob.signed(CONTENT) + padding):
        opened = await field.open(wrap(packets))
        assert (opened.payload, opened.verdict.signature) == (CONTENT, Signature.GOOD)


async def test_a_flood_of_packets_is_refused(field: Field, forge: Any) -> None:
    marker = forge.packet(10, b"PGP")
    assert await field.outcome(forge.zipped(marker * 500 + field.bob.signed(CONTENT))) == REFUSED
    many = field.bob.one_pass(nested=True) * 17 + forge.literal(CONTENT) + field.bob.signature(CONTENT) * 17
    assert await field.outcome(forge.zipped(many)) == REFUSED


# -- compression -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["zip", "zlib", "bzip2"])
async def test_a_bomb_is_refused(field: Field, forge: Any, name: str) -> None:
    bomb = forge.COMPRESSIONS[name](forge.literal(bytes(unwrapping.FREE_CONTENT + 1)))
    assert len(bomb) < 100_000
    with pytest.raises(DecryptFailed, match="far larger"):
        await field.open(bomb)
    with pytest.raises(DecryptFailed, match="far larger"):
        unwrapping.unwrap(forge.COMPRESSIONS[name](bomb))


async def test_a_nested_bomb_stops_at_the_first_limit(forge: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(unwrapping, "FREE_CONTENT", 1 << 16)
    bomb = forge.literal(bytes(1 << 20))
    for _ in range(2):
        bomb = forge.bzipped(bomb)
    with pytest.raises(DecryptFailed, match="far larger"):
        unwrapping.unwrap(bomb)


async def test_large_contents_that_are_compressed_as_usual_are_opened(forge: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(unwrapping, "FREE_CONTENT", 1000)
    text = b"".join(b"line %d\r\n" % number for number in range(9000))
    assert unwrapping.unwrap(forge.zipped(forge.literal(text))).content == text
    monkeypatch.setattr(unwrapping, "MAX_CONTENT", 10_000)
    with pytest.raises(DecryptFailed, match="far larger"):
        unwrapping.unwrap(forge.zipped(forge.literal(text)))


async def test_nesting_ends_at_two(field: Field, forge: Any) -> None:
    packets = field.bob.signed(CONTENT)
    verdicts = []
    for _ in range(5):
        packets = forge.zipped(packets)
        verdicts.append(await field.outcome(packets))
    assert verdicts == [Signature.GOOD, Signature.GOOD, REFUSED, REFUSED, REFUSED]


def test_a_message_that_holds_itself_is_refused(forge: Any) -> None:
    """A quine of DEFLATE decompresses to itself without end; what stops it is the depth."""
    assert unwrapping.MAX_DEPTH == 2
    packets = forge.literal(b"x")
    for _ in range(200):
        packets = forge.stored(packets)
    with pytest.raises(DecryptFailed):
        unwrapping.unwrap(packets)


@pytest.mark.parametrize("name", ["zip", "zlib", "bzip2"])
async def test_damaged_compression_is_refused(field: Field, forge: Any, name: str) -> None:
    made = forge.COMPRESSIONS[name](field.bob.signed(CONTENT))
    body = made[6:]
    for data in (
        body[:-1],
        body[:1],
        b"\x04" + body[1:],
        b"\x6e" + body[1:],
        b"",
    ):
        assert await field.outcome(forge.packet(8, data)) == REFUSED
    for at in range(0, len(body), 3):
        hurt = body[:at] + bytes([body[at] ^ 0x10]) + body[at + 1 :]
        try:
            found = unwrapping.unwrap(forge.packet(8, hurt))
        except GreError:
            continue
        # BZIP2 and ZLIB have check sums; a change that ZIP does not notice is judged with the signature.
        assert name == "zip" or found == unwrapping.unwrap(made)


@pytest.mark.parametrize("name", ["zip", "zlib", "bzip2"])
async def test_octets_behind_a_compressed_stream_are_not_looked_at(
    field: Field, forge: Any, name: str
) -> None:
    """Thunderbird writes such; nobody shows them."""
    compress = forge.COMPRESSIONS[name]
    body = compress(field.bob.signed(CONTENT))[6:]
    for behind in (b"x", bytes(100_000), compress(forge.literal(b"Pay 1000 coins."))[7:]):
        opened = await field.open(forge.packet(8, body + behind))
        assert (opened.payload, opened.verdict.signature) == (CONTENT, Signature.GOOD)


# -- who signed, and how ---------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "ripemd160"])
async def test_weak_hashes_are_bad(field: Field, wrap: Any, algorithm: str) -> None:
    assert await field.outcome(wrap(field.bob.signed(CONTENT, algorithm=algorithm))) == Signature.BAD


async def test_a_forged_signature_is_bad(field: Field, forge: Any, wrap: Any) -> None:
    bob = field.bob
    other = bob.one_pass() + forge.literal(b"Pay 1000 coins.") + bob.signature(CONTENT)
    eve = forge.Key()
    claimed = bob.one_pass() + forge.literal(CONTENT) + eve.signature(CONTENT, issuer=bob.key_id)
    for packets in (other, claimed):
        assert await field.outcome(wrap(packets)) == Signature.BAD


@pytest.mark.parametrize("kind", [0x02, 0x10, 0x13, 0x18, 0x19, 0x1F, 0x20, 0x28, 0x30, 0x40, 0x50, 0xFF])
async def test_signatures_of_other_kinds_prove_nothing(field: Field, wrap: Any, kind: int) -> None:
    packets = field.bob.signed(CONTENT, kind)
    assert await field.outcome(wrap(packets)) in {Signature.BAD, Signature.UNSIGNED, REFUSED}


async def test_a_binding_signature_is_no_signature_of_its_content(
    field: Field, forge: Any, wrap: Any
) -> None:
    """The content is what the signature of a user id covers."""
    user_id = f"<{ADDRESS}>".encode()
    over = field.bob.hashed + b"\xb4" + len(user_id).to_bytes(4, "big") + user_id
    signature = field.bob.signature(over, forge.POSITIVE)
    for kind in (forge.POSITIVE, forge.BINARY):
        packets = field.bob.one_pass(kind) + forge.literal(over) + signature
        assert await field.outcome(wrap(packets)) != Signature.GOOD


async def test_times_that_cannot_be_are_bad(field: Field, forge: Any, wrap: Any) -> None:
    key = field.bob
    for facts in (
        {"created": forge.NOW + 30 * forge.DAY},
        {"created": key.created - forge.DAY},
        {"created": forge.NOW - 10 * forge.DAY, "extra": forge.subpacket(3, forge.DAY.to_bytes(4, "big"))},
    ):
        assert await field.outcome(wrap(key.signed(CONTENT, **facts))) == Signature.BAD
    unknown = {"extra": forge.subpacket(101, b"x", critical=True)}
    assert await field.outcome(wrap(key.signed(CONTENT, **unknown))) == Signature.BAD


async def test_an_expired_key_signs_only_what_is_older(field: Field, forge: Any, wrap: Any) -> None:
    field.serve(field.bob.certificate(ADDRESS, lifetime=50 * forge.DAY))
    within, after = field.bob.created + 10 * forge.DAY, field.bob.created + 60 * forge.DAY
    assert await field.outcome(wrap(field.bob.signed(CONTENT, created=within))) == Signature.GOOD
    assert await field.outcome(wrap(field.bob.signed(CONTENT, created=after))) == Signature.BAD


@pytest.mark.parametrize("reason", [0, 2])
async def test_a_key_that_was_stolen_signs_nothing(field: Field, wrap: Any, reason: int) -> None:
    field.serve(field.bob.certificate(ADDRESS, direct=field.bob.revocation(reason=reason)))
    for created in (field.bob.created + 1, None):
        assert await field.outcome(wrap(field.bob.signed(CONTENT, created=created))) == Signature.BAD


async def test_a_key_that_was_replaced_signs_only_what_is_older(field: Field, forge: Any, wrap: Any) -> None:
    when = forge.NOW - 20 * forge.DAY
    field.serve(field.bob.certificate(ADDRESS, direct=field.bob.revocation(reason=1, created=when)))
    assert await field.outcome(wrap(field.bob.signed(CONTENT))) == Signature.BAD
    assert await field.outcome(wrap(field.bob.signed(CONTENT, created=when - forge.DAY))) == Signature.GOOD


async def test_a_key_that_may_not_sign_proves_nothing(field: Field, forge: Any, wrap: Any) -> None:
    field.serve(field.bob.certificate(ADDRESS, flags=forge.CERTIFY))
    assert await field.outcome(wrap(field.bob.signed(CONTENT))) == Signature.BAD


async def test_a_key_bound_by_a_weak_hash_proves_nothing(field: Field, wrap: Any) -> None:
    field.serve(field.bob.certificate(ADDRESS, algorithm="md5"))
    assert await field.outcome(wrap(field.bob.signed(CONTENT))) != Signature.GOOD


# -- subkeys ---------------------------------------------------------------------------------------


async def test_a_signing_subkey_signs(field: Field, forge: Any, wrap: Any) -> None:
    child = forge.Key()
    field.serve(field.bob.certificate(ADDRESS, behind=field.bob.subkey(child, back=child)))
    opened = await field.open(wrap(child.signed(CONTENT)))
    assert (opened.verdict.signature, opened.signer_ids) == (Signature.GOOD, (field.bob.fingerprint,))


@pytest.mark.parametrize(
    "shape", ["no back signature", "back by another", "bound by another", "not for signing"]
)
async def test_a_subkey_that_is_not_bound_both_ways_signs_nothing(
    field: Field, forge: Any, wrap: Any, shape: str
) -> None:
    child, eve = forge.Key(), forge.Key()
    behind = {
        "no back signature": field.bob.subkey(child),
        "back by another": field.bob.subkey(child, back=eve),
        "bound by another": field.bob.subkey(child, back=child, by=eve),
        "not for signing": field.bob.subkey(child, back=child, flags=forge.ENCRYPT),
    }[shape]
    field.serve(field.bob.certificate(ADDRESS, behind=behind))
    assert await field.outcome(wrap(child.signed(CONTENT))) == Signature.BAD


@pytest.mark.parametrize("back", [False, True])
async def test_a_grafted_subkey_does_not_make_the_thief_the_signer(
    field: Field, forge: Any, wrap: Any, back: bool
) -> None:
    """Bob puts the signing subkey of Carol on his key, to claim what Carol signed."""
    carol, child = forge.Key(), forge.Key()
    stolen = field.bob.subkey(child, back=field.bob if back else None)
    field.serve(field.bob.certificate(ADDRESS, behind=stolen))
    assert carol.certificate("carol@mail.example", behind=carol.subkey(child, back=child))
    assert await field.outcome(wrap(child.signed(CONTENT))) == Signature.BAD


async def test_a_back_signature_for_another_key_cannot_be_moved(field: Field, forge: Any, wrap: Any) -> None:
    carol, child = forge.Key(), forge.Key()
    honest = carol.subkey(child, back=child)
    inner = honest[honest.index(b"\x20", len(child.body)) :]
    assert inner
    over = carol.hashed + child.hashed
    moved = child.signature(over, forge.BACK, created=child.created)[6:]
    extra = (
        forge.subpacket(27, bytes([forge.SIGN]))
        + b"\xff"
        + (len(moved) + 1).to_bytes(4, "big")
        + b"\x20"
        + moved
    )
    binding = field.bob.signature(
        field.bob.hashed + child.hashed, forge.SUBKEY_BINDING, created=child.created, extra=extra
    )
    field.serve(field.bob.certificate(ADDRESS, behind=forge.packet(14, child.body) + binding))
    assert await field.outcome(wrap(child.signed(CONTENT))) == Signature.BAD


async def test_expired_and_revoked_subkeys(field: Field, forge: Any, wrap: Any) -> None:
    child = forge.Key()
    bound = field.bob.subkey(child, back=child, lifetime=50 * forge.DAY)
    field.serve(field.bob.certificate(ADDRESS, behind=bound))
    assert await field.outcome(wrap(child.signed(CONTENT))) == Signature.BAD
    within = child.created + 10 * forge.DAY
    assert await field.outcome(wrap(child.signed(CONTENT, created=within))) == Signature.GOOD


async def test_a_revoked_subkey_signs_nothing(field: Field, forge: Any, wrap: Any) -> None:
    child = forge.Key()
    bound = field.bob.subkey(child, back=child) + field.bob.subkey_revocation(child)
    field.serve(field.bob.certificate(ADDRESS, behind=bound))
    assert await field.outcome(wrap(child.signed(CONTENT))) == Signature.BAD


# -- other people ----------------------------------------------------------------------------------


async def test_another_key_with_the_same_name_is_an_unknown_signer(
    field: Field, forge: Any, wrap: Any
) -> None:
    eve = forge.Key()
    assert eve.certificate(ADDRESS)
    assert await field.outcome(wrap(eve.signed(CONTENT))) == Signature.UNKNOWN_SIGNER


async def test_a_key_without_the_name_is_the_wrong_signer(field: Field, wrap: Any) -> None:
    field.serve(field.bob.certificate("eve@mail.example"))
    assert await field.outcome(wrap(field.bob.signed(CONTENT))) == Signature.WRONG_SIGNER


async def test_a_key_with_a_name_that_it_did_not_sign_is_the_wrong_signer(
    field: Field, forge: Any, wrap: Any
) -> None:
    """Eve's key bears her own name, and Bob's without any signature, or with one that is not hers."""
    eve = forge.Key()
    name = forge.packet(13, f"<{ADDRESS}>".encode())
    copied = field.bob.certificate(ADDRESS)
    theirs = copied[copied.index(name) :]
    for behind in (name, theirs):
        field.serve(eve.certificate("eve@mail.example", behind=behind))
        assert await field.outcome(wrap(eve.signed(CONTENT))) != Signature.GOOD


# -- 7: without a worker, Sequoia sees nothing that it would decompress without a limit -------------


@pytest.fixture
def alone(field: Field) -> Field:
    """Alice's world without a worker process."""
    field.world.ports = replace(field.world.ports, worker=None)
    return field


@pytest.mark.parametrize(
    "shape", ["compressed", "signed first", "behind a marker", "in parts", "unknown first", "cut"]
)
async def test_7_in_this_process_sequoia_sees_nothing_compressed(
    alone: Field, forge: Any, monkeypatch: Any, shape: str
) -> None:
    content = b"\0" * (unwrapping.FREE_CONTENT + 1)
    bomb = forge.zipped(forge.literal(content))
    packets = {
        "compressed": bomb,
        "signed first": alone.bob.one_pass() + bomb + alone.bob.signature(content),
        "behind a marker": forge.packet(10, b"PGP") + forge.packet(21, bytes(50)) + bomb,
        "in parts": forge.partial_packet(8, bomb[6:]),
        "unknown first": forge.packet(30, b"x") + bomb,
        "cut": bomb[:3],
    }[shape]
    monkeypatch.setattr(pysequoia, "decrypt", None)
    with pytest.raises(DecryptFailed):
        await alone.open(packets)


async def test_7_a_second_session_key_hides_nothing(alone: Field, forge: Any, monkeypatch: Any) -> None:
    """The first one opens too, but gives another key, under which the beginning may look like anything."""
    other_head, _ = forge.session_of(alone.secret, alone.public)
    bomb = forge.zipped(forge.literal(bytes(unwrapping.FREE_CONTENT + 1)))
    monkeypatch.setattr(pysequoia, "decrypt", None)
    for head in (other_head + alone.head, alone.head + other_head):
        with pytest.raises(DecryptFailed, match="far larger"):
            await alone.open_message(head + forge.container(bomb, alone.session))


async def test_7_a_compressed_file_too(alone: Field, forge: Any, monkeypatch: Any, tmp_path: Any) -> None:
    monkeypatch.setattr(pysequoia, "decrypt_file", None)
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(alone.enclose(forge.zipped(forge.literal(bytes(unwrapping.FREE_CONTENT + 1)))))
    with pytest.raises(DecryptFailed, match="far larger"):
        await alone.world.encrypter.decrypt_file(source, target, alone.world.open_job(), alone.world.ports)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def _spied(monkeypatch: Any) -> list[str]:
    """Note which of Sequoia's functions are called."""
    seen: list[str] = []

    def watch(name: str) -> None:
        real = getattr(pysequoia, name)

        def spy(*arguments: Any, **named: Any) -> Any:
            seen.append(name)
            return real(*arguments, **named)

        monkeypatch.setattr(pysequoia, name, spy)

    watch("decrypt")
    watch("verify")
    return seen


def _usual(packets: bytes) -> bytes:
    """Let a signed message begin as programs write it: the length of the first packet in one octet."""
    assert packets.startswith(b"\xc4\xff\0\0\0\x0d\x03")
    return b"\xc4\x0d" + packets[6:]


@pytest.mark.sequoia
async def test_7_plain_messages_go_to_sequoia(alone: Field, monkeypatch: Any) -> None:
    seen = _spied(monkeypatch)
    monkeypatch.setattr("gre_encrypter_openpgp.sequoia.SMALL", 0)
    assert (await alone.open(alone.bob.signed(CONTENT))).verdict.signature is Signature.GOOD
    assert seen == ["decrypt"]


@pytest.mark.sequoia
async def test_7_of_small_ones_sequoia_judges_the_signed_message_inside(
    alone: Field, monkeypatch: Any
) -> None:
    seen = _spied(monkeypatch)
    opened = await alone.open(_usual(alone.bob.signed(CONTENT)))
    assert (opened.payload, opened.verdict.signature) == (CONTENT, Signature.GOOD)
    assert seen == ["verify"]


@pytest.mark.sequoia
async def test_7_what_is_not_proven_at_once_goes_the_long_way(
    alone: Field, forge: Any, monkeypatch: Any
) -> None:
    seen = _spied(monkeypatch)
    signed = _usual(alone.bob.signed(CONTENT))
    shapes = {
        Signature.UNSIGNED: forge.literal(CONTENT),
        Signature.BAD: signed.replace(b"1 coin", b"9 coin"),
        Signature.UNKNOWN_SIGNER: _usual(forge.Key().signed(CONTENT)),
    }
    for signature, packets in shapes.items():
        seen.clear()
        assert (await alone.open(packets)).verdict.signature is signature
        assert "decrypt" in seen


async def test_7_one_changed_bit_is_found_here_too(alone: Field) -> None:
    message = alone.enclose(_usual(alone.bob.signed(CONTENT)))
    for at in (len(message) - 1, len(message) - 30, len(alone.head) + 30):
        changed = bytearray(message)
        changed[at] ^= 1
        with pytest.raises(DecryptFailed):
            await alone.open_message(bytes(changed))


@pytest.mark.sequoia
async def test_7_two_session_keys_are_never_settled_at_once(alone: Field, monkeypatch: Any) -> None:
    """Under each of them the container may hold something else: which one counts is Sequoia's choice."""
    seen = _spied(monkeypatch)
    message = alone.head + alone.enclose(_usual(alone.bob.signed(CONTENT)))
    assert (await alone.open_message(message)).verdict.signature is Signature.GOOD
    assert seen == ["decrypt"]
