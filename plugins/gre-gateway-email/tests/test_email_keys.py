"""Keys of contacts are served, keys of users go into Autocrypt headers; neither delays a mail for long."""

from __future__ import annotations

import asyncio

import pytest
from gre_gateway_email.keys import xep0373_nodes as module
from gre_gateway_email.keys.xep0373_nodes import ContactKeys, UserKeys
from gre_gateway_email.store import User
from gre_gateway_email.xmpp.data_fields import contributors
from gre_openpgp.keydirectory import KeyDirectory
from gre_openpgp.xep0373 import (
    PUBLIC_KEYS,
    Announced,
    data_node,
    list_element,
    pubkey_element,
    read_list,
    read_pubkey,
)

from gre_core.api import DataRequest
from gre_core.errors import PeerError, PeerTimeout
from gre_core.namespaces import MAX_SIZE
from gre_core.ports import Item

BOB = "bob\\40example.net@mail.localhost"


@pytest.fixture
def alice_key(corpora):
    """A real public key, for alice@autocrypt.example."""
    raw = (corpora / "autocrypt-spec").rglob("*alice*.asc")
    path = next((each for each in raw if b"PUBLIC KEY" in each.read_bytes()), None)
    if path is not None:
        from gre_openpgp.armor import dearmor

        return dearmor(path.read_bytes(), None)
    from gre_gateway_email.mail.mime_scan import read
    from gre_openpgp.autocrypt import parse

    for mail in sorted((corpora / "autocrypt-spec").rglob("*.eml")):
        found = parse(read(mail.read_bytes()).first("autocrypt"))
        if found is not None:
            return found.keydata
    raise AssertionError("no key in the corpora")


@pytest.fixture
def alice(alice_key):
    from gre_openpgp.packets import read_certificate
    from gre_openpgp.user_ids import address_of

    certificate = read_certificate(alice_key)
    return certificate.fingerprint, address_of(certificate.user_ids[0]), alice_key


# -- contacts ----------------------------------------------------------------------------------------


@pytest.fixture
def contact(alice, tmp_path):
    (tmp_path / "alice.gpg").write_bytes(alice[2])
    return ContactKeys(KeyDirectory(tmp_path)), alice[1].replace("@", "\\40") + "@mail.localhost"


async def test_the_list_and_the_key_of_a_contact_are_served(contact, alice):
    keys, jid = contact
    (item,) = await keys.nodes(jid, PUBLIC_KEYS, [])
    (announced,) = read_list(item.payload)
    assert announced.fingerprint == alice[0]
    (item,) = await keys.nodes(jid, data_node(alice[0]), [])
    assert read_pubkey(item.payload) == alice[2]
    assert await keys.nodes(jid, data_node(alice[0]), ["no such item"]) == []


@pytest.mark.parametrize(
    "node",
    [PUBLIC_KEYS + ":" + "0" * 40, "urn:xmpp:openpgp:0:secret-key", "", "urn:x", PUBLIC_KEYS + ":rubbish"],
)
async def test_other_nodes_are_not_there(contact, node):
    keys, jid = contact
    with pytest.raises(PeerError) as error:
        await keys.nodes(jid, node, [])
    assert error.value.condition == "item-not-found"


async def test_contacts_without_key_have_no_nodes(contact):
    for jid in (BOB, "mail.localhost", "\\20@mail.localhost"):
        with pytest.raises(PeerError):
            await contact[0].nodes(jid, PUBLIC_KEYS, [])
    with pytest.raises(PeerError):
        await ContactKeys(None).nodes(contact[1], PUBLIC_KEYS, [])


# -- users -------------------------------------------------------------------------------------------


class PubSub:
    def __init__(self, nodes):
        self.nodes = nodes
        self.asked = []
        self.error = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def items(self, jid, node, /, *, item_id=None, max_items=None):
        self.asked.append((jid, node))
        await self.gate.wait()
        if self.error:
            raise self.error
        if node not in self.nodes:
            raise PeerError("none", condition="item-not-found")
        return [Item("current", self.nodes[node])]


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def pubsub(alice):
    listed = list_element([Announced(alice[0], "2026-01-01T00:00:00Z")])
    return PubSub({PUBLIC_KEYS: listed, data_node(alice[0]): pubkey_element(alice[2])})


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def user_keys(pubsub, alice, clock):
    return UserKeys(pubsub, {"juliet@localhost": alice[1]}.get, clock)


