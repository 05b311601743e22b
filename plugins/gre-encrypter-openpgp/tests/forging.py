"""OpenPGP packets made by hand, right and wrong: what no honest program writes (RFC 9580)."""

from __future__ import annotations

import bz2
import hashlib
import os
import zlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESOCB3
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from gre_openpgp.encrypting import ciphers
from gre_openpgp.encrypting.ciphers import GCM, NONCES, OCB
from gre_openpgp.encrypting.secretkeys import read_subkeys
from gre_openpgp.encrypting.sessionkeys import SessionKey, open_session_key
from gre_openpgp.messages import check_message

if TYPE_CHECKING:
    from collections.abc import Callable

BINARY, TEXT, STANDALONE, TIMESTAMP = 0x00, 0x01, 0x02, 0x40
POSITIVE, SUBKEY_BINDING, BACK, DIRECT = 0x13, 0x18, 0x19, 0x1F
KEY_REVOCATION, SUBKEY_REVOCATION = 0x20, 0x28
HASHES = {"md5": 1, "sha1": 2, "ripemd160": 3, "sha256": 8, "sha512": 10}
CERTIFY, SIGN, ENCRYPT = 1, 2, 4
NOW = int(datetime.now(UTC).timestamp())
DAY = 86400


def packet(tag: int, body: bytes) -> bytes:
    return bytes([0xC0 | tag, 255]) + len(body).to_bytes(4, "big") + body


def old_packet(tag: int, body: bytes) -> bytes:
    return bytes([0x80 | tag << 2 | 1]) + len(body).to_bytes(2, "big") + body


def indeterminate_packet(tag: int, body: bytes) -> bytes:
    return bytes([0x80 | tag << 2 | 3]) + body


def partial_packet(tag: int, body: bytes, power: int = 9) -> bytes:
    step = 1 << power
    whole = len(body) // step
    parts = b"".join(bytes([224 + power]) + body[at * step :][:step] for at in range(whole))
    rest = body[whole * step :]
    return bytes([0xC0 | tag]) + parts + b"\xff" + len(rest).to_bytes(4, "big") + rest


