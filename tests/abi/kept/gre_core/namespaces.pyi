from __future__ import annotations
import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final
from gre_core.errors import InvalidNamespace
GRE: Final = 'urn:xmpp:gre:0'
ENCRYPTED_ONLY: Final = 'urn:xmpp:gre:encrypted_only:0'
FORM_TYPE: Final = 'urn:xmpp:gre:data'
EME: Final = 'urn:xmpp:eme:0'
LIMITS: Final = 'urn:xmpp:gre:limits:0'
MAX_SIZE: Final = f'{{{LIMITS}}}max-size'
MAX_NAME: Final = 64

class Kind(StrEnum):
    FORMATTER = 'formatter'
    ENCRYPTER = 'encrypter'

@dataclass(frozen=True, order=True, slots=True, repr=False)
class Namespace:
    kind: Kind
    name: str
    version: int

    def __post_init__(self) -> None:
        ...

    @classmethod
    @lru_cache(maxsize=256)
    def parse(cls, text: str, kind: Kind | None=None) -> Namespace:
        ...

    def __str__(self) -> str:
        ...

    def __hash__(self) -> int:
        ...

    def __repr__(self) -> str:
        ...

def formatter(name: str, version: int=0) -> Namespace:
    ...

def encrypter(name: str, version: int=0) -> Namespace:
    ...

def package_for(namespace: Namespace) -> str:
    ...
