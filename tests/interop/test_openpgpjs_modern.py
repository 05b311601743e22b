"""OpenPGP.js with a key of version 6 (RFC 9580): it reads what we seal, whatever kind of key we have."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pysequoia
import pytest
from gre_encrypter_openpgp.contact_keys import ContactKeys
from gre_encrypter_openpgp.encrypter import OpenPGPEncrypter
from gre_openpgp.armor import MESSAGE, PUBLIC_KEY, armor, dearmor
from gre_openpgp.messages import check_message
from peers.openpgpjs import OpenPGPjs

from gre_core.api import DataForm, Recipient, SealJob, encrypter, formatter
from gre_core.errors import PeerError
from gre_core.ports import Item, Ports
from gre_core.stores import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ALICE = "alice@xmpp.example"
BOB = "bob\\40mail.example@gateway.example"


class NoNodes:
    async def items(self, jid: str, node: str, /, **_: Any) -> Sequence[Item]:
        raise PeerError("none", condition="item-not-found")

    async def publish(self, *_: Any, **__: Any) -> None: ...

    async def retract(self, *_: Any) -> None: ...


@pytest.fixture
def peer() -> Iterator[OpenPGPjs]:
    made = OpenPGPjs("bob@mail.example")
    try:
        made.prepare()
        made.pair = made.step("key", address="bob@mail.example", kind="v6")
        yield made
    finally:
        made.close()


@pytest.mark.parametrize(("ours", "version"), [("RFC4880", 1), ("RFC9580", 2)])
async def test_a_key_of_version_6_opens_what_we_seal(peer: OpenPGPjs, ours: str, version: int) -> None:
    ports, sealing = Ports(MemoryStore(), NoNodes()), OpenPGPEncrypter()
    mine = pysequoia.Tsk.generate("<alice@mail.example>", profile=getattr(pysequoia.Profile, ours))
    await sealing.own_keys(ALICE, ports).import_key(bytes(mine))
    pinned = await ContactKeys(ALICE, ports).pin(BOB, peer.certificate())
    assert len(pinned.fingerprint) == 64

    job = SealJob(
        ALICE, (Recipient(BOB, "bob@mail.example"),), DataForm("alice@mail.example"), formatter("mime"),
        encrypter("openpgp"), "origin", datetime.now(UTC),
    )  # fmt: skip
    body = await sealing.encrypt(b"a secret", await sealing.seal_keys(job, ports), ports)
    message = base64.b64decode(body.text)
    assert check_message(message).version == version
    public = dearmor(await sealing.own_keys(ALICE, ports).export(), PUBLIC_KEY)
    peer.learn(public, "alice@mail.example")
    content, signature, signer = peer.decrypt(armor(message, MESSAGE))
    assert (content, signature) == (b"a secret", "good")
    assert signer.upper() == mine.extract_certificate().fingerprint.upper()
