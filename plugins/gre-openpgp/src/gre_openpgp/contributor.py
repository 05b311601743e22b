"""What a gateway says about its contacts' keys in the data form (GRE, "Relayed Encryption Data")."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gre_core.errors import PeerError, PeerTimeout
from gre_core.model import DataField, DataRequest
from gre_core.ports import PersonalPubSub
from gre_openpgp.errors import BadOpenPGP
from gre_openpgp.xep0373 import read_announced

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gre_core.ports import Ports

NAMESPACE: Final = "urn:xmpp:gre:encrypter:openpgp:0"
FINGERPRINTS: Final = "fingerprints"
"""Name of the field: the fingerprints of all keys of the contact. No value: the gateway knows no key."""


class FingerprintContributor:
    """Puts the fingerprints of the contact's keys into the data form.

    A client sees from it, without a round trip, that there is no key, or that one it has is outdated.

    Arguments:
        ports: those of the gateway: its pubsub port reads what the gateway itself serves.
    """

    def __init__(self, ports: Ports) -> None:
        self._pubsub = ports.pubsub

    async def fields(self, request: DataRequest, /) -> Iterable[DataField]:
        """Give the one field, or nothing when the keys cannot be read or another encrypter is asked about."""
        if request.encrypter is not None and str(request.encrypter) != NAMESPACE:
            return ()
        pubsub = self._pubsub
        if isinstance(pubsub, PersonalPubSub):
            pubsub = pubsub.seen_by(request.requester)
        try:
            announced = await read_announced(request.recipient, pubsub)
        except (PeerError, PeerTimeout, BadOpenPGP):
            return ()
        return (DataField(NAMESPACE, FINGERPRINTS, tuple(key.fingerprint for key in announced)),)
