"""A message that comes while our key is locked is kept, and opens when the passphrase is there."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gre_encrypter_openpgp.plugin
import gre_formatter_mime.plugin

from gre_core import ClientEngine, MemoryStore, Message, Plugins, Ports, Received, Unopened
from gre_core.errors import NoUsableKey

if TYPE_CHECKING:
    from gre_core.ports import PassphraseRequest

ALICE, BOB = "alice\\40a.example@gateway", "bob\\40b.example@gateway"


def parties() -> Any:
    path = Path(__file__).parents[1] / "bench" / "parties.py"
    spec = importlib.util.spec_from_file_location("gre_bench_parties", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def engine(jid: str, address: str, ports: Ports) -> ClientEngine:
    plugins = Plugins.of(gre_formatter_mime.plugin, gre_encrypter_openpgp.plugin, strict=True)
    return ClientEngine(jid, plugins, ports, parties().Wire(address))


async def test_a_message_for_a_locked_key_is_kept_and_opens_later() -> None:
    made = parties()
    shared: dict[Any, Any] = {}
    answers: list[str | None] = ["words"]
    asked: list[PassphraseRequest] = []

    async def passphrase(request: PassphraseRequest) -> str | None:
        asked.append(request)
        return answers[-1]

    ports = Ports(MemoryStore(), made.Nodes(ALICE, shared), made._yes, passphrase=passphrase)
    alice = engine(ALICE, "alice@a.example", ports)
    bob = engine(BOB, "bob@b.example", Ports(MemoryStore(), made.Nodes(BOB, shared), made._yes))
    for each in (alice, bob):
        await each.start_session()
    try:
        await alice.seal(BOB, Message(text="makes the key"))
    except NoUsableKey:
        pass  # Bob has no key yet
    stanza = (await bob.seal(ALICE, Message(text="a secret"))).stanza
    stanza.set("from", BOB)

    answers.append(None)
    asked.clear()
    later = engine(ALICE, "alice@a.example", replace(ports))  # the next session: nothing is unlocked
    await later.start_session()
    assert asked == []
    result = await later.handle(stanza)
    assert isinstance(result, Unopened)
    assert result.error.code == "key-locked"
    assert "locked" in result.error.text
    assert [each async for each in later.reopen()] == []

    answers.append("words")
    third = engine(ALICE, "alice@a.example", replace(ports))
    await third.start_session()
    (opened,) = [each async for each in third.reopen()]
    assert isinstance(opened, Received)
    assert opened.message.text.strip() == "a secret"
    assert [each async for each in third.reopen()] == []
