"""Armor, packets, user ids."""

from __future__ import annotations

import binascii
import contextlib

import pytest
from gre_openpgp.armor import MESSAGE, PUBLIC_KEY, armor, dearmor, is_armored
from gre_openpgp.errors import BadOpenPGP
from gre_openpgp.packets import read_certificate, split_certificates, walk
from gre_openpgp.signatures import read_signature
from gre_openpgp.user_ids import address_of, is_bound
from hypothesis import given
from hypothesis import strategies as st

ALICE = "8F63B5525E0AFE379A373CFC0A92EEC156A0EC30"


# -- armor -----------------------------------------------------------------------------------------


@given(st.binary(max_size=400), st.sampled_from([b"\r\n", b"\n"]))
def test_armor_comes_back(data: bytes, newline: bytes) -> None:
    text = armor(data, newline=newline)
    assert is_armored(text)
    assert dearmor(text) == data
    assert all(len(line) <= 76 for line in text.split(newline))
    assert b"Version" not in text
    assert b"Comment" not in text


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN PGP MESSAGE-----\n\nbWVzc2FnZQ==\n=abcd\n-----END PGP MESSAGE-----\n",
        (
            "-----BEGIN PGP MESSAGE-----\r\nVersion: x\r\nComment: y: z\r\n\r\n"
            "bWVz\r\nc2FnZQ==\r\n-----END PGP MESSAGE-----"
        ),
        "before\n-----BEGIN PGP MESSAGE-----\n \t\nbWVzc2Fn  \n ZQ==\n\n-----END PGP MESSAGE-----\nafter",
        "-----BEGIN PGP MESSAGE-----\nbWVzc2FnZQ==\n-----END PGP MESSAGE-----",
    ],
    ids=["checksum", "headers", "blanks", "no empty line"],
)
def test_armor_as_others_write_it(text: str) -> None:
    assert dearmor(text) == b"message"
    assert dearmor(text.encode()) == b"message"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nothing",
        "-----BEGIN PGP MESSAGE-----",
        "-----BEGIN PGP MESSAGE-----\n\nbWVz",
        "-----BEGIN PGP MESSAGE-----\n\nbW!z\n-----END PGP MESSAGE-----",
        "-----BEGIN PGP MESSAGE-----\n\nbWV\n-----END PGP MESSAGE-----",
        "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nbWVz\n-----END PGP PUBLIC KEY BLOCK-----",
        "-----BEGIN PGP \nMESSAGE-----\n\nbWVz\n-----END PGP \nMESSAGE-----",
        "-----BEGIN PGP MESSAGE-----\n" + "a: b\n" * 10_000 + "\nbWVz\n-----END PGP MESSAGE-----",
    ],
)
def test_damaged_armor_is_refused(text: str) -> None:
    with pytest.raises(BadOpenPGP):
        dearmor(text)


def test_too_large_an_armor_is_refused() -> None:
    with pytest.raises(BadOpenPGP, match="larger"):
        dearmor(armor(bytes(100)), max_size=50)


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_text_is_read_or_refused(before: str, inside: str) -> None:
    for text in (before, f"{before}-----BEGIN PGP MESSAGE-----{inside}-----END PGP MESSAGE-----"):
        with contextlib.suppress(BadOpenPGP):
            assert isinstance(dearmor(text, None), bytes)


def test_the_kind_is_checked(alice: bytes) -> None:
    text = armor(alice, PUBLIC_KEY)
    assert dearmor(text, PUBLIC_KEY) == alice
    assert dearmor(text, None) == alice
    with pytest.raises(BadOpenPGP):
        dearmor(text, MESSAGE)


# -- keys ------------------------------------------------------------------------------------------


def test_fingerprints_and_user_ids(alice: bytes, bob: bytes, carol: bytes) -> None:
    read = read_certificate(alice)
    assert read.fingerprint == ALICE
    assert read.keys[0].key_id == "0A92EEC156A0EC30"
    assert [key.primary for key in read.keys] == [True, False]
    assert read.user_ids == ("<alice@example.org>",)
    assert read_certificate(bob).fingerprint == "5A6EB4173598A5EC6F54BEA722A97951E55CD46B"
    assert len(read_certificate(bob).keys) == 3
    v6 = read_certificate(carol)
    assert v6.fingerprint == "C559BAC01078967F48A9C6A72B6396A5D031697F55747917726C66CD85A8A133"
    assert v6.keys[0].key_id == "C559BAC01078967F"


def test_a_keyring_is_split(alice: bytes, bob: bytes, carol: bytes) -> None:
    assert split_certificates(alice + bob + carol) == (alice, bob, carol)
    with pytest.raises(BadOpenPGP, match="more than 2"):
        split_certificates(alice * 3, max_certificates=2)


