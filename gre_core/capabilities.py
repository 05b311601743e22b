"""What is known of each peer within a session: its announced features and the gateway's data forms."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from gre_core import wire
from gre_core.addressing import ADDRESS
from gre_core.errors import NotAGateway, PeerError
from gre_core.negotiation import Offer, Pair, read_features

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from xml.etree.ElementTree import Element

    from gre_core.model import DataForm
    from gre_core.negotiation import Agreement
    from gre_core.ports import DiscoInfo, Network, Ports

DATA_POLICY: Final = "urn:xmpp:data-policy:0"
_LEGACY_POLICY: Final = "urn:xmpp:data-policy:identity:"
_MAX_VERSIONS: Final = 4096


@dataclass(frozen=True, slots=True)
class Peer:
    """What a peer announced.

    Arguments:
        offer: its formatters and encrypters.
        receipts: it confirms messages (XEP-0184).
        identities: as (category, type).
        asked: when.
        answered_by: the JID that announced it: the contact's, or the gateway's domain.
        multicast: it sends one stanza on to several recipients (XEP-0033).
    """

    offer: Offer
    receipts: bool
    identities: frozenset[tuple[str, str]]
    asked: datetime
    answered_by: str
    multicast: bool = False


class Capabilities:
    """Asks each peer once per session, or again when its presence announces a change (XEP-0115)."""

    def __init__(self, network: Network, ports: Ports, lifetime: float) -> None:
        self._network = network
        self._ports = ports
        self._lifetime = timedelta(seconds=lifetime)
        self._peers: dict[str, Peer] = {}
        self._versions: OrderedDict[str, str] = OrderedDict()
        self._data: dict[tuple[str, Pair], DataForm] = {}
        self.refused: dict[str, dict[Pair, str]] = {}
        """Pairs that a gateway refused for a contact, each with what it said about it."""

    def clear(self) -> None:
        """Forget everything: a new session begins."""
        self._peers.clear()
        self._data.clear()
        self.refused.clear()

    def saw(self, jid: str, version: str) -> None:
        """Note the XEP-0115 ``ver`` in a presence of a bare JID. One that we did not know makes us ask again."""
        if self._versions.pop(jid, None) != version:
            self.forget(jid)
        self._versions[jid] = version
        if len(self._versions) > _MAX_VERSIONS:
            self._versions.popitem(last=False)

    def forget(self, jid: str) -> None:
        """Forget a contact, or every contact of a gateway when the JID is a domain."""
        for known in [peer for peer in self._peers if peer == jid or wire.domain(peer) == jid]:
            del self._peers[known]
        for entry in [key for key in self._data if key[0] == jid or wire.domain(key[0]) == jid]:
            del self._data[entry]
        for known in [peer for peer in self.refused if peer == jid or wire.domain(peer) == jid]:
            del self.refused[known]

    async def peer(self, jid: str) -> Peer:
        """Give what a contact announced; the gateway's domain is asked when the contact does not answer.

        Raises:
            NotAGateway: it claims GRE in its data policy (XEP-0504) and does not announce it.
            PeerError, PeerTimeout: nobody answered.
        """
        known = self._peers.get(jid)
        if known is not None and self._ports.now() - known.asked < self._lifetime:
            return known
        info, answered_by = await self._ask(jid)
        found = Peer(
            read_features(sorted(info.features)),
            wire.RECEIPTS in info.features,
            info.identities,
            self._ports.now(),
            answered_by,
            ADDRESS in info.features,
        )
        self._peers[jid] = found
        return found

    async def _ask(self, jid: str) -> tuple[DiscoInfo, str]:
        """Ask the contact, and the gateway's domain when the contact says nothing of GRE."""
        failure: PeerError | None = None
        answers: list[tuple[DiscoInfo, str]] = []
        for asked in (jid, wire.domain(jid)):
            try:
                info = await self._network.disco_info(asked)
            except PeerError as error:
                failure = failure or error
                continue
            _check_claim(asked, info)
            if read_features(info.features).gre:
                return info, asked
            answers.append((info, asked))
        if not answers and failure is not None:
            raise failure
        return answers[0]

    def forget_data(self, jid: str) -> None:
        """Forget the data forms of a contact: what they say of its keys may be outdated."""
        for entry in [key for key in self._data if key[0] == jid]:
            del self._data[entry]

    def known_data(self, jid: str, pair: Pair) -> DataForm | None:
        """Give the data form that was fetched in this session, if any."""
        return self._data.get((jid, pair))

    async def data(
        self, jid: str, agreement: Agreement, children: Iterable[Element], *, fresh: bool
    ) -> DataForm:
        """Give the data form for a contact and a pair, asked once per session unless ``fresh`` (GRE, "Business Rules").

        Raises:
            BadDataForm: the answer is no such form.
            PeerError, PeerTimeout: the gateway refused or did not answer.
        """
        key = (jid, agreement.pair)
        known = None if fresh else self._data.get(key)
        if known is None:
            request = wire.build_data_request(agreement.formatter, agreement.encrypter, children)
            known = wire.parse_data_form(await self._network.iq_get(jid, request))
            self._data[key] = known
        return known


def _check_claim(jid: str, info: DiscoInfo) -> None:
    """Refuse a data policy that promises GRE, its own or the legacy network's, when GRE is not there (XEP-0504)."""
    claims = [
        fields.get("data_transmission", ())
        for form_type, fields in info.forms.items()
        if form_type == DATA_POLICY or form_type.startswith(_LEGACY_POLICY)
    ]
    if any("gre" in values for values in claims) and not read_features(info.features).gre:
        raise NotAGateway(
            f"{jid} says in its data policy that it relays encrypted messages (GRE), but does not announce that it "
            "can. Do not send it anything confidential; tell its operator.",
            claim="gre",
        )
