"""The ports over any XMPP library: what a host for another one gets for three methods."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, fromstring, tostring

import pytest

from gre_core.errors import PeerError
from gre_core.stanza_ports import DISCO, PUBSUB, StanzaNetwork, StanzaPubSub
from gre_core.testing.fakes import run

if TYPE_CHECKING:
    from collections.abc import Callable


class Script:
    """Answers requests in their order, and keeps what was asked."""

    max_stanza = 1000

    def __init__(self, *answers: str | PeerError) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str | None, str, str]] = []
        self.sent: list[Element] = []

    async def iq(self, jid: str | None, type_: str, payload: Element, /) -> Element | None:
        self.asked.append((jid, type_, tostring(payload, encoding="unicode")))
        answer = self.answers.pop(0) if self.answers else ""
        if isinstance(answer, PeerError):
            raise answer
        return fromstring(answer) if answer else None

    def put(self, stanza: Element, /) -> None:
        self.sent.append(stanza)


def test_the_network_asks_reads_and_sends() -> None:
    script = Script(
        f"<query xmlns='{DISCO}'><identity category='gateway' type='smtp'/><feature var='urn:xmpp:gre:0'/>"
        "<x xmlns='jabber:x:data'><field var='FORM_TYPE'><value>policy</value></field>"
        "<field var='a'><value>1</value><value>2</value></field></x></query>"
    )
    network = StanzaNetwork(script)
    info = run(network.disco_info("mail.example"))
    assert info.features == {"urn:xmpp:gre:0"}
    assert info.identities == {("gateway", "smtp")}
    assert info.forms == {"policy": {"a": ("1", "2")}}
    assert script.asked[0][:2] == ("mail.example", "get")
    run(network.send_message(Element("{jabber:client}message")))
    assert len(script.sent) == 1
    assert network.max_stanza == 1000


def test_items_are_read_newest_last() -> None:
    script = Script(
        f"<pubsub xmlns='{PUBSUB}'><items node='n'><item id='1'><a/></item><item id='2'/></items></pubsub>"
    )
    items = run(StanzaPubSub(script).items("bob@example.org", "n", item_id="1", max_items=5))
    assert [(item.id, item.payload is None) for item in items] == [("1", False), ("2", True)]
    assert 'max_items="5"' in script.asked[0][2]


def test_nodes_tell_of_changes_without_content() -> None:
    script = Script()
    run(StanzaPubSub(script).publish("n", "1", Element("a"), access_model="open"))
    options = fromstring(script.asked[0][2]).iter("{jabber:x:data}field")
    asked = {field.get("var"): field.findtext("{jabber:x:data}value") for field in options}
    assert asked["pubsub#deliver_payloads"] == "false"
    assert asked["pubsub#send_last_published_item"] == "never"


def error(condition: str) -> PeerError:
    return PeerError("No.", condition=condition)


@pytest.mark.parametrize(
    ("answers", "kinds"),
    [
        ((), ["publish"]),
        ((error("conflict"),), ["publish", "configure", "publish"]),
        ((error("conflict"), error("item-not-found")), ["publish", "configure", "create", "publish"]),
    ],
)
def test_a_node_with_other_options_is_configured_anew(
    answers: tuple[PeerError, ...], kinds: list[str]
) -> None:
    script = Script(*answers)
    run(StanzaPubSub(script).publish("n", "1", Element("{x}y"), access_model="open"))
    found: Callable[[str], str] = lambda xml: fromstring(xml)[0].tag.rpartition("}")[2]  # noqa: E731
    assert [found(xml) for _, _, xml in script.asked] == kinds
    assert all((jid, kind) == (None, "set") for jid, kind, _ in script.asked)
    assert all("access_model" in xml for _, _, xml in script.asked)


def test_what_is_forbidden_stays_forbidden() -> None:
    script = Script(error("forbidden"))
    with pytest.raises(PeerError):
        run(StanzaPubSub(script).publish("n", "1", Element("{x}y"), access_model="open"))
    assert len(script.asked) == 1
