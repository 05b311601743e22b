from __future__ import annotations
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, BinaryIO, Final
if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path
    from xml.etree.ElementTree import Element
    from gre_core.namespaces import Namespace

@dataclass(frozen=True, slots=True)
class Attachment:
    name: str = field(repr=False)
    media_type: str
    open: Callable[[], BinaryIO] = field(repr=False, compare=False)
    size: int | None = None
    inline: bool = False
    content_id: str | None = None

    @classmethod
    def from_bytes(cls, name: str, media_type: str, content: bytes, *, inline: bool=False, content_id: str | None=None) -> Attachment:
        ...

    @classmethod
    def from_path(cls, path: Path, media_type: str | None=None, name: str | None=None) -> Attachment:
        ...

    def read(self) -> bytes:
        ...

@dataclass(frozen=True, slots=True)
class SignedPart:
    content: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    protocol: str

@dataclass(frozen=True, slots=True)
class Message:
    text: str = field(default='', repr=False)
    html: str | None = field(default=None, repr=False)
    subject: str | None = field(default=None, repr=False)
    attachments: tuple[Attachment, ...] = ()
    to: tuple[str, ...] = field(default=(), repr=False)
    cc: tuple[str, ...] = field(default=(), repr=False)
    claimed_sender: str | None = field(default=None, repr=False)
    message_id: str | None = None
    in_reply_to: str | None = None
    references: tuple[str, ...] = ()
    date: datetime | None = None
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: _NOTHING, repr=False, compare=False)
    hidden: tuple[str, ...] = field(default=(), compare=False)
    signed: SignedPart | None = field(default=None, repr=False, compare=False)
    notices: tuple[Notice, ...] = field(default=(), compare=False)

@dataclass(frozen=True, slots=True)
class Body:
    text: str = field(default='', repr=False)
    children: tuple[Element, ...] = field(default=(), repr=False)

    @property
    def size(self) -> int:
        ...

@dataclass(frozen=True, slots=True)
class DataField:
    namespace: str
    name: str
    values: tuple[str, ...]

    @property
    def var(self) -> str:
        ...

@dataclass(frozen=True, slots=True)
class DataForm:
    sender_id: str
    fields: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: _NOTHING)

    def values(self, namespace: Namespace | str, name: str) -> tuple[str, ...] | None:
        ...

@dataclass(frozen=True, slots=True)
class DataRequest:
    requester: str
    recipient: str
    legacy_id: str
    formatter: Namespace | None = None
    encrypter: Namespace | None = None
    children: tuple[Element, ...] = field(default=(), repr=False)

@dataclass(frozen=True, slots=True)
class Recipient:
    jid: str
    legacy_id: str

@dataclass(frozen=True, slots=True)
class SealJob:
    account: str
    recipients: tuple[Recipient, ...]
    data: DataForm
    formatter: Namespace
    encrypter: Namespace
    origin_id: str
    date: datetime
    outer: Mapping[str, str] = field(default_factory=dict)
    max_size: int | None = None
    protected: tuple[tuple[str, str], ...] = ()
    options: Mapping[str, str] = field(default_factory=lambda: _NO_PARAMS)
    forms: Mapping[str, DataForm] = field(default_factory=lambda: _NO_FORMS)

    def data_for(self, jid: str) -> DataForm:
        ...

    def option(self, namespace: Namespace | str, name: str, default: str='') -> str:
        ...

class Direction(StrEnum):
    RECEIVED = 'received'
    SENT = 'sent'

@dataclass(frozen=True, slots=True)
class OpenJob:
    account: str
    peer: str
    direction: Direction
    formatter: Namespace
    encrypter: Namespace
    expected_sender: str | None = None
    stanza_id: str | None = None
    missing: tuple[str, ...] = ()
    received: datetime | None = None
    parser: str = ''

class Signature(StrEnum):
    GOOD = 'good'
    UNSIGNED = 'unsigned'
    UNKNOWN_SIGNER = 'unknown-signer'
    WRONG_SIGNER = 'wrong-signer'
    BAD = 'bad'
    OTHER_RECIPIENTS = 'other-recipients'
    REPLAYED = 'replayed'
    STALE = 'stale'
    REFLECTED = 'reflected'
    PARTIAL = 'partial'

@dataclass(frozen=True, slots=True)
class Verdict:
    signature: Signature
    signer: str | None = None
    source: str | None = None
    detail: str = ''

@dataclass(frozen=True, slots=True)
class Notice:
    code: str
    text: str
    params: Mapping[str, str] = field(default_factory=lambda: _NO_PARAMS)

@dataclass(frozen=True, slots=True)
class Opened:
    payload: bytes = field(repr=False)
    verdict: Verdict
    signer_ids: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    warnings: tuple[Notice, ...] = ()
    parsed: bytes | None = field(default=None, repr=False)

@dataclass(frozen=True, slots=True)
class Question:
    code: str
    peer: str
    text: str
    before: str = ''
    after: str = ''