@pytest.mark.parametrize("size", [1, 2, 50, 52, 54, 100, 300])
def test_a_key_that_is_cut_off_is_refused(alice: bytes, size: int) -> None:
    with pytest.raises(BadOpenPGP):
        read_certificate(alice[:size])


def test_only_one_public_key_and_nothing_else_is_a_key(alice: bytes, message: bytes) -> None:
    subkey = next(packet for packet in walk(alice) if packet.tag == 14)
    compressed = bytes([0xC8, 3, 0, 1, 2])
    for data in (b"", alice + alice, message, alice[subkey.start :], alice + compressed, alice + b"\x00"):
        with pytest.raises(BadOpenPGP):
            read_certificate(data)
    with pytest.raises(BadOpenPGP, match="at most"):
        read_certificate(alice, max_size=100)


def test_versions_2_3_and_5_are_refused(alice: bytes) -> None:
    for version in (2, 3, 5):
        with pytest.raises(BadOpenPGP, match="version 4 or 6"):
            read_certificate(alice[:2] + bytes([version]) + alice[3:])


def test_too_many_packets_are_refused(alice: bytes) -> None:
    with pytest.raises(BadOpenPGP, match="more than 2000"):
        read_certificate(alice + b"\xcd\x00" * 2000)


def test_old_packet_format_is_read(alice: bytes) -> None:
    first = next(walk(alice))
    body = alice[first.body : first.end]
    old = bytes([0x99]) + len(body).to_bytes(2, "big") + body
    assert read_certificate(old + alice[first.end :]).fingerprint == ALICE


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for read in (read_certificate, split_certificates):
        with contextlib.suppress(BadOpenPGP):
            read(data)


@given(at=st.integers(0, 10_000), value=st.integers(0, 255))
def test_any_change_is_read_or_refused(at: int, value: int) -> None:
    changed = bytearray(_ALICE)
    changed[at % len(changed)] = value
    try:
        for packet in walk(bytes(changed)):
            read_signature(bytes(changed), packet)
        read_certificate(bytes(changed))
    except BadOpenPGP:
        pass


_ALICE = binascii.a2b_base64(
    "xjMEawOyAxYJKwYBBAHaRw8BAQdAUJ9lVRIVyUBxuAn8fmC9HduIQEfUrgKjELKBNhMEp0LNEzxhbGljZUBleGFtcGxlLm9yZz7C"
    "iQQTFgoAMQUCawOyAwIbAwMLCQcDFQoIAhYAAhkBAh4BFiEEj2O1Ul4K/jeaNzz8CpLuwVag7DAACgkQCpLuwVag7DCDOwD8DkE3"
    "0oZ8II53NNSZCY7kq7GNlJVTvny4UTYmlaT85FcBAKG9kt+vElGXpj0XZZ87qc8Idg5mfII1IVpwC0oQOsoM"
)


def test_what_a_signature_says(alice: bytes) -> None:
    packets = [packet for packet in walk(alice) if packet.tag == 2]
    certification = read_signature(alice, packets[0])
    binding = read_signature(alice, packets[1])
    assert certification is not None
    assert binding is not None
    assert (certification.type, certification.flags, certification.issuer) == (0x13, 0x03, ALICE)
    assert (binding.type, binding.flags) == (0x18, 0x0C)
    assert certification.created == 0x6B03B203


# -- user ids --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user_id", "address"),
    [
        ("alice@example.org", "alice@example.org"),
        ("<Alice@Example.ORG>", "alice@example.org"),
        ("Alice Example <alice@example.org>", "alice@example.org"),
        ("Alice (work) <alice+tag@example.org>", "alice+tag@example.org"),
        ("Ālice <ālice@exāmple.org>", "ālice@exāmple.org"),
        ("Alice", None),
        ("", None),
        ("bob@x.org <eve@y.org>", "eve@y.org"),
        ("Bob <bob@x.org> <eve@y.org>", None),
        ("Bob <bob@x.org>eve", None),
        ("<a@b@c>", None),
        ("<a b@c>", None),
        ("x\r\n<a@b>", None),
        ("<a@b\x00>", None),
        ("xmpp:bob@x.org", None),
        ("a" * 2000 + "@b", None),
    ],
)
def test_addresses_in_user_ids(user_id: str, address: str | None) -> None:
    assert address_of(user_id) == address


def test_bound_to_an_address() -> None:
    user_ids = ["Bob <bob@example.org>", "xmpp:bob@jabber.example"]
    assert is_bound(user_ids, "Bob@example.org")
    assert not is_bound(user_ids, "ob@example.org")
    assert not is_bound(user_ids, "bob@example.or")
    assert not is_bound([], "bob@example.org")
    assert not is_bound(["x", ""], "")
    assert is_bound(["<+15550100>"], "+15550100")
    assert not is_bound(["<+155501001>", "x <+15550100>"], "+15550100")
