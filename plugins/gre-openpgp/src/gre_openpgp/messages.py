"""The check that a received message passes before any crypto library sees it.

Exactly one shape gets through: session keys for public keys (PKESK), then one integrity-protected container
(SEIPD) to the end of the input. Everything else has crashed a library, hung it, or made it return text that
was never encrypted.

::

    checked = check_message(data)
    wanted = checked.for_keys({"0123456789ABCDEF"})
    message = checked.keep(data, wanted)  # without the session keys of strangers
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from gre_core.errors import BadEncrypted
from gre_openpgp.errors import BadOpenPGP
from gre_openpgp.packets import PKESK, SEIPD, key_id, new_length, read_header

if TYPE_CHECKING:
    from collections.abc import Container
    from mmap import mmap

MAX_SESSION_KEYS: Final = 64
"""How many session-key packets a message may have: each costs a public-key operation."""

MAX_SAME_KEY: Final = 4
"""How many session-key packets may name one key id. Programs write one; a flood of them would cost time."""

MAX_PKESK: Final = 8192
"""Longest session-key packet, in bytes. The largest known (ML-KEM-1024 with X448) has about 1,700."""

MIN_SEIPD: Final = 41
"""Shortest body of a container: version, random prefix (18), checksum (22) (RFC 9580, section 5.13.1)."""

ANONYMOUS: Final = "0" * 16
"""The key id of a session key whose recipient is hidden."""

_V3: Final = 3
_V6: Final = 6
_KEY_ID_END: Final = 9


class SessionKey(NamedTuple):
    """A PKESK: the key id that it is for, in upper-case hex, and ``data[start:end]``; ``body`` is behind its header."""

    key_id: str
    start: int
    end: int
    body: int


@dataclass(frozen=True, slots=True)
class CheckedMessage:
    """A message that passed the check.

    Arguments:
        session_keys: in their order.
        container: offset of the SEIPD packet.
        version: of the SEIPD packet: 1 (RFC 4880) or 2 (RFC 9580).
    """

    session_keys: tuple[SessionKey, ...]
    container: int
    version: int

    @property
    def key_ids(self) -> frozenset[str]:
        """The key ids that it is for; :data:`ANONYMOUS` for hidden recipients."""
        return frozenset(key.key_id for key in self.session_keys)

    def for_keys(self, key_ids: Container[str]) -> tuple[SessionKey, ...]:
        """Give the session keys that are for one of the key ids, or for a hidden recipient.

        Of those that name one key id, only the first :data:`MAX_SAME_KEY`.
        """
        named: Counter[str] = Counter()
        wanted: list[SessionKey] = []
        for key in self.session_keys:
            if key.key_id == ANONYMOUS:
                wanted.append(key)
            elif key.key_id in key_ids and named[key.key_id] < MAX_SAME_KEY:
                named[key.key_id] += 1
                wanted.append(key)
        return tuple(wanted)

    def keep(self, data: bytes, wanted: tuple[SessionKey, ...]) -> bytes:
        """Give the message without the other session keys. No copy is made when nothing changes."""
        if len(wanted) == len(self.session_keys):
            return data
        return b"".join([*(data[key.start : key.end] for key in wanted), data[self.container :]])

    def body(self, data: bytes | mmap, at_least: int | None = None) -> bytes:
        """Give the body of the container, with the parts of a partial length joined.

        Arguments:
            data: the message.
            at_least: stop when this many octets are there; None gives all.
        """
        _, at, length, partial = read_header(data, self.container, len(data))  # type: ignore[arg-type]
        parts = [data[at : at + length]]
        size = length
        while partial and (at_least is None or size < at_least):
            at, length, partial = new_length(data, at + length)  # type: ignore[arg-type]
            parts.append(data[at : at + length])
            size += length
        return b"".join(parts)


def check_message(data: bytes | mmap) -> CheckedMessage:
    """Check the outer shape of an encrypted message.

    Raises:
        BadEncrypted: any other shape: not encrypted, no integrity protection, cut off, something behind it,
            ...
    """
    end = len(data)
    at = 0
    session_keys: list[SessionKey] = []
    try:
        while True:
            header = read_header(data, at, end)  # type: ignore[arg-type]  # indexes and slices alike
            if header.tag == SEIPD:
                return CheckedMessage(tuple(session_keys), at, _container(data, header, end))
            if header.tag != PKESK:
                raise BadEncrypted(
                    _NOT_ALLOWED.get(header.tag, _OTHER).format(tag=header.tag), tag=header.tag
                )
            stop = header.body + header.length
            if header.partial or header.length < _KEY_ID_END or header.length > MAX_PKESK or stop > end:
                raise BadEncrypted("A session key of the message is damaged")
            if len(session_keys) == MAX_SESSION_KEYS:
                raise BadEncrypted(
                    f"The message is for more than {MAX_SESSION_KEYS} keys", limit=MAX_SESSION_KEYS
                )
            session_keys.append(SessionKey(_recipient(data[header.body : stop]), at, stop, header.body))
            at = stop
    except (BadOpenPGP, IndexError):
        raise BadEncrypted("The message is not an OpenPGP message, or it is cut off") from None


_OTHER: Final = "The message holds an OpenPGP packet of type {tag} where none is allowed"
_NOT_ALLOWED: Final = {
    3: "The message is encrypted with a password, not only to keys. Ask the sender to encrypt it to your key",
    8: "The message is not encrypted, only compressed",
    9: "The message has no integrity protection, so that it could have been changed. Use a newer program",
    11: "The message is not encrypted",
    4: "The message is signed but not encrypted",
    2: "The message is signed but not encrypted",
    20: "The message is encrypted in a form of GnuPG that is in no standard (OCB). Ask the sender for the standard one "
    "(GnuPG: --rfc4880)",
}


def _recipient(body: bytes) -> str:
    if body[0] == _V3:
        return body[1:_KEY_ID_END].hex().upper()
    if body[0] != _V6:
        raise BadEncrypted("A session key of the message has an unknown version")
    length = body[1]
    if not length:
        return ANONYMOUS
    if len(body) < 2 + length:
        raise BadEncrypted("A session key of the message is damaged")
    return key_id(body[3 : 2 + length].hex().upper())


def _container(data: bytes | mmap, header: tuple[int, int, int, bool], end: int) -> int:
    """Check that the container reaches to the end of the input and is long enough; give its version."""
    _, at, length, partial = header
    first = at
    total = 0
    while True:
        if length < 0 or at + length > end:
            raise BadEncrypted("The message is cut off: its encrypted part ends too early")
        at += length
        total += length
        if not partial:
            break
        at, length, partial = new_length(data, at)  # type: ignore[arg-type]
    if at != end:
        raise BadEncrypted("Something stands behind the encrypted part of the message")
    if total < MIN_SEIPD:
        raise BadEncrypted("The encrypted part of the message is too short to hold anything")
    version = data[first]
    if version not in {1, 2}:
        raise BadEncrypted("The encrypted part of the message has an unknown version")
    return version
