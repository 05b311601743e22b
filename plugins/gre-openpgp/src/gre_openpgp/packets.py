"""A bounded walk through OpenPGP packets (RFC 9580, section 4), without any cryptography.

It reads what can be read without a key: which packets there are, fingerprints, user ids. It proves nothing:
whoever decides something about trust asks a crypto library afterwards.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, NamedTuple

from gre_openpgp.errors import BadOpenPGP

if TYPE_CHECKING:
    from collections.abc import Iterator

PKESK: Final = 1
SIGNATURE: Final = 2
SKESK: Final = 3
PUBLIC_KEY: Final = 6
MARKER: Final = 10
USER_ID: Final = 13
PUBLIC_SUBKEY: Final = 14
SEIPD: Final = 18
PADDING: Final = 21

MAX_CERT: Final = 256 * 1024
"""Largest public key (certificate) that is read, in bytes."""

MAX_PACKETS: Final = 2000
"""How many packets a certificate may have."""

_TRUST: Final = 12
_USER_ATTRIBUTE: Final = 17
_IN_CERTIFICATES: Final = frozenset({SIGNATURE, MARKER, _TRUST, USER_ID, _USER_ATTRIBUTE, PADDING})

_V4: Final = 4
_V6: Final = 6
_V6_HEAD: Final = 10
_PARTIAL_MIN: Final = 224
_PARTIAL_MAX: Final = 254


class Packet(NamedTuple):
    """Where a packet lies: ``data[start:end]`` with header, ``data[body:end]`` without."""

    tag: int
    start: int
    body: int
    end: int


class Header(NamedTuple):
    """A packet header. ``length`` is that of the body, or of its first part (``partial``); -1: to the end."""

    tag: int
    body: int
    length: int
    partial: bool


def read_header(data: bytes, at: int, end: int) -> Header:
    """Read the packet header at an offset (RFC 9580, sections 4.2.1 and 4.2.2).

    Raises:
        BadOpenPGP: no packet header, or one that is cut off.
    """
    try:
        first = data[at]
        if first & 0xC0 == 0xC0:  # noqa: PLR2004 - OpenPGP format
            body, length, partial = new_length(data, at + 1)
            tag = first & 0x3F
        elif first & 0x80:
            tag, size = first >> 2 & 0x0F, first & 3
            width = (1, 2, 4, 0)[size]
            body, partial = at + 1 + width, False
            length = int.from_bytes(data[at + 1 : body], "big") if width else -1
        else:
            raise BadOpenPGP(f"There is no OpenPGP packet at byte {at}")
    except IndexError:
        raise BadOpenPGP("The OpenPGP data is cut off within a packet header") from None
    if body > end:
        raise BadOpenPGP("The OpenPGP data is cut off within a packet header")
    return Header(tag, body, length, partial)


def new_length(data: bytes, at: int) -> tuple[int, int, bool]:
    """Read a length of the OpenPGP format at an offset: (offset behind it, length, whether it is partial).

    Raises:
        IndexError: the data ends before it.
    """
    first = data[at]
    if first < 192:  # noqa: PLR2004
        return at + 1, first, False
    if first < _PARTIAL_MIN:
        return at + 2, (first - 192 << 8) + data[at + 1] + 192, False
    if first <= _PARTIAL_MAX:
        return at + 1, 1 << (first & 0x1F), True
    data[at + 4]  # IndexError when the four octets are not all there
    return at + 5, int.from_bytes(data[at + 1 : at + 5], "big"), False


def walk(data: bytes, *, max_packets: int = MAX_PACKETS) -> Iterator[Packet]:
    """Give the packets one by one. Partial and indeterminate lengths are refused: no key has them.

    Raises:
        BadOpenPGP: damaged, cut off, or more packets than ``max_packets``.
    """
    at, end = 0, len(data)
    for _ in range(max_packets):
        if at == end:
            return
        header = read_header(data, at, end)
        stop = header.body + header.length
        if header.partial or header.length < 0 or stop > end:
            raise BadOpenPGP("The OpenPGP data is cut off, or uses lengths that keys do not have")
        yield Packet(header.tag, at, header.body, stop)
        at = stop
    if at != end:
        raise BadOpenPGP(f"The OpenPGP data has more than {max_packets} packets")


def write_packet(tag: int, body: bytes) -> bytes:
    """Write a packet (RFC 9580, section 4.2.1)."""
    size = len(body)
    if size < 192:  # noqa: PLR2004
        return bytes([0xC0 | tag, size]) + body
    if size < 8384:  # noqa: PLR2004
        return bytes([0xC0 | tag, (size - 192 >> 8) + 192, size - 192 & 0xFF]) + body
    return bytes([0xC0 | tag, 0xFF]) + size.to_bytes(4, "big") + body


class Key(NamedTuple):
    """A public key or subkey packet. The fingerprint is in upper-case hex: 40 digits (v4) or 64 (v6)."""

    fingerprint: str
    primary: bool
    packet: Packet

    @property
    def key_id(self) -> str:
        """The key id: 16 upper-case hex digits (RFC 9580, section 5.5.4)."""
        return key_id(self.fingerprint)


class Certificate(NamedTuple):
    """What can be read of a public key without cryptography. The first of the keys is the primary one."""

    keys: tuple[Key, ...]
    user_ids: tuple[str, ...]

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the primary key."""
        return self.keys[0].fingerprint


