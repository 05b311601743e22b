"""Decryption without an OpenPGP library: of what Sequoia does not judge, and of everything for PGPy.

It goes from the message and our secret keys to the packets inside, takes the same messages, after the same check, and
gives nothing out before the integrity of all of it was checked.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

from gre_core.errors import DecryptFailed, GreError, NotForUs, NoUsableKey
from gre_openpgp.armor import dearmor, is_armored
from gre_openpgp.encrypting.container import is_known, open_container
from gre_openpgp.encrypting.engine import MAX_TRIES, Judged
from gre_openpgp.encrypting.sessionkeys import open_session_key
from gre_openpgp.encrypting.unwrap import unwrap
from gre_openpgp.messages import ANONYMOUS, check_message

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from gre_openpgp.encrypting.engine import Engine, Secret
    from gre_openpgp.encrypting.secretkeys import SecretSubkey
    from gre_openpgp.messages import CheckedMessage

_DAMAGED: Final = "The message is damaged or was changed on its way. Ask the sender to send it again"


def open_message(message: bytes, secrets: Sequence[Secret]) -> bytes:
    """Decrypt a message; give the packets inside, whose signatures are not judged.

    Raises:
        BadEncrypted: it does not pass the check.
        NotForUs: no key of ours opens it, and it names none.
        DecryptFailed: changed on its way, or encrypted in a way that is not read here.
    """
    checked = check_message(message)
    body = checked.body(message)
    opened = False
    for tries, (packet, subkey) in enumerate(pairs(message, checked, secrets)):
        if tries == MAX_TRIES:
            break
        session = open_session_key(packet, subkey)
        if session is None:
            continue
        if not is_known(body, session):
            raise DecryptFailed(
                "The message is encrypted with an unusual cipher, and was not opened, since nobody can tell how large "
                "it would become. Ask the sender to use AES (GnuPG: --cipher-algo AES256)"
            )
        opened = True
        packets = open_container(body, session)
        if packets is not None:
            return packets
    if not opened:
        raise unopened(checked, secrets)
    raise DecryptFailed(_DAMAGED)


def unopened(checked: CheckedMessage, secrets: Sequence[Secret]) -> GreError:
    """Say why none of our keys opens a message. What names a key of ours is for us, so it must be damaged.

    Which of its bits is wrong makes no difference: libraries tell that in different ways, and nobody but a forger gains
    by knowing it.
    """
    for secret in secrets:
        with contextlib.suppress(NoUsableKey):
            if any(key.key_id in secret.subkeys for key in checked.session_keys):
                return DecryptFailed(_DAMAGED)
    return NotForUs(
        "The message is not encrypted to a key of this device. Ask the sender to fetch your current key"
    )


def signed_inside(engine: Engine, judged: Judged, certs: Mapping[str, Any], now: datetime | None) -> Judged:
    """Judge what was signed as a file, and encrypted after that: a signed message as content of an encrypted one.

    Arguments:
        engine: the OpenPGP library.
        judged: a message that names no signer.
        certs: see :meth:`~gre_openpgp.encrypting.engine.Engine.decrypt`.
        now: see there.
    """
    content = judged.payload
    if not (content[:1] in _SIGNED_STARTS or is_armored(content)):
        return judged
    try:
        inner, signatures = unwrap(dearmor(content) if is_armored(content) else content)
    except GreError:
        return judged  # it only looks like one
    return Judged(inner, *engine.verify(inner, signatures, certs, now=now)) if signatures else judged


# One-pass signature and compressed data, with headers of the two formats and lengths of each size.
_SIGNED_STARTS: Final = frozenset(
    bytes([first]) for first in (*range(0x90, 0x94), 0xC4, *range(0xA0, 0xA4), 0xC8)
)


def pairs(
    message: bytes, checked: CheckedMessage, secrets: Sequence[Secret]
) -> Iterator[tuple[bytes, SecretSubkey]]:
    """Give each session key with each key of ours that it may be for; those that name one of ours come first."""
    ours: dict[str, SecretSubkey] = {}
    problem: NoUsableKey | None = None
    for secret in secrets:
        try:
            ours.update(secret.subkeys)
        except NoUsableKey as error:
            problem = error
    if not ours and problem is not None:
        raise DecryptFailed(f"The message is compressed, and cannot be judged: {problem.text}")
    session_keys = checked.session_keys
    for key in session_keys:
        if key.key_id in ours:
            yield message[key.body : key.end], ours[key.key_id]
    for key in session_keys:
        if key.key_id == ANONYMOUS:
            for subkey in ours.values():
                yield message[key.body : key.end], subkey
