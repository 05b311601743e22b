"""Encrypters that are broken on purpose: each breaks one rule, and the kit says which."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import secrets
import shutil
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from xml.etree.ElementTree import Element

import pytest

from gre_core.api import EncrypterProvider, encrypter
from gre_core.errors import BadEncrypted, DecryptFailed, GreError, NotForUs, NoUsableKey, PolicyChanged
from gre_core.model import Body, Direction, Opened, Question, Signature, Verdict
from gre_core.ports import PassphraseRequest
from gre_core.testing.conformance import EncrypterConformance
from gre_core.testing.fakes import KEY_NODE, InsecureToyEncrypter
from gre_core.testing.toys import _envelope, _xor

if TYPE_CHECKING:
    from collections.abc import Callable

    from gre_core.api import OpenJob, SealJob
    from gre_core.ports import Ports
    from gre_core.testing.conformance import People

MUTANTS: list[tuple[str, type[EncrypterConformance]]] = []
"""The suites over the mutants, each with the rule that it breaks."""


class ToySuite(EncrypterConformance):
    """As the toy is tested: accounts are addresses, keys are names in a node."""

    huge = 20_000
    examples = 6
    hostile_size = 1 << 12
    accounts: ClassVar = {
        name: (address, address)
        for name, address in (
            ("romeo", "romeo@montague.example"),
            ("juliet", "juliet@capulet.example"),
            ("nurse", "nurse@capulet.example"),
            ("mallory", "mallory@evil.example"),
        )
    }

    def introduce(self, people: People, *names: str) -> None:
        super().introduce(people, *names)
        for name in names:
            party = people[name]
            party.pubsub.put(party.account, KEY_NODE, f"{name}-{party.times}")


def breaks(rule: str, **suite: Any) -> Callable[[Any], Any]:
    """Register a broken encrypter.

    Args:
        rule: the one that it breaks.
        suite: attributes of the test class.
    """

    def register(made: Any) -> Any:
        provider = EncrypterProvider(encrypter("test"), made, "GRE Encrypter: Test")
        MUTANTS.append((rule, type(f"Suite{made.__name__}", (ToySuite,), {"provider": provider, **suite})))
        return made

    return register


def plaintext(body: Body) -> bytes:
    """What everybody can do with a toy."""
    envelope = _envelope(body)
    return _xor(envelope["sealed"], str(envelope.get("salt", "")))


class Toy(InsecureToyEncrypter):
    """The base of the mutants: hooks around each method."""

    def __init__(self) -> None:
        super().__init__(keys=True)

    def sealing(self, payload: bytes, keys: dict[str, Any]) -> bytes:
        return payload

    def sealed(self, body: Body, payload: bytes) -> Body:
        return body

    def opened(self, opened: Opened, job: OpenJob) -> Opened:
        return opened

    async def encrypt(self, payload: bytes, keys: dict[str, Any], ports: Ports, /) -> Body:
        return self.sealed(await super().encrypt(self.sealing(payload, keys), keys, ports), payload)

    async def decrypt(self, body: Body, keys: dict[str, Any], ports: Ports, /) -> Opened:
        return self.opened(await super().decrypt(body, keys, ports), keys["job"])


# -- the provider --------------------------------------------------------------------------------------


@breaks("interface")
class NotAsynchronous(Toy):
    def encrypt(self, payload: bytes, keys: dict[str, Any], ports: Ports, /) -> Body:  # type: ignore[override]
        return Body("")


@breaks("abilities-complete")
class GivesOneNode(Toy):
    nodes = "urn:example:keys"

    async def notified(self, jid: str, node: str, ports: Ports, /) -> list[Any]:
        return []


@breaks("switch-hides-ability", several_recipients=False)
class HidesSeveralRecipients(Toy):
    pass


# -- ports only ----------------------------------------------------------------------------------------


class Forever:
    def __await__(self) -> Any:
        yield self


@breaks("loop-free")
class WaitsForALoop(Toy):
    async def encrypt(self, payload: bytes, keys: dict[str, Any], ports: Ports, /) -> Body:
        asyncio.iscoroutine(payload)
        return await super().encrypt(payload, keys, ports)


@breaks("no-clock")
class LooksAtTheClock(Toy):
    def sealing(self, payload: bytes, keys: dict[str, Any]) -> bytes:
        time.time()
        return payload


@breaks("no-io")
class OpensAFile(Toy):
    def opened(self, opened: Opened, job: OpenJob) -> Opened:
        Path(os.devnull).read_bytes()
        return opened


@breaks("no-io")
class OpensASocket(Toy):
    async def seal_keys(self, job: SealJob, ports: Ports, /) -> dict[str, Any]:
        socket.socket().close()
        return await super().seal_keys(job, ports)


@breaks("port-failures")
class TrustsPorts(Toy):
    async def seal_keys(self, job: SealJob, ports: Ports, /) -> dict[str, Any]:
        try:
            return await super().seal_keys(job, ports)
        except (NoUsableKey, PolicyChanged):
            raise
        except GreError as error:
            raise KeyError("keys") from error


# -- secrets -------------------------------------------------------------------------------------------


@breaks("no-secret-in-log")
class LogsPlaintext(Toy):
    def opened(self, opened: Opened, job: OpenJob) -> Opened:
        logging.getLogger("mutant").info("opened %r", opened.payload)
        return opened


@breaks("no-secret-in-errors")
class QuotesPlaintext(Toy):
    async def decrypt(self, body: Body, keys: dict[str, Any], ports: Ports, /) -> Opened:
        try:
            return await super().decrypt(body, keys, ports)
        except GreError:
            raise DecryptFailed(f"Not for us: {plaintext(body)!r}") from None


@breaks("no-secret-in-repr")
class ShowsTheLastPayload(Toy):
    last = b""

    def sealing(self, payload: bytes, keys: dict[str, Any]) -> bytes:
        self.last = payload
        return payload

    def __repr__(self) -> str:
        return f"ShowsTheLastPayload({self.last!r})"


@breaks("passphrase-kept-nowhere")
class KeepsThePassphrase(Toy):
    async def seal_keys(self, job: SealJob, ports: Ports, /) -> dict[str, Any]:
        given = await ports.passphrase(PassphraseRequest(job.account, "key"))
        await ports.store.put("passphrase", (given or "").encode())
        return await super().seal_keys(job, ports)


class HasASecretKey(Toy):
    async def prepare(self, account: str, ports: Ports, /) -> list[Any]:
        if await ports.store.get("key") is None:
            await ports.store.put("key", secrets.token_bytes(32))
        return []

    async def key(self, ports: Ports) -> bytes:
        return await ports.store.get("key") or b""


@breaks("no-secret-in-log")
class LogsItsKey(HasASecretKey):
    async def open_keys(self, body: Body, job: OpenJob, ports: Ports, /) -> dict[str, Any]:
        logging.getLogger("mutant").debug("key %r", await self.key(ports))
        return await super().open_keys(body, job, ports)


@breaks("no-secret-in-errors")
class QuotesItsKey(HasASecretKey):
    async def open_keys(self, body: Body, job: OpenJob, ports: Ports, /) -> dict[str, Any]:
        try:
            return await super().open_keys(body, job, ports)
        except BadEncrypted:
            raise BadEncrypted(f"No body for {(await self.key(ports)).hex()}") from None


# -- round trips ---------------------------------------------------------------------------------------


@breaks("seals")
class SealsNothingEmpty(Toy):
    def sealing(self, payload: bytes, keys: dict[str, Any]) -> bytes:
        if not payload:
            raise NoUsableKey("There is nothing to encrypt.")
        return payload


@breaks("seal-own-errors")
class TreatsPayloadsAsText(Toy):
    def sealing(self, payload: bytes, keys: dict[str, Any]) -> bytes:
        payload.decode()
        return payload


@breaks("opens-its-own")
class OpensSmallOnesOnly(Toy):
    def opened(self, opened: Opened, job: OpenJob) -> Opened:
        if len(opened.payload) > 10_000:
            raise DecryptFailed("Too long.")
        return opened


@breaks("round-trip-payload")
class StripsZeros(Toy):
    def opened(self, opened: Opened, job: OpenJob) -> Opened:
        return replace(opened, payload=opened.payload.rstrip(b"\0"))


@breaks("own-copy")
class ForgetsOurselves(Toy):
    def opened(self, opened: Opened, job: OpenJob) -> Opened:
        if job.direction is Direction.SENT:
            raise NotForUs("We sent it.")
        return opened


@breaks("several-recipients")
class EncryptsToTheFirst(Toy):
    async def seal_keys(self, job: SealJob, ports: Ports, /) -> dict[str, Any]:
        keys = await super().seal_keys(job, ports)
        return keys | {"to": [job.recipients[0].legacy_id, job.account]}


@breaks("all-recipients-or-none")
class LeavesRecipientsOut(Toy):
    async def seal_keys(self, job: SealJob, ports: Ports, /) -> dict[str, Any]:
        found = []
        for each in job.recipients:
            try:
                await super().seal_keys(replace(job, recipients=(each,)), ports)
            except NoUsableKey:
                continue
            found.append(each)
        if not found:
            raise NoUsableKey("Nobody has a key.")
        return await super().seal_keys(replace(job, recipients=tuple(found)), ports)


@breaks("no-key-no-message")
class SealsWithoutAKey(Toy):
    async def seal_keys(self, job: SealJob, ports: Ports, /) -> dict[str, Any]:
        try:
            return await super().seal_keys(job, ports)
        except NoUsableKey:
            if len(job.recipients) > 1:
                raise
            return {"to": [job.recipients[0].legacy_id], "by": job.data.sender_id}


@breaks("changed-key-asked")
class TakesEveryKey(Toy):
    async def seal_keys(self, job: SealJob, ports: Ports, /) -> dict[str, Any]:
        for each in job.recipients:
            await ports.store.delete(f"toy/{each.jid}")
        return await super().seal_keys(job, ports)


# -- verdicts ------------------------------------------------------------------------------------------


@breaks("verdict-good")
class DoesNotSign(Toy):
    async def seal_keys(self, job: SealJob, ports: Ports, /) -> dict[str, Any]:
        return await super().seal_keys(job, ports) | {"by": None}


@breaks("verdict-wrong-signer")
class TrustsEverybody(Toy):
    def opened(self, opened: Opened, job: OpenJob) -> Opened:
        if opened.verdict.signature is Signature.WRONG_SIGNER:
            return replace(opened, verdict=Verdict(Signature.GOOD))
        return opened


# -- confidentiality -----------------------------------------------------------------------------------


@breaks("hides-plaintext")
class AddsThePlaintext(Toy):
    def sealed(self, body: Body, payload: bytes) -> Body:
        child = Element("{urn:example:debug}plain")
        child.text = base64.b64encode(payload).decode()
        return replace(body, children=(child,))


@breaks("randomised")
class AlwaysTheSame(InsecureToyEncrypter):
    def __init__(self) -> None:
        super().__init__(keys=True)

    async def encrypt(self, payload: bytes, keys: dict[str, Any], ports: Ports, /) -> Body:
        from gre_core.testing.toys import toy_body

        return toy_body(payload, to=keys["to"], signer=keys["by"])


@breaks("wrong-key")
class OpensForEverybody(Toy):
    async def decrypt(self, body: Body, keys: dict[str, Any], ports: Ports, /) -> Opened:
        try:
            return await super().decrypt(body, keys, ports)
        except NotForUs:
            return Opened(plaintext(body), Verdict(Signature.UNSIGNED))


@breaks("damage-detected")
class IgnoresDamage(Toy):
    async def decrypt(self, body: Body, keys: dict[str, Any], ports: Ports, /) -> Opened:
        try:
            return await super().decrypt(body, keys, ports)
        except DecryptFailed:
            return Opened(b"damaged", Verdict(Signature.BAD))


# -- the wire ------------------------------------------------------------------------------------------


@breaks("body-survives-xml")
class WritesRawBytes(Toy):
    def sealed(self, body: Body, payload: bytes) -> Body:
        child = Element("{urn:example:extra}a")
        child.text = "\x01"
        return replace(body, children=(child,))


@breaks("body-survives-xml")
class ForgetsTheNamespace(Toy):
    def sealed(self, body: Body, payload: bytes) -> Body:
        return replace(body, children=(Element("a"),))


@breaks("unknown-children-ignored")
class RefusesUnknownChildren(Toy):
    async def open_keys(self, body: Body, job: OpenJob, ports: Ports, /) -> dict[str, Any]:
        if body.children and body.text:
            raise DecryptFailed("What is this?")
        return await super().open_keys(body, job, ports)


class PutsItIntoAChild(Toy):
    def sealed(self, body: Body, payload: bytes) -> Body:
        child = Element("{urn:example:child}sealed", {"salt": "a"})
        child.text = body.text
        return Body(children=(child,))

    def child(self, body: Body) -> Element:
        found = next((each for each in body.children if each.tag == "{urn:example:child}sealed"), None)
        if found is None:
            raise BadEncrypted("There is no child.")
        return found

    async def open_keys(self, body: Body, job: OpenJob, ports: Ports, /) -> dict[str, Any]:
        return await super().open_keys(Body(self.child(body).text or ""), job, ports)


@breaks("unknown-children-ignored")
class TakesTheFirstChild(PutsItIntoAChild):
    def child(self, body: Body) -> Element:
        return body.children[0] if body.children else super().child(body)


@breaks("damage-detected")
class TrustsAnAttribute(PutsItIntoAChild):
    async def open_keys(self, body: Body, job: OpenJob, ports: Ports, /) -> dict[str, Any]:
        return await super().open_keys(body, job, ports) | {"salted": self.child(body).get("salt", "a")}

    async def decrypt(self, body: Body, keys: dict[str, Any], ports: Ports, /) -> Opened:
        opened = await super().decrypt(body, keys, ports)
        return opened if keys["salted"] == "a" else replace(opened, payload=b"another")


@breaks("unknown-fields-ignored")
class RefusesUnknownFields(Toy):
    async def seal_keys(self, job: SealJob, ports: Ports, /) -> dict[str, Any]:
        if job.data.fields:
            raise NoUsableKey("What is this?")
        return await super().seal_keys(job, ports)


@breaks("open-own-errors")
class LetsOthersRaise(Toy):
    async def open_keys(self, body: Body, job: OpenJob, ports: Ports, /) -> dict[str, Any]:
        base64.b64decode(body.text, validate=True)
        return await super().open_keys(body, job, ports)


class Panic(BaseException):
    """Stands for the panic of a library in Rust."""


@breaks("open-own-errors")
class Panics(Toy):
    async def decrypt(self, body: Body, keys: dict[str, Any], ports: Ports, /) -> Opened:
        try:
            return await super().decrypt(body, keys, ports)
        except DecryptFailed:
            raise Panic from None


@breaks("bounded-time", seconds=1.0, hostile=(Body("take long"),))
class TakesEver(Toy):
    async def open_keys(self, body: Body, job: OpenJob, ports: Ports, /) -> dict[str, Any]:
        while body.text == "take long":
            pass
        return await super().open_keys(body, job, ports)


@breaks("bounded-memory", memory=256 << 20, hostile=(Body("take all"),))
class TakesAll(Toy):
    async def open_keys(self, body: Body, job: OpenJob, ports: Ports, /) -> dict[str, Any]:
        if body.text == "take all":
            bytearray(1 << 30)
        return await super().open_keys(body, job, ports)


# -- state ---------------------------------------------------------------------------------------------


@breaks("interleaved")
class KeepsTheSigner(Toy):
    reader: list[str]

    async def seal_keys(self, job: SealJob, ports: Ports, /) -> dict[str, Any]:
        keys = await super().seal_keys(job, ports)
        self.count = getattr(self, "count", 0) + 1
        return keys | {"count": self.count}

    def sealing(self, payload: bytes, keys: dict[str, Any]) -> bytes:
        return payload if keys["count"] == self.count else b"of another message"


@breaks("interleaved")
class KeepsItsKeys(Toy):
    async def seal_keys(self, job: SealJob, ports: Ports, /) -> dict[str, Any]:
        self.keys = await super().seal_keys(job, ports)
        return {}

    async def encrypt(self, payload: bytes, keys: dict[str, Any], ports: Ports, /) -> Body:
        return await super().encrypt(payload, self.keys, ports)


IN_USE: list[bytes] = []


@breaks("thread-per-object")
class SharesABuffer(Toy):
    def sealing(self, payload: bytes, keys: dict[str, Any]) -> bytes:
        IN_USE[:] = [payload]
        sum(range(20_000))
        return IN_USE[0]


@breaks("restart")
class ForgetsAtTheEnd(Toy):
    def __init__(self) -> None:
        super().__init__()
        self.known: set[str] = set()

    async def seal_keys(self, job: SealJob, ports: Ports, /) -> dict[str, Any]:
        mine = f"{id(self)}".encode()
        if (await ports.store.get("mine") or mine) != mine:
            raise NoUsableKey("The keys are gone.")
        await ports.store.put("mine", mine)
        return await super().seal_keys(job, ports)


# -- optional abilities --------------------------------------------------------------------------------


@breaks("abilities-work")
class FailsToExplain(Toy):
    async def explain(self, job: SealJob, ports: Ports, /) -> list[Any]:
        raise ValueError("later")


@breaks("abilities-work")
class GivesTexts(Toy):
    async def prepare(self, account: str, ports: Ports, /) -> list[Any]:
        return ["Welcome"]


@breaks("abilities-work")
class AsksWhenItMayNot(Toy):
    async def acquaint(self, account: str, contacts: Any, ports: Ports, /) -> list[Any]:
        await ports.decide(Question("new-key", "a", "Take it?"))
        return []


@breaks("file-encryption")
class HasNoFilesYet(Toy):
    async def encrypt_file(self, source: Path, target: Path, keys: Any, ports: Ports, /) -> None:
        raise NotImplementedError

    async def decrypt_file(self, source: Path, target: Path, job: OpenJob, ports: Ports, /) -> Opened:
        raise NotImplementedError


@breaks("worker-same")
class IsOtherwiseInTheWorker(Toy):
    async def decrypt(self, body: Body, keys: dict[str, Any], ports: Ports, /) -> Opened:
        opened = await super().decrypt(body, keys, ports)
        if ports.worker is not None:
            return replace(opened, verdict=Verdict(Signature.UNSIGNED))
        return opened


@breaks("worker-declared")
class CallsWhatItDoesNotName(Toy):
    async def decrypt(self, body: Body, keys: dict[str, Any], ports: Ports, /) -> Opened:
        if ports.worker is not None:
            await ports.worker.run("gre_core.testing.worker_calls:echo", b"")
        return await super().decrypt(body, keys, ports)


@breaks("protected-fields")
class WritesTwoLines(Toy):
    def protected_fields(self, keys: Any, job: SealJob, /) -> list[tuple[str, str]]:
        return [("Autocrypt", "a\r\nBcc: b")]


@breaks("file-encryption")
class LeavesHalfAFile(Toy):
    async def encrypt_file(self, source: Path, target: Path, keys: Any, ports: Ports, /) -> None:
        shutil.copyfile(source, target)

    async def decrypt_file(self, source: Path, target: Path, job: OpenJob, ports: Ports, /) -> Opened:
        shutil.copyfile(source, target)
        target.chmod(0o600)
        return Opened(b"", Verdict(Signature.GOOD))


@pytest.mark.parametrize(
    ("rule", "suite"), [pytest.param(*each, id=f"{each[1].__name__[5:]}-{each[0]}") for each in MUTANTS]
)
def test_a_mutant_breaks_its_rule_and_no_other(
    must_break: Any, rule: str, suite: type[EncrypterConformance]
) -> None:
    must_break(suite, rule)
