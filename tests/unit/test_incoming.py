"""Sorting of received messages: carbons, receipts, errors."""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement, fromstring

import pytest

from gre_core.incoming import Incoming, read_error, receipt_for, sort_message
from gre_core.model import Direction

ACCOUNT = "juliet@example.org"
GATEWAY = "mail.example.net"
BOB = f"bob\\40example.com@{GATEWAY}"


def message(inner: str = "", **attributes: str) -> Element:
    names = "".join(f" {key.rstrip('_')}='{value}'" for key, value in attributes.items())
    return fromstring(f"<message xmlns='jabber:client'{names}>{inner}</message>")


def carbon(inner: str, kind: str = "received", **attributes: str) -> Element:
    forwarded = f"<forwarded xmlns='urn:xmpp:forward:0'>{inner}</forwarded>"
    return message(f"<{kind} xmlns='urn:xmpp:carbons:2'>{forwarded}</{kind}>", **attributes)


RECEIVED = f"<message xmlns='jabber:client' from='{BOB}/x' to='{ACCOUNT}' id='1'/>"
SENT = f"<message xmlns='jabber:client' from='{ACCOUNT}/phone' to='{BOB}' id='1'/>"


def test_a_message() -> None:
    found = sort_message(message(from_=f"{BOB}/phone", id="1"), ACCOUNT)
    assert found is not None
    assert (found.direction, found.peer, found.peer_full) == (Direction.RECEIVED, BOB, f"{BOB}/phone")
    assert (found.carbon, found.id) == (False, "1")


def test_the_peer_is_named_in_its_canonical_form() -> None:
    found = sort_message(message(from_="BOB@Mail.example.NET/Phone"), ACCOUNT)
    assert found is not None
    assert (found.peer, found.peer_full) == ("bob@mail.example.net", "BOB@Mail.example.NET/Phone")


def test_a_message_without_sender() -> None:
    assert sort_message(message(), ACCOUNT) is None
    error = sort_message(message(type="error"), ACCOUNT)
    assert error is not None
    assert error.peer == ACCOUNT


@pytest.mark.parametrize(
    ("inner", "kind", "direction"),
    [(RECEIVED, "received", Direction.RECEIVED), (SENT, "sent", Direction.SENT)],
)
@pytest.mark.parametrize("outer", [{"from_": ACCOUNT}, {"from_": "Juliet@Example.ORG"}, {}])
def test_a_carbon(inner: str, kind: str, direction: Direction, outer: dict[str, str]) -> None:
    found = sort_message(carbon(inner, kind, **outer), ACCOUNT)
    assert found is not None
    assert (found.direction, found.peer, found.carbon, found.id) == (direction, BOB, True, "1")


@pytest.mark.parametrize("inner", [RECEIVED, SENT])
@pytest.mark.parametrize("kind", ["received", "sent"])
@pytest.mark.parametrize(
    "forger",
    [
        BOB, GATEWAY, f"{ACCOUNT}/phone", f"{ACCOUNT}/", "juliet@example.org.evil", "juliet@evil", "example.org",
        f"{ACCOUNT}@evil", "", " juliet@example.org", "j\u0443liet@example.org",
    ],
)  # fmt: skip
def test_forged_carbons(inner: str, kind: str, forger: str) -> None:
    assert sort_message(carbon(inner, kind, from_=forger), ACCOUNT) is None


@pytest.mark.parametrize(
    "inner",
    [
        "",
        "<message xmlns='urn:other' from='x@y'/>",
        f"<iq xmlns='jabber:client' from='{BOB}'/>",
        "<message xmlns='jabber:client'/>",
        "<message xmlns='jabber:client' type='error'/>",
    ],
)
def test_malformed_carbons(inner: str) -> None:
    assert sort_message(carbon(inner, from_=ACCOUNT), ACCOUNT) is None
    assert sort_message(message("<received xmlns='urn:xmpp:carbons:2'/>", from_=ACCOUNT), ACCOUNT) is None


