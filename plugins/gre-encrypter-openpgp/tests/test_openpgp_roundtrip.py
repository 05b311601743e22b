"""The main job: seal and open."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pysequoia
from gre_encrypter_openpgp.encrypter import OpenPGPEncrypter
from gre_openpgp.messages import check_message

from gre_core.api import Direction, Encrypter, FileEncrypter, Observing, Preparing, Signature


def test_it_has_all_abilities() -> None:
    made: Encrypter[Any] = OpenPGPEncrypter()
    assert isinstance(made, Preparing)
    assert isinstance(made, Observing)
    assert isinstance(made, FileEncrypter)


def test_the_plugin_is_light_until_the_encrypter_is_made() -> None:
    program = """
import sys
from gre_encrypter_openpgp.plugin import gre_encrypters
(provider,) = gre_encrypters()
heavy = {"pysequoia", "pgpy", "pybase64"}
assert not heavy & set(sys.modules), sys.modules.keys()
assert str(provider.namespace) == "urn:xmpp:gre:encrypter:openpgp:0"
provider.make()
assert "pysequoia" in sys.modules
assert "pgpy" not in sys.modules
assert "asyncio" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


async def test_what_is_sealed_opens_with_a_good_signature_at_the_contact(world: Any) -> None:
    alice = await world.own_cert()
    message = await world.seal(b"hello")
    result = pysequoia.decrypt(message, world.bob.decryptor(), lambda ids: [alice])
    assert result.bytes == b"hello"
    assert [sig.certificate for sig in result.valid_sigs] == [alice.fingerprint]


async def test_we_can_read_what_we_sent(world: Any) -> None:
    opened = await world.open(await world.seal(b"hello"), direction=Direction.SENT)
    assert opened.payload == b"hello"
    assert opened.verdict.signature is Signature.GOOD
    assert opened.verdict.source == "own"


async def test_a_message_of_the_contact_opens_with_a_good_signature(world: Any) -> None:
    alice = await world.own_cert()
    message = pysequoia.encrypt(b"answer", [alice], world.bob.signer(), armor=False)
    opened = await world.open(message)
    assert opened.payload == b"answer"
    assert opened.verdict.signature is Signature.GOOD
    assert opened.verdict.signer == world.bob.extract_certificate().fingerprint.upper()
    assert opened.verdict.source == "xep-0373"


async def test_no_round_trip_in_steady_state(world: Any) -> None:
    form = (world.bob.extract_certificate().fingerprint.upper(),)
    await world.seal(form=form)
    world.nodes.asked.clear()
    await world.seal(form=form)
    await world.open(await world.seal(form=form), direction=Direction.SENT)
    assert world.nodes.asked == []


async def test_the_message_is_binary_and_never_of_version_2(world: Any) -> None:
    assert check_message(await world.seal()).version == 1
