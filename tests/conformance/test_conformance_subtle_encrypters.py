"""Encrypters that are broken in ways that are easily missed: the kit says which rule each breaks."""

from __future__ import annotations

import base64
import json
import logging
import os
import secrets
import time
import zlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar
from xml.etree.ElementTree import Element

import pytest

from gre_core.api import EncrypterProvider, encrypter
from gre_core.errors import BadEncrypted, GreError, NotForUs
from gre_core.model import Body, Opened, Signature, Verdict
from gre_core.testing.conformance import EncrypterConformance
from gre_core.testing.fakes import KEY_NODE, InsecureToyEncrypter
from gre_core.testing.toys import toy_body

if TYPE_CHECKING:
    from collections.abc import Callable

    from gre_core.api import OpenJob, SealJob
    from gre_core.ports import Ports
    from gre_core.testing.conformance import People

MUTANTS: list[tuple[str, type[EncrypterConformance]]] = []
NAMES = ("romeo", "juliet", "nurse", "mallory")


class ToySuite(EncrypterConformance):
    """Accounts are addresses, keys are names in a node."""

    huge = 20_000
    examples = 6
    hostile_size = 1 << 12
    accounts: ClassVar = {name: (f"{name}@example.org",) * 2 for name in NAMES}

    def introduce(self, people: People, *names: str) -> None:
        super().introduce(people, *names)
        for name in names:
            people[name].pubsub.put(people[name].account, KEY_NODE, f"{name}-{people[name].times}")


def breaks(rule: str) -> Callable[[Any], Any]:
    def register(made: Any) -> Any:
        provider = EncrypterProvider(encrypter("test"), made, "GRE Encrypter: Test")
        MUTANTS.append((rule, type(f"Suite{made.__name__}", (ToySuite,), {"provider": provider})))
        return made

    return register


class Toy(InsecureToyEncrypter):
    """The base of the mutants."""

    def __init__(self) -> None:
        super().__init__(keys=True)


# -- confidentiality -----------------------------------------------------------------------------------


@breaks("randomised")
class UsesItsNonceAgain(Toy):
    async def encrypt(self, payload: bytes, keys: dict[str, Any], ports: Ports, /) -> Body:
        body = toy_body(payload, to=keys["to"], signer=keys["by"], salt="always the same")
        envelope = json.loads(base64.b64decode(body.text)) | {"id": secrets.token_hex(8)}
        return Body(base64.b64encode(json.dumps(envelope).encode()).decode())


class Adds(Toy):
    """Adds a child to the body."""

    def child(self, payload: bytes) -> Element | None:
        raise NotImplementedError

    async def encrypt(self, payload: bytes, keys: dict[str, Any], ports: Ports, /) -> Body:
        child = self.child(payload)
        body = await super().encrypt(payload, keys, ports)
        return body if child is None else replace(body, children=(child,))


@breaks("hides-plaintext")
class ShowsTheSubject(Adds):
    def child(self, payload: bytes) -> Element | None:
        for line in payload.split(b"\r\n"):
            if line.startswith(b"Subject: "):
                return Element("{urn:example:hint}hint", {"title": line[9:].decode("latin-1")})
        return None


@breaks("hides-plaintext")
class AddsItPacked(Adds):
    def child(self, payload: bytes) -> Element | None:
        child = Element("{urn:example:debug}packed")
        child.text = base64.b64encode(zlib.compress(payload)).decode()
        return child


@breaks("wrong-key")
class RemembersForEverybody(Toy):
    read: ClassVar[dict[str, bytes]] = {}

    async def decrypt(self, body: Body, keys: dict[str, Any], ports: Ports, /) -> Opened:
        try:
            opened = await super().decrypt(body, keys, ports)
        except NotForUs:
            if body.text not in self.read:
                raise
            return Opened(self.read[body.text], Verdict(Signature.UNSIGNED))
        self.read[body.text] = opened.payload
        return opened


@breaks("plaintext-kept-nowhere")
class StoresWhatItRead(Toy):
    async def decrypt(self, body: Body, keys: dict[str, Any], ports: Ports, /) -> Opened:
        opened = await super().decrypt(body, keys, ports)
        await ports.store.put("last", base64.b64encode(opened.payload))
        return opened


# -- integrity -----------------------------------------------------------------------------------------


