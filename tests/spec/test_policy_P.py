"""P0 to P4: what is kept, what is refused, and what only the user decides (GRE, "Business Rules", "Security")."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement

import pytest

from gre_core.api import encrypter, formatter
from gre_core.errors import NotAGateway, PeerTimeout, PolicyChanged, Refused
from gre_core.gateway import Plain, Relayed
from gre_core.model import DataForm, Message, Question
from gre_core.namespaces import EME, GRE
from gre_core.opening import Received
from gre_core.outbox import SendState, Sent
from gre_core.policy import Policy
from gre_core.ports import refuse
from gre_core.testing.fakes import KEY_NODE, run, toy_encrypter, toy_formatter
from gre_core.testing.scene import ACCOUNT, CONTACT, DOMAIN, LEGACY, SENDER_ID, Scene

if TYPE_CHECKING:
    from collections.abc import Callable

HELLO = Message("Hello")
OTHER = f"carol\\40example.com@{DOMAIN}"
DATA_POLICY = "urn:xmpp:data-policy:0"
STANZAS = "{urn:ietf:params:xml:ns:xmpp-stanzas}"


class User:
    """Answers no and keeps the questions, until told otherwise."""

    def __init__(self) -> None:
        self.questions: list[Question] = []
        self.answer = False

    async def __call__(self, question: Question, /) -> bool:
        self.questions.append(question)
        return self.answer


def question(doing: Callable[[], object]) -> Question:
    with pytest.raises(PolicyChanged) as caught:
        doing()
    assert caught.value.text
    return caught.value.question


def plain(scene: Scene, to: str = CONTACT) -> Sent:
    return run(scene.client.send_plain(to, "in the clear"))


def session(scene: Scene) -> None:
    run(scene.client.start_session())


# -- P0: kept until a receipt or an error comes ------------------------------------------------------------


def test_P0_a_sent_message_is_queued_until_the_receipt_comes() -> None:
    scene = Scene()
    sent = scene.send()
    assert sent.state is SendState.QUEUED
    assert [waiting.id for waiting in run(scene.client.pending())] == [sent.id]
    settled = scene.confirm()
    assert isinstance(settled, Sent)
    assert (settled.id, settled.state) == (sent.id, SendState.RELAYED)
    assert run(scene.client.pending()) == []


def test_P0_an_error_settles_a_message_and_its_text_is_shown() -> None:
    scene = Scene()
    sent = scene.send()
    settled = scene.refuse(
        Refused("The relay is away.", condition="remote-server-timeout", error_type="wait")
    )
    assert isinstance(settled, Sent)
    assert (settled.id, settled.state) == (sent.id, SendState.REFUSED)
    assert (settled.error, settled.condition) == ("The relay is away.", "remote-server-timeout")
    assert run(scene.client.pending()) == []


@pytest.mark.parametrize("server", ["", "example.org", ACCOUNT, DOMAIN])
def test_P0_an_error_of_a_server_on_the_way_settles_too(server: str) -> None:
    scene = Scene()
    scene.send()
    answer = scene.gateway.error(scene.last, Refused("no"))
    answer.attrib.pop("from")
    if server:
        answer.set("from", server)
    assert isinstance(scene.deliver(answer), Sent)


def test_P0_what_was_not_confirmed_is_sent_again_after_a_reconnect_with_the_same_origin_id() -> None:
    scene = Scene()
    ids = [scene.send(text).id for text in ("one", "two", "three")]
    session(scene)
    again = scene.network.sent[3:]
    assert [stanza.get("id") for stanza in again] == ids
    for first, second in zip(scene.network.sent, again, strict=False):
        assert second.find("{urn:xmpp:sid:0}origin-id").get("id") == first.get("id")  # type: ignore[union-attr]
        assert [child.text for child in first] == [child.text for child in second]


def test_P0_the_gateway_recognises_what_is_sent_again() -> None:
    scene = Scene()
    scene.send()
    first = scene.relay().id
    session(scene)
    assert scene.relay().id == first


def test_P0_a_message_survives_a_restart_of_the_client() -> None:
    scene = Scene()
    sent = scene.send()
    scene.restart()
    assert [(waiting.id, waiting.to) for waiting in run(scene.client.pending())] == [(sent.id, CONTACT)]
    session(scene)
    assert [stanza.get("id") for stanza in scene.network.sent] == [sent.id, sent.id]
    assert isinstance(scene.confirm(), Sent)


def test_P0_while_the_stream_is_down_messages_wait_in_their_order() -> None:
    scene = Scene()
    scene.send("first")
    scene.network.down = True
    sent = [scene.send(text) for text in ("second", "third")]
    assert {message.state for message in sent} == {SendState.QUEUED}
    assert len(scene.network.sent) == 1
    scene.network.down = False
    session(scene)
    assert [stanza.get("id") for stanza in scene.network.sent[2:]] == [message.id for message in sent]


@pytest.mark.parametrize("stranger", [OTHER, "mallory@example.org", f"{CONTACT}.evil", ACCOUNT])
def test_P0_receipts_of_strangers_settle_nothing(stranger: str) -> None:
    scene = Scene()
    scene.send()
    assert scene.confirm(sender=stranger) is None
    assert len(run(scene.client.pending())) == 1


@pytest.mark.parametrize("stranger", [OTHER, "mallory@example.org", "evil.example", f"{CONTACT}.evil"])
def test_P0_errors_of_strangers_settle_nothing(stranger: str) -> None:
    scene = Scene()
    scene.send()
    assert scene.refuse(Refused("forged"), sender=stranger) is None
    assert len(run(scene.client.pending())) == 1


def test_P0_without_receipts_a_message_is_sent_and_not_kept() -> None:
    scene = Scene()
    scene.network.announce(CONTACT, GRE, *scene.gateway.formatters, *scene.gateway.encrypters)
    assert scene.send().state is SendState.SENT
    assert scene.last.find("{urn:xmpp:receipts}request") is None
    assert run(scene.client.pending()) == []


def test_P0_without_receipts_what_waited_for_the_stream_goes_out_once() -> None:
    scene = Scene()
    scene.network.announce(CONTACT, GRE, *scene.gateway.formatters, *scene.gateway.encrypters)
    scene.send()
    scene.network.down = True
    assert scene.send().state is SendState.QUEUED
    scene.network.down = False
    session(scene)
    session(scene)
    assert len(scene.network.sent) == 2


def test_P0_client_asks_for_a_receipt_and_the_gateway_gives_it() -> None:
    scene = Scene()
    sent = scene.send()
    receipt = scene.gateway.receipt(scene.relay())
    assert receipt is not None
    assert (receipt.get("to"), receipt.get("from")) == (f"{ACCOUNT}/balcony", CONTACT)
    assert receipt.find("{urn:xmpp:receipts}received").get("id") == sent.id  # type: ignore[union-attr]


def test_P0_plain_messages_are_kept_too() -> None:
    scene = Scene()
    sent = plain(scene)
    assert sent.state is SendState.QUEUED
    relayed = scene.accept()
    assert isinstance(relayed, Plain)
    assert (relayed.text, relayed.recipients[0].legacy_id, relayed.sender_id) == (
        "in the clear",
        LEGACY,
        SENDER_ID,
    )
    receipt = scene.gateway.receipt(relayed)
    assert receipt is not None
    assert isinstance(scene.deliver(receipt), Sent)


# -- P1: encrypted_only ----------------------------------------------------------------------------------------

UNENCRYPTED: list[tuple[str, str | None]] = [
    ("{jabber:client}body", "Hello"),
    ("{jabber:client}body", None),
    ("{jabber:client}subject", "Hello"),
    ("{http://jabber.org/protocol/xhtml-im}html", None),
    ("{jabber:x:oob}x", None),
    ("{eu.siacs.conversations.axolotl}encrypted", None),
    ("{jabber:x:encrypted}x", None),
    ("{urn:xmpp:openpgp:0}openpgp", "abc"),
    ("{urn:xmpp:reactions:0}reactions", None),
    ("{urn:xmpp:sfs:0}file-sharing", None),
]


@pytest.mark.parametrize(("tag", "text"), UNENCRYPTED)
@pytest.mark.parametrize("kind", ["chat", "normal", "headline"])
def test_P1_encrypted_only_gateway_rejects_what_is_not_encrypted(
    tag: str, text: str | None, kind: str
) -> None:
    scene = Scene(encrypted_only=True)
    stanza = message(tag, text, kind)
    with pytest.raises(Refused) as caught:
        scene.accept(stanza)
    answer = scene.gateway.error(stanza, caught.value)
    assert (answer.get("type"), answer.get("id"), answer.get("to")) == ("error", "m1", f"{ACCOUNT}/balcony")
    (error,) = answer
    assert error.get("type") == "modify"
    assert error[0].tag == f"{STANZAS}policy-violation"
    assert error[1].tag == f"{STANZAS}text"
    assert (error[1].text or "").startswith("This gateway takes only encrypted messages.")
    assert GRE in (error[1].text or "")


def message(tag: str, text: str | None = None, kind: str = "chat") -> Element:
    stanza = Element(
        "{jabber:client}message", {"from": f"{ACCOUNT}/balcony", "to": CONTACT, "id": "m1", "type": kind}
    )
    SubElement(stanza, tag).text = text
    return stanza


@pytest.mark.parametrize(
    "tag",
    ["{http://jabber.org/protocol/chatstates}active", "{urn:xmpp:receipts}received", "{urn:xmpp:hints}store"],
)
def test_P1_encrypted_only_gateway_lets_states_and_receipts_pass_in_silence(tag: str) -> None:
    assert Scene(encrypted_only=True).accept(message(tag)) is None


def test_P1_an_error_is_never_answered() -> None:
    assert Scene(encrypted_only=True).accept(message("{jabber:client}body", "Hello", "error")) is None


def test_P1_encrypted_only_gateway_takes_what_is_encrypted() -> None:
    scene = Scene(encrypted_only=True)
    scene.send()
    assert isinstance(scene.accept(), Relayed)


def test_P1_gateway_that_allows_it_takes_plain_messages() -> None:
    relayed = Scene().accept(message("{jabber:client}body", "Hello"))
    assert isinstance(relayed, Plain)
    assert relayed.text == "Hello"


@pytest.mark.parametrize(
    "tag",
    ["{eu.siacs.conversations.axolotl}encrypted", "{urn:xmpp:openpgp:0}openpgp", "{jabber:x:encrypted}x"],
)
def test_P1_other_encryption_is_refused_and_its_fallback_body_is_never_relayed(tag: str) -> None:
    stanza = message(tag)
    SubElement(stanza, "{jabber:client}body").text = "I sent you an encrypted message"
    with pytest.raises(Refused, match="cannot pass on"):
        Scene().accept(stanza)


def test_P1_a_stanza_that_says_it_is_encrypted_is_never_relayed_in_the_clear() -> None:
    stanza = message("{jabber:client}body", "secret that was meant to be encrypted")
    SubElement(stanza, f"{{{EME}}}encryption", {"namespace": "eu.siacs.conversations.axolotl"})
    with pytest.raises(Refused):
        Scene().accept(stanza)


def test_P1_client_sends_nothing_plain_to_an_encrypted_only_gateway() -> None:
    scene = Scene(encrypted_only=True)
    with pytest.raises(Refused, match="only encrypted"):
        plain(scene)
    assert scene.network.sent == []


# -- P2: nothing becomes weaker in silence ------------------------------------------------------------------------


def withdrawn(scene: Scene) -> None:
    """Let the client see encrypted_only, and the gateway withdraw it."""
    scene.send(to=OTHER)
    scene.serve()
    session(scene)


def test_P2_withdrawn_encrypted_only_stops_unencrypted_messages() -> None:
    scene = Scene(encrypted_only=True, decide=User())
    with pytest.raises(PolicyChanged):
        scene.send(to=OTHER)  # sender_id is not confirmed, but the feature was seen
    scene.serve()
    session(scene)
    asked = question(lambda: plain(scene))
    assert (asked.code, asked.peer) == ("encrypted-only-withdrawn", DOMAIN)
    assert scene.network.sent == []


def test_P2_withdrawn_encrypted_only_is_remembered_over_restarts() -> None:
    user = User()
    user.answer = True
    scene = Scene(encrypted_only=True, decide=user)
    withdrawn(scene)
    scene.restart()
    user.answer = False
    assert question(lambda: plain(scene)).code == "encrypted-only-withdrawn"


def test_P2_withdrawn_encrypted_only_is_shown_when_sending_encrypted() -> None:
    scene = Scene(encrypted_only=True)
    withdrawn(scene)
    notices = run(scene.client.seal(CONTACT, HELLO)).agreed.notices
    assert [notice.code for notice in notices] == ["encrypted-only-withdrawn"]


def test_P2_encrypted_only_is_remembered_from_a_plain_message_that_it_stopped() -> None:
    scene = Scene(encrypted_only=True, decide=User())
    with pytest.raises(Refused):
        plain(scene)
    scene.serve()
    session(scene)
    assert question(lambda: plain(scene)).code == "encrypted-only-withdrawn"


def test_P2_encrypted_only_seen_on_one_contact_counts_for_the_whole_gateway() -> None:
    user = User()
    user.answer = True
    scene = Scene(encrypted_only=True, decide=user)
    scene.send(to=OTHER)
    user.answer = False
    scene.network.announce(CONTACT, GRE, "urn:xmpp:gre:formatter:test:0", "urn:xmpp:gre:encrypter:test:0")
    assert question(lambda: plain(scene)).code == "encrypted-only-withdrawn"


def test_P2_after_the_users_word_unencrypted_messages_go_out() -> None:
    user = User()
    user.answer = True
    scene = Scene(encrypted_only=True, decide=user)
    withdrawn(scene)
    sent_before = len(scene.network.sent)
    user.answer = False
    run(scene.client.approve(question(lambda: plain(scene))))
    plain(scene)
    assert len(scene.network.sent) == sent_before + 1
    assert scene.last.findtext("{jabber:client}body") == "in the clear"


def test_P2_a_contact_with_whom_one_was_encrypted_gets_nothing_unencrypted_unasked() -> None:
    user = User()
    user.answer = True
    scene = Scene(decide=user)
    scene.send()
    user.answer = False
    asked = question(lambda: plain(scene))
    assert (asked.code, asked.peer) == ("plain-after-encrypted", CONTACT)
    run(scene.client.approve(asked))
    plain(scene)
    assert question(lambda: plain(scene)) == asked  # an approval counts once


def test_P2_a_lower_version_is_not_used_unasked() -> None:
    pairs = [(formatter("test"), encrypter("test", version)) for version in (0, 1)]
    user = User()
    user.answer = True
    scene = Scene(toy_formatter(), toy_encrypter(0), toy_encrypter(1), pairs=pairs, decide=user)
    scene.send()
    user.answer = False
    scene.serve(pairs[:1])
    session(scene)
    sent = len(scene.network.sent)
    asked = question(scene.send)
    assert asked.code == "pair-weaker"
    assert (str(encrypter("test", 1)) in asked.before, str(encrypter("test", 0)) in asked.after) == (
        True,
        True,
    )
    assert len(scene.network.sent) == sent
    run(scene.client.approve(asked))
    scene.send()
    scene.send()
    assert scene.relay().encrypter == encrypter("test", 0)


@pytest.mark.parametrize("how", ["withdraws", "refuses"])
def test_P2_a_pair_that_the_policy_ranks_lower_is_not_used_unasked(how: str) -> None:
    pairs = [(formatter("test"), encrypter(name)) for name in ("good", "poor")]
    user = User()
    user.answer = True
    scene = Scene(
        toy_formatter(),
        toy_encrypter(name="good"),
        toy_encrypter(name="poor"),
        pairs=pairs,
        decide=user,
        policy=Policy(encrypters=("good", "poor")),
    )
    scene.send()
    user.answer = False
    scene.restart()
    if how == "withdraws":
        scene.serve(pairs[1:])
    else:
        scene.serve([pairs[1], (formatter("elsewhere"), encrypter("good"))])
    assert question(scene.send).code == "pair-weaker"
    scene.serve(pairs)
    session(scene)
    scene.send()


def test_P2_a_gateway_cannot_lead_to_another_encrypter_that_only_comes_first_by_name() -> None:
    user = User()
    user.answer = True
    scene = Scene(
        toy_formatter(),
        toy_encrypter(name="test"),
        toy_encrypter(name="aaa"),
        pairs=[(formatter("test"), encrypter("test"))],
        decide=user,
    )
    scene.send()
    user.answer = False
    scene.serve([(formatter("test"), encrypter("test")), (formatter("test"), encrypter("aaa"))])
    session(scene)
    assert question(scene.send).code == "pair-weaker"


def test_P2_a_pair_that_became_better_needs_no_question() -> None:
    pairs = [(formatter("test"), encrypter("test", version)) for version in (0, 1)]
    user = User()
    user.answer = True
    scene = Scene(toy_formatter(), toy_encrypter(0), toy_encrypter(1), pairs=pairs[:1], decide=user)
    scene.send()
    user.answer = False
    scene.serve(pairs)
    session(scene)
    scene.send()
    assert scene.relay().encrypter.version == 1


@pytest.mark.parametrize(("signer", "judged"), [(None, "unsigned"), ("mallory@example.com", "wrong-signer")])
def test_P2_a_signature_that_used_to_be_there_is_missed(signer: str | None, judged: str) -> None:
    scene = Scene()
    first = scene.deliver(scene.from_legacy(signer=None))
    assert isinstance(first, Received)
    assert first.notices == ()
    scene.deliver(scene.from_legacy())
    scene.restart()
    second = scene.deliver(scene.from_legacy(signer=signer))
    assert isinstance(second, Received)
    assert [notice.code for notice in second.notices] == ["signature-missing"]
    assert second.notices[0].params["signature"] == judged


def with_keys(user: User) -> Scene:
    scene = Scene(toy_formatter(), toy_encrypter(keys=True), decide=user)
    scene.pubsub.put(CONTACT, KEY_NODE, "key-1")
    user.answer = True
    scene.send()
    user.answer = False
    session(scene)
    return scene


def test_P2_a_changed_key_wants_the_users_word() -> None:
    scene = with_keys(User())
    scene.pubsub.put(CONTACT, KEY_NODE, "key-2")
    asked = question(scene.send)
    assert (asked.code, asked.before, asked.after) == ("key-changed", "key-1", "key-2")
    run(scene.client.approve(asked))
    scene.send()


# -- P3: sender_id and added keys -------------------------------------------------------------------------------------


def test_P3_the_user_confirms_the_sender_id_once() -> None:
    user = User()
    scene = Scene(decide=user)
    asked = question(scene.send)
    assert (asked.code, asked.peer, asked.after) == ("confirm-sender-id", DOMAIN, SENDER_ID)
    assert SENDER_ID in asked.text
    assert scene.network.sent == []
    run(scene.client.approve(asked))
    scene.send()
    scene.send(to=OTHER)
    scene.restart()
    session(scene)
    scene.send()
    assert len(user.questions) == 1


def test_P3_a_changed_sender_id_blocks_until_the_user_says_so() -> None:
    user = User()
    user.answer = True
    scene = Scene(decide=user)
    scene.send()
    user.answer = False
    scene.users[ACCOUNT] = "romeo@montague.example"
    session(scene)
    sent = len(scene.network.sent)
    asked = question(scene.send)
    assert (asked.code, asked.before, asked.after) == (
        "sender-id-changed",
        SENDER_ID,
        "romeo@montague.example",
    )
    assert question(scene.send) == asked
    assert len(scene.network.sent) == sent
    run(scene.client.approve(asked))
    scene.send()
    assert scene.relay().sender_id == "romeo@montague.example"


def test_P3_another_sender_id_for_another_contact_is_asked_for() -> None:
    user = User()
    user.answer = True
    scene = Scene(decide=user)
    scene.send()
    user.answer = False
    scene.network.answer_data(DataForm("romeo@montague.example"), OTHER)
    assert question(lambda: scene.send(to=OTHER)).code == "sender-id-changed"
    scene.send()  # the first contact is not touched


def test_P3_an_approval_is_for_one_value_only() -> None:
    scene = Scene(decide=refuse)
    asked = question(scene.send)
    run(scene.client.approve(asked))
    scene.users[ACCOUNT] = "mallory@evil.example"
    session(scene)
    assert question(scene.send).after == "mallory@evil.example"


def test_P3_dynamic_data_is_checked_each_time() -> None:
    user = User()
    user.answer = True
    scene = Scene(toy_formatter(dynamic_data=True), toy_encrypter(), decide=user)
    scene.send()
    user.answer = False
    scene.users[ACCOUNT] = "mallory@evil.example"
    assert question(scene.send).code == "sender-id-changed"


def test_P3_case_of_the_contact_opens_no_way_around_the_pin() -> None:
    user = User()
    user.answer = True
    scene = Scene(decide=user)
    scene.send(to="BOB\\40example.com@MAIL.example.net")
    user.answer = False
    scene.network.answer_data(DataForm("mallory@evil.example"))
    session(scene)
    assert question(scene.send).code == "sender-id-changed"


def test_P3_an_added_key_wants_the_users_word() -> None:
    scene = with_keys(User())
    scene.pubsub.put(CONTACT, KEY_NODE, "key-1", "key-2")
    sent = len(scene.network.sent)
    asked = question(scene.send)
    assert (asked.code, asked.before, asked.after) == ("key-added", "key-1", "key-1 key-2")
    assert len(scene.network.sent) == sent
    run(scene.client.approve(asked))
    scene.send()
    scene.send()


# -- P4: data policy (XEP-0504) -----------------------------------------------------------------------------------------


def test_P4_encrypted_only_gateway_names_gre_in_its_data_policy() -> None:
    assert Scene(encrypted_only=True).gateway.forms() == {DATA_POLICY: {"data_transmission": ("gre",)}}


def test_P4_gateway_that_takes_plain_messages_does_not_promise_gre() -> None:
    assert Scene().gateway.forms() == {}


@pytest.mark.parametrize("form", [DATA_POLICY, "urn:xmpp:data-policy:identity:gateway:smtp:0"])
@pytest.mark.parametrize("where", [CONTACT, DOMAIN])
@pytest.mark.parametrize("doing", ["encrypted", "plain"])
def test_P4_client_verifies_that_gre_is_really_there(form: str, where: str, doing: str) -> None:
    scene = Scene()
    scene.network.announce(DOMAIN, "urn:example:nothing")
    scene.network.announce(CONTACT, "urn:example:nothing")
    scene.network.announce(where, "urn:example:nothing", forms={form: {"data_transmission": ("gre",)}})
    with pytest.raises(NotAGateway, match="data policy"):
        scene.send() if doing == "encrypted" else plain(scene)
    assert scene.network.sent == []


def test_P4_a_promise_that_is_kept_is_fine() -> None:
    scene = Scene(encrypted_only=True)
    scene.send()
    assert isinstance(scene.accept(), Relayed)


def test_P0_no_answer_is_no_verdict() -> None:
    scene = Scene()
    scene.network.down = True
    with pytest.raises(PeerTimeout):
        scene.send()
    assert run(scene.client.pending()) == []
