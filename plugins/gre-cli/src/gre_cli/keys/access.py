"""How ``gre keys`` reaches the keys: in the account's store, or over a connection."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn, Protocol, runtime_checkable

from gre_cli.asking import Asker
from gre_cli.passphrases import Passphrases
from gre_cli.providers import settled
from gre_core.api import encrypter as encrypter_namespace
from gre_core.errors import GreError, PeerTimeout
from gre_core.policy import Memory
from gre_core.ports import Ports
from gre_core.stores import FileStore

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection

    from gre_openpgp.encrypting.contact_keys import ContactKeys
    from gre_openpgp.encrypting.management import OwnKeys

    from gre_cli.output import Output
    from gre_cli.settings import Settings


OPENPGP: Final = encrypter_namespace("openpgp", 0)


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


@runtime_checkable
class _KeepsKeys(Protocol):
    """The part of an OpenPGP encrypter that ``gre keys`` works with."""

    def own_keys(self, account: str, ports: Ports) -> OwnKeys: ...

    def contact_keys(self, account: str, ports: Ports) -> ContactKeys: ...


def _both(encrypter: _KeepsKeys, settings: Settings, ports: Ports) -> Keys:
    return Keys(encrypter.own_keys(settings.jid, ports), encrypter.contact_keys(settings.jid, ports))


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
        ProviderUnclear: several are, and nobody said which one to use.
        PluginError: the one to use is broken.
        LoginFailed: the account could not be brought online.
    """
    plugins = settled(output, settings)
    if OPENPGP not in plugins.encrypters:
        raise NoBackEnd(
            "`gre keys` looks after OpenPGP keys. Install the package gre-encrypter-openpgp for it"
        )
    encrypter = plugins.encrypter(OPENPGP)
    if not isinstance(encrypter, _KeepsKeys):
        raise NoBackEnd(f"{plugins.source(OPENPGP).id} does not let `gre keys` look after its keys")
    asker = Asker(output, approved)
    if connect:
        from gre_cli.session import online

        async with online(settings, asker, available=False) as (_, client):
            ports = client.engine.ports
            yield _both(encrypter, settings, ports)
        return
    store = FileStore(settings.directory())
    ports = Ports(
        store=store,
        pubsub=_Offline(),
        decide=Memory(store, asker.decide).decide,
        passphrase=Passphrases(output, settings),
    )
    yield _both(encrypter, settings, ports)
