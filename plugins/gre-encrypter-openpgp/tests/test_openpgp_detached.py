"""Detached signatures inside the encryption (RFC 3156, section 6.1), with several signers."""

from __future__ import annotations

from typing import Any

import pysequoia
import pytest
from gre_openpgp.armor import armor
from gre_openpgp.encrypting.unwrap import MAX_SIGNATURES
from pysequoia.packet import PacketPile, SignatureType

from gre_core.api import Direction, JudgesSigned, Signature, SignedPart
from gre_core.errors import ParseFailed

CONTENT = b"Content-Type: text/plain\r\n\r\nfirst\r\nsecond\r\n"
PGP = "application/pgp-signature"
BOB = "bob\\40mail.example@gateway.example"


def sign(key: pysequoia.Tsk, content: bytes = CONTENT) -> bytes:
    return pysequoia.sign(key.signer(), content, mode=pysequoia.SignatureMode.DETACHED, armor=False)


async def judge(
    world: Any, signature: bytes, content: bytes = CONTENT, protocol: str = PGP, **job: Any
) -> Any:
    part = SignedPart(content, signature, protocol)
    await world.encrypter.seal_keys(world.job(), world.ports)  # so that Bob's key is known
    opened = await world.encrypter.judge_signed(part, world.open_job(**job), world.ports)
    if opened.missing:
        job["missing"] = opened.missing
        opened = await world.encrypter.judge_signed(part, world.open_job(**job), world.ports)
    assert opened.payload == b""
    return opened


@pytest.fixture
def eve(make_secret: Any) -> pysequoia.Tsk:
    return pysequoia.Tsk.from_bytes(make_secret("eve@mail.example"))


def test_the_encrypter_has_the_ability(world: Any) -> None:
    assert isinstance(world.encrypter, JudgesSigned)


@pytest.mark.parametrize("armored", [True, False])
async def test_good(world: Any, armored: bool) -> None:
    signature = sign(world.bob)
    opened = await judge(world, armor(signature, "SIGNATURE") if armored else signature)
    assert opened.verdict.signature is Signature.GOOD
    assert opened.signer_ids == (world.bob.extract_certificate().fingerprint.upper(),)


async def test_another_content_is_bad(world: Any) -> None:
    opened = await judge(world, sign(world.bob), CONTENT + b" ")
    assert opened.verdict.signature is Signature.BAD
    assert opened.signer_ids == ()


async def test_16_each_of_several_signers_is_looked_at(world: Any, eve: pysequoia.Tsk) -> None:
    """A ``Sig`` of pysequoia takes only the first signature."""
    both = sign(eve) + sign(world.bob)
    first = pysequoia.Sig.from_bytes(both)
    assert bytes(first) == sign_packet(both, 0)  # pins the reason
    opened = await judge(world, armor(both, "SIGNATURE"))
    assert opened.verdict.signature is Signature.GOOD
    assert opened.signer_ids == (world.bob.extract_certificate().fingerprint.upper(),)


def sign_packet(data: bytes, index: int) -> bytes:
    return bytes(list(PacketPile.from_bytes(data))[index])


async def test_all_valid_signers_are_listed(world: Any, make_secret: Any) -> None:
    second = pysequoia.Tsk.from_bytes(make_secret("bob@mail.example", 1))
    world.nodes.serve(BOB, *(bytes(key.extract_certificate()) for key in (world.bob, second)))
    opened = await judge(world, sign(second) + sign(world.bob) + sign(world.bob))
    assert opened.verdict.signature is Signature.GOOD
    assert opened.signer_ids == tuple(
        key.extract_certificate().fingerprint.upper() for key in (second, world.bob)
    )


async def test_only_by_somebody_else_is_never_good(world: Any, eve: pysequoia.Tsk) -> None:
    assert (await judge(world, sign(eve))).verdict.signature is Signature.UNKNOWN_SIGNER
    other = await judge(world, sign(world.bob), expected_sender="carol@mail.example")
    assert other.verdict.signature is Signature.WRONG_SIGNER


async def test_a_broken_one_beside_a_good_one_is_good(world: Any) -> None:
    opened = await judge(world, sign(world.bob, b"other") + sign(world.bob))
    assert opened.verdict.signature is Signature.GOOD


