"""A small world: an account with a store, a pubsub service that counts what is asked, and keys."""

from __future__ import annotations

import base64
import importlib.util
import warnings
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gre_encrypter_openpgp_pgpy.encrypter
import gre_encrypter_openpgp_pgpy.engine
import pysequoia
import pytest
from gre_encrypter_openpgp.encrypter import NAMESPACE, OpenPGPEncrypter
from gre_encrypter_openpgp.engine import ENGINE
from gre_openpgp.encrypting.keymaking import _pgpy, make_key
from gre_openpgp.xep0373 import PUBLIC_KEYS, Announced, PublicKey, data_node, list_element, pubkey_element

from gre_core.api import DataForm, Direction, OpenJob, Question, Recipient, SealJob, encrypter, formatter
from gre_core.errors import PeerError
from gre_core.ports import AccessModel, Item, Ports
from gre_core.stores import MemoryStore
from gre_core.testing.fakes import InlineWorker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from xml.etree.ElementTree import Element

    from gre_openpgp.encrypting.engine import Engine

ALICE = "alice@xmpp.example"
BOB = "bob\\40mail.example@gateway.example"


class Nodes:
    """The nodes of everybody. ``asked`` counts the round trips."""

    def __init__(self) -> None:
        self.nodes: dict[tuple[str, str], list[Item]] = {}
        self.models: dict[tuple[str, str], str] = {}
        self.errors: dict[tuple[str, str], Exception] = {}
        self.asked: list[tuple[str, str]] = []
        self.published: list[str] = []

    def serve(self, jid: str, *certs: bytes, date: str = "2026-01-01T00:00:00Z") -> None:
        keys = [PublicKey.read(cert, date) for cert in certs]
        announced = [Announced(key.fingerprint, key.date) for key in keys]
        self.nodes[jid, PUBLIC_KEYS] = [Item("current", list_element(announced))]
        for key in keys:
            self.nodes[jid, data_node(key.fingerprint)] = [Item(key.date, pubkey_element(key.data))]


class PubSubOf:
    """The pubsub port of one account."""

    def __init__(self, nodes: Nodes, account: str) -> None:
        self._nodes, self._account = nodes, account

    async def items(
        self, jid: str, node: str, /, *, item_id: str | None = None, max_items: int | None = None
    ) -> Sequence[Item]:
        self._nodes.asked.append((jid, node))
        if (jid, node) in self._nodes.errors:
            raise self._nodes.errors[jid, node]
        if (jid, node) not in self._nodes.nodes:
            raise PeerError("no such node", condition="item-not-found")
        return self._nodes.nodes[jid, node]

    async def publish(
        self, node: str, item_id: str, payload: Element, /, *, access_model: AccessModel, max_items: int = 1
    ) -> None:
        if (self._account, node) in self._nodes.errors:
            raise self._nodes.errors[self._account, node]
        self._nodes.published.append(node)
        self._nodes.nodes[self._account, node] = [Item(item_id, payload)]
        self._nodes.models[self._account, node] = access_model

    async def retract(self, node: str, item_id: str, /) -> None:
        del self._nodes.nodes[self._account, node]


@dataclass
class World:
    """Alice on XMPP, Bob at his mail program."""

    nodes: Nodes
    ports: Ports
    engine: Engine
    encrypter: OpenPGPEncrypter
    bob: pysequoia.Tsk
    questions: list[Question] = field(default_factory=list)
    answer: bool = False
    now: datetime | None = None

    def job(self, *, form: tuple[str, ...] | None = None, sender: str = "alice@mail.example") -> SealJob:
        fields = {} if form is None else {f"{{{NAMESPACE}}}fingerprints": form}
        return SealJob(
            ALICE,
            (Recipient(BOB, "bob@mail.example"),),
            DataForm(sender, fields),
            formatter("mime"),
            encrypter("openpgp"),
            "origin-1",
            datetime.now(UTC),
        )

    def open_job(self, **changes: Any) -> OpenJob:
        job = OpenJob(
            ALICE, BOB, Direction.RECEIVED, formatter("mime"), encrypter("openpgp"), "bob@mail.example"
        )
        return replace(job, **changes)

    async def seal(self, payload: bytes = b"hello", **job: Any) -> bytes:
        keys = await self.encrypter.seal_keys(self.job(**job), self.ports)
        body = await self.encrypter.encrypt(payload, keys, self.ports)
        return base64.b64decode(body.text, validate=True)

    async def own_cert(self) -> pysequoia.Cert:
        """Alice's public key, as others see it."""
        await self.seal()
        node = next(name for name in self.nodes.published if name != PUBLIC_KEYS)
        payload = self.nodes.nodes[ALICE, node][-1].payload
        assert payload is not None
        return pysequoia.Cert.from_bytes(base64.b64decode("".join(payload.itertext())))

    async def open(self, message: bytes | str, **job: Any) -> Any:
        """What a client engine does: ask for missing signers once more."""
        from gre_core.api import Body

        body = Body(message if isinstance(message, str) else base64.b64encode(message).decode())
        first = self.open_job(**job)
        keys = await self.encrypter.open_keys(body, first, self.ports)
        opened = await self.encrypter.decrypt(body, keys, self.ports)
        if opened.missing:
            keys = await self.encrypter.open_keys(body, replace(first, missing=opened.missing), self.ports)
            opened = await self.encrypter.decrypt(body, keys, self.ports)
        return opened


