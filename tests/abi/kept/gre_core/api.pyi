from __future__ import annotations
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Protocol, TypeVar, runtime_checkable
import pluggy
from gre_core.model import Attachment, Body, DataField, DataForm, DataRequest, Direction, Message, Notice, Opened, OpenJob, Question, Recipient, SealJob, Signature, SignedPart, Verdict
from gre_core.namespaces import Kind, Namespace, encrypter, formatter
if TYPE_CHECKING:
    from pathlib import Path
    from xml.etree.ElementTree import Element
    from gre_core.ports import Ports
__all__ = ['ENTRY_POINT_GROUP', 'Acquainting', 'AddsFields', 'Attachment', 'Body', 'DataContributor', 'DataField', 'DataForm', 'DataProvider', 'DataRequest', 'Direction', 'Encrypter', 'EncrypterProvider', 'Explaining', 'FileEncrypter', 'FileFormatter', 'Formatter', 'FormatterProvider', 'JudgesSigned', 'Kind', 'Learning', 'Message', 'NamesMessages', 'Namespace', 'Notice', 'Observing', 'OpenJob', 'Opened', 'Preparing', 'Question', 'Recipient', 'RequestsData', 'SealJob', 'Signature', 'SignedPart', 'TellsApart', 'UsesWorker', 'Verdict', 'WorkerParsing', 'encrypter', 'formatter', 'hookimpl']
PROJECT: Final = 'gre'
ENTRY_POINT_GROUP: Final = 'gre.v1'
hookimpl: pluggy.HookimplMarker = pluggy.HookimplMarker(PROJECT)
K = TypeVar('K')
K_contra = TypeVar('K_contra', contravariant=True)

class Formatter(Protocol):

    def format(self, message: Message, job: SealJob, /) -> bytes:
        ...

    def parse(self, payload: bytes, job: OpenJob, /) -> Message:
        ...

class Encrypter(Protocol[K]):

    async def seal_keys(self, job: SealJob, ports: Ports, /) -> K:
        ...

    async def encrypt(self, payload: bytes, keys: K, ports: Ports, /) -> Body:
        ...

    async def open_keys(self, body: Body, job: OpenJob, ports: Ports, /) -> K:
        ...

    async def decrypt(self, body: Body, keys: K, ports: Ports, /) -> Opened:
        ...

class DataContributor(Protocol):

    async def fields(self, request: DataRequest, /) -> Iterable[DataField]:
        ...

@runtime_checkable
class RequestsData(Protocol):

    def data_children(self) -> Iterable[Element]:
        ...

@runtime_checkable
class Preparing(Protocol):

    async def prepare(self, account: str, ports: Ports, /) -> Iterable[Notice]:
        ...

@runtime_checkable
class Observing(Protocol):

    @property
    def nodes(self) -> Iterable[str]:
        ...

    async def notified(self, jid: str, node: str, ports: Ports, /) -> Iterable[Notice]:
        ...

@runtime_checkable
class AddsFields(Protocol[K_contra]):

    def protected_fields(self, keys: K_contra, job: SealJob, /) -> Iterable[tuple[str, str]]:
        ...

@runtime_checkable
class JudgesSigned(Protocol):

    async def judge_signed(self, part: SignedPart, job: OpenJob, ports: Ports, /) -> Opened:
        ...

@runtime_checkable
class TellsApart(Protocol):

    async def signature_id(self, body: Body, part: SignedPart | None, job: OpenJob, ports: Ports, /) -> str:
        ...

@runtime_checkable
class Learning(Protocol):

    async def learn(self, message: Message, opened: Opened, job: OpenJob, ports: Ports, /) -> Iterable[Notice]:
        ...

@runtime_checkable
class Explaining(Protocol):

    async def explain(self, job: SealJob, ports: Ports, /) -> Iterable[Notice]:
        ...

@runtime_checkable
class NamesMessages(Protocol):

    def message_id(self, job: SealJob, /) -> str:
        ...

@runtime_checkable
class WorkerParsing(Protocol):

    @property
    def worker_parser(self) -> str:
        ...

@runtime_checkable
class UsesWorker(Protocol):

    @property
    def worker_functions(self) -> Iterable[str]:
        ...

@runtime_checkable
class Acquainting(Protocol):

    async def acquaint(self, account: str, contacts: Iterable[str], ports: Ports, /) -> Iterable[Notice]:
        ...

@runtime_checkable
class FileFormatter(Protocol):

    def format_to(self, message: Message, job: SealJob, sink: BinaryIO, /) -> None:
        ...

    def parse_from(self, payload: BinaryIO, job: OpenJob, /) -> Message:
        ...

@runtime_checkable
class FileEncrypter(Protocol[K_contra]):

    async def encrypt_file(self, source: Path, target: Path, keys: K_contra, ports: Ports, /) -> None:
        ...

    async def decrypt_file(self, source: Path, target: Path, job: OpenJob, ports: Ports, /) -> Opened:
        ...

@dataclass(frozen=True, slots=True)
class FormatterProvider:
    namespace: Namespace
    make: Callable[[], Formatter]
    title: str = ''
    dynamic_data: bool = False

@dataclass(frozen=True, slots=True)
class EncrypterProvider:
    namespace: Namespace
    make: Callable[[], Encrypter[Any]]
    title: str = ''
    dynamic_data: bool = False

@dataclass(frozen=True, slots=True)
class DataProvider:
    namespace: str
    make: Callable[[Ports], DataContributor]
    title: str = ''
Provider = FormatterProvider | EncrypterProvider | DataProvider
