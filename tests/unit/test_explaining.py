"""``ClientEngine.explain`` says why a formatter or encrypter of ours is not used with a contact."""

from __future__ import annotations

from gre_core.api import formatter
from gre_core.errors import NoCommonGround, NotAGateway, PeerError
from gre_core.policy import Policy
from gre_core.testing.fakes import run, toy_encrypter, toy_formatter
from gre_core.testing.scene import CONTACT, DOMAIN, Scene

TEST, CRYPT = toy_formatter().namespace, toy_encrypter().namespace


def untaken(scene: Scene) -> list[tuple[str, tuple[str, ...], str]]:
    return [(each.code, each.namespaces, each.text) for each in run(scene.client.explain(CONTACT)).untaken]


def test_all_is_used() -> None:
    assert untaken(Scene()) == []


def test_the_gateway_does_not_announce_it() -> None:
    mine = toy_formatter(name="mine")
    ((code, namespaces, text),) = untaken(Scene(toy_formatter(), mine, toy_encrypter()))
    assert (code, namespaces) == ("not-announced", (str(mine.namespace),))
    assert "does not announce urn:xmpp:gre:formatter:mine:0" in text
    assert "Ask its operator" in text


def test_the_gateway_announces_another_version() -> None:
    pairs = [(TEST, CRYPT), (formatter("mine", 2), CRYPT)]
    ((code, _, text),) = untaken(
        Scene(toy_formatter(), toy_formatter(name="mine"), toy_encrypter(), pairs=pairs)
    )
    assert code == "not-announced"
    assert "version 2 of mine" in text


def test_the_gateway_refused_the_pair() -> None:
    scene = Scene()
    scene.network.answer_data(
        PeerError("no", condition="not-acceptable", error_type="modify", peer_text="No mail can hold it.")
    )
    explanation = run(scene.client.explain(CONTACT))
    assert isinstance(explanation.error, NoCommonGround)
    (one,) = explanation.untaken
    assert (one.code, one.namespaces) == ("pair-refused", (str(TEST), str(CRYPT)))
    assert "refused them together: No mail can hold it. It may" in one.text
    assert explanation.error.text.startswith("The gateway refused every pair of formatter and encrypter")


def test_another_one_was_chosen() -> None:
    mine = toy_formatter(name="mine")
    pairs = [(TEST, CRYPT), (mine.namespace, CRYPT)]
    scene = Scene(toy_formatter(), mine, toy_encrypter(), pairs=pairs, policy=Policy(formatters=("test",)))
    ((code, namespaces, text),) = untaken(scene)
    assert (code, namespaces) == ("other-chosen", (str(mine.namespace),))
    assert "formatter test:0 comes first in the policy" in text


def test_who_is_no_gateway_has_no_part_in_it() -> None:
    scene = Scene()
    scene.network.announce(DOMAIN, "urn:xmpp:ping")
    scene.network.announce(CONTACT, "urn:xmpp:ping")
    explanation = run(scene.client.explain(CONTACT))
    assert isinstance(explanation.error, NotAGateway)
    assert explanation.untaken == ()
