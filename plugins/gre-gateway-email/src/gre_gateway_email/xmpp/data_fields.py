"""What this gateway says in the data form: its size limit and the mail domain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gre_core.api import DataContributor, DataField, DataProvider, DataRequest, formatter
from gre_core.namespaces import LIMITS
from gre_gateway_email.mail.addresses import domain_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gre_gateway_email.store.store import Users

MIME: Final = str(formatter("mime"))
DOMAIN: Final = "domain"
"""Field of the MIME formatter: what stands behind the @ in Message-IDs."""

MAX_SIZE: Final = "max-size"


class SizeLimit:
    """Tells how many bytes an ``<encrypted/>`` element may have.

    Arguments:
        max_encrypted: in bytes, serialised.
    """

    def __init__(self, max_encrypted: int) -> None:
        self._fields = (DataField(LIMITS, MAX_SIZE, (str(max_encrypted),)),)

    async def fields(self, _request: DataRequest, /) -> Iterable[DataField]:
        """Give the one field."""
        return self._fields


class MessageIdDomain:
    """Tells the domain of Message-IDs: that of the user's mail address.

    Arguments:
        users: who is registered.
    """

    def __init__(self, users: Users) -> None:
        self._users = users

    async def fields(self, request: DataRequest, /) -> Iterable[DataField]:
        """Give the one field, or nothing for who is no user."""
        user = await self._users.get(request.requester)
        return () if user is None else (DataField(MIME, DOMAIN, (domain_of(user.addresses[0]),)),)


def contributors(users: Users, max_encrypted: int) -> tuple[tuple[DataProvider, DataContributor], ...]:
    """Make the providers of this gateway with their contributors."""
    size, domain = SizeLimit(max_encrypted), MessageIdDomain(users)
    return (
        (DataProvider(LIMITS, lambda _ports: size, "Size limit of the gateway"), size),
        (DataProvider(MIME, lambda _ports: domain, "Domain of Message-IDs"), domain),
    )
