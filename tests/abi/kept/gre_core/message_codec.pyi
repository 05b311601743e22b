from __future__ import annotations
import io
import json
import struct
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast
from gre_core.errors import ParseFailed
from gre_core.model import Attachment, Message, Notice, SignedPart
if TYPE_CHECKING:
    from collections.abc import Mapping
MAX_OUTLINE: Final = 4 << 20
MAX_LIST: Final = 10000

def encode_message(message: Message) -> bytes:
    ...

def decode_message(data: bytes) -> Message:
    ...
