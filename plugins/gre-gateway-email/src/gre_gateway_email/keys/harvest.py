"""Keeps the keys that come in Autocrypt headers of received mail (Autocrypt Level 1, section 5.2), for each user apart.

Anybody can write such a header. So a key counts as authenticated only when the operator's own mail server found a DKIM
signature that is aligned with From, and one that is not never takes the place of one that is.
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

from gre_openpgp.autocrypt import parse
from gre_openpgp.errors import BadOpenPGP
from gre_openpgp.user_ids import address_of
from gre_openpgp.wkd import only_user_ids_of

from gre_core.errors import InvalidAddress, StoreError
from gre_core.log import get_logger
from gre_gateway_email.mail import mime_scan
from gre_gateway_email.mail.addresses import check_address, domain_of
from gre_gateway_email.store.records import HarvestedKey

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gre_gateway_email.mail.mime_scan import Entity
    from gre_gateway_email.store.records import User
    from gre_gateway_email.store.store import ContactKeys

Authenticated = Callable[["Entity", str, str], Awaitable[bool]]
"""Told a mail, the sender of its envelope and the address in From: whether the mail comes from the domain of that
address, as the operator's mail server found out (DKIM, aligned)."""

MAX_HEADERS: Final = 16
"""A mail with more Autocrypt fields is not looked at."""

_DAY: Final = 86_400.0
_MAX_FROM: Final = 2048
_MAX_DATE: Final = 200
_ADDRESS: Final = r"[^<>@\s\"(),:;\\\[\]\x00-\x1f\x7f]+@[^<>@\s\"(),:;\\\[\]\x00-\x1f\x7f]+"
_FROM: Final = re.compile(
    rf'(?:(?:"(?:[^"\\]|\\.)*"|[^"<>,;:()@\\])*<\s*({_ADDRESS})\s*>|({_ADDRESS}))\s*(?:\([^()]*\))?'
)
"""One mailbox. Groups, several addresses and whatever different programs read differently do not match."""

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Header:
    """What the header of a mail says about the key of its author.

    Arguments:
        address: in From, in lower case.
        data: the key, without user ids of other addresses.
        authenticated: the operator's mail server vouches for From.
        date: effective date, in seconds since 1970.
    """

    address: str
    data: bytes = field(repr=False)
    authenticated: bool
    date: float


class Harvest:
    """Takes keys out of mails.

    Arguments:
        keys: where they are kept.
        authenticated: asked about each mail with a key.
        changed: told the bare JID of a user and the address of a contact whose key is another one now. Never raises.
        now: seconds since 1970.
    """

    def __init__(
        self,
        keys: ContactKeys,
        authenticated: Authenticated,
        changed: Callable[[str, str], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._keys = keys
        self._authenticated = authenticated
        self._changed = changed
        self._now = now

    async def mail(self, users: Iterable[User], sender: str, content: bytes) -> None:
        """Keep the key of a mail that was taken, if it brings one. Raises nothing: the mail matters more.

        Arguments:
            users: who received it.
            sender: of the envelope; ``""`` for reports.
            content: the mail as it came.
        """
        try:
            header = await self.read(sender, content)
            if header is None:
                return
            for user in users:
                if not user.blocked and header.address not in map(str.lower, user.addresses):
                    await self._keep(user.jid, header)
        except StoreError as error:
            _log.warning("harvest-failed", code=error.code)
        except Exception as error:  # noqa: BLE001 - a strange header must not cost a mail
            _log.error("harvest-failed", error_type=type(error).__name__)

    async def read(self, sender: str, content: bytes) -> Header | None:
        """Give what the header of a mail says, or None when nothing may be taken from it.

        Without authentication, the address in From has to be the sender of the envelope as well: that is whom the user
        sees the message come from.
        """
        if not sender:
            return None
        try:
            mail = mime_scan.read(content)
        except mime_scan.Unreadable:
            return None
        values = list(mail.values("autocrypt"))
        if not values or len(values) > MAX_HEADERS:
            return None
        address = None if _is_report(mail) else author(mail)
        found = [header for value in values if (header := parse(value)) and header.address == address]
        if address is None or len(found) != 1:
            return None
        authenticated = await self._authenticated(mail, sender, address)
        if not authenticated and address != sender.lower():
            return None
        return Header(address, _bound(address, found[0].keydata), authenticated, self._date(mail))

    def _date(self, mail: Entity) -> float:
        """Give the effective date: never in the future (Autocrypt Level 1, section 5.2)."""
        received = self._now()
        try:
            written = parsedate_to_datetime(mail.first("date")[:_MAX_DATE])
            if written.tzinfo is None:
                written = written.replace(tzinfo=UTC)
            return max(min(written.timestamp(), received), 0.0)
        except (ValueError, TypeError, OverflowError, IndexError):
            return received

    async def _keep(self, user: str, header: Header) -> None:
        have = [key for key in await self._keys.get(user, header.address) if key.source == "autocrypt"]
        if any(not self._counts_more(header, key) for key in have):
            return
        key = HarvestedKey(
            user, header.address, header.data, "autocrypt", header.authenticated, seen_at=header.date
        )
        await self._keys.put(key)
        if all(old.data != header.data for old in have):
            self._changed(user, header.address)
        _log.info(
            "key-harvested",
            peer_domain=domain_of(header.address),
            size=len(header.data),
            address=header.address,
        )

    def _counts_more(self, header: Header, old: HarvestedKey) -> bool:
        if old.authenticated and not header.authenticated:
            return False
        if old.seen_at > self._now():
            return True  # a clock that was wrong once must not keep newer keys away for years
        if header.date < old.seen_at:
            return False
        same = header.data == old.data and header.authenticated == old.authenticated
        return not same or header.date - old.seen_at >= _DAY  # not every mail writes to the store


def author(mail: Entity) -> str | None:
    """Give the one address in From, in lower case; None when there is not exactly one that all programs agree on."""
    values = list(mail.values("from"))
    if len(values) != 1 or len(values[0]) > _MAX_FROM:
        return None
    found = _FROM.fullmatch(values[0].strip())
    address = None if found is None else address_of(found[1] or found[2])
    try:
        check_address(address or "")
    except InvalidAddress:
        return None
    return address


def _is_report(mail: Entity) -> bool:
    return mime_scan.structured(mail.first("content-type"))[0] == "multipart/report"


def _bound(address: str, keydata: bytes) -> bytes:
    """Leave out other people's names. A key that does not name the address at all stays as it is: clients say so."""
    try:
        return only_user_ids_of(address, keydata) or keydata
    except BadOpenPGP:
        return keydata
