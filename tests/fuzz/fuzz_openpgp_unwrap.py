"""What lies inside the encryption: compression, nesting, signatures. A signature is only found valid over its content."""

from __future__ import annotations

import bz2
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pysequoia
from gre_encrypter_openpgp.engine import ENGINE
from gre_encrypter_openpgp.sequoia import verify
from gre_openpgp.encrypting.own import OwnKey
from gre_openpgp.encrypting.unwrap import unwrap

from gre_core.errors import GreError

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "openpgp-unwrap"

CONTENT: Final = b"Content-Type: text/plain\r\n\r\nPay 1 coin.\r\n"
_BOB: Final = pysequoia.Tsk.from_file(str(Path(__file__).with_name("keys") / "bob.key"))
_CERTS: Final = {name: _BOB.extract_certificate() for name in OwnKey.read(ENGINE, bytes(_BOB)).parsed.ids}


def _packet(tag: int, body: bytes) -> bytes:
    return bytes([0xC0 | tag, 255]) + len(body).to_bytes(4, "big") + body


def seeds() -> Iterator[bytes]:
    """Give a signed message in each compression."""
    plain = pysequoia.sign(_BOB.signer(), CONTENT, armor=False)
    yield plain
    machine = zlib.compressobj(wbits=-15)
    yield _packet(8, b"\x01" + machine.compress(plain) + machine.flush())
    yield _packet(8, b"\x02" + zlib.compress(plain))
    yield _packet(8, b"\x03" + bz2.compress(plain))
    yield _packet(8, b"\x00" + _packet(8, b"\x00" + _packet(10, b"PGP") + plain))
    yield b"\xa3\x00" + plain


def run(data: bytes) -> None:
    """Take it apart, and judge what comes out."""
    try:
        content, signatures = unwrap(data)
        signers, _asked = verify(content, signatures, _CERTS)
    except GreError:
        return
    assert len(content) <= max(len(data) * 250, 16 << 20)
    assert not signers or content == CONTENT
