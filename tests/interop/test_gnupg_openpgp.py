"""GnuPG as the outside peer, in both directions: it opens what we seal, we open what it sends."""

from __future__ import annotations

import base64
import shutil
import subprocess
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pysequoia
import pytest
from gre_encrypter_openpgp.encrypter import NAMESPACE, OpenPGPEncrypter
from gre_encrypter_openpgp_pgpy.encrypter import OpenPGPEncrypter as PgpyEncrypter
from gre_openpgp.xep0373 import PUBLIC_KEYS, PublicKey, data_node, key_item, metadata_items, read_pubkey

from gre_core.api import (
    Body,
    DataForm,
    Direction,
    Opened,
    OpenJob,
    Recipient,
    SealJob,
    Signature,
    encrypter,
    formatter,
)
from gre_core.errors import PeerError
from gre_core.ports import Item, Ports
from gre_core.stores import MemoryStore
from gre_core.testing import require

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from xml.etree.ElementTree import Element

ALICE = "alice@xmpp.example"
BOB = "bob\\40mail.example@gateway.example"
ADDRESS = "bob@mail.example"
PAYLOAD = b"Content-Type: text/plain\r\n\r\n" + "Grüße\r\n".encode() * 50


class GnuPG:
    """A mail user with GnuPG and a home of his own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.log = ""

    def run(self, *arguments: str, data: bytes = b"") -> bytes:
        command = ["gpg", "--homedir", str(self.home), "--batch", "--yes", "--quiet", "--status-fd", "2"]
        result = subprocess.run(
            [*command, *arguments], input=data, capture_output=True, check=False, timeout=60
        )
        self.log = result.stderr.decode("utf-8", "replace")
        assert result.returncode == 0, self.log
        return result.stdout


@pytest.fixture
def gpg() -> Iterator[GnuPG]:
    require(shutil.which("gpg"), "GnuPG (apt-get install gnupg)")
    home = Path(tempfile.mkdtemp(prefix="gre"))  # short: sockets lie in it; mode 0700
    made = GnuPG(home)
    try:
        made.run("--passphrase", "", "--quick-gen-key", f"Bob <{ADDRESS}>", "ed25519", "sign", "never")
        fingerprint = made.run("--list-keys", "--with-colons").decode().split("fpr:::::::::")[1].split(":")[0]
        made.run("--passphrase", "", "--quick-add-key", fingerprint, "cv25519", "encr", "never")
        yield made
    finally:
        subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False, capture_output=True)
        shutil.rmtree(home, ignore_errors=True)


class Nodes:
    def __init__(self) -> None:
        self.nodes: dict[tuple[str, str], Sequence[Item]] = {}

    async def items(
        self, jid: str, node: str, /, *, item_id: str | None = None, max_items: int | None = None
    ) -> Sequence[Item]:
        if (jid, node) not in self.nodes:
            raise PeerError("none", condition="item-not-found")
        return self.nodes[jid, node]

    async def publish(
        self, node: str, item_id: str, payload: Element, /, *, access_model: Any, max_items: int = 1
    ) -> None:
        self.nodes[ALICE, node] = [Item(item_id, payload)]

    async def retract(self, node: str, item_id: str, /) -> None: ...

    def serve(self, cert: bytes) -> None:
        keys = [PublicKey.read(cert)]
        self.nodes[BOB, PUBLIC_KEYS] = metadata_items(keys)
        item = key_item(keys, keys[0].fingerprint)
        assert item is not None
        self.nodes[BOB, data_node(keys[0].fingerprint)] = [item]


class Alice:
    """An XMPP user with our encrypter; the mail user's GnuPG has her key, she finds his in its node."""

    def __init__(self, gpg: GnuPG, made: Callable[[], OpenPGPEncrypter | PgpyEncrypter]) -> None:
        self.nodes = Nodes()
        self.nodes.serve(gpg.run("--export", ADDRESS))
        self.ports = Ports(MemoryStore(), self.nodes)
        self.encrypter = made()
        self.fingerprint = ""

    async def seal(self, payload: bytes) -> bytes:
        job = SealJob(
            ALICE,
            (Recipient(BOB, ADDRESS),),
            DataForm("alice@mail.example"),
            formatter("mime"),
            encrypter("openpgp"),
            "origin",
            datetime.now(UTC),
        )
        assert str(job.encrypter) == NAMESPACE
        keys = await self.encrypter.seal_keys(job, self.ports)
        return base64.b64decode((await self.encrypter.encrypt(payload, keys, self.ports)).text)

    async def give_key(self, gpg: GnuPG) -> None:
        await self.seal(b"")
        node = next(name for jid, name in self.nodes.nodes if jid == ALICE and name != PUBLIC_KEYS)
        key = PublicKey.read(read_pubkey(self.nodes.nodes[ALICE, node][-1].payload))
        self.fingerprint = key.fingerprint
        gpg.run("--import", data=key.data)

    async def open(self, message: bytes) -> Opened:
        body = Body(base64.b64encode(message).decode())
        job = OpenJob(ALICE, BOB, Direction.RECEIVED, formatter("mime"), encrypter("openpgp"), ADDRESS)
        keys = await self.encrypter.open_keys(body, job, self.ports)
        opened = await self.encrypter.decrypt(body, keys, self.ports)
        if opened.missing:
            job = replace(job, missing=opened.missing)
            opened = await self.encrypter.decrypt(
                body, await self.encrypter.open_keys(body, job, self.ports), self.ports
            )
        return opened


