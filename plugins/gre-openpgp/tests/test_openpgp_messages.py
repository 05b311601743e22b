"""The check before any crypto library: what gets through, and that nothing else does."""

from __future__ import annotations

import contextlib
import mmap
import random
from typing import TYPE_CHECKING

import pytest
from gre_openpgp.messages import ANONYMOUS, MAX_SAME_KEY, MAX_SESSION_KEYS, check_message
from hypothesis import given
from hypothesis import strategies as st

from gre_core.errors import BadEncrypted

if TYPE_CHECKING:
    from pathlib import Path


def packet(tag: int, body: bytes) -> bytes:
    return bytes([0xC0 | tag, 255]) + len(body).to_bytes(4, "big") + body


def pkesk(key_id: str = "0123456789ABCDEF") -> bytes:
    return packet(1, b"\x03" + bytes.fromhex(key_id) + bytes([18]) + bytes(40))


def seipd(size: int = 100, version: int = 1) -> bytes:
    return packet(18, bytes([version]) + bytes(size - 1))


def partial(*sizes: int, last: int = 50) -> bytes:
    parts = b"".join(bytes([224 + size.bit_length() - 1]) + b"\x01" * size for size in sizes)
    return b"\xd2" + parts + bytes([last]) + bytes(last)


def test_real_messages_pass(message: bytes, message_v6: bytes) -> None:
    checked = check_message(message)
    assert len(checked.session_keys) == 2
    assert checked.version == 1
    assert check_message(message_v6).version == 2
    assert check_message(message_v6).session_keys[0].key_id == "5D127DFDC90462D7"


def test_session_keys_of_strangers_are_left_out(message: bytes) -> None:
    checked = check_message(message)
    second = checked.session_keys[1]
    wanted = checked.for_keys({second.key_id})
    assert wanted == (second,)
    kept = checked.keep(message, wanted)
    assert kept == message[second.start : second.end] + message[checked.container :]
    assert checked.keep(message, checked.session_keys) is message
    assert checked.for_keys(set()) == ()


def test_hidden_recipients_are_kept() -> None:
    hidden = packet(1, b"\x06\x00" + bytes(40))
    checked = check_message(pkesk(ANONYMOUS) + hidden + pkesk() + seipd())
    assert [key.key_id for key in checked.for_keys(set())] == [ANONYMOUS, ANONYMOUS]


def test_6_a_flood_that_names_our_key_is_cut(message: bytes) -> None:
    flood = pkesk() * 40 + pkesk("FEDCBA9876543210") * 2 + seipd()
    checked = check_message(flood)
    ours = checked.for_keys({"0123456789ABCDEF", "FEDCBA9876543210"})
    assert [key.key_id for key in ours] == ["0123456789ABCDEF"] * MAX_SAME_KEY + ["FEDCBA9876543210"] * 2
    assert check_message(checked.keep(flood, ours)).session_keys[-1].key_id == "FEDCBA9876543210"


def test_the_body_of_a_container_in_parts_is_joined() -> None:
    assert check_message(pkesk() + partial(512, 1024)).body(pkesk() + partial(512, 1024)) == (
        b"\x01" * 1536 + bytes(50)
    )


@pytest.mark.parametrize("sizes", [(512,), (512, 1024), (8192, 8192, 512)])
def test_partial_lengths_of_the_container_pass(sizes: tuple[int, ...]) -> None:
    assert check_message(pkesk() + partial(*sizes)).version == 1


def test_a_message_without_session_keys_passes_and_is_for_nobody() -> None:
    assert check_message(seipd()).for_keys({"0123456789ABCDEF"}) == ()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "cut off"),
        (b"\x00", "cut off"),
        (pkesk(), "cut off"),
        (pkesk() + seipd(40), "too short"),
        (pkesk() + seipd()[:-1], "cut off"),
        (pkesk() + seipd() + b"\x00", "behind"),
        (pkesk() + seipd() + seipd(), "behind"),
        (pkesk() + seipd() + pkesk(), "behind"),
        (pkesk() + seipd(version=3), "version"),
        (pkesk() + partial(512)[:-1], "cut off"),
        (pkesk() + partial(512) + b"x", "behind"),
        (packet(3, bytes(20)) + seipd(), "password"),
        (pkesk() + packet(9, bytes(100)), "integrity"),
        (packet(9, bytes(100)), "integrity"),
        (packet(8, bytes(100)), "compressed"),
        (packet(11, bytes(100)), "not encrypted"),
        (packet(4, bytes(13)), "signed but not encrypted"),
        (packet(2, bytes(100)), "signed but not encrypted"),
        (packet(10, b"PGP") + pkesk() + seipd(), "type 10"),
        (packet(20, bytes(100)), "OCB"),
        (packet(30, bytes(100)), "type 30"),
        (packet(1, b"\x03") + seipd(), "damaged"),
        (packet(1, b"\x05" + bytes(40)) + seipd(), "version"),
        (packet(1, b"\x06\xff" + bytes(40)) + seipd(), "damaged"),
        (packet(1, bytes(9000)) + seipd(), "damaged"),
        (b"\xc1\xe9" + bytes(512) + b"\x05" + bytes(5) + seipd(), "damaged"),
        (pkesk() * (MAX_SESSION_KEYS + 1) + seipd(), "more than 64"),
    ],
)
def test_every_other_shape_is_refused(data: bytes, says: str) -> None:
    with pytest.raises(BadEncrypted, match=says):
        check_message(data)


def test_64_session_keys_pass() -> None:
    assert len(check_message(pkesk() * MAX_SESSION_KEYS + seipd()).session_keys) == MAX_SESSION_KEYS


def test_old_packet_format_of_session_keys_passes() -> None:
    body = pkesk()[6:]
    assert check_message(bytes([0x84, len(body)]) + body + seipd()).session_keys


@given(st.binary(max_size=300))
def test_any_bytes_pass_or_are_refused(data: bytes) -> None:
    for whole in (data, pkesk() + data):
        with contextlib.suppress(BadEncrypted):
            check_message(whole)


def test_changed_messages_pass_or_are_refused(message: bytes) -> None:
    chance = random.Random(1)
    for _ in range(3000):
        changed = bytearray(message[: chance.randrange(1, len(message) + 1)])
        for _ in range(chance.randrange(4)):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        try:
            checked = check_message(bytes(changed))
        except BadEncrypted:
            continue
        assert checked.container + 41 < len(changed)
        assert all(key.end <= checked.container for key in checked.session_keys)


def test_it_works_on_a_mapped_file(message: bytes, tmp_path: Path) -> None:
    path = tmp_path / "message"
    path.write_bytes(message)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert check_message(mapped) == check_message(message)
