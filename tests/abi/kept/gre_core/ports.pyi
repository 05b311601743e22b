from __future__ import annotations
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable
if TYPE_CHECKING:
    from xml.etree.ElementTree import Element
    from gre_core.model import Question
AccessModel = Literal['open', 'whitelist']

class Store(Protocol):

    async def get(self, key: str, /) -> bytes | None:
        ...

    async def put(self, key: str, value: bytes, /) -> None:
        ...

    async def delete(self, key: str, /) -> None:
        ...

    async def keys(self, prefix: str, /) -> Sequence[str]:
        ...

@runtime_checkable
class Creating(Protocol):

    async def create(self, key: str, value: bytes, /) -> bool:
        ...

@dataclass(frozen=True, slots=True)
class Item:
    id: str
    payload: Element | None = field(default=None, repr=False)

class PubSub(Protocol):

    async def items(self, jid: str, node: str, /, *, item_id: str | None=None, max_items: int | None=None) -> Sequence[Item]:
        ...

    async def publish(self, node: str, item_id: str, payload: Element, /, *, access_model: AccessModel, max_items: int=1) -> None:
        ...

    async def retract(self, node: str, item_id: str, /) -> None:
        ...

@runtime_checkable
class PersonalPubSub(Protocol):

    def seen_by(self, reader: str, /) -> PubSub:
        ...

@dataclass(frozen=True, slots=True)
class DiscoInfo:
    features: frozenset[str]
    identities: frozenset[tuple[str, str]] = frozenset()
    forms: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)

class Network(Protocol):

    @property
    def max_stanza(self) -> int | None:
        ...

    async def disco_info(self, jid: str, /) -> DiscoInfo:
        ...

    async def iq_get(self, jid: str, payload: Element, /) -> Element | None:
        ...

    async def send_message(self, stanza: Element, /) -> None:
        ...
Decide = Callable[['Question'], Awaitable[bool]]

async def refuse(_question: Question, /) -> bool:
    ...

def utc_now() -> datetime:
    ...

@runtime_checkable
class Worker(Protocol):

    async def run(self, function: str, data: bytes, /) -> bytes:
        ...

@dataclass(frozen=True, slots=True)
class WebAnswer:
    status: int
    body: bytes = field(repr=False)

class Web(Protocol):

    async def get(self, url: str, /, *, max_size: int) -> WebAnswer:
        ...

@dataclass(frozen=True, slots=True)
class PassphraseRequest:
    account: str
    key: str
    new: bool = False
    attempt: int = 1
AskPassphrase = Callable[['PassphraseRequest'], Awaitable[str | None]]

async def no_passphrase(_request: PassphraseRequest, /) -> str | None:
    ...

@dataclass(frozen=True, slots=True)
class BackupOffer:
    account: str
    key: str
    code: str = field(repr=False)
OfferBackup = Callable[['BackupOffer'], Awaitable[bool | None]]

@dataclass(frozen=True, slots=True)
class Ports:
    store: Store
    pubsub: PubSub
    decide: Decide = refuse
    now: Callable[[], datetime] = utc_now
    worker: Worker | None = None
    web: Web | None = None
    passphrase: AskPassphrase = no_passphrase
    backup: OfferBackup | None = None
