"""How ``gre keys`` reaches the keys: in the account's store, or over a connection."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from gre_cli.asking import Asker
from gre_cli.passphrases import Passphrases
from gre_core.errors import GreError, PeerTimeout
from gre_core.policy import Memory
from gre_core.ports import Ports
from gre_core.stores import FileStore

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection

    from gre_encrypter_openpgp.contact_keys import ContactKeys
    from gre_encrypter_openpgp.management import OwnKeys

    from gre_cli.output import Output
    from gre_cli.settings import Settings


class NoBackEnd(GreError):
    """The package that keeps the keys is not installed."""

    code = "no-back-end"


class _Offline:
    """The nodes of an account that is not connected: a command that needs them connects first."""

    async def items(self, *_: object, **_options: object) -> NoReturn:
        self._fail()

    async def publish(self, *_: object, **_options: object) -> NoReturn:
        self._fail()

    async def retract(self, *_: object) -> NoReturn:
        self._fail()

    def _fail(self) -> NoReturn:
        raise PeerTimeout("This command works without a connection")


@dataclass(frozen=True, slots=True)
class Keys:
    """Both facades of the encrypter.

    Arguments:
        own: our keys.
        contacts: those of contacts.
    """

    own: OwnKeys
    contacts: ContactKeys


@asynccontextmanager
async def opened(
    output: Output, settings: Settings, approved: Collection[str] = (), *, connect: bool
) -> AsyncGenerator[Keys]:
    """Open the keys of an account.

    Arguments:
        output: where to ask for passphrases and decisions.
        settings: which account.
        approved: what the user approved ahead.
        connect: log in, for what is published or fetched; otherwise only the account's store is used.

    Raises:
        NoBackEnd: no package for OpenPGP is installed.
        LoginFailed: the account could not be brought online.
    """
    try:
        from gre_encrypter_openpgp.contact_keys import ContactKeys
        from gre_encrypter_openpgp.management import OwnKeys
    except ImportError:
        raise NoBackEnd(
            "`gre keys` looks after OpenPGP keys. Install the package gre-encrypter-openpgp for it"
        ) from None
    asker = Asker(output, approved)
    if connect:
        from gre_cli.session import online

        async with online(settings, asker, available=False) as (_, client):
            ports = client.engine.ports
            yield Keys(OwnKeys(settings.jid, ports), ContactKeys(settings.jid, ports))
        return
    store = FileStore(settings.directory())
    ports = Ports(
        store=store,
        pubsub=_Offline(),
        decide=Memory(store, asker.decide).decide,
        passphrase=Passphrases(output, settings),
    )
    yield Keys(OwnKeys(settings.jid, ports), ContactKeys(settings.jid, ports))
