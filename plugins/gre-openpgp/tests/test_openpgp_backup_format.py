"""The backup of secret keys: code, element, outer shape of the message (XEP-0373, section 5)."""

from __future__ import annotations

import base64
import contextlib
from xml.etree.ElementTree import Element, fromstring, tostring

import pytest
from gre_openpgp.backup import (
    ALPHABET,
    MAX_BACKUP,
    check_password_message,
    new_code,
    normal_code,
    read_secretkey,
    secretkey_element,
)
from gre_openpgp.errors import BadOpenPGP
from hypothesis import given
from hypothesis import strategies as st

CODE = "TWNK-KD5Y-MT3T-E1GS-DRDB-KVTW"  # XEP-0373, section 5.4
SKESK = bytes.fromhex("c30d04090308" + "00" * 8 + "ff")
SEIPD = bytes([0xD2, 45, 1]) + bytes(44)
MESSAGE = SKESK + SEIPD


def test_a_code_is_as_the_specification_says() -> None:
    code = new_code()
    assert len(code) == 29
    assert [len(group) for group in code.split("-")] == [4] * 6
    assert set(code) <= {*ALPHABET, "-"}
    assert len(ALPHABET) == 34
    assert not {"O", "0"} & set(ALPHABET)
    assert len({new_code() for _ in range(50)}) == 50


@pytest.mark.parametrize(
    "typed",
    [
        CODE,
        CODE.lower(),
        CODE.replace("-", ""),
        CODE.replace("-", " "),
        f"  {CODE}\n",
        CODE.replace("-", "\u2013"),
    ],
)
def test_a_code_may_be_typed_in_any_way(typed: str) -> None:
    assert normal_code(typed) == CODE


@pytest.mark.parametrize(
    "typed",
    [
        "",
        CODE[:-1],
        CODE + "A",
        "O" + CODE[1:],
        "0" + CODE[1:],
        "Ä" + CODE[1:],
        "ß" * 12,
        "A" * 24_000,
        "x" * 10**6,
    ],
)
def test_what_is_no_code_is_said_without_quoting_it(typed: str) -> None:
    with pytest.raises(ValueError, match="backup code has") as caught:
        normal_code(typed)
    assert not typed or typed not in str(caught.value)


@given(st.text(ALPHABET, min_size=24, max_size=24))
def test_a_normal_code_stays_as_it_is(plain: str) -> None:
    code = normal_code(plain)
    assert normal_code(code) == code
    assert code.replace("-", "") == plain


def test_the_element_comes_back() -> None:
    element = secretkey_element(MESSAGE)
    assert tostring(element).startswith(b"<ns0:secretkey")
    assert read_secretkey(fromstring(tostring(element))) == MESSAGE
    element.text = "\n  " + "\n  ".join((element.text or "")[at : at + 20] for at in range(0, 200, 20)) + "\n"
    assert read_secretkey(element) == MESSAGE


def _element(text: str, name: str = "secretkey") -> Element:
    element = Element(f"{{urn:xmpp:openpgp:0}}{name}")
    element.text = text
    return element


@pytest.mark.parametrize(
    "element",
    [
        None,
        _element(base64.b64encode(MESSAGE).decode(), "pubkey"),
        _element(""),
        _element("ä"),
        _element("***"),
        _element("A" * (MAX_BACKUP * 2 + 1)),
    ],
    ids=["none", "other", "empty", "not-ascii", "not-base64", "large"],
)
def test_other_elements_are_refused(element: Element | None) -> None:
    with pytest.raises(BadOpenPGP):
        read_secretkey(element)


def test_the_right_shape_passes() -> None:
    check_password_message(MESSAGE)
    check_password_message(SKESK * 4 + SEIPD)
    partial = bytes([0xD2, 0xE6]) + b"\x01" + bytes(63) + bytes([5]) + bytes(5)
    check_password_message(SKESK + partial)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"x",
        SEIPD,
        SKESK,
        SKESK * 5 + SEIPD,
        SKESK + SEIPD[:-1],
        SKESK + SEIPD + b"\xd2",
        SKESK + bytes([0xD2, 3, 1, 0, 0]),
        SKESK + bytes([0xC9, 45]) + bytes(45),  # no integrity protection
        bytes.fromhex("c30d04090408") + bytes(9) + SEIPD,  # Argon2
        bytes.fromhex("c30d06090308") + bytes(9) + SEIPD,  # another version
        bytes.fromhex("c104030000ff") + SEIPD,  # a public-key session key
        SKESK + SKESK[:-3],
    ],
)
def test_other_shapes_are_refused(message: bytes) -> None:
    with pytest.raises(BadOpenPGP):
        check_password_message(message)


@given(st.binary(max_size=80), st.integers(0, 60), st.integers(0, 255))
def test_nothing_but_our_error_comes_out(data: bytes, at: int, value: int) -> None:
    changed = bytearray(MESSAGE)
    changed[at % len(changed)] = value
    for message in (data, bytes(changed), SKESK + data):
        with contextlib.suppress(BadOpenPGP):
            check_password_message(message)