def key_id(fingerprint: str) -> str:
    """Give the key id of a fingerprint: the last 16 digits of a v4 one, the first 16 of a v6 one."""
    return fingerprint[:16] if len(fingerprint) == 64 else fingerprint[-16:]  # noqa: PLR2004


def key_fingerprint(body: bytes) -> str:
    """Compute the fingerprint of the body of a public key packet (RFC 9580, section 5.5.4).

    Raises:
        BadOpenPGP: of another version than 4 or 6, or too short.
    """
    if len(body) > _V6_HEAD and body[0] == _V4 and len(body) <= 0xFFFF:  # noqa: PLR2004
        return (
            hashlib.sha1(b"\x99" + len(body).to_bytes(2, "big") + body, usedforsecurity=False)
            .hexdigest()
            .upper()
        )
    if len(body) > _V6_HEAD and body[0] == _V6:
        return hashlib.sha256(b"\x9b" + len(body).to_bytes(4, "big") + body).hexdigest().upper()
    raise BadOpenPGP("The key is not an OpenPGP key of version 4 or 6. Its owner has to make a newer one")


def read_certificate(data: bytes, *, max_size: int = MAX_CERT) -> Certificate:
    """Read one binary public key. Packets that have no place in a key (compressed data, say) are refused.

    Raises:
        BadOpenPGP: not exactly one public key, damaged, or larger than ``max_size`` bytes.
    """
    if len(data) > max_size:
        raise BadOpenPGP(f"The key has {len(data)} bytes; at most {max_size} are read", limit=max_size)
    keys: list[Key] = []
    user_ids: list[str] = []
    for packet in walk(data):
        if packet.tag in {PUBLIC_KEY, PUBLIC_SUBKEY}:
            primary = packet.tag == PUBLIC_KEY
            if primary == bool(keys):
                raise BadOpenPGP("The data is not exactly one public key: it must start with a primary key")
            keys.append(Key(key_fingerprint(data[packet.body : packet.end]), primary, packet))
        elif not keys or packet.tag not in _IN_CERTIFICATES:
            raise BadOpenPGP("The data is not a public key: it holds other OpenPGP packets")
        elif packet.tag == USER_ID:
            user_ids.append(data[packet.body : packet.end].decode("utf-8", "replace"))
    if not keys:
        raise BadOpenPGP("The data is not a public key: it is empty")
    return Certificate(tuple(keys), tuple(user_ids))


def split_certificates(data: bytes, *, max_certificates: int = 64) -> tuple[bytes, ...]:
    """Cut a binary keyring into its public keys.

    Raises:
        BadOpenPGP: damaged, something else than public keys, or more than ``max_certificates``.
    """
    starts: list[int] = []
    for packet in walk(data, max_packets=MAX_PACKETS * 4):
        if packet.tag == PUBLIC_KEY:
            starts.append(packet.start)
        elif not starts:
            raise BadOpenPGP("The data is not a public key: it does not start with a public key packet")
    if not starts:
        raise BadOpenPGP("The data is not a public key: it is empty")
    if len(starts) > max_certificates:
        raise BadOpenPGP(f"The data holds more than {max_certificates} keys", limit=max_certificates)
    return tuple(data[a:b] for a, b in zip(starts, [*starts[1:], len(data)], strict=True))
