"""A public key without a library: its parts, its life, and what is left out when it is passed on."""

from __future__ import annotations

import pytest
from gre_openpgp.certificate_parts import Parts, life_of
from gre_openpgp.errors import BadOpenPGP
from gre_openpgp.packets import SIGNATURE, USER_ID, read_certificate, walk
from gre_openpgp.signatures import read_signature

ISSUER = bytes.fromhex("00112233445566778899AABBCCDDEEFF00112233")


def packet(tag: int, body: bytes) -> bytes:
    return bytes([0xC0 | tag, 0xFF]) + len(body).to_bytes(4, "big") + body


def key(tag: int = 6, created: int = 1000, seed: int = 1) -> bytes:
    return packet(tag, b"\x04" + created.to_bytes(4, "big") + bytes([22, seed]) + bytes(20))


PRIMARY = key()
OWN = bytes.fromhex(read_certificate(PRIMARY).fingerprint)


def signature(
    kind: int, *, created: int = 2000, lifetime: int = 0, flags: int = 0, issuer: bytes = OWN
) -> bytes:
    hashed = b"\x05\x02" + created.to_bytes(4, "big") + bytes([len(issuer) + 2, 33, 4]) + issuer
    if lifetime:
        hashed += b"\x05\x09" + lifetime.to_bytes(4, "big")
    if flags:
        hashed += bytes([2, 27, flags])
    return packet(2, bytes([4, kind, 22, 8]) + len(hashed).to_bytes(2, "big") + hashed + b"\0\0")


def uid(name: str) -> bytes:
    return packet(13, name.encode())


SUBKEY = key(14, seed=2)
BOUND = SUBKEY + signature(0x18, flags=0x0C)
BOB = uid("Bob <bob@example.net>") + signature(0x13, flags=3)


def test_other_names_images_and_what_others_signed_are_left_out() -> None:
    foreign = signature(0x10, issuer=ISSUER)
    image = packet(17, b"picture") + signature(0x13)
    whole = (
        PRIMARY
        + signature(0x1F)
        + BOB
        + foreign
        + uid("eve@example.com")
        + signature(0x13)
        + image
        + BOUND
        + foreign
    )
    assert Parts(whole).public("BOB@example.net") == PRIMARY + signature(0x1F) + BOB + BOUND


def test_revocations_stay() -> None:
    gone = PRIMARY + signature(0x20) + BOB + signature(0x30) + BOUND + signature(0x28)
    assert Parts(gone).public("bob@example.net") == gone


@pytest.mark.parametrize("name", ["carol@example.net", "", "bob@example.net.evil.example", "ob@example.net"])
def test_nothing_is_given_for_an_address_that_the_key_does_not_name(name: str) -> None:
    assert Parts(PRIMARY + BOB + BOUND).public(name) is None


def test_a_name_that_the_owner_did_not_sign_is_none() -> None:
    planted = PRIMARY + uid("bob@example.net") + signature(0x13, issuer=ISSUER) + BOUND
    assert Parts(planted).public("bob@example.net") is None


def test_a_stray_packet_does_not_part_a_name_from_its_signature() -> None:
    trusted = PRIMARY + uid("bob@example.net") + packet(12, b"\0\0") + signature(0x13) + BOUND
    found = Parts(trusted).public("bob@example.net")
    assert found == PRIMARY + uid("bob@example.net") + signature(0x13) + BOUND


@pytest.mark.parametrize(
    ("data", "ends", "revoked"),
    [
        (PRIMARY + BOB + BOUND, None, False),
        (PRIMARY + signature(0x20) + BOB + BOUND, None, True),
        (PRIMARY + uid("b@x.org") + signature(0x13, lifetime=500) + BOUND, 1500, False),
        (PRIMARY + BOB + SUBKEY + signature(0x18, flags=4, lifetime=300), 1300, False),
        # The newest word counts.
        (PRIMARY + uid("b@x.org") + signature(0x13, lifetime=500) + signature(0x13, created=3000) + BOUND, None, False),
        (PRIMARY + signature(0x1F, created=3000, lifetime=700) + BOB + BOUND, 1700, False),
        # The subkey that lives longest counts; a revoked one does not.
        (PRIMARY + BOB + SUBKEY + signature(0x18, flags=4, lifetime=300) + BOUND, None, False),
        (PRIMARY + BOB + SUBKEY + signature(0x18, flags=4, lifetime=300) + BOUND + signature(0x28), 1300, False),
        # A revoked name says nothing about the key any more.
        (PRIMARY + BOB + uid("b@x.org") + signature(0x13, created=2500, lifetime=9) + signature(0x30, created=2600), None, False),
    ],
)  # fmt: skip
def test_the_life_of_a_key(data: bytes, ends: int | None, revoked: bool) -> None:
    life = life_of(data)
    assert (life.ends, life.revoked) == (ends, revoked)
    assert life.over(10_000) == (revoked or ends is not None)
    assert life.over(0) == revoked


def test_the_date_of_a_key_changes_with_it() -> None:
    assert life_of(PRIMARY + BOB + BOUND).changed == 2000
    assert life_of(PRIMARY + BOB + BOUND + signature(0x18, created=5000)).changed == 5000
    assert life_of(PRIMARY + BOB + signature(0x10, created=9000, issuer=ISSUER)).changed == 2000
    assert life_of(PRIMARY).changed == 0


def test_real_keys(alice: bytes) -> None:
    assert not life_of(alice).over(4e9)
    public = Parts(alice).public("alice@example.org")
    assert public is not None
    assert read_certificate(public) == read_certificate(alice)


def test_a_key_with_thousands_of_names_is_refused_or_cut_down() -> None:
    names = b"".join(uid(f"x{number}@example.net") + signature(0x13) for number in range(900))
    public = Parts(PRIMARY + names + BOB + BOUND).public("bob@example.net")
    assert public == PRIMARY + BOB + BOUND
    with pytest.raises(BadOpenPGP):
        Parts(PRIMARY + names * 2 + BOB + BOUND)
    with pytest.raises(BadOpenPGP):
        Parts(PRIMARY + packet(13, bytes(1024 * 1024)))


def test_a_signature_that_is_cut_off_is_none() -> None:
    whole = signature(0x13, lifetime=5)
    found = 0
    for length in range(len(whole) - 6):
        body = whole[6 : 6 + length]
        data = PRIMARY + uid("bob@example.net") + packet(2, body)
        (last,) = [each for each in walk(data) if each.tag == SIGNATURE]
        found += read_signature(data, last) is not None
        assert Parts(data).groups[-1].tag == USER_ID
    assert found <= 3
