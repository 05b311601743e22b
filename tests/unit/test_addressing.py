"""Several recipients of one stanza (XEP-0033), as the gateway's engine takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree.ElementTree import SubElement, fromstring

import pytest

from gre_core.addressing import ADDRESS, ADDRESSES_TAG, MAX_ADDRESSES, build_addresses
from gre_core.errors import InvalidAddress, Refused
from gre_core.gateway import GatewayEngine, Plain, Relayed
from gre_core.testing.fakes import run
from gre_core.testing.scene import ACCOUNT, CONTACT, DOMAIN, SENDER_ID, Scene

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

CAROL = "carol\\40example.com@mail.example.net"
DAVE = "dave\\40example.com@mail.example.net"
_NEXT = f"{{{ADDRESS}}}address"


@pytest.fixture
def scene() -> Scene:
    made = Scene()
    made.send()
    return made


def addressed(scene: Scene, *entries: dict[str, str], to: str = DOMAIN) -> Element:
    stanza = scene.last
    stanza.set("to", to)
    addresses = SubElement(stanza, ADDRESSES_TAG)
    for entry in entries:
        SubElement(addresses, _NEXT, entry)
    return stanza


def relay(scene: Scene, *entries: dict[str, str]) -> Relayed:
    result = scene.accept(addressed(scene, *entries))
    assert isinstance(result, Relayed)
    return result


def refusal(scene: Scene, *entries: dict[str, str], to: str = DOMAIN) -> Refused:
    with pytest.raises(Refused) as caught:
        scene.accept(addressed(scene, *entries, to=to))
    return caught.value


def entry(kind: str, jid: str, **more: str) -> dict[str, str]:
    return {"type": kind, "jid": jid} | more


def test_the_feature_is_announced(scene: Scene) -> None:
    assert ADDRESS in scene.gateway.features()


def test_all_recipients_are_taken_and_blind_copies_are_kept_apart(scene: Scene) -> None:
    message = relay(scene, entry("to", CONTACT), entry("cc", CAROL), entry("bcc", DAVE))
    assert [one.legacy_id for one in message.recipients] == ["bob@example.com", "carol@example.com"]
    assert [one.legacy_id for one in message.hidden] == ["dave@example.com"]


def test_what_we_build_is_what_we_read(scene: Scene) -> None:
    stanza = scene.last
    stanza.set("to", DOMAIN)
    stanza.append(build_addresses([CONTACT, CAROL]))
    message = scene.accept(stanza)
    assert isinstance(message, Relayed)
    assert [one.jid for one in message.recipients] == [CONTACT, CAROL]


def test_a_recipient_counts_once_and_is_not_blind_when_it_is_also_shown(scene: Scene) -> None:
    message = relay(
        scene, entry("to", CONTACT), entry("bcc", CONTACT), entry("cc", CONTACT.upper()), entry("bcc", DAVE)
    )
    assert [one.jid for one in message.recipients] == [CONTACT]
    assert [one.jid for one in message.hidden] == [DAVE]


def test_who_has_it_already_and_other_kinds_of_addresses_are_passed_over(scene: Scene) -> None:
    message = relay(
        scene,
        entry("to", CONTACT),
        entry("to", CAROL, delivered="true"),
        entry("replyto", "romeo@elsewhere.example"),
        {"type": "noreply"},
    )
    assert [one.jid for one in message.recipients] == [CONTACT]
    assert message.hidden == ()


def test_strangers_are_refused_and_all_of_them_named(scene: Scene) -> None:
    error = refusal(
        scene,
        entry("to", CONTACT),
        entry("cc", "romeo@elsewhere.example"),
        entry("bcc", "tybalt@example.net"),
    )
    assert error.condition == "forbidden"
    assert "romeo@elsewhere.example" in error.text
    assert "tybalt@example.net" in error.text
    assert "Nobody got the message" in error.text


def test_an_address_that_the_network_does_not_have() -> None:
    async def sender_id(_user: str) -> str:
        return SENDER_ID

    def check(legacy_id: str) -> None:
        if "," in legacy_id:
            raise InvalidAddress(f"{legacy_id} is none.")

    scene = Scene()
    scene.send()
    gateway = GatewayEngine(DOMAIN, scene.gateway.pairs, sender_id=sender_id, check_legacy_id=check)
    stanza = addressed(scene, entry("to", CONTACT), entry("to", "a,b\\40example.com@mail.example.net"))
    with pytest.raises(Refused, match=r"a,b@example\.com is none") as caught:
        run(gateway.accept(stanza))
    assert caught.value.condition == "jid-malformed"


@pytest.mark.parametrize(
    "wrong", [{"type": "to", "uri": "mailto:bob@example.com"}, {"type": "to"}, {"type": "bcc"}]
)
def test_a_recipient_that_is_no_jid(scene: Scene, wrong: dict[str, str]) -> None:
    assert refusal(scene, entry("to", CONTACT), wrong).condition == "jid-malformed"


def test_the_gateway_itself_is_no_recipient(scene: Scene) -> None:
    assert refusal(scene, entry("to", DOMAIN)).condition == "item-not-found"


def test_too_many_recipients(scene: Scene) -> None:
    many = [entry("to", f"u{number}\\40example.com@{DOMAIN}") for number in range(MAX_ADDRESSES)]
    assert len(relay(scene, *many).recipients) == MAX_ADDRESSES
    assert refusal(scene, *many, entry("to", CONTACT)).condition == "not-acceptable"


def test_a_message_to_one_contact_that_names_others_is_refused_since_they_would_not_get_it(
    scene: Scene,
) -> None:
    error = refusal(scene, entry("to", CONTACT), entry("to", CAROL), to=CONTACT)
    assert DOMAIN in error.text
    stanza = addressed(scene, entry("to", CAROL, delivered="true"), to=CONTACT)
    message = scene.accept(stanza)
    assert isinstance(message, Relayed)
    assert [one.jid for one in message.recipients] == [CONTACT]


def test_the_domain_without_recipients_is_refused(scene: Scene) -> None:
    assert refusal(scene).condition == "item-not-found"


def test_unencrypted_messages_may_have_several_recipients_too(scene: Scene) -> None:
    stanza = fromstring(
        f"<message xmlns='jabber:client' to='{DOMAIN}' from='{ACCOUNT}/a' id='1'><body>Hello</body></message>"
    )
    stanza.append(build_addresses([CONTACT, CAROL]))
    message = scene.accept(stanza)
    assert isinstance(message, Plain)
    assert [one.jid for one in message.recipients] == [CONTACT, CAROL]


def test_receipt_and_error_come_from_the_domain(scene: Scene) -> None:
    stanza = addressed(scene, entry("to", CONTACT))
    message = scene.accept(stanza)
    assert isinstance(message, Relayed)
    receipt = scene.gateway.receipt(message)
    assert receipt is not None
    assert receipt.get("from") == DOMAIN
    assert scene.gateway.error(stanza, Refused("No.")).get("from") == DOMAIN
