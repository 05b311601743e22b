"""What a signature packet says about itself (RFC 9580, section 5.2). Nothing of it is verified here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gre_openpgp.packets import Packet, new_length

if TYPE_CHECKING:
    from collections.abc import Iterator

_V4: Final = 4
_V6: Final = 6
_MAX_SUBPACKETS: Final = 200


@dataclass(frozen=True, slots=True)
class SignatureFacts:
    """The claims of a signature.

    Arguments:
        packet: where it lies.
        type: the signature type (RFC 9580, section 5.2.1).
        created: seconds since 1970.
        issuer: fingerprint or key id of the signer, in upper-case hex, or ``""``.
        flags: the first octet of the key flags (RFC 9580, section 5.2.3.29), or 0.
        lifetime: seconds from the making of the key to its end (RFC 9580, section 5.2.3.13), or 0 for no end.
    """

    packet: Packet
    type: int
    created: int = 0
    issuer: str = ""
    flags: int = 0
    lifetime: int = 0


def read_signature(data: bytes, packet: Packet) -> SignatureFacts | None:
    """Read a signature packet of version 4 or 6; None when it is another or damaged."""
    body = data[packet.body : packet.end]
    created, issuer, flags, lifetime = 0, "", 0, 0
    try:
        version, kind = body[0], body[1]
        if version not in {_V4, _V6}:
            return None
        for hashed, number, content in _subpackets(body, 2 if version == _V4 else 4):
            match number:
                case 2 if hashed:  # creation time
                    created = int.from_bytes(content[:4], "big")
                case 9 if hashed:  # key expiration time
                    lifetime = int.from_bytes(content[:4], "big")
                case 27 if hashed and content:  # key flags
                    flags = content[0]
                case 33 if len(content) > 1:  # issuer fingerprint
                    issuer = content[1:].hex().upper()
                case 16 if not issuer:  # issuer key id
                    issuer = content.hex().upper()
                case _:
                    pass
    except IndexError:
        return None
    return SignatureFacts(packet, kind, created, issuer, flags, lifetime)


def _subpackets(body: bytes, width: int) -> Iterator[tuple[bool, int, bytes]]:
    """Give the subpackets: whether the signature covers it, its type, its content. ``IndexError``: cut off."""
    at = 4
    for hashed in (True, False):
        end = at + width + int.from_bytes(body[at : at + width], "big")
        at += width
        if end > len(body):
            raise IndexError
        for _ in range(_MAX_SUBPACKETS):
            if at >= end:
                break
            start, length, _partial = new_length(body, at)
            yield hashed, body[start] & 0x7F, body[start + 1 : start + length]
            at = start + length
        at = end