async def test_a_users_key_becomes_a_header(user_keys, alice):
    header = await user_keys.autocrypt("juliet@localhost")
    assert header.startswith(f"addr={alice[1]}; prefer-encrypt=mutual; keydata=\r\n ")
    assert max(map(len, header.split("\r\n"))) <= 78


async def test_mails_that_come_together_all_bear_the_key(user_keys, pubsub):
    pubsub.gate.clear()
    both = [asyncio.create_task(user_keys.autocrypt("juliet@localhost")) for _ in range(2)]
    await asyncio.sleep(0)
    pubsub.gate.set()
    assert all(await asyncio.gather(*both))
    assert len(pubsub.asked) == 2, "the list and the key, once"


async def test_the_key_is_read_once_and_again_after_a_while(user_keys, pubsub, clock):
    for _ in range(5):
        await user_keys.autocrypt("juliet@localhost")
    assert len(pubsub.asked) == 2
    clock.now = module.FRESH_SECONDS + 1
    assert await user_keys.autocrypt("juliet@localhost"), "the old one serves meanwhile"
    await asyncio.sleep(0.01)
    assert len(pubsub.asked) > 2


async def test_a_key_for_another_address_stays_out_of_the_header(pubsub, clock):
    keys = UserKeys(pubsub, {"juliet@localhost": "juliet@example.org"}.get, clock)
    assert await keys.autocrypt("juliet@localhost") is None


async def test_a_server_that_does_not_answer_delays_one_mail_a_little(user_keys, pubsub, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.05)
    pubsub.gate.clear()
    async with asyncio.timeout(1):
        assert await user_keys.autocrypt("juliet@localhost") is None
        for _ in range(100):
            assert await user_keys.autocrypt("juliet@localhost") is None
    assert len(pubsub.asked) == 1
    pubsub.gate.set()
    await asyncio.sleep(0.01)
    assert await user_keys.autocrypt("juliet@localhost")


@pytest.mark.parametrize(
    "error", [PeerError("no", condition="forbidden"), PeerTimeout("no")], ids=["refused", "silent"]
)
async def test_after_a_failure_mails_go_without_and_it_is_tried_again_later(user_keys, pubsub, clock, error):
    pubsub.error = error
    assert await user_keys.autocrypt("juliet@localhost") is None
    asked = len(pubsub.asked)
    assert await user_keys.autocrypt("juliet@localhost") is None
    assert len(pubsub.asked) == asked
    pubsub.error = None
    clock.now = module.RETRY_SECONDS + 1
    await user_keys.autocrypt("juliet@localhost")
    await asyncio.sleep(0.01)
    assert await user_keys.autocrypt("juliet@localhost")


async def test_a_user_without_key_has_no_header(user_keys, pubsub):
    pubsub.nodes.clear()
    assert await user_keys.autocrypt("juliet@localhost") is None


async def test_stop_ends_what_is_under_way(user_keys, pubsub, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.01)
    pubsub.gate.clear()
    await user_keys.autocrypt("juliet@localhost")
    await user_keys.stop()


# -- the data form -----------------------------------------------------------------------------------


class Registered:
    """Users, of whom there is one."""

    async def get(self, jid):
        return User(jid, ("juliet@example.org",)) if jid == "juliet@localhost" else None


async def test_the_form_gets_the_size_limit_and_the_domain():
    fields = {}
    for provider, contributor in contributors(Registered(), 500_000):
        request = DataRequest("juliet@localhost", BOB, "bob@example.net", None, None, ())
        for field in await contributor.fields(request):
            assert field.namespace == provider.namespace
            fields[field.var] = field.values
        assert provider.make(None) is contributor
    assert fields == {MAX_SIZE: ("500000",), "{urn:xmpp:gre:formatter:mime:0}domain": ("example.org",)}


async def test_a_stranger_has_no_domain():
    request = DataRequest("eve@localhost", BOB, "bob@example.net", None, None, ())
    (_, (_, domain)) = contributors(Registered(), 1)
    assert list(await domain.fields(request)) == []
