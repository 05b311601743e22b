"""Keys, keyrings and signatures of others, read without a crypto library."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pysequoia
from gre_openpgp.packets import MAX_PACKETS, SIGNATURE, read_certificate, split_certificates, walk
from gre_openpgp.signatures import read_signature

from gre_core.errors import GreError

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "openpgp-keys"


def seeds() -> Iterator[bytes]:
    """Give a key of each version, and a keyring."""
    old, new = (
        bytes(pysequoia.Tsk.generate("<bob@mail.example>", profile=profile).extract_certificate())
        for profile in (pysequoia.Profile.RFC4880, pysequoia.Profile.RFC9580)
    )
    yield from (old, new, old + new)


def run(data: bytes) -> None:
    """Read it in every way."""
    try:
        packets = list(walk(data))
    except GreError:
        return
    assert len(packets) <= MAX_PACKETS
    for packet in packets:
        if packet.tag == SIGNATURE:
            facts = read_signature(data, packet)
            assert facts is None or facts.packet == packet
    try:
        parts = split_certificates(data)
        assert b"".join(parts) == data
        for part in parts:
            assert read_certificate(part).keys[0].primary
    except GreError:
        pass
