"""Without a checksum GnuPG 2.2 fails where the base64 has no padding, and PGPy always."""

from __future__ import annotations

import binascii
import os

import pytest
from gre_openpgp.armor import armor, checksum_line, dearmor


def _crc24(data: bytes) -> int:
    """CRC-24 as RFC 9580, section 6.1.1, writes it."""
    crc = 0xB704CE
    for byte in data:
        crc ^= byte << 16
        for _ in range(8):
            crc <<= 1
            if crc & 0x1000000:
                crc ^= 0x1864CFB
    return crc


@pytest.mark.parametrize("length", [0, 1, 2, 3, 255, 256, 1000, 1001])
def test_checksum_is_that_of_the_rfc(length: int) -> None:
    data = os.urandom(length)
    assert checksum_line(data) == b"=" + binascii.b2a_base64(_crc24(data).to_bytes(3, "big"), newline=False)


@pytest.mark.parametrize("length", [1, 2, 3, 57, 58, 59, 60])
def test_every_armor_ends_in_a_checksum_unless_told_otherwise(length: int) -> None:
    data = os.urandom(length)
    assert armor(data, newline=b"\n").split(b"\n")[-3] == checksum_line(data)
    assert checksum_line(data) not in armor(data, checksum=False)
    assert dearmor(armor(data)) == dearmor(armor(data, checksum=False)) == data
