"""What type checkers tell who embeds the core. Checked by mypy and pyright, never run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_never, assert_type

import gre_core
from gre_core import (
    Agreement,
    ClientEngine,
    FileStore,
    GatewayEngine,
    LoadedPlugin,
    MemoryStore,
    Message,
    Namespace,
    Network,
    Plain,
    Plugins,
    Policy,
    Ports,
    Problem,
    PubSub,
    Question,
    Received,
    Relayed,
    Sent,
    Signature,
    Store,
    Unopened,
    negotiate,
)
from gre_core.api import DataContributor, DataProvider, Encrypter, Formatter
from gre_core.negotiation import read_features

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from xml.etree.ElementTree import Element


def stores(directory: Path) -> tuple[Store, Store]:
    """Both stores that are shipped fit the port."""
    return MemoryStore(), FileStore(directory)


def plugins() -> None:
    """The registry."""
    by_text: dict[str, str] = {"urn:xmpp:gre:formatter:mime:0": "gre-formatter-mime"}
    by_namespace: dict[Namespace, str] = {}
    Plugins.of(prefer=by_namespace)
    found = Plugins.discover(allow={"gre-formatter-mime"}, prefer=by_text, strict=True)
    assert_type(found.loaded, tuple[LoadedPlugin, ...])
    assert_type(found.problems, tuple[Problem, ...])
    assert_type(found.formatters, tuple[Namespace, ...])
    assert_type(found.formatter(found.formatters[0]), Formatter)
    assert_type(found.encrypter(found.encrypters[0]), Encrypter[Any])
    Plugins.discover("gre-formatter-mime")  # type: ignore[call-arg]


def agree(ours: Plugins, features: list[str]) -> Agreement:
    """Negotiation takes namespaces, not texts."""
    negotiate(["urn:xmpp:gre:formatter:x:0"], ours.encrypters, read_features(features))  # type: ignore[list-item]
    return negotiate(ours.formatters, ours.encrypters, read_features(features))


async def yes(question: Question) -> bool:
    """A host's way to ask."""
    assert_type(question.before, str)
    return True


async def client(network: Network, pubsub: PubSub, stanza: Element) -> None:
    """A client engine; every result of ``handle`` is one of four."""
    engine = ClientEngine(
        "juliet@capulet.example", Plugins.discover(), Ports(MemoryStore(), pubsub, yes), network, Policy()
    )
    assert_type(await engine.send("romeo@gateway.example", Message("Hello")), Sent)
    match await engine.handle(stanza):
        case Received() as received:
            assert_type(received.message.attachments, tuple[gre_core.Attachment, ...])
            assert_type(received.verdict.signature, Signature)
        case Unopened() as unopened:
            assert_type(unopened.error, gre_core.GreError)
        case Sent() as sent:
            assert_type(sent.id, str)
        case None:
            pass
        case other:
            assert_never(other)


async def sender_id(_user: str) -> str | None:
    """A gateway's users."""
    return None


async def gateway(
    pair: tuple[Namespace, Namespace],
    contributors: Sequence[tuple[DataProvider, DataContributor]],
    stanza: Element,
) -> None:
    """A gateway engine: there is no way to decrypt in its types."""
    engine = GatewayEngine("gateway.example", [pair], sender_id=sender_id, contributors=contributors)
    assert_type(await engine.accept(stanza), Relayed | Plain | None)
    engine.decrypt  # type: ignore[attr-defined]  # noqa: B018
