"""XEP-0373 nodes, the memory of keys, the data field, the key directory, Autocrypt."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import Element, SubElement, fromstring

import pytest
from gre_openpgp.armor import PUBLIC_KEY, armor
from gre_openpgp.autocrypt import MAX_HEADER, header_value, minimal_certificate, parse
from gre_openpgp.contributor import NAMESPACE
from gre_openpgp.errors import BadOpenPGP
from gre_openpgp.keydirectory import KeyDirectory
from gre_openpgp.packets import read_certificate, walk
from gre_openpgp.plugin import gre_data_fields
from gre_openpgp.trust import accept, compare, remembered
from gre_openpgp.xep0373 import (
    MAX_KEYS,
    PUBLIC_KEYS,
    Announced,
    PublicKey,
    announce,
    data_node,
    fetch_keys,
    key_item,
    list_element,
    metadata_items,
    normal_fingerprint,
    pubkey_element,
    read_announced,
    read_list,
    read_pubkey,
)

from gre_core.api import DataRequest, Question, encrypter
from gre_core.errors import PeerError, PeerTimeout, PolicyChanged, StoreError
from gre_core.ports import Item, Ports
from gre_core.stores import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

JID = "bob@gateway.example"
ME = "me@xmpp.example"
A, B = "A" * 40, "B" * 40


class Nodes:
    def __init__(self) -> None:
        self.nodes: dict[tuple[str, str], Sequence[Item]] = {}
        self.error: Exception | None = None
        self.asked: list[str] = []
        self.published: list[tuple[str, str]] = []

    async def items(
        self, jid: str, node: str, /, *, item_id: str | None = None, max_items: int | None = None
    ) -> Sequence[Item]:
        self.asked.append(node)
        if self.error:
            raise self.error
        if (jid, node) not in self.nodes:
            raise PeerError("none", condition="item-not-found")
        return self.nodes[jid, node]

    async def publish(
        self, node: str, item_id: str, payload: Element, /, *, access_model: Any, max_items: int = 1
    ) -> None:
        self.published.append((node, access_model))
        self.nodes[ME, node] = [Item(item_id, payload)]

    async def retract(self, node: str, item_id: str, /) -> None:
        raise AssertionError


@pytest.fixture
def nodes() -> Nodes:
    return Nodes()


@pytest.fixture
def ports(nodes: Nodes) -> Ports:
    return Ports(MemoryStore(), nodes)


def serve(nodes: Nodes, *certs: bytes, date: str = "2026-01-01T00:00:00Z") -> None:
    keys = [PublicKey.read(cert, date) for cert in certs]
    nodes.nodes[JID, PUBLIC_KEYS] = metadata_items(keys)
    for key in keys:
        item = key_item(keys, key.fingerprint)
        assert item is not None
        nodes.nodes[JID, data_node(key.fingerprint)] = [item]


# -- elements --------------------------------------------------------------------------------------


def test_the_list_as_in_the_specification() -> None:
    element = fromstring(
        """<public-keys-list xmlns='urn:xmpp:openpgp:0'>
          <pubkey-metadata v4-fingerprint='1357B01865B2503C18453D208CAC2A9678548E35'
            date='2018-03-01T15:26:12Z'/>
          <pubkey-metadata v4-fingerprint='67819B343B2AB70DED9320872C6464AF2A8E4C02'
            date='1953-05-16T12:00:00Z'/>
        </public-keys-list>"""
    )
    read = read_list(element)
    assert read[0] == Announced("1357B01865B2503C18453D208CAC2A9678548E35", "2018-03-01T15:26:12Z")
    assert read_list(list_element(read)) == read


def test_strange_entries_are_skipped_and_strange_dates_kept() -> None:
    top = Element("{urn:xmpp:openpgp:0}public-keys-list")
    for fingerprint, date in (
        (A.lower(), "yesterday"),
        ("nonsense", "x"),
        (None, None),
        (A, "again"),
        (B, ""),
    ):
        entry = SubElement(top, "{urn:xmpp:openpgp:0}pubkey-metadata")
        if fingerprint is not None:
            entry.set("v4-fingerprint", fingerprint)
        if date:
            entry.set("date", date)
    SubElement(top, "other")
    assert read_list(top) == (Announced(A, "yesterday"), Announced(B, ""))


def test_a_list_that_is_none_or_too_long_is_refused() -> None:
    with pytest.raises(BadOpenPGP):
        read_list(None)
    with pytest.raises(BadOpenPGP):
        read_list(Element("public-keys-list"))
    with pytest.raises(BadOpenPGP, match="more than"):
        read_list(list_element([Announced(f"{number:040X}") for number in range(MAX_KEYS + 1)]))


def test_a_key_element_comes_back(alice: bytes) -> None:
    element = pubkey_element(alice)
    assert read_pubkey(element) == alice
    data = element[0]
    data.text = "\n   " + "\r\n".join((data.text or "")[at : at + 40] for at in range(0, 9999, 40)) + "  "
    assert read_pubkey(element) == alice


def test_a_key_that_was_published_as_a_file_with_armor_is_read(alice: bytes) -> None:
    text = armor(alice, PUBLIC_KEY)
    assert read_pubkey(pubkey_element(text)) == alice
    with pytest.raises(BadOpenPGP):
        read_pubkey(pubkey_element(text[:-50]))


@pytest.mark.parametrize("text", [None, "", "  ", "!!", "QUJ", "ä"])
def test_a_key_that_is_no_base64_is_refused(text: str | None) -> None:
    element = Element("{urn:xmpp:openpgp:0}pubkey")
    SubElement(element, "{urn:xmpp:openpgp:0}data").text = text
    with pytest.raises(BadOpenPGP):
        read_pubkey(element)


def test_a_key_of_another_element_or_too_large_is_refused(alice: bytes) -> None:
    for element in (None, Element("pubkey"), Element("{urn:xmpp:openpgp:0}pubkey")):
        with pytest.raises(BadOpenPGP):
            read_pubkey(element)
    with pytest.raises(BadOpenPGP, match="larger"):
        read_pubkey(pubkey_element(alice), max_size=100)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        (A.lower(), A),
        (" ".join(["AAAA"] * 10), A),
        ("A" * 64, "A" * 64),
        ("A" * 39, None),
        ("G" * 40, None),
        ("", None),
        (None, None),
        ("A" * 500, None),
    ],
)
def test_fingerprints_are_normalised(text: str | None, result: str | None) -> None:
    assert normal_fingerprint(text) == result


def test_keys_of_version_6_are_served_but_not_listed(alice: bytes, carol: bytes) -> None:
    keys = [PublicKey.read(alice), PublicKey.read(carol)]
    (item,) = metadata_items(keys)
    assert [entry.fingerprint for entry in read_list(item.payload)] == [keys[0].fingerprint]
    assert metadata_items(keys[1:]) == ()
    assert key_item(keys, keys[1].fingerprint) is not None
    assert key_item(keys, A) is None
    assert key_item(keys, "nonsense") is None


# -- fetching and announcing -----------------------------------------------------------------------


async def test_no_node_and_no_item_are_no_keys(nodes: Nodes) -> None:
    assert await read_announced(JID, nodes) == ()
    nodes.nodes[JID, PUBLIC_KEYS] = []
    assert await read_announced(JID, nodes) == ()
    nodes.error = PeerError("no", condition="forbidden")
    with pytest.raises(PeerError):
        await read_announced(JID, nodes)


async def test_keys_are_fetched_in_order_and_only_when_new(nodes: Nodes, alice: bytes, bob: bytes) -> None:
    serve(nodes, alice, bob)
    first = await fetch_keys(JID, nodes)
    assert [key.data for key in first.keys] == [alice, bob]
    nodes.asked.clear()
    again = await fetch_keys(JID, nodes, {key.fingerprint: key for key in first.keys})
    assert again.keys == first.keys
    assert nodes.asked == [PUBLIC_KEYS]
    serve(nodes, alice, bob, date="2027-01-01T00:00:00Z")
    assert len((await fetch_keys(JID, nodes, {key.fingerprint: key for key in first.keys})).keys) == 2
    assert len(nodes.asked) == 4


async def test_another_key_than_announced_is_a_problem_of_that_key_only(
    nodes: Nodes, alice: bytes, bob: bytes
) -> None:
    serve(nodes, alice, bob)
    name = read_certificate(alice).fingerprint
    nodes.nodes[JID, data_node(name)] = [Item("x", pubkey_element(bob))]
    fetched = await fetch_keys(JID, nodes)
    assert [key.data for key in fetched.keys] == [bob]
    assert "serves" in fetched.problems[name]
    nodes.nodes[JID, data_node(name)] = []
    assert "does not serve" in (await fetch_keys(JID, nodes)).problems[name]


async def test_only_the_newest_item_counts(nodes: Nodes, alice: bytes, bob: bytes) -> None:
    serve(nodes, alice)
    node = data_node(read_certificate(alice).fingerprint)
    nodes.nodes[JID, node] = [Item("old", pubkey_element(bob)), *nodes.nodes[JID, node]]
    assert [key.data for key in (await fetch_keys(JID, nodes)).keys] == [alice]


async def test_announcing_keeps_what_is_there_and_is_done_once(
    nodes: Nodes, ports: Ports, alice: bytes
) -> None:
    nodes.nodes[ME, PUBLIC_KEYS] = [Item("current", list_element([Announced(A, "old")]))]
    key = PublicKey.read(alice)
    assert await announce(ME, key, ports)
    assert nodes.published == [(data_node(key.fingerprint), "open"), (PUBLIC_KEYS, "open")]
    assert [entry.fingerprint for entry in await read_announced(ME, nodes)] == [A, key.fingerprint]
    assert not await announce(ME, key, ports)
    assert (await fetch_keys(ME, nodes)).keys[-1].data == alice


# -- trust -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "code"),
    [
        ((), (A,), None),
        ((A,), (A,), None),
        ((A, B), (B,), None),
        ((A,), (A, B), "key-added"),
        ((A,), (B,), "key-changed"),
        ((A, "C" * 40), (A, B), "key-changed"),
    ],
)
def test_what_raises_a_question(before: tuple[str, ...], after: tuple[str, ...], code: str | None) -> None:
    question = compare(JID, before, after)
    assert (question and question.code) == code
    if question:
        assert (question.before, question.after) == (", ".join(sorted(before)), ", ".join(sorted(after)))
        assert question == compare(JID, reversed(before), reversed(after))  # an approval must find it again


async def test_first_use_is_remembered_and_a_change_needs_a_yes(
    ports: Ports, alice: bytes, bob: bytes
) -> None:
    first, second = PublicKey.read(alice, "d"), PublicKey.read(bob)
    await accept(JID, [first], ports)
    assert await remembered(JID, ports.store) == (first,)
    with pytest.raises(PolicyChanged):
        await accept(JID, [second], ports)
    assert await remembered(JID, ports.store) == (first,)

    async def yes(question: Question) -> bool:
        return True

    await accept(JID, [second], Ports(ports.store, ports.pubsub, yes))
    assert await remembered(JID, ports.store) == (second,)
    with pytest.raises(BadOpenPGP):
        await accept(JID, [], ports)


@pytest.mark.parametrize(
    "value", [b"", b"garbage", b"{}", b'{"keys": [1]}', b'{"keys": [{"fingerprint": "x"}]}']
)
async def test_a_damaged_memory_is_no_first_use(ports: Ports, alice: bytes, value: bytes) -> None:
    await ports.store.put(f"openpgp/contacts/{JID}", value)
    with pytest.raises(StoreError):
        await accept(JID, [PublicKey.read(alice)], ports)


# -- the data field --------------------------------------------------------------------------------


def request(**changes: Any) -> DataRequest:
    return replace(DataRequest(ME, JID, "bob@example.org"), **changes)


async def test_the_field_names_all_keys_of_the_contact(
    nodes: Nodes, ports: Ports, alice: bytes, bob: bytes
) -> None:
    (provider,) = gre_data_fields()
    assert provider.namespace == NAMESPACE == str(encrypter("openpgp"))
    contributor = provider.make(ports)
    serve(nodes, alice, bob)
    (field,) = await contributor.fields(request())
    assert field.var == "{urn:xmpp:gre:encrypter:openpgp:0}fingerprints"
    assert field.values == tuple(read_certificate(cert).fingerprint for cert in (alice, bob))


async def test_no_key_is_an_empty_field_and_no_answer_is_none(nodes: Nodes, ports: Ports) -> None:
    (provider,) = gre_data_fields()
    contributor = provider.make(ports)
    (field,) = await contributor.fields(request(encrypter=encrypter("openpgp")))
    assert field.values == ()
    assert not list(await contributor.fields(request(encrypter=encrypter("other"))))
    for error in (PeerError("no", condition="forbidden"), PeerTimeout("late")):
        nodes.error = error
        assert not list(await contributor.fields(request()))


# -- the key directory -----------------------------------------------------------------------------


def test_keys_are_found_by_the_address_in_their_user_ids(tmp_path: Path, alice: bytes, bob: bytes) -> None:
    (tmp_path / "anything.gpg").write_bytes(alice + bob)
    (tmp_path / "bob@example.org.asc").write_bytes(armor(alice, PUBLIC_KEY))
    (tmp_path / "readme.txt").write_text("no key")
    directory = KeyDirectory(tmp_path)
    assert [key.data for key in directory.keys("Alice@example.org")] == [alice]  # once, though in two files
    assert [key.data for key in directory.keys("bob@example.org")] == [bob]
    assert directory.keys("bob@jabber.example") == ()
    assert directory.keys("nobody@example.org") == ()
    assert directory.problems == {}


def test_changes_of_the_folder_are_seen(tmp_path: Path, alice: bytes, bob: bytes) -> None:
    directory = KeyDirectory(tmp_path / "keys")
    assert directory.keys("alice@example.org") == ()  # no folder, no keys
    (tmp_path / "keys").mkdir()
    path = tmp_path / "keys" / "a.pgp"
    path.write_bytes(alice)
    assert len(directory.keys("alice@example.org")) == 1
    before = directory.keys("alice@example.org")[0]
    assert directory.keys("alice@example.org")[0] is before
    path.write_bytes(bob)
    assert directory.keys("alice@example.org") == ()
    assert len(directory.keys("bob@example.org")) == 1
    os.utime(path, (1, 1))
    assert directory.keys("bob@example.org")[0].date == "1970-01-01T00:00:01Z"
    path.unlink()
    assert directory.keys("bob@example.org") == ()


def test_a_large_folder_is_not_looked_through_for_each_key(tmp_path: Path, alice: bytes) -> None:
    for number in range(501):
        (tmp_path / f"{number}.asc").touch()
    directory = KeyDirectory(tmp_path)
    assert directory.keys("alice@example.org") == ()
    (tmp_path / "a.gpg").write_bytes(alice)
    assert directory.keys("alice@example.org") == ()
    assert directory.refresh()
    assert len(directory.keys("alice@example.org")) == 1


def test_a_bad_file_is_told_and_hides_nothing(tmp_path: Path, alice: bytes) -> None:
    (tmp_path / "a.asc").write_text("garbage")
    (tmp_path / "b.gpg").write_bytes(alice[:100])
    (tmp_path / "c.pgp").write_bytes(b"\x99" * 5_000_000)
    (tmp_path / "d.asc").mkdir()
    (tmp_path / "e.asc").write_bytes(armor(alice, PUBLIC_KEY))
    directory = KeyDirectory(tmp_path)
    assert len(directory.keys("alice@example.org")) == 1
    assert sorted(directory.problems) == ["a.asc", "b.gpg", "c.pgp", "d.asc"]


# -- Autocrypt -------------------------------------------------------------------------------------


def test_a_header_comes_back(alice: bytes) -> None:
    value = header_value("alice@example.org", alice, mutual=True)
    assert value.startswith("addr=alice@example.org; prefer-encrypt=mutual; keydata=\r\n ")
    assert all(len(line) <= 77 for line in value.split("\r\n"))
    for text in (value, value.replace("\r\n", ""), value + ";"):
        read = parse(text)
        assert read is not None
        assert (read.address, read.mutual, read.keydata) == ("alice@example.org", True, alice)
    assert "keydata" not in repr(parse(value))


def test_the_header_has_five_packets_and_no_other_name(alice: bytes, bob: bytes, carol: bytes) -> None:
    assert minimal_certificate("alice@example.org", alice) == alice
    small = minimal_certificate("Bob@example.org", bob)
    assert b"jabber.example" not in small
    assert read_certificate(small).user_ids == ("Bob <bob@example.org>",)
    # Bob's primary key does not sign, so his signing subkey comes along.
    assert [packet.tag for packet in walk(small)] == [6, 13, 2, 14, 2, 14, 2]
    assert [packet.tag for packet in walk(minimal_certificate("carol@example.org", carol))][:3] == [6, 2, 13]


def test_keys_that_make_no_header_are_refused(alice: bytes) -> None:
    with pytest.raises(BadOpenPGP, match="does not name"):
        header_value("bob@example.org", alice)
    subkey = next(packet for packet in walk(alice) if packet.tag == 14)
    with pytest.raises(BadOpenPGP, match="no subkey"):
        header_value("alice@example.org", alice[: subkey.start])


@pytest.mark.parametrize(
    "value",
    [
        "",
        "addr=alice@example.org",
        "addr=alice@example.org; keydata=!!!",
        "addr=alice@example.org; keydata=AAAA",
        "keydata={key}",
        "addr=; keydata={key}",
        "addr=nobody; keydata={key}",
        "addr=alice@example.org; critical=1; keydata={key}",
        "addr=alice@example.org; addr=bob@example.org; keydata={key}",
        "addr=alice@example.org; keydata={key}; x",
        "addr=alice@example.org; keydata={key}" + " " * MAX_HEADER,
    ],
)
def test_other_headers_are_ignored(alice: bytes, value: str) -> None:
    key = header_value("alice@example.org", alice).partition("keydata=")[2]
    assert parse(value.format(key=key)) is None


def test_attributes_that_are_not_critical_are_ignored(alice: bytes) -> None:
    key = header_value("alice@example.org", alice).partition("keydata=")[2]
    read = parse(f"addr=Alice@Example.org; _later=1; prefer-encrypt=nopreference; keydata={key}")
    assert read is not None
    assert (read.address, read.mutual) == ("alice@example.org", False)


# -- what is not imported --------------------------------------------------------------------------


def test_no_crypto_library_is_imported() -> None:
    program = """
import importlib, pkgutil, sys
import gre_openpgp
for module in pkgutil.iter_modules(gre_openpgp.__path__):
    importlib.import_module(f"gre_openpgp.{module.name}")
bad = {"pysequoia", "pgpy", "gnupg", "gpg", "cryptography", "johnnycanencrypt", "Crypto", "nacl", "slixmpp"}
print(sorted(bad & {name.partition(".")[0] for name in sys.modules}))
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
