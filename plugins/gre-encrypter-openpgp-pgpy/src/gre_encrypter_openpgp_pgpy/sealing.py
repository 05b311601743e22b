"""Signing and encrypting: the shape of the message is written here, the numbers are PGPy's.

A message is: one session key for each (sub)key that may be encrypted to, then one container (SEIPD version 1, AES-256)
with a one-pass signature, the content, and the signature by SHA-512. Nothing is compressed.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from gre_openpgp.encrypting.container import seal_container
from gre_openpgp.encrypting.secretkeys import SECRET_KEY, SECRET_SUBKEY, fingerprint_of, public_part
from gre_openpgp.encrypting.unwrap import LITERAL, MAX_CONTENT, ONE_PASS
from gre_openpgp.errors import BadOpenPGP
from gre_openpgp.packets import SIGNATURE, walk, write_packet

from gre_core.errors import EncryptFailed, NoUsableKey
from gre_encrypter_openpgp_pgpy.certificate import Certificate
from gre_encrypter_openpgp_pgpy.numbers import (
    SIGNS_WITH,
    Numbers,
    read_secret,
    session_key_packet,
    sign,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gre_encrypter_openpgp_pgpy.certificate import Key

_SESSION_KEY: Final = 32
_V3: Final = 3


@dataclass(frozen=True)
class Signer:
    """What signs for us.

    Arguments:
        key: its public part.
        numbers: its secret part.
    """

    key: Key
    numbers: Numbers = field(repr=False)


def signer(secret: bytes) -> Signer:
    """Give what signs with a binary secret key: the newest subkey that may, or the primary key.

    Raises:
        NoUsableKey: it holds none.
    """
    try:
        cert = Certificate(public_part(secret))
        now = datetime.now(UTC).timestamp()
        packets = {
            fingerprint_of(body, packet.tag): body
            for packet in walk(secret)
            if packet.tag in {SECRET_KEY, SECRET_SUBKEY}
            for body in [secret[packet.body : packet.end]]
        }
        usable = (key for key in cert.keys if key.fingerprint in packets and cert.signs(key, now))
        found = sorted(usable, key=lambda key: key.created)
        if found:
            best = next((key for key in reversed(found) if key is not cert.primary), cert.primary)
            return Signer(best, read_secret(packets[best.fingerprint]))
    except BadOpenPGP as error:
        raise NoUsableKey(f"Your own key cannot sign: {error.text}") from None
    raise NoUsableKey(f"Your own key {cert.fingerprint} cannot sign: no key in it is for that now")


def seal(payload: bytes, certs: Sequence[Certificate], by: Signer, now: float) -> bytes:
    """Sign and encrypt.

    Arguments:
        payload: at most :data:`~gre_openpgp.encrypting.unwrap.MAX_CONTENT`.
        certs: to whom. Each must have a key that may be encrypted to now.
        by: see there.
        now: the time, in seconds since 1970.

    Raises:
        EncryptFailed: it is too large, or a cert has no such key.
    """
    if len(payload) > MAX_CONTENT:
        raise EncryptFailed(
            f"The content has {len(payload)} bytes; this package encrypts at most {MAX_CONTENT}. The package "
            f"gre-encrypter-openpgp (Sequoia) takes larger ones",
            limit=MAX_CONTENT,
        )
    session_key = secrets.token_bytes(_SESSION_KEY)
    parts: dict[str, bytes] = {}
    for cert in certs:
        keys = [key for key, _ in cert.encrypting(now)] if cert.lives(now) else []
        if not keys:
            raise EncryptFailed(f"The key {cert.fingerprint} cannot be encrypted to")
        for key in keys:
            if key.fingerprint not in parts:
                parts[key.fingerprint] = session_key_packet(key.numbers, key.key_id, session_key)
    return b"".join([*parts.values(), seal_container(_signed(payload, by, int(now)), session_key)])


def _signed(payload: bytes, by: Signer, now: int) -> bytes:
    """Write a signed message, not encrypted (RFC 9580, section 10.3)."""
    algorithm, key_id = by.numbers.algorithm, bytes.fromhex(by.key.key_id)
    one_pass = bytes([_V3, 0, SIGNS_WITH, algorithm]) + key_id + b"\x01"
    literal = b"b\0" + bytes(4) + payload
    return (
        write_packet(ONE_PASS, one_pass)
        + write_packet(LITERAL, literal)
        + write_packet(SIGNATURE, _signature(payload, by, now))
    )


def _signature(payload: bytes, by: Signer, now: int) -> bytes:
    """Sign a content (RFC 9580, sections 5.2.3 and 5.2.4): body of a signature packet of version 4."""
    fingerprint = b"\x04" + bytes.fromhex(by.key.fingerprint)
    hashed = b"\x05\x82" + now.to_bytes(4, "big") + bytes([len(fingerprint) + 1, 33]) + fingerprint
    head = bytes([4, 0, by.numbers.algorithm, SIGNS_WITH]) + len(hashed).to_bytes(2, "big") + hashed
    data = payload + head + b"\x04\xff" + len(head).to_bytes(4, "big")
    start, numbers = sign(by.numbers, data)
    unhashed = b"\x09\x10" + bytes.fromhex(by.key.key_id)
    return head + len(unhashed).to_bytes(2, "big") + unhashed + start + numbers
