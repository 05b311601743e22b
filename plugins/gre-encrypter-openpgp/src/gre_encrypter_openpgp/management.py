"""Our own keys, for hosts and people, by Sequoia; see :mod:`gre_openpgp.encrypting.management`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gre_openpgp.encrypting import management
from gre_openpgp.encrypting.management import DEFAULT_LIFETIME, OwnKeyInfo, OwnSubkey, RevocationReason

from gre_encrypter_openpgp.engine import ENGINE

if TYPE_CHECKING:
    from gre_openpgp.encrypting.keyring import KeyRing

    from gre_core.ports import Ports

__all__ = ["DEFAULT_LIFETIME", "OwnKeyInfo", "OwnKeys", "OwnSubkey", "RevocationReason"]


class OwnKeys(management.OwnKeys):
    """The keys of one account.

    Arguments:
        account: our bare JID.
        ports: of the host.
        ring: the keys of a running session; read from the store otherwise.
    """

    def __init__(self, account: str, ports: Ports, ring: KeyRing | None = None) -> None:
        super().__init__(ENGINE, account, ports, ring)
