"""GRE Encrypter: OpenPGP, by PGPy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gre_openpgp.encrypting import encrypter
from gre_openpgp.encrypting.encrypter import NAMESPACE

from gre_encrypter_openpgp_pgpy.engine import ENGINE

if TYPE_CHECKING:
    from gre_openpgp.encrypting.keyring import Unlocking

__all__ = ["NAMESPACE", "OpenPGPEncrypter"]


class OpenPGPEncrypter(encrypter.OpenPGPEncrypter):
    """The encrypter ``urn:xmpp:gre:encrypter:openpgp:0``, by PGPy.

    Arguments:
        unlocking: how long our keys stay unlocked; 10 minutes without use, at most 2 hours otherwise.
    """

    def __init__(self, unlocking: Unlocking | None = None) -> None:
        super().__init__(ENGINE, unlocking)
