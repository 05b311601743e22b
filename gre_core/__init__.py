"""Gateway Relayed Encryption for XMPP: the public face.

Every name here is loaded from its module at first use (PEP 562), so ``import gre_core`` itself costs nothing.
Authors of plugins import from :mod:`gre_core.api`; errors are in :mod:`gre_core.errors`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gre_core.client import ClientEngine, Explanation
    from gre_core.errors import (
        GreError,
        LocalProtocolError,
        NegotiationError,
        OpenError,
        PluginError,
        PolicyChanged,
        Refused,
        RemoteProtocolError,
        SealError,
        StoreError,
    )
    from gre_core.explaining import Untaken
    from gre_core.gateway import GatewayEngine, Plain, Relayed
    from gre_core.model import (
        Attachment,
        Body,
        DataForm,
        Direction,
        Message,
        Notice,
        Question,
        Recipient,
        Signature,
        Verdict,
    )
    from gre_core.namespaces import Kind, Namespace
    from gre_core.negotiation import Agreement, negotiate
    from gre_core.opening import Received, Unopened
    from gre_core.outbox import SendState, Sent
    from gre_core.policy import Policy
    from gre_core.ports import DiscoInfo, Item, Network, Ports, PubSub, Store
    from gre_core.registry import LoadedPlugin, Plugins, Problem
    from gre_core.sealing import Sealed
    from gre_core.stores import FileStore, MemoryStore

__all__ = [
    "Agreement",
    "Attachment",
    "Body",
    "ClientEngine",
    "DataForm",
    "Direction",
    "DiscoInfo",
    "Explanation",
    "FileStore",
    "GatewayEngine",
    "GreError",
    "Item",
    "Kind",
    "LoadedPlugin",
    "LocalProtocolError",
    "MemoryStore",
    "Message",
    "Namespace",
    "NegotiationError",
    "Network",
    "Notice",
    "OpenError",
    "Plain",
    "PluginError",
    "Plugins",
    "Policy",
    "PolicyChanged",
    "Ports",
    "Problem",
    "PubSub",
    "Question",
    "Received",
    "Recipient",
    "Refused",
    "Relayed",
    "RemoteProtocolError",
    "SealError",
    "Sealed",
    "SendState",
    "Sent",
    "Signature",
    "Store",
    "StoreError",
    "Unopened",
    "Untaken",
    "Verdict",
    "negotiate",
]

_ROOMS: Final = {
    "client": "ClientEngine Explanation",
    "explaining": "Untaken",
    "errors": "GreError LocalProtocolError NegotiationError OpenError PluginError PolicyChanged Refused "
    "RemoteProtocolError SealError StoreError",
    "gateway": "GatewayEngine Plain Relayed",
    "model": "Attachment Body DataForm Direction Message Notice Question Recipient Signature Verdict",
    "namespaces": "Kind Namespace",
    "negotiation": "Agreement negotiate",
    "opening": "Received Unopened",
    "outbox": "SendState Sent",
    "policy": "Policy",
    "ports": "DiscoInfo Item Network Ports PubSub Store",
    "registry": "LoadedPlugin Plugins Problem",
    "sealing": "Sealed",
    "stores": "FileStore MemoryStore",
}
_ROOM_OF: Final = {name: room for room, names in _ROOMS.items() for name in names.split()}


def __getattr__(name: str) -> object:
    room = _ROOM_OF.get(name)
    if room is None:
        text = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(text, name=name)
    value: object = getattr(import_module(f"{__name__}.{room}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