def mpi(data: bytes) -> bytes:
    number = int.from_bytes(data, "big")
    return number.bit_length().to_bytes(2, "big") + number.to_bytes((number.bit_length() + 7) // 8, "big")


def subpacket(kind: int, content: bytes, *, critical: bool = False) -> bytes:
    return bytes([len(content) + 1, kind | (0x80 if critical else 0)]) + content


def literal(content: bytes, form: bytes = b"b", name: bytes = b"") -> bytes:
    return packet(11, form + bytes([len(name)]) + name + bytes(4) + content)


def zipped(packets: bytes) -> bytes:
    machine = zlib.compressobj(wbits=-15)
    return packet(8, b"\x01" + machine.compress(packets) + machine.flush())


def zlibbed(packets: bytes) -> bytes:
    return packet(8, b"\x02" + zlib.compress(packets))


def bzipped(packets: bytes) -> bytes:
    return packet(8, b"\x03" + bz2.compress(packets))


def stored(packets: bytes) -> bytes:
    return packet(8, b"\x00" + packets)


COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {"zip": zipped, "zlib": zlibbed, "bzip2": bzipped}


class Key:
    """An Ed25519 key of version 4, with full control over what it signs."""

    def __init__(self, created: int = NOW - 100 * DAY) -> None:
        self.created = created
        self.body = b"\x04" + created.to_bytes(4, "big") + self._numbers()
        self.hashed = b"\x99" + len(self.body).to_bytes(2, "big") + self.body
        self.fingerprint = hashlib.sha1(self.hashed).hexdigest().upper()
        self.key_id = bytes.fromhex(self.fingerprint[-16:])

    def _numbers(self) -> bytes:
        self.secret = Ed25519PrivateKey.generate()
        point = b"\x40" + self.secret.public_key().public_bytes_raw()
        return b"\x16\x09" + bytes.fromhex("2B06010401DA470F01") + b"\x01\x07" + point

    def signature(
        self,
        data: bytes,
        kind: int = BINARY,
        *,
        algorithm: str = "sha256",
        created: int | None = None,
        extra: bytes = b"",
        issuer: bytes | None = None,
    ) -> bytes:
        """Sign anything; give the packet."""
        when = (NOW - 1 if created is None else created).to_bytes(4, "big")
        named = b"\x04" + bytes.fromhex(self.fingerprint)
        area = subpacket(2, when) + (subpacket(33, named) if issuer is None else b"") + extra
        head = b"\x04" + bytes([kind, 22, HASHES[algorithm]]) + len(area).to_bytes(2, "big") + area
        trailer = b"\x04\xff" + len(head).to_bytes(4, "big")
        digest = hashlib.new(algorithm, data + head + trailer).digest()
        signed = self.secret.sign(digest)
        outside = subpacket(16, issuer or self.key_id)
        return packet(
            2,
            head
            + len(outside).to_bytes(2, "big")
            + outside
            + digest[:2]
            + mpi(signed[:32])
            + mpi(signed[32:]),
        )

    def one_pass(self, kind: int = BINARY, algorithm: str = "sha256", *, nested: bool = False) -> bytes:
        return packet(
            4, b"\x03" + bytes([kind, HASHES[algorithm], 22]) + self.key_id + bytes([0 if nested else 1])
        )

    def signed(
        self, content: bytes, kind: int = BINARY, *, algorithm: str = "sha256", **facts: object
    ) -> bytes:
        """Give a signed message, not encrypted."""
        over = content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") if kind == TEXT else content
        signature = self.signature(over, kind, algorithm=algorithm, **facts)  # type: ignore[arg-type]
        return self.one_pass(kind, algorithm) + literal(content) + signature

    def certificate(
        self,
        address: str,
        *,
        lifetime: int | None = None,
        flags: int = CERTIFY | SIGN,
        algorithm: str = "sha256",
        behind: bytes = b"",
        direct: bytes = b"",
    ) -> bytes:
        """Give a public key with one user id; ``direct`` stands behind the primary key, ``behind`` at the end."""
        user_id = f"<{address}>".encode()
        extra = subpacket(27, bytes([flags]))
        if lifetime is not None:
            extra += subpacket(9, lifetime.to_bytes(4, "big"))
        over = self.hashed + b"\xb4" + len(user_id).to_bytes(4, "big") + user_id
        own = self.signature(over, POSITIVE, created=self.created, extra=extra, algorithm=algorithm)
        return packet(6, self.body) + direct + packet(13, user_id) + own + behind

    def revocation(self, *, reason: int = 2, created: int | None = None) -> bytes:
        return self.signature(
            self.hashed, KEY_REVOCATION, created=created, extra=subpacket(29, bytes([reason]))
        )

    def subkey(
        self,
        child: Key,
        *,
        back: Key | None = None,
        flags: int = SIGN,
        lifetime: int | None = None,
        created: int | None = None,
        by: Key | None = None,
    ) -> bytes:
        """Bind a subkey; ``back`` makes its own signature (none: it is missing), ``by`` the binding."""
        over = self.hashed + child.hashed
        when = child.created if created is None else created
        extra = subpacket(27, bytes([flags]))
        if lifetime is not None:
            extra += subpacket(9, lifetime.to_bytes(4, "big"))
        if back is not None:
            inner = back.signature(over, BACK, created=when)[6:]
            extra += b"\xff" + (len(inner) + 1).to_bytes(4, "big") + b"\x20" + inner
        binding = (by or self).signature(over, SUBKEY_BINDING, created=when, extra=extra)
        return packet(14, child.body) + binding

    def subkey_revocation(self, child: Key, *, created: int | None = None) -> bytes:
        return self.signature(
            self.hashed + child.hashed, SUBKEY_REVOCATION, created=created, extra=subpacket(29, b"\x02")
        )


class EncryptionKey(Key):
    """A Curve25519 key of version 4, as a subkey: it signs nothing."""

    def _numbers(self) -> bytes:
        point = b"\x40" + X25519PrivateKey.generate().public_key().public_bytes_raw()
        curve = b"\x0a" + bytes.fromhex("2B060104019755010501")
        return b"\x12" + curve + b"\x01\x07" + point + bytes.fromhex("03010807")


def session_of(secret: bytes, public: bytes) -> tuple[bytes, SessionKey]:
    """Give a session-key packet for a key of ours, and the session key in it."""
    import pysequoia

    message = pysequoia.encrypt(b"", [pysequoia.Cert.from_bytes(public)], armor=False)
    checked = check_message(message)
    first = checked.session_keys[0]
    for subkey in read_subkeys(secret, None).values():
        session = open_session_key(message[first.body : first.end], subkey)
        if session is not None:
            return message[first.start : first.end], session
    raise AssertionError


def container(packets: bytes, session: SessionKey, *, checksum: bool = True) -> bytes:
    """Encrypt packets (SEIPD version 1)."""
    prefix = os.urandom(16)
    clear = prefix + prefix[-2:] + packets
    if checksum:
        clear += b"\xd3\x14"
        clear += hashlib.sha1(clear).digest()
    mode = ciphers.CFB(bytes(16))  # type: ignore[attr-defined]  # whichever place this version has it in
    stream = Cipher(algorithms.AES(session.key), mode).encryptor()
    return packet(18, b"\x01" + stream.update(clear) + stream.finalize())


def container_v2(packets: bytes, session: SessionKey, mode: int = OCB, chunk: int = 6) -> bytes:
    """Encrypt packets (SEIPD version 2)."""
    head = bytes([2, 9, mode, chunk])
    info, salt = b"\xd2" + head, os.urandom(32)
    size = len(session.key)
    derived = HKDF(SHA256(), size + NONCES[mode] - 8, salt, info).derive(session.key)
    key = derived[:size]
    seal = {OCB: AESOCB3(key).encrypt, GCM: AESGCM(key).encrypt}[mode]
    step = 1 << chunk + 6
    parts = [packets[at : at + step] for at in range(0, len(packets), step)]
    sealed = [seal(derived[size:] + index.to_bytes(8, "big"), part, info) for index, part in enumerate(parts)]
    total = info + len(packets).to_bytes(8, "big")
    sealed.append(seal(derived[size:] + len(parts).to_bytes(8, "big"), b"", total))
    return packet(18, head + salt + b"".join(sealed))
