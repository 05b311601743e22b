"""Keys and signatures as the encrypter by PGPy judges them. It never finds more signers than Sequoia does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import pysequoia
from gre_encrypter_openpgp.engine import ENGINE as SEQUOIA
from gre_encrypter_openpgp_pgpy.engine import ENGINE
from gre_openpgp.encrypting.engine import by_id
from gre_openpgp.xep0373 import PublicKey

from gre_core.errors import GreError

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "openpgp-pgpy"

CONTENT: Final = b"Pay 1 coin."
_BOB: Final = pysequoia.Tsk.from_file(str(Path(__file__).with_name("keys") / "bob.key"))
_KEY: Final = bytes(_BOB.extract_certificate())
_SIGNATURE: Final = pysequoia.sign(_BOB.signer(), CONTENT, mode=pysequoia.SignatureMode.DETACHED, armor=False)


def seeds() -> Iterator[bytes]:
    """Give a key, and a signature."""
    yield _KEY
    yield _SIGNATURE


def run(data: bytes) -> None:
    """Take it for Bob's key, and for his signature."""
    try:
        key = PublicKey.read(data)
        certs = [by_id([engine.read(key)]) for engine in (ENGINE, SEQUOIA)]
    except GreError:
        certs = [by_id([engine.read(PublicKey.read(_KEY))]) for engine in (ENGINE, SEQUOIA)]
    for signature in (data, _SIGNATURE):
        ours, theirs = (
            engine.verify(CONTENT, [signature], known)[0]
            for engine, known in zip((ENGINE, SEQUOIA), certs, strict=True)
        )
        assert set(ours) <= set(theirs)
        assert ENGINE.verify(b"Pay 1000 coins.", [signature], certs[0])[0] == ()