@pytest.fixture(params=[OpenPGPEncrypter, PgpyEncrypter], ids=["sequoia", "pgpy"])
async def alice(request: pytest.FixtureRequest, gpg: GnuPG) -> Alice:
    made = Alice(gpg, request.param)
    await made.give_key(gpg)
    return made


def to_alice(*options: str) -> list[str]:
    return ["--trust-model", "always", *options, "-e", "-r", "alice@mail.example"]


async def test_gnupg_opens_what_we_seal_with_a_good_signature(gpg: GnuPG, alice: Alice) -> None:
    message = await alice.seal(PAYLOAD)
    assert gpg.run("--decrypt", data=message) == PAYLOAD
    assert f"VALIDSIG {alice.fingerprint}" in gpg.log
    assert "GOODSIG" in gpg.log
    assert "DECRYPTION_OKAY" in gpg.log


async def test_gnupg_takes_our_key_without_a_complaint(gpg: GnuPG, alice: Alice) -> None:
    listed = gpg.run("--list-keys", "--with-colons", "alice@mail.example").decode()
    public, uid, sub = (
        next(line for line in listed.splitlines() if line.startswith(w)) for w in ("pub", "uid", "sub")
    )
    assert public.split(":")[11].startswith("sc")
    assert uid.split(":")[9] == "<alice@mail.example>"
    assert sub.split(":")[11] == "e"


async def test_the_default_options_of_gnupg_give_a_good_signature(gpg: GnuPG, alice: Alice) -> None:
    """Our key prefers no compression, so that Sequoia can verify what GnuPG sends without any option."""
    opened = await alice.open(gpg.run(*to_alice("-s"), data=PAYLOAD))
    assert opened.payload == PAYLOAD
    assert opened.verdict.signature is Signature.GOOD
    assert opened.verdict.source == "xep-0373"


async def test_also_when_gnupg_encrypts_to_itself_too(gpg: GnuPG, alice: Alice) -> None:
    opened = await alice.open(gpg.run(*to_alice("-s", "-r", ADDRESS), data=PAYLOAD))
    assert opened.verdict.signature is Signature.GOOD


async def test_a_hidden_recipient_is_found(gpg: GnuPG, alice: Alice) -> None:
    message = gpg.run(
        "--trust-model", "always", "-s", "-e", "-R", "alice@mail.example", "-R", ADDRESS, data=PAYLOAD
    )
    opened = await alice.open(message)
    assert (opened.payload, opened.verdict.signature) == (PAYLOAD, Signature.GOOD)


