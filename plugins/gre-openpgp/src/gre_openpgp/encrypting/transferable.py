"""A transferable key as its components, each with the signatures behind it (RFC 9580, section 10.1).

What is here once is never written anew: packets are moved as the bytes that they were.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from gre_core.errors import NoUsableKey
from gre_openpgp.encrypting.secretkeys import SECRET_KEY, SECRET_SUBKEY, fingerprint_of
from gre_openpgp.packets import MAX_CERT, PUBLIC_KEY, PUBLIC_SUBKEY, SIGNATURE, walk

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_SECRET: Final = MAX_CERT * 2
"""Largest secret key that is read, in bytes."""

MAX_KEYS: Final = 16
"""How many secret keys are read at a time."""

_KEYS: Final = frozenset({SECRET_KEY, SECRET_SUBKEY, PUBLIC_KEY, PUBLIC_SUBKEY})
_SUBKEYS: Final = frozenset({SECRET_SUBKEY, PUBLIC_SUBKEY})


@dataclass(slots=True)
class Component:
    """A key, a subkey or a user id.

    Arguments:
        name: the fingerprint of a key, in upper-case hex; the content of anything else.
        tag: of its packet.
        packet: its packet.
        signatures: the packets that follow it.
    """

    name: str | bytes
    tag: int
    packet: bytes = field(repr=False)
    signatures: list[bytes] = field(default_factory=list, repr=False)


def components(data: bytes) -> list[Component]:
    """Take a binary public or secret key apart.

    Raises:
        BadOpenPGP: damaged, or more packets than a key may have.
    """
    found: list[Component] = []
    for packet in walk(data):
        raw = data[packet.start : packet.end]
        if packet.tag == SIGNATURE and found:
            found[-1].signatures.append(raw)
            continue
        name: str | bytes = data[packet.body : packet.end]
        if packet.tag in _KEYS:
            name = fingerprint_of(data[packet.body : packet.end], packet.tag)
        found.append(Component(name, packet.tag, raw))
    return found


def joined(parts: Iterable[Component]) -> bytes:
    """Put a key together again."""
    return b"".join(b"".join([part.packet, *part.signatures]) for part in parts)


def signed(data: bytes, name: str | bytes, *signatures: bytes) -> bytes:
    """Give the key with further signatures behind one of its components."""
    parts = components(data)
    for part in parts:
        if part.name == name:
            part.signatures += signatures
    return joined(parts)


def with_component(data: bytes, new: Component) -> bytes:
    """Give the key with a further user id or subkey: before the first subkey.

    So a new subkey comes first: simple programs encrypt to the first one that they find.
    """
    parts = components(data)
    at = next((index for index, part in enumerate(parts) if part.tag in _SUBKEYS), len(parts))
    return joined([*parts[:at], new, *parts[at:]])


def merged(mine: bytes, other: bytes) -> bytes:
    """Give all components and signatures of two forms of one key; mine come first and stay as they are."""
    parts = components(mine)
    known = {part.name: part for part in parts}
    for part in components(other):
        same = known.get(part.name)
        if same is None:
            at = next((i for i, p in enumerate(parts) if p.tag in _SUBKEYS), len(parts))
            parts.insert(at, part)
        else:
            same.signatures += [raw for raw in part.signatures if raw not in same.signatures]
    return joined(parts)


def packets(data: bytes) -> frozenset[tuple[int, bytes]]:
    """Give the packets of a public key as (tag, content), for comparing two forms of it."""
    return frozenset((packet.tag, data[packet.body : packet.end]) for packet in walk(data))


def split_secret_keys(data: bytes) -> tuple[bytes, ...]:
    """Cut concatenated binary secret keys apart.

    Raises:
        NoUsableKey: something else, too many, or one that is too large.
        BadOpenPGP: damaged.
    """
    starts: list[int] = []
    for packet in walk(data, max_packets=MAX_KEYS * 200):
        if packet.tag == SECRET_KEY:
            starts.append(packet.start)
        elif not starts:
            raise NoUsableKey("It holds no secret key, but other OpenPGP data")
    cut = tuple(data[a:b] for a, b in pairwise([*starts, len(data)]))
    if not 0 < len(cut) <= MAX_KEYS or any(len(part) > MAX_SECRET for part in cut):
        raise NoUsableKey(f"It holds no secret key, more than {MAX_KEYS}, or a very large one")
    return cut
