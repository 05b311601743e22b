"""Detached signatures: a signed part inside the encryption (RFC 3156, sections 5 and 6.1)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from gre_core.errors import ParseFailed
from gre_openpgp.armor import dearmor, is_armored
from gre_openpgp.encrypting.engine import Engine, Judged, LibraryFailed
from gre_openpgp.encrypting.unwrap import MAX_SIGNATURES
from gre_openpgp.errors import BadOpenPGP
from gre_openpgp.packets import MARKER, PADDING, SIGNATURE, walk

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from gre_core.model import SignedPart

PROTOCOL: Final = "application/pgp-signature"
ARMOR: Final = "SIGNATURE"

MAX_SIZE: Final = 1024 * 1024
"""Longest signature that is read, in bytes. One with post-quantum keys has up to 50 KB."""

_LONE_LF: Final = re.compile(rb"(?<!\r)\n")


def judge_detached(
    engine: Engine, part: SignedPart, certs: Mapping[str, Any], now: datetime | None = None
) -> Judged:
    """Judge each signature of a part; ``payload`` of the result is empty.

    The content is taken as it is, and if no signature is valid, once more with canonical line ends, as RFC 3156,
    section 5, wants it. Trailing white space stays: a signer has to encode it.

    Arguments:
        engine: the OpenPGP library.
        part: see there.
        certs: see :meth:`~gre_openpgp.encrypting.engine.Engine.decrypt`.
        now: see there.

    Raises:
        ParseFailed: this is no OpenPGP signature, or one that cannot be read.
    """
    if part.protocol.strip().lower() != PROTOCOL:
        raise ParseFailed(
            f"The content is signed in a way that OpenPGP does not know ({part.protocol[:80]!r}), and was not judged"
        )
    signatures = split_signatures(part.signature)
    try:
        signers, asked = engine.verify(part.content, signatures, certs, now=now)
        if not signers and asked and _LONE_LF.search(part.content):
            signers, asked = engine.verify(canonical(part.content), signatures, certs, now=now)
    except LibraryFailed:
        raise ParseFailed("The OpenPGP library failed on the signature; it was not judged") from None
    if not asked:
        raise ParseFailed("The signature of the content cannot be read: it is damaged, or of an unknown kind")
    return Judged(b"", signers, asked)


def canonical(content: bytes) -> bytes:
    """Give a text with CRLF line ends."""
    return _LONE_LF.sub(b"\r\n", content)


def split_signatures(data: bytes) -> tuple[bytes, ...]:
    """Cut a detached signature into its packets: libraries take only the first.

    Raises:
        ParseFailed: armor or packets are damaged, there is something else than signatures, or too many.
    """
    try:
        if len(data) > MAX_SIZE:
            raise BadOpenPGP(f"it is larger than the {MAX_SIZE} bytes that are read", limit=MAX_SIZE)
        raw = dearmor(data, ARMOR) if is_armored(data) else data
        packets = [packet for packet in walk(raw) if packet.tag not in {MARKER, PADDING}]
        if not packets or any(packet.tag != SIGNATURE for packet in packets):
            raise BadOpenPGP("it holds no signatures, or something else")
        if len(packets) > MAX_SIGNATURES:
            raise BadOpenPGP(f"it holds more than {MAX_SIGNATURES} signatures", limit=MAX_SIGNATURES)
    except BadOpenPGP as error:
        raise ParseFailed(f"The signature of the content cannot be read: {error.text}") from None
    return tuple(raw[packet.start : packet.end] for packet in packets)
