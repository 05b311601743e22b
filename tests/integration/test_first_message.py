"""The first message of somebody unknown, through whole engines: its own Autocrypt field makes it judgeable."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gre_encrypter_openpgp.plugin
import gre_formatter_mime.plugin
import pytest

from gre_core import (
    ClientEngine,
    DataForm,
    DiscoInfo,
    Item,
    MemoryStore,
    Message,
    Plugins,
    Ports,
    Received,
    wire,
)  # fmt: skip
from gre_core.api import encrypter, formatter
from gre_core.errors import NoUsableKey, PeerError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from xml.etree.ElementTree import Element

    from gre_core.model import Question

PAIR = formatter("mime"), encrypter("openpgp")


class World:
    """The nodes of everybody, and who asked for them."""

    def __init__(self) -> None:
        self.nodes: dict[tuple[str, str], dict[str, Item]] = {}
        self.asked: list[tuple[str, str]] = []


class Nodes:
    """The pubsub port of one party."""

    def __init__(self, jid: str, world: World) -> None:
        self._jid, self._world = jid, world

    async def items(
        self, jid: str, node: str, /, *, item_id: str | None = None, max_items: int | None = None
    ) -> Sequence[Item]:
        self._world.asked.append((jid, node))
        found = self._world.nodes.get((jid, node))
        if not found:
            raise PeerError("There is no such node.", condition="item-not-found")
        return list(found.values())

    async def publish(
        self, node: str, item_id: str, payload: Element, /, *, access_model: str, max_items: int = 1
    ) -> None:
        self._world.nodes.setdefault((self._jid, node), {})[item_id] = Item(item_id, payload)

    async def retract(self, node: str, item_id: str, /) -> None:
        self._world.nodes.get((self._jid, node), {}).pop(item_id, None)


class Wire:
    """A gateway that gives a party its address."""

    max_stanza = None

    def __init__(self, sender_id: str) -> None:
        self._sender_id = sender_id

    async def disco_info(self, _jid: str, /) -> DiscoInfo:
        return DiscoInfo(frozenset({"urn:xmpp:gre:0", *map(str, PAIR)}))

    async def iq_get(self, _jid: str, _payload: Element, /) -> Element:
        return wire.build_data_form(DataForm(self._sender_id))

    async def send_message(self, _stanza: Element, /) -> None:
        raise AssertionError("nothing is sent here")


async def yes(_question: Question, /) -> bool:
    return True


def party(address: str, world: World) -> ClientEngine:
    jid = f"{address.replace('@', chr(92) + '40')}@gateway"
    plugins = Plugins.of(gre_formatter_mime.plugin, gre_encrypter_openpgp.plugin, strict=True)
    return ClientEngine(jid, plugins, Ports(MemoryStore(), Nodes(jid, world), yes), Wire(address))


async def hand_over(sender: ClientEngine, recipient: ClientEngine, text: str) -> Received:
    stanza = (await sender.seal(recipient.account, Message(text=text))).stanza
    stanza.set("from", sender.account)
    stanza.set("to", recipient.account)
    result = await recipient.handle(stanza)
    assert isinstance(result, Received)
    return result


@pytest.fixture
async def strangers() -> tuple[ClientEngine, ClientEngine, World]:
    """Bob knows Alice's key; Alice has never heard of Bob."""
    world = World()
    alice, bob = party("alice@a.example", world), party("bob@b.example", world)
    with pytest.raises(NoUsableKey):
        await alice.seal("nobody\\40b.example@gateway", Message(text="makes the key"))
    return alice, bob, world


async def test_a_first_message_opens_with_a_good_signature_and_asks_nobody(
    strangers: tuple[ClientEngine, ClientEngine, World],
) -> None:
    alice, bob, world = strangers
    stanza = (await bob.seal(alice.account, Message(text="I am new here"))).stanza
    stanza.set("from", bob.account)
    world.asked.clear()
    received = await alice.handle(stanza)
    assert isinstance(received, Received)
    assert (received.message.text.strip(), received.verdict.signature) == ("I am new here", "good")
    assert received.verdict.source == "autocrypt"
    assert "key-not-verified" in [notice.code for notice in received.notices]
    assert world.asked == []
    again = await hand_over(bob, alice, "and again")
    assert (again.verdict.signature, again.notices) == ("good", ())


async def test_an_answer_to_it_is_readable(strangers: tuple[ClientEngine, ClientEngine, World]) -> None:
    alice, bob, _ = strangers
    await hand_over(bob, alice, "I am new here")
    answer = await hand_over(alice, bob, "Welcome")
    assert (answer.message.text.strip(), answer.verdict.signature) == ("Welcome", "good")
    assert answer.verdict.source == "xep-0373"


async def test_the_key_that_the_message_brought_stands_against_a_gateway_that_serves_another(
    strangers: tuple[ClientEngine, ClientEngine, World],
) -> None:
    from gre_core.errors import PolicyChanged

    alice, bob, world = strangers
    await hand_over(bob, alice, "I am new here")
    mallory = party("bob@b.example", World())
    with pytest.raises(NoUsableKey):
        await mallory.seal("nobody\\40b.example@gateway", Message(text="makes the key"))
    forged = mallory.ports.pubsub._world.nodes  # type: ignore[attr-defined]
    for (jid, node), items in forged.items():
        world.nodes[jid, node] = items

    async def no(question: Question, /) -> bool:
        assert question.code == "key-contradiction"
        return False

    alice._memory._decide = no
    with pytest.raises(PolicyChanged, match="Autocrypt"):
        await alice.seal(bob.account, Message(text="secret"))
