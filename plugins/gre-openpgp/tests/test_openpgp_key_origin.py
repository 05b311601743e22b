"""Where a gateway says that it has a key from: written, read with bounds, and never taken for the better."""

from __future__ import annotations

from xml.etree.ElementTree import Element, fromstring, tostring

import pytest
from gre_openpgp.contact_record import ContactRecord, KnownKey, Seen, Source, read_record, write_record
from gre_openpgp.key_origin import NAMESPACE, Origin, read_origin
from gre_openpgp.xep0373 import Announced, PublicKey, list_element, metadata_items, read_list

from gre_core.ports import utc_now

A = "A" * 40


def metadata(attributes: str, *, namespace: str = NAMESPACE) -> Element:
    return fromstring(f"<pubkey-metadata><source xmlns='{namespace}' {attributes}/></pubkey-metadata>")


@pytest.mark.parametrize(
    "origin",
    [
        Origin("directory"),
        Origin("wkd"),
        Origin("autocrypt", authenticated=True, seen="2026-11-20T09:00:00Z"),
        Origin("autocrypt", authenticated=False),
        Origin("something-new", authenticated=None, seen="2026-11-20"),
    ],
)
def test_it_travels_with_the_list(origin: Origin) -> None:
    element = list_element([Announced(A, "d", origin), Announced("B" * 40, "d")])
    first, second = read_list(fromstring(tostring(element)))
    assert (first.origin, second.origin) == (origin, None)


def test_the_element_is_that_of_the_documentation(alice: bytes) -> None:
    key = PublicKey.read(alice, "2026-11-20T09:00:00Z")
    key = PublicKey(
        key.fingerprint, key.data, key.date, Origin("autocrypt", authenticated=False, seen="2026-11-20")
    )
    (item,) = metadata_items([key])
    assert item.payload is not None
    (found,) = item.payload.iter(f"{{{NAMESPACE}}}source")
    assert dict(found.attrib) == {"name": "autocrypt", "authenticated": "false", "seen": "2026-11-20"}


@pytest.mark.parametrize(
    "attributes",
    ["", "name=''", "name='Autocrypt'", "name='a b'", "name='" + "a" * 33 + "'", "name='\u202e'"],
)
def test_what_is_not_well_formed_is_left_out(attributes: str) -> None:
    assert read_origin(metadata(attributes)) is None


def test_another_namespace_is_not_ours() -> None:
    assert read_origin(metadata("name='wkd'", namespace="urn:x")) is None


@pytest.mark.parametrize("said", ["", "authenticated='yes'", "authenticated=''", "authenticated='truetrue'"])
def test_what_is_not_said_clearly_is_never_taken_for_the_better(said: str) -> None:
    origin = read_origin(metadata(f"name='autocrypt' {said}"))
    assert origin is not None
    assert origin.authenticated is False
    assert "anybody can have sent it" in origin.describe()


@pytest.mark.parametrize(
    "seen", ["yesterday", "2026-11-20\n", "2026-11-20T" + "0" * 500 + "Z", "\u202e2026-11-20"]
)
def test_a_strange_date_is_left_out(seen: str) -> None:
    origin = read_origin(metadata(f"name='autocrypt' seen='{seen}'"))
    assert origin is not None
    assert origin.seen == ""


@pytest.mark.parametrize("name", ["directory", "wkd", "autocrypt", "something-new"])
def test_it_is_always_called_the_gateways_word(name: str) -> None:
    assert Origin(name).describe().startswith("the gateway says")


def test_it_is_remembered_with_the_key(alice: bytes) -> None:
    key = PublicKey.read(alice)
    origin = Origin("autocrypt", authenticated=False, seen="2026-11-20")
    now = utc_now()
    known = KnownKey(
        PublicKey(key.fingerprint, key.data, "", origin), sources={Source.XEP0373: Seen(now, now)}
    )
    record = read_record(write_record(ContactRecord({key.fingerprint: known})), "bob")
    assert record.keys[key.fingerprint].key.origin == origin
    assert "last on 2026-11-20" in record.keys[key.fingerprint].origin
    without = KnownKey(PublicKey(key.fingerprint, key.data, "", origin), sources={Source.WKD: Seen(now, now)})
    assert without.origin == "", "the gateway did not serve it"