@pytest.mark.parametrize("sender", [BOB, f"mallory@{GATEWAY}", "", "juliet@evil/phone"])
def test_a_sent_carbon_of_what_we_did_not_send(sender: str) -> None:
    inner = f"<message xmlns='jabber:client' from='{sender}' to='{BOB}'/>"
    assert sort_message(carbon(inner, "sent", from_=ACCOUNT), ACCOUNT) is None


def test_a_carbon_within_a_carbon_is_not_opened() -> None:
    evil = f"<received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>{SENT}</forwarded></received>"
    inner = f"<message xmlns='jabber:client' from='{BOB}' id='evil'>{evil}</message>"
    found = sort_message(carbon(inner, from_=ACCOUNT), ACCOUNT)
    assert found is not None
    assert (found.peer, found.id) == (BOB, "evil")


def test_nothing_of_the_stanza_shows() -> None:
    found = sort_message(message("<body>secret</body>", from_=BOB), ACCOUNT)
    assert isinstance(found, Incoming)
    assert "secret" not in repr(found)


# -- receipts --------------------------------------------------------------------------------------------------

RECEIPT = "<received xmlns='urn:xmpp:receipts' id='1'/>"


def test_a_receipt() -> None:
    assert receipt_for(message(RECEIPT)) == "1"


@pytest.mark.parametrize(
    "stanza",
    [
        message(),
        message("<received xmlns='urn:xmpp:receipts'/>"),
        message("<received xmlns='urn:other' id='1'/>"),
        message("<received xmlns='urn:xmpp:carbons:2' id='1'/>"),
        message(RECEIPT, type="error"),
        message(RECEIPT + "<body>text</body>"),
        message(RECEIPT + "<encrypted xmlns='urn:xmpp:gre:0'/>"),
    ],
)
def test_no_receipt(stanza: Element) -> None:
    assert receipt_for(stanza) is None


# -- errors ----------------------------------------------------------------------------------------------------


def error(inner: str, **attributes: str) -> Element:
    names = "".join(f" {key}='{value}'" for key, value in attributes.items())
    return message(f"<error{names}>{inner}</error>", type="error", id="1")


def test_an_error() -> None:
    stanzas = "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'"
    read = read_error(
        error(f"<gone {stanzas}/><text {stanzas}>Moved away</text><x xmlns='urn:o'/>", type="cancel")
    )
    assert read is not None
    assert (read.condition, read.error_type, read.text, read.peer_text) == (
        "gone",
        "cancel",
        "Moved away",
        "Moved away",
    )


def test_no_error() -> None:
    assert read_error(message("<error/>")) is None


def test_other_children_of_an_error_say_nothing() -> None:
    read = read_error(
        error("<text xmlns='urn:other'>forged</text><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>")
    )
    assert read is not None
    assert (read.peer_text, read.condition) == ("", "undefined-condition")


@pytest.mark.parametrize("stanza", [message(type="error"), error(""), error("<gone xmlns='urn:other'/>")])
def test_an_error_without_condition(stanza: Element) -> None:
    read = read_error(stanza)
    assert read is not None
    assert (read.condition, read.error_type, read.peer_text) == ("undefined-condition", "cancel", "")
    assert "no explanation" in read.text


def test_a_hostile_error_is_bounded_and_cleaned() -> None:
    stanza = message(type="error")
    element = SubElement(stanza, "{jabber:client}error", {"type": "explode"})
    SubElement(element, "{urn:ietf:params:xml:ns:xmpp-stanzas}" + "x" * 10_000)
    SubElement(element, "{urn:ietf:params:xml:ns:xmpp-stanzas}text").text = "\x9b31m\u202e" + "y" * 10_000
    read = read_error(stanza)
    assert read is not None
    assert read.error_type == "cancel"
    assert len(read.condition) == 64
    assert len(read.text) == 1000
    assert read.text.startswith("\ufffd31m\ufffdy")


def test_an_error_in_the_namespace_of_a_component() -> None:
    stanza = fromstring(
        "<message xmlns='jabber:component:accept' type='error'><error type='wait'>"
        "<gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
    )
    read = read_error(stanza)
    assert read is not None
    assert (read.condition, read.error_type) == ("gone", "wait")
