"""Whether a signature over a message is valid, and whose it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gre_openpgp.errors import BadOpenPGP
from gre_openpgp.packets import SIGNATURE, walk

from gre_encrypter_openpgp_pgpy.certificate import made_by
from gre_encrypter_openpgp_pgpy.signatures import BINARY, TEXT, Signature, read_signature

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gre_encrypter_openpgp_pgpy.certificate import Certificate, Key


def judge(
    content: bytes, signatures: Sequence[bytes], certs: Mapping[str, Any], now: float
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Judge signatures over a content; see :meth:`~gre_openpgp.encrypting.engine.Engine.verify`.

    Arguments:
        content: see there.
        signatures: see there.
        certs: see there.
        now: the time, in seconds since 1970.
    """
    asked: list[str] = []
    signers: list[str] = []
    for packet in signatures:
        signature = _read(packet)
        if signature is None:
            continue
        asked += signature.issuers
        known = {id(cert): cert for name in signature.issuers if (cert := certs.get(name)) is not None}
        signers += [
            cert.fingerprint.lower() for cert in known.values() if is_by(signature, content, cert, now)
        ]
    return tuple(dict.fromkeys(signers)), tuple(dict.fromkeys(asked))


def is_by(signature: Signature, content: bytes, cert: Certificate, now: float) -> bool:
    """Tell whether a signature over a message is valid and by a key that was allowed to make it.

    Arguments:
        signature: see there.
        content: of the message.
        cert: the key of the signer.
        now: the time, in seconds since 1970.
    """
    if signature.type not in {BINARY, TEXT} or not signature.alive(now):
        return False
    return any(
        _names(signature, key)
        and cert.signs(key, signature.when)
        and made_by(signature, signature.of_content(content), key)
        for key in cert.keys
    )


def _names(signature: Signature, key: Key) -> bool:
    return not {key.fingerprint.lower(), key.key_id.lower()}.isdisjoint(signature.issuers)


def _read(packet: bytes) -> Signature | None:
    try:
        (only,) = walk(packet, max_packets=1)
    except (BadOpenPGP, ValueError):
        return None
    if only.tag != SIGNATURE:
        return None
    return read_signature(packet[only.body : only.end])
