"""The keys of contacts, for hosts and people, by Sequoia; see :mod:`gre_openpgp.encrypting.contact_keys`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gre_openpgp.contact_record import KeyState, Source
from gre_openpgp.encrypting import contact_keys
from gre_openpgp.encrypting.contact_keys import ContactKeyInfo, FetchResult, Outcome

from gre_encrypter_openpgp.engine import ENGINE

if TYPE_CHECKING:
    from gre_core.ports import Ports

__all__ = ["ContactKeyInfo", "ContactKeys", "FetchResult", "KeyState", "Outcome", "Source"]


class ContactKeys(contact_keys.ContactKeys):
    """The keys of the contacts of one account.

    Arguments:
        account: our bare JID.
        ports: of the host.
    """

    def __init__(self, account: str, ports: Ports) -> None:
        super().__init__(ENGINE, account, ports)