@cache
def secret_key(address: str, copy: int = 0) -> bytes:
    """A key pair in the tested shape; made once in a test run."""
    return make_key(f"<{address}>")


def odd_key(
    address: str,
    *,
    created: datetime | None = None,
    lifetime: timedelta | None = None,
    subkeys: Sequence[dict[str, Any]] = ({},),
    revoked: bool = False,
    compress: bool = False,
) -> bytes:
    """Make a key that is not as it should be; each of ``subkeys`` may have ``lifetime`` and ``revoked``."""
    pgpy, c = _pgpy()
    start = created or datetime.now(UTC)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        key = pgpy.PGPKey.new(c.PubKeyAlgorithm.EdDSA, c.EllipticCurveOID.Ed25519, created=start)
        end = {} if lifetime is None else {"key_expiration": lifetime}
        key.add_uid(
            pgpy.PGPUID.new(f"<{address}>"),
            usage={c.KeyFlags.Sign, c.KeyFlags.Certify},
            hashes=[c.HashAlgorithm.SHA256],
            ciphers=[c.SymmetricKeyAlgorithm.AES256],
            compression=[c.CompressionAlgorithm.ZIP if compress else c.CompressionAlgorithm.Uncompressed],
            created=start,
            primary=True,
            **end,
        )
        for shape in subkeys:
            subkey = pgpy.PGPKey.new(c.PubKeyAlgorithm.ECDH, c.EllipticCurveOID.Curve25519, created=start)
            key.add_subkey(subkey, usage={c.KeyFlags.EncryptCommunications}, created=start)
            if "lifetime" in shape:  # PGPy's own bindings cannot expire
                binding = pgpy.PGPSignature.new(
                    c.SignatureType.Subkey_Binding,
                    key.key_algorithm,
                    c.HashAlgorithm.SHA256,
                    key.fingerprint.keyid,
                    created=start,
                )
                facts = binding._signature.subpackets
                facts.addnew("KeyFlags", hashed=True, flags={c.KeyFlags.EncryptCommunications})
                facts.addnew("KeyExpirationTime", hashed=True, expires=shape["lifetime"])
                subkey._signatures.clear()
                subkey |= key._sign(subkey, binding)
            if shape.get("revoked"):
                subkey |= key.revoke(subkey, sigtype=c.SignatureType.SubkeyRevocation)
        if revoked:
            key |= key.revoke(key)
        return bytes(key)


def compressed(
    secret: bytes, recipient: bytes, payload: bytes, *, sign: bool = True, algorithm: str = "ZIP"
) -> bytes:
    """Encrypt as GnuPG does by default: the signed message is compressed, then encrypted."""
    pgpy, c = _pgpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        message = pgpy.PGPMessage.new(payload, compression=c.CompressionAlgorithm[algorithm])
        if sign:
            message |= pgpy.PGPKey.from_blob(secret)[0].sign(message)
        return bytes(pgpy.PGPKey.from_blob(recipient)[0].encrypt(message))


def public(secret: bytes) -> bytes:
    return bytes(pysequoia.Tsk.from_bytes(secret).extract_certificate())


@pytest.fixture
def make_secret() -> Callable[..., bytes]:
    return secret_key


@pytest.fixture
def make_odd() -> Callable[..., bytes]:
    return odd_key


@pytest.fixture
def public_of() -> Callable[[bytes], bytes]:
    return public


@pytest.fixture
def make_compressed() -> Callable[..., bytes]:
    return compressed


@pytest.fixture(scope="session")
def forge() -> Any:
    """The module that makes packets by hand."""
    spec = importlib.util.spec_from_file_location("gre_forging", Path(__file__).with_name("forging.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is about Sequoia itself where PGPy stands in its place."""
    kept, other = [], []
    for item in items:
        params = (
            item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        )
        pgpy = str(params.get("world", "")).startswith("pgpy")
        (other if pgpy and item.get_closest_marker("sequoia") else kept).append(item)
    if other:
        config.hook.pytest_deselected(items=other)
        items[:] = kept


@pytest.fixture(params=["here", "worker", "pgpy", "pgpy-worker"])
def world(request: pytest.FixtureRequest) -> World:
    """Every test runs four times: by Sequoia and by PGPy, and what is judged in the worker is judged as it is here."""
    pgpy = request.param.startswith("pgpy")
    nodes = Nodes()
    bob = secret_key("bob@mail.example")
    nodes.serve(BOB, public(bob))

    async def decide(question: Question) -> bool:
        made.questions.append(question)
        return made.answer

    ports = Ports(
        MemoryStore(),
        PubSubOf(nodes, ALICE),
        decide,
        now=lambda: made.now or datetime.now(UTC),
        worker=InlineWorker() if request.param.endswith("worker") else None,
    )
    engine = gre_encrypter_openpgp_pgpy.engine.ENGINE if pgpy else ENGINE
    encrypter = gre_encrypter_openpgp_pgpy.encrypter.OpenPGPEncrypter() if pgpy else OpenPGPEncrypter()
    made = World(nodes, ports, engine, encrypter, pysequoia.Tsk.from_bytes(bob))
    return made