@breaks("verdict-wrong-signer")
class RemembersVerdicts(Toy):
    def __init__(self) -> None:
        super().__init__()
        self.opened: dict[str, Opened] = {}

    async def decrypt(self, body: Body, keys: dict[str, Any], ports: Ports, /) -> Opened:
        if body.text not in self.opened:
            self.opened[body.text] = await super().decrypt(body, keys, ports)
        return self.opened[body.text]


# -- the contract --------------------------------------------------------------------------------------


@breaks("unknown-fields-ignored")
class LooksAllFieldsUp(Toy):
    async def seal_keys(self, job: SealJob, ports: Ports, /) -> dict[str, Any]:
        known = {"{urn:example}fingerprints": 1}
        assert all(known[name] for name in job.data.fields)
        return await super().seal_keys(job, ports)


@breaks("unknown-children-ignored")
class LooksAllChildrenUp(Toy):
    async def open_keys(self, body: Body, job: OpenJob, ports: Ports, /) -> dict[str, Any]:
        known = {"{urn:example:unknown}a": 1}
        assert body.text in {"", "a"} or all(known[child.tag] for child in body.children)
        return await super().open_keys(body, job, ports)


@breaks("inputs-unchanged")
class EmptiesChildren(Toy):
    async def open_keys(self, body: Body, job: OpenJob, ports: Ports, /) -> dict[str, Any]:
        for child in body.children:
            child.clear()
        return await super().open_keys(body, job, ports)


@breaks("inputs-unchanged")
class WritesIntoTheJob(Toy):
    async def seal_keys(self, job: SealJob, ports: Ports, /) -> dict[str, Any]:
        if isinstance(job.options, dict):
            job.options["{urn:example}seen"] = "yes"
        return await super().seal_keys(job, ports)


@breaks("no-clock")
class UsesTheZoneOfTheSystem(Toy):
    async def encrypt(self, payload: bytes, keys: dict[str, Any], ports: Ports, /) -> Body:
        time.localtime()
        return await super().encrypt(payload, keys, ports)


# -- secrets -------------------------------------------------------------------------------------------


@breaks("no-secret-in-log")
class LogsToItself(Toy):
    async def decrypt(self, body: Body, keys: dict[str, Any], ports: Ports, /) -> Opened:
        opened = await super().decrypt(body, keys, ports)
        log = logging.getLogger("kit.mutant.encrypter")
        log.propagate = False
        log.debug("%r", opened.payload)
        return opened


@breaks("no-secret-in-log")
class WritesPastPython(Toy):
    async def decrypt(self, body: Body, keys: dict[str, Any], ports: Ports, /) -> Opened:
        opened = await super().decrypt(body, keys, ports)
        os.write(2, opened.payload)
        return opened


class KeepsItsKeyInJson(Toy):
    async def prepare(self, account: str, ports: Ports, /) -> list[Any]:
        if await ports.store.get("key") is None:
            value = {"of": account, "secret": secrets.token_hex(32)}
            await ports.store.put("key", json.dumps(value).encode())
        return []

    async def key(self, ports: Ports) -> bytes:
        return bytes.fromhex(json.loads(await ports.store.get("key") or b'{"secret": ""}')["secret"])


@dataclass(frozen=True)
class Keys:
    """Shows its key, which is a part of what the store holds, in another form."""

    found: dict[str, Any] = field(repr=False)
    key: bytes


@breaks("no-secret-in-repr")
class HandsItsKeyOver(KeepsItsKeyInJson):
    async def seal_keys(self, job: SealJob, ports: Ports, /) -> Any:
        return Keys(await super().seal_keys(job, ports), await self.key(ports))

    async def encrypt(self, payload: bytes, keys: Any, ports: Ports, /) -> Body:
        return await super().encrypt(payload, keys.found, ports)


@breaks("no-secret-in-errors")
class ChainsItsKey(KeepsItsKeyInJson):
    async def open_keys(self, body: Body, job: OpenJob, ports: Ports, /) -> dict[str, Any]:
        try:
            return await super().open_keys(body, job, ports)
        except GreError:
            raise BadEncrypted("It cannot be read.") from ValueError(await self.key(ports))


@pytest.mark.parametrize(
    ("rule", "suite"), [pytest.param(*each, id=f"{each[1].__name__[5:]}-{each[0]}") for each in MUTANTS]
)
def test_a_mutant_breaks_its_rule_and_no_other(
    must_break: Any, rule: str, suite: type[EncrypterConformance]
) -> None:
    must_break(suite, rule)
