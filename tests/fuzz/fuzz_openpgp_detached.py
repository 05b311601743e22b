"""Detached signatures: only the content that was signed is found to be signed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import pysequoia
from gre_encrypter_openpgp.engine import ENGINE
from gre_openpgp.armor import armor
from gre_openpgp.encrypting.detached import PROTOCOL, judge_detached
from gre_openpgp.encrypting.own import OwnKey

from gre_core.errors import GreError
from gre_core.model import SignedPart

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "openpgp-detached"

CONTENT: Final = b"Content-Type: text/plain\r\n\r\nPay 1 coin.\r\n"
_BOB: Final = pysequoia.Tsk.from_file(str(Path(__file__).with_name("keys") / "bob.key"))
_CERTS: Final = {name: _BOB.extract_certificate() for name in OwnKey.read(ENGINE, bytes(_BOB)).parsed.ids}


def seeds() -> Iterator[bytes]:
    """Give signatures of this content and of another."""
    mode = pysequoia.SignatureMode.DETACHED
    good, other = (pysequoia.sign(_BOB.signer(), text, mode=mode, armor=False) for text in (CONTENT, b"x"))
    yield from (good, other, other + good, armor(good, "SIGNATURE"), armor(other + good, "SIGNATURE"))


def run(data: bytes) -> None:
    """Judge it over the content, and over one that nobody signed."""
    for content in (CONTENT, b"Pay 1000 coins.\r\n"):
        try:
            judged = judge_detached(ENGINE, SignedPart(content, data, PROTOCOL), _CERTS)
        except GreError:
            continue
        assert not judged.signers or content == CONTENT
        assert judged.payload == b""
