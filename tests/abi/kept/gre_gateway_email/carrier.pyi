from __future__ import annotations
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable
from gre_core.api import Body, Kind, Namespace
from gre_gateway_email.mail.addresses import address_list, on_the_wire
from gre_gateway_email.mail.date_time import date_time
if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
ENTRY_POINT_GROUP: Final = 'gre_email.v1'
SUBJECT: Final = '[...]'

@dataclass(frozen=True, slots=True)
class Envelope:
    sender: str = field(repr=False)
    recipients: tuple[str, ...] = field(repr=False)
    message_id: str
    date: datetime
    autocrypt: str | None = field(default=None, repr=False)

@dataclass(frozen=True, slots=True)
class Carried:
    body: Body
    notes: tuple[str, ...] = ()

def header_of(envelope: Envelope) -> str:
    ...

@runtime_checkable
class Carrier(Protocol):

    @property
    def formatter(self) -> Namespace:
        ...

    @property
    def encrypter(self) -> Namespace:
        ...

    def wrap(self, body: Body, envelope: Envelope, /) -> bytes:
        ...

    def unwrap(self, mail: bytes, /) -> Carried | None:
        ...

@dataclass(frozen=True, slots=True)
class CarrierProblem:
    name: str
    error: str

class Carriers:

    def __init__(self, carriers: Iterable[Carrier], problems: Iterable[CarrierProblem]=()) -> None:
        ...

    @classmethod
    def discover(cls) -> Carriers:
        ...

    @classmethod
    def load(cls, points: Iterable[EntryPoint]) -> Carriers:
        ...

    @property
    def pairs(self) -> tuple[tuple[Namespace, Namespace], ...]:
        ...

    def carrier(self, formatter: Namespace, encrypter: Namespace) -> Carrier | None:
        ...

    def unwrap(self, mail: bytes) -> tuple[Carrier, Carried] | None:
        ...
