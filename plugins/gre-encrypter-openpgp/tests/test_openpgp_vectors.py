"""The language-neutral vectors of OpenPGP messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from gre_encrypter_openpgp.encrypter import OpenPGPEncrypter
from gre_encrypter_openpgp_pgpy.encrypter import OpenPGPEncrypter as PgpyEncrypter
from gre_openpgp.xep0373 import PUBLIC_KEYS, Announced, PublicKey, data_node, list_element, pubkey_element

from gre_core.api import Body, Direction, OpenJob, Signature, encrypter, formatter
from gre_core.errors import BadEncrypted, DecryptFailed, GreError, NotForUs
from gre_core.ports import Ports
from gre_core.stores import MemoryStore
from gre_core.testing import vectors
from gre_core.testing.fakes import FakePubSub, InlineWorker, say_yes

if TYPE_CHECKING:
    from collections.abc import Callable

    from gre_core.testing.vectors import Vector

VECTORS = [pytest.param(each, id=each["name"]) for each in vectors.read("openpgp-messages")]
KEYS = {each["name"]: each for each in vectors.read("openpgp-keys")}
ERRORS = {"not-for-us": NotForUs, "decrypt-failed": DecryptFailed, "bad-encrypted": BadEncrypted}


def contact(name: str) -> str:
    return KEYS[name]["address"].replace("@", r"\40") + "@gateway.example"


def serve(pubsub: FakePubSub, name: str) -> None:
    key = PublicKey.read(KEYS[name].bytes("public-key"), "2026-01-01T00:00:00Z")
    assert key.fingerprint == KEYS[name]["fingerprint"]
    announced = list_element([Announced(key.fingerprint, key.date)])
    pubsub.put(contact(name), PUBLIC_KEYS, ("current", announced))
    pubsub.put(contact(name), data_node(key.fingerprint), (key.date, pubkey_element(key.data)))


@pytest.mark.parametrize("make", [OpenPGPEncrypter, PgpyEncrypter], ids=["sequoia", "pgpy"])
@pytest.mark.parametrize("worker", [False, True], ids=["here", "worker"])
@pytest.mark.parametrize("vector", VECTORS)
async def test_it_opens_as_it_should(
    vector: Vector, worker: bool, make: Callable[[], OpenPGPEncrypter | PgpyEncrypter]
) -> None:
    account, sender = "romeo@xmpp.example", vector["from"]
    pubsub = FakePubSub(account)
    serve(pubsub, sender)
    ports = Ports(MemoryStore(), pubsub, say_yes, worker=InlineWorker() if worker else None)
    made = make()
    await made.own_keys(account, ports).import_key(KEYS[vector["reader"]].bytes("secret-key"))
    await made.acquaint(account, [contact(sender)], ports)
    job = OpenJob(
        account,
        contact(sender),
        Direction.RECEIVED,
        formatter("mime"),
        encrypter("openpgp"),
        KEYS[sender]["address"],
    )
    body = Body(vector["body-base64"])
    opened = failed = None
    try:
        opened = await made.decrypt(body, await made.open_keys(body, job, ports), ports)
    except GreError as error:
        failed = error
    if failed is not None:
        assert "error" in vector, failed
        assert isinstance(failed, ERRORS.get(vector["error"], tuple(ERRORS.values())))
        return
    assert "error" not in vector
    assert opened is not None
    assert opened.payload == vector.bytes("payload")
    if vector["verdict"] == "not-good":
        assert opened.verdict.signature is not Signature.GOOD
    else:
        assert opened.verdict.signature.value == vector["verdict"]