async def test_armor_and_old_packets_of_gnupg_are_read(gpg: GnuPG, alice: Alice) -> None:
    armored = gpg.run(*to_alice("-s", "--armor"), data=PAYLOAD)
    body = Body(armored.decode("ascii"))
    job = OpenJob(ALICE, BOB, Direction.RECEIVED, formatter("mime"), encrypter("openpgp"), ADDRESS)
    keys = await alice.encrypter.open_keys(body, job, alice.ports)
    assert (await alice.encrypter.decrypt(body, keys, alice.ports)).payload == PAYLOAD


async def test_a_large_message_in_parts_is_opened(gpg: GnuPG, alice: Alice) -> None:
    payload = bytes(range(256)) * 4096
    opened = await alice.open(gpg.run(*to_alice("-s"), data=payload))
    assert (opened.payload, opened.verdict.signature) == (payload, Signature.GOOD)


async def test_unsigned_is_said(gpg: GnuPG, alice: Alice) -> None:
    opened = await alice.open(gpg.run(*to_alice(), data=PAYLOAD))
    assert (opened.payload, opened.verdict.signature) == (PAYLOAD, Signature.UNSIGNED)


@pytest.mark.parametrize("algorithm", ["zip", "zlib", "bzip2"])
async def test_a_compressed_message_is_judged(gpg: GnuPG, alice: Alice, algorithm: str) -> None:
    message = gpg.run(*to_alice("-s", "-z", "6", "--compress-algo", algorithm), data=PAYLOAD)
    opened = await alice.open(message)
    assert opened.payload == PAYLOAD
    assert opened.verdict.signature is Signature.GOOD
    assert [warning.code for warning in opened.warnings] == ["key-from-gateway-only"]


@pytest.mark.parametrize("algorithm", ["zip", "zlib", "bzip2"])
async def test_a_compressed_message_without_a_signature_is_unsigned(
    gpg: GnuPG, alice: Alice, algorithm: str
) -> None:
    message = gpg.run(*to_alice("-z", "6", "--compress-algo", algorithm), data=PAYLOAD)
    opened = await alice.open(message)
    assert (opened.payload, opened.verdict.signature) == (PAYLOAD, Signature.UNSIGNED)


async def test_gnupg_reads_our_exported_key_and_we_read_its(gpg: GnuPG, alice: Alice) -> None:
    gpg.run("--import", data=await alice.encrypter.own_keys(ALICE, alice.ports).export(secret=True))
    assert b"sec" in gpg.run("--list-secret-keys", "--with-colons", alice.fingerprint)
    secret = gpg.run("--export-secret-keys", ADDRESS)
    ports = Ports(MemoryStore(), alice.nodes)
    made = await alice.encrypter.own_keys(ALICE, ports).import_key(secret)
    assert made.fingerprint == PublicKey.read(gpg.run("--export", ADDRESS)).fingerprint


async def test_a_key_of_sequoia_in_gnupg_opens_what_sequoia_seals(gpg: GnuPG) -> None:
    """It announces SEIPDv2 (RFC 9580), which GnuPG 2.2 cannot read, and nobody but us knows that GnuPG holds it."""
    bob = pysequoia.Tsk.generate(f"<{ADDRESS}>", profile=pysequoia.Profile.RFC4880)
    mine = pysequoia.Tsk.generate("<alice@mail.example>", profile=pysequoia.Profile.RFC4880)
    alice = Alice(gpg, OpenPGPEncrypter)
    gpg.run("--import", data=bytes(bob))
    alice.nodes.serve(bytes(bob.extract_certificate()))
    await alice.encrypter.own_keys(ALICE, alice.ports).import_key(bytes(mine))
    await alice.give_key(gpg)
    assert gpg.run("--decrypt", data=await alice.seal(PAYLOAD)) == PAYLOAD
    assert "GOODSIG" in gpg.log
