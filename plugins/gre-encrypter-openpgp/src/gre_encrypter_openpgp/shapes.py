"""What decides, without Sequoia, how a message reaches it: whether it expands, and whether it is of the usual shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gre_openpgp.encrypting.container import PEEK, open_container, peek
from gre_openpgp.encrypting.engine import MAX_TRIES
from gre_openpgp.encrypting.opening import pairs
from gre_openpgp.encrypting.sessionkeys import open_session_key
from gre_openpgp.encrypting.unwrap import starts_plain
from gre_openpgp.messages import ANONYMOUS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from mmap import mmap

    from gre_openpgp.encrypting.engine import Secret
    from gre_openpgp.messages import CheckedMessage

_V2: Final = 2
_ONE_PASS: Final = (b"\xc4\x0d\x03", b"\x90\x0d\x03", b"\xc4\x36\x06", b"\xc4\x3e\x06", b"\xc4\x46\x06")
"""How a one-pass signature begins: version 3 with either kind of header, version 6 with each length of salt."""


class Unreadable(Exception):
    """Sequoia decrypted the message, or would, but does not judge it in this form."""


def open_signed(message: bytes, checked: CheckedMessage, secrets: Sequence[Secret]) -> bytes | None:
    """Decrypt a message of the usual shape; give the packets of the signed message inside.

    The usual shape has one session key, which names a key of ours, and a one-pass signature before the content: no
    reader can take it for anything else. None for every other one, which is not to be judged by this function.

    Raises:
        Unreadable: it is whole, and what is inside is compressed, or no message.
    """
    if len(checked.session_keys) != 1 or checked.session_keys[0].key_id == ANONYMOUS:
        return None
    for packet, subkey in pairs(message, checked, secrets):
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
    """Tell whether a message may hold something else than plain signed content: such is for ``open_message``.

    Sequoia decompresses without a bound before it refuses; this looks at the first packets only, and costs one more
    operation with our secret key. What it looks at is not authenticated: the answer decides only who reads on.

    Arguments:
        data: the message.
        checked: the same.
        secrets: our keys.
    """
    head = data[: checked.container]
    start = checked.body(data, PEEK)
    for tries, (packet, subkey) in enumerate(pairs(head, checked, secrets)):
        session = open_session_key(packet, subkey)
        if session is None:
            continue
        clear = peek(start, session)
        if tries == MAX_TRIES or clear is None or not starts_plain(clear):
            return True
    return False
