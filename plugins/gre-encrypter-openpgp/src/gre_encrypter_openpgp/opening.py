"""Decryption without Sequoia: for messages that it does not judge, such as compressed ones, and for small ones.

It goes from the message and our secret keys to the packets inside, takes the same messages, after the same check, and
gives nothing out before the integrity of all of it was checked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gre_openpgp.messages import ANONYMOUS, check_message

from gre_core.errors import DecryptFailed, NotForUs, NoUsableKey
from gre_encrypter_openpgp.container import PEEK, is_known, open_container, peek
from gre_encrypter_openpgp.sequoia import MAX_TRIES, Unreadable
from gre_encrypter_openpgp.sessionkeys import open_session_key
from gre_encrypter_openpgp.unwrap import starts_plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from mmap import mmap

    from gre_openpgp.messages import CheckedMessage

    from gre_encrypter_openpgp.secretkeys import SecretSubkey
    from gre_encrypter_openpgp.sequoia import Secret

_V2: Final = 2
_ONE_PASS: Final = (b"\xc4\x0d\x03", b"\x90\x0d\x03", b"\xc4\x36\x06", b"\xc4\x3e\x06", b"\xc4\x46\x06")
"""How a one-pass signature begins: version 3 with either kind of header, version 6 with each length of salt."""


def open_message(message: bytes, secrets: Sequence[Secret]) -> bytes:
    """Decrypt a message; give the packets inside, whose signatures are not judged.

    Raises:
        BadEncrypted: it does not pass the check.
        NotForUs: no key of ours opens it.
        DecryptFailed: changed on its way, or encrypted in a way that only Sequoia reads.
    """
    checked = check_message(message)
    body = checked.body(message)
    opened = False
    for tries, (packet, subkey) in enumerate(_pairs(message, checked, secrets)):
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
        raise NotForUs("The message is compressed, and no key of this device opens it")
    raise DecryptFailed("The message is damaged or was changed on its way. Ask the sender to send it again")


def open_signed(message: bytes, checked: CheckedMessage, secrets: Sequence[Secret]) -> bytes | None:
    """Decrypt a message of the usual shape; give the packets of the signed message inside.

    The usual shape has one session key, which names a key of ours, and a one-pass signature before the content: no
    reader can take it for anything else. None for every other one, which is not to be judged by this function.

    Raises:
        Unreadable: it is whole, and what is inside is compressed, or no message.
    """
    if len(checked.session_keys) != 1 or checked.session_keys[0].key_id == ANONYMOUS:
        return None
    for packet, subkey in _pairs(message, checked, secrets):
        session = open_session_key(packet, subkey)
        # A session key names its cipher exactly where the container does not (RFC 9580, section 10.3.2.1).
        if session is None or (session.cipher == 0) != (checked.version == _V2):
            return None
        packets = open_container(checked.body(message), session)
        if packets is None:
            return None
        if not starts_plain(packets):
            raise Unreadable
        return packets if packets.startswith(_ONE_PASS) else None
    return None


def is_expanding(data: bytes | mmap, checked: CheckedMessage, secrets: Sequence[Secret]) -> bool:
    """Tell whether a message may hold something else than plain signed content: such is for :func:`open_message`.

    Sequoia decompresses without a bound before it refuses; this looks at the first packets only, and costs one more
    operation with our secret key. What it looks at is not authenticated: the answer decides only who reads on.

    Arguments:
        data: the message.
        checked: the same.
        secrets: our keys.
    """
    head = data[: checked.container]
    start = checked.body(data, PEEK)
    for tries, (packet, subkey) in enumerate(_pairs(head, checked, secrets)):
        session = open_session_key(packet, subkey)
        if session is None:
            continue
        clear = peek(start, session)
        if tries == MAX_TRIES or clear is None or not starts_plain(clear):
            return True
    return False


def _pairs(
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