async def test_a_copy_of_our_own(world: Any) -> None:
    await world.seal()
    account = next(iter(world.encrypter._accounts.values()))[1]
    own = pysequoia.Tsk.from_bytes(account.own.secret)
    opened = await judge(world, sign(own), direction=Direction.SENT)
    assert opened.verdict.signature is Signature.GOOD
    assert (await judge(world, sign(own))).verdict.signature is not Signature.GOOD


async def test_line_ends_are_made_canonical(world: Any) -> None:
    for content in (CONTENT.replace(b"\r\n", b"\n"), CONTENT.replace(b"\r\n", b"\n", 2)):
        assert (await judge(world, sign(world.bob), content)).verdict.signature is Signature.GOOD
    as_is = b"binary\n\r\n\r"
    assert (await judge(world, sign(world.bob, as_is), as_is)).verdict.signature is Signature.GOOD


@pytest.mark.parametrize("change", [b" ", b"\r\n", b"\0"])
async def test_nothing_else_about_the_content_is_forgiven(world: Any, change: bytes) -> None:
    for content in (CONTENT + change, change + CONTENT, CONTENT[:-2], CONTENT.replace(b"first", b"first ")):
        assert (await judge(world, sign(world.bob), content)).verdict.signature is Signature.BAD


@pytest.mark.parametrize("kind", [SignatureType.PositiveCertification, SignatureType.SubkeyBinding])
async def test_a_signature_of_another_kind_is_no_signature_of_a_document(world: Any, kind: Any) -> None:
    cert = world.bob.extract_certificate()
    found = next(packet for packet in PacketPile.from_bytes(bytes(cert)) if packet.signature_type == kind)
    opened = await judge(world, bytes(found))
    assert opened.verdict.signature not in {Signature.GOOD, Signature.WRONG_SIGNER}


@pytest.mark.parametrize(
    "signature",
    [
        b"",
        b"garbage",
        b"-----BEGIN PGP SIGNATURE-----\n\n!!!!\n-----END PGP SIGNATURE-----\n",
        b"-----BEGIN PGP SIGNATURE-----\n",
        b"\xc2\x05\x04\x00\x01\x08\x00",
        bytes(2 * 1024 * 1024),
    ],
)
async def test_what_is_no_signature_is_said(world: Any, signature: bytes) -> None:
    with pytest.raises(ParseFailed):
        await judge(world, signature)


async def test_other_packets_and_other_kinds_of_armor_are_refused(world: Any) -> None:
    cert = bytes(world.bob.extract_certificate())
    inline = pysequoia.sign(world.bob.signer(), CONTENT, armor=False)
    for data in (cert, sign(world.bob) + cert, inline, armor(sign(world.bob), "MESSAGE")):
        with pytest.raises(ParseFailed):
            await judge(world, data)


async def test_the_number_of_signatures_is_bounded(world: Any) -> None:
    one = sign(world.bob)
    assert (await judge(world, one * MAX_SIGNATURES)).verdict.signature is Signature.GOOD
    with pytest.raises(ParseFailed, match=str(MAX_SIGNATURES)):
        await judge(world, one * (MAX_SIGNATURES + 1))


async def test_another_protocol_is_said(world: Any) -> None:
    with pytest.raises(ParseFailed, match="pkcs7"):
        await judge(world, sign(world.bob), protocol="application/pkcs7-signature")
    assert (
        await judge(world, sign(world.bob), protocol="Application/PGP-Signature")
    ).verdict.signature is Signature.GOOD


async def test_changed_anywhere_it_is_never_good(world: Any) -> None:
    """Only octets that no signature covers may change: the unhashed area, and the two octets for quick checks."""
    signature = sign(world.bob)
    good: list[int] = []
    for at in range(len(signature)):
        hurt = signature[:at] + bytes([signature[at] ^ 0x11]) + signature[at + 1 :]
        try:
            if (await judge(world, hurt)).verdict.signature is Signature.GOOD:
                good.append(at)
        except ParseFailed:
            pass
        with pytest.raises(ParseFailed):
            await judge(world, signature[:at])
    packet = next(iter(PacketPile.from_bytes(signature)))
    hashed_end = len(signature) - len(packet.body) + 6 + int.from_bytes(packet.body[4:6], "big")
    unhashed_end = hashed_end + 2 + int.from_bytes(signature[hashed_end : hashed_end + 2], "big") + 2
    assert all(hashed_end <= at < unhashed_end for at in good), good
