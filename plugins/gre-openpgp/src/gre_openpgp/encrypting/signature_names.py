"""Tells two signatures over the same content apart, so that who writes the same words twice replays nothing.

Programs that protect no header, such as mutt, sign the bare text: an "OK" of today is then the "OK" of last week, but
for its signature. Its name is made of what it covers itself, its time among that. What others can add or change, such
as signatures that are not valid and the fields that are not covered, makes no other name.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from gre_openpgp.encrypting.detached import canonical, split_signatures
from gre_openpgp.encrypting.opening import open_message
from gre_openpgp.encrypting.unwrap import unwrap
from gre_openpgp.packets import read_header

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gre_core.model import SignedPart
    from gre_openpgp.encrypting.engine import Engine, Secret

_OLD, _V4, _V6 = 3, 4, 6


def name_of_message(
    engine: Engine, message: bytes, certs: Mapping[str, Any], secrets: Sequence[Secret]
) -> str:
    """Name the valid signature of a message; ``""`` when there is none.

    Arguments:
        engine: the OpenPGP library.
        message: binary, and checked.
        certs: see :meth:`~gre_openpgp.encrypting.engine.Engine.decrypt`.
        secrets: see there.

    Raises:
        GreError: it cannot be opened.
    """
    return _name(engine, *unwrap(open_message(message, secrets)), certs)


def name_of_part(engine: Engine, part: SignedPart, certs: Mapping[str, Any]) -> str:
    """Name the valid signature of a signed part; ``""`` when there is none.

    Raises:
        ParseFailed: it is no OpenPGP signature.
    """
    signatures = split_signatures(part.signature)
    return _name(engine, part.content, signatures, certs) or _name(
        engine, canonical(part.content), signatures, certs
    )


def _name(engine: Engine, content: bytes, signatures: Sequence[bytes], certs: Mapping[str, Any]) -> str:
    # The least one, so that leaving out one of several valid signatures makes few further names.
    valid = [each for each in signatures if engine.verify(content, [each], certs)[0]]
    return min((hashlib.sha256(_covered(each)).hexdigest() for each in valid), default="")


def _covered(packet: bytes) -> bytes:
    """Give the fields of a valid signature that it covers (RFC 9580, section 5.2.4)."""
    _, start, length, _ = read_header(packet, 0, len(packet))
    body = packet[start : start + length]
    if body[0] == _OLD:
        return body[2:7]
    size = 4 if body[0] == _V6 else 2
    return body[: 4 + size + int.from_bytes(body[4 : 4 + size], "big")]
