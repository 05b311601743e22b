"""The elements of XEP-0313: what is asked, and whose answers count."""

from __future__ import annotations

from datetime import UTC, datetime
from xml.etree.ElementTree import Element, SubElement, fromstring, tostring

import pytest

from gre_core.archive import Archived, Place, archive_id, build_query, is_last_page, read_result
from gre_core.incoming import sort_archived
from gre_core.model import Direction

ACCOUNT = "juliet@example.org"
RSM = "{http://jabber.org/protocol/rsm}"
FORM = "{jabber:x:data}"
MAM = "urn:xmpp:mam:2"
STAMP = datetime(2026, 11, 5, 9, 8, 7, tzinfo=UTC)


def result(
    sender: str | None = ACCOUNT, query: str = "q1", id_: str = "a1", stamp: str = "2026-11-05T09:08:07Z"
) -> Element:
    head = "" if sender is None else f"from='{sender}'"
    return fromstring(
        f"<message xmlns='jabber:client' {head} to='juliet@example.org/a'><result xmlns='{MAM}' queryid='{query}' "
        f"id='{id_}'><forwarded xmlns='urn:xmpp:forward:0'><delay xmlns='urn:xmpp:delay' stamp='{stamp}'/>"
        "<message xmlns='jabber:client' from='bob@mail.example.net' to='juliet@example.org' id='m1'/></forwarded>"
        "</result></message>"
    )


def test_the_query_asks_for_a_page_after_a_message() -> None:
    query = fromstring(tostring(build_query("q1", Place("a1", STAMP), 50)))
    assert (query.tag, query.get("queryid")) == (f"{{{MAM}}}query", "q1")
    assert query.findtext(f"{RSM}set/{RSM}max") == "50"
    assert query.findtext(f"{RSM}set/{RSM}after") == "a1"
    (field,) = query.findall(f"{FORM}x/{FORM}field")
    assert (field.get("var"), field.get("type"), field.findtext(f"{FORM}value")) == (
        "FORM_TYPE",
        "hidden",
        MAM,
    )


def test_the_query_asks_from_a_time_on_when_no_message_is_known() -> None:
    query = build_query("q1", Place(None, STAMP), 50)
    fields = {field.get("var"): field.findtext(f"{FORM}value") for field in query.iter(f"{FORM}field")}
    assert fields == {"FORM_TYPE": MAM, "start": "2026-11-05T09:08:07Z"}
    assert query.find(f"{RSM}set/{RSM}after") is None


@pytest.mark.parametrize("sender", [ACCOUNT, None, "Juliet@Example.org"])
def test_a_result_of_our_own_account_is_read(sender: str | None) -> None:
    found = read_result(result(sender), ACCOUNT, "q1")
    assert found is not None
    assert (found.id, found.stamp, found.stanza.get("id")) == ("a1", STAMP, "m1")


@pytest.mark.parametrize(
    "sender",
    [
        "bob\\40example.com@mail.example.net", "mail.example.net", "example.org", "juliet@example.org/evil",
        "juliet@example.org.evil.example", "romeo@example.org",
    ],
)  # fmt: skip
def test_a_result_of_anybody_else_is_none(sender: str) -> None:
    assert read_result(result(sender), ACCOUNT, "q1") is None


@pytest.mark.parametrize("query", ["", "q2", "Q1"])
def test_a_result_that_nobody_asked_for_is_none(query: str) -> None:
    assert read_result(result(query=query), ACCOUNT, "q1") is None


def test_damaged_results_are_none() -> None:
    for path in ("result", "forwarded", "message"):
        broken = result()
        (parent,) = [node for node in broken.iter() if any(path in child.tag for child in node)]
        for child in [child for child in parent if child.tag.endswith(path)]:
            parent.remove(child)
        assert read_result(broken, ACCOUNT, "q1") is None
    assert read_result(result(id_=""), ACCOUNT, "q1") is None
    assert read_result(result(id_="x" * 5000), ACCOUNT, "q1") is None


@pytest.mark.parametrize("stamp", ["", "yesterday", "2026-11-05T09:08:07", "9999-99-99T00:00:00Z"])
def test_a_damaged_stamp_is_no_stamp(stamp: str) -> None:
    found = read_result(result(stamp=stamp), ACCOUNT, "q1")
    assert found is not None
    assert found.stamp is None


def test_the_end_is_where_the_server_says_so_or_gives_rubbish() -> None:
    assert is_last_page(fromstring(f"<fin xmlns='{MAM}' complete='true'/>"))
    assert not is_last_page(fromstring(f"<fin xmlns='{MAM}'/>"))
    assert not is_last_page(fromstring(f"<fin xmlns='{MAM}' complete='false'/>"))
    assert is_last_page(None)
    assert is_last_page(Element("{urn:x}fin"))


def sid(by: str, id_: str) -> Element:
    return Element("{urn:xmpp:sid:0}stanza-id", {"by": by, "id": id_})


def test_the_archive_id_is_the_one_that_our_account_gave() -> None:
    message = Element("{jabber:client}message")
    message.extend([sid("room@muc.example.org", "wrong"), sid(ACCOUNT, ""), sid(ACCOUNT, "right")])
    assert archive_id(message, ACCOUNT) == "right"
    carbon = Element("{jabber:client}message", {"from": ACCOUNT})
    carbon.append(sid(ACCOUNT, "of the carbon"))
    copy = SubElement(SubElement(carbon, "{urn:xmpp:carbons:2}sent"), "{urn:xmpp:forward:0}forwarded")
    copy.append(message)
    assert archive_id(carbon, ACCOUNT) == "right"
    assert archive_id(Element("{jabber:client}message"), ACCOUNT) is None


@pytest.mark.parametrize(
    ("sender", "to", "direction", "peer"),
    [
        ("bob@mail.example.net/x", "juliet@example.org", Direction.RECEIVED, "bob@mail.example.net"),
        ("juliet@example.org/a", "bob@mail.example.net", Direction.SENT, "bob@mail.example.net"),
        ("Juliet@example.org/a", "juliet@example.org", Direction.SENT, "juliet@example.org"),
    ],
)
def test_the_direction_of_an_archived_message_is_its_sender(
    sender: str, to: str, direction: Direction, peer: str
) -> None:
    stanza = Element("{jabber:client}message", {"from": sender, "to": to, "id": "m1"})
    incoming = sort_archived(stanza, ACCOUNT, STAMP)
    assert incoming is not None
    assert (incoming.direction, incoming.peer, incoming.received, incoming.id) == (
        direction,
        peer,
        STAMP,
        "m1",
    )
    assert incoming.carbon is (direction is Direction.SENT)


def test_a_message_of_nobody_is_none() -> None:
    assert sort_archived(Element("{jabber:client}message"), ACCOUNT, STAMP) is None
    assert "secret" not in repr(Archived("a", STAMP, Element("secret")))
