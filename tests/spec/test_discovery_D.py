"""D1 to D4: discovering support (GRE, "Discovering Support", "Formatter", "Encrypter")."""

from __future__ import annotations

import pytest

from gre_core.api import EncrypterProvider, FormatterProvider, encrypter, formatter
from gre_core.errors import NoCommonGround, NotAGateway
from gre_core.gateway import GatewayEngine
from gre_core.namespaces import EME, ENCRYPTED_ONLY, GRE
from gre_core.policy import Policy
from gre_core.testing.fakes import run, toy_encrypter, toy_formatter
from gre_core.testing.scene import ACCOUNT, CONTACT, DOMAIN, Scene

PAIR = (toy_formatter().namespace, toy_encrypter().namespace)


async def nobody(_user: str) -> str | None:
    return None


def broken() -> None:
    message = "cannot be made"
    raise RuntimeError(message)


# -- D1: the feature of GRE, with a formatter and an encrypter -----------------------------------------


def test_D1_gateway_announces_gre_with_a_formatter_and_an_encrypter() -> None:
    features = Scene().gateway.features()
    assert GRE in features
    assert {str(namespace) for namespace in PAIR} <= set(features)


def test_D1_client_announces_gre_with_a_formatter_and_an_encrypter() -> None:
    features = Scene().client.features()
    assert GRE in features
    assert {str(namespace) for namespace in PAIR} <= set(features)


def test_D1_gateway_without_a_pair_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one pair"):
        GatewayEngine(DOMAIN, [], sender_id=nobody)


def test_D1_gateway_with_kinds_confused_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one pair"):
        GatewayEngine(DOMAIN, [(PAIR[1], PAIR[0])], sender_id=nobody)


def test_D1_client_without_an_encrypter_does_not_announce_gre() -> None:
    features = Scene(toy_formatter()).client.features()
    assert not [name for name in features if name.startswith("urn:xmpp:gre")]


def test_D1_client_does_not_announce_what_it_cannot_make() -> None:
    unusable = EncrypterProvider(encrypter("broken"), broken)  # type: ignore[arg-type]
    features = Scene(toy_formatter(), toy_encrypter(), unusable).client.features()
    assert str(encrypter("test")) in features
    assert str(encrypter("broken")) not in features


def test_D1_client_sends_nothing_to_who_does_not_announce_gre() -> None:
    scene = Scene()
    for jid in (CONTACT, DOMAIN):
        scene.network.announce(jid, *PAIR, EME)
    with pytest.raises(NotAGateway):
        scene.send()
    assert scene.network.sent == []


# -- D2: versions and kinds ----------------------------------------------------------------------------


@pytest.mark.parametrize(("ours", "theirs", "chosen"), [((0, 1, 2), (0, 1, 3), 1), ((0, 10, 9), (10, 9), 10)])
def test_D2_client_takes_highest_common_version(
    ours: tuple[int, ...], theirs: tuple[int, ...], chosen: int
) -> None:
    scene = Scene(
        *map(toy_formatter, ours),
        *map(toy_encrypter, ours),
        pairs=[(formatter("test", f), encrypter("test", e)) for f in theirs for e in theirs],
    )
    scene.send()
    relayed = scene.relay()
    assert (relayed.formatter.version, relayed.encrypter.version) == (chosen, chosen)


def test_D2_gateway_announces_several_versions() -> None:
    scene = Scene(
        pairs=[(formatter("test", 0), encrypter("test", 0)), (formatter("test", 1), encrypter("test", 1))]
    )
    wanted = {
        f"urn:xmpp:gre:{kind}:test:{version}" for kind in ("formatter", "encrypter") for version in (0, 1)
    }
    assert wanted <= set(scene.gateway.features())


def test_D2_client_chooses_among_kinds_by_its_own_order() -> None:
    pairs = [(formatter("test"), encrypter(name)) for name in ("alpha", "beta")]
    scene = Scene(
        toy_formatter(),
        toy_encrypter(name="alpha"),
        toy_encrypter(name="beta"),
        pairs=pairs,
        policy=Policy(encrypters=("beta",)),
    )
    scene.send()
    assert scene.relay().encrypter.name == "beta"


def test_D2_gateway_takes_highest_common_version_for_inbound_messages() -> None:
    versions = [(formatter("test", v), encrypter("test", v)) for v in (0, 1, 2)]
    chosen = Scene(pairs=versions).gateway.choose(
        [GRE, *(str(namespace) for pair in versions[:2] for namespace in pair)]
    )
    assert chosen.pair == versions[1]


@pytest.mark.parametrize(
    "grease",
    [
        "urn:xmpp:gre:formatter:test:00",
        "urn:xmpp:gre:formatter:test:",
        "urn:xmpp:gre:formatter:test:-1",
        "urn:xmpp:gre:formatter:test:1\n",
        "urn:xmpp:gre:formatter:test:٣",
        "urn:xmpp:gre:formatter::9",
        "urn:xmpp:gre:encrypter:TEST:9",
        "urn:xmpp:gre:encrypter:" + "x" * 65 + ":9",
        "urn:xmpp:gre:encrypter:test:9999999999",
        "urn:xmpp:gre:compressor:test:9",
        "urn:xmpp:gre:1",
        "urn:xmpp:gre:",
        "",
    ],
)
def test_D2_malformed_and_unknown_features_are_ignored(grease: str) -> None:
    scene = Scene()
    scene.network.announce(CONTACT, *scene.gateway.features(), grease)
    scene.send()
    assert scene.relay().formatter == PAIR[0]


def test_D2_no_common_ground_says_what_each_side_has() -> None:
    scene = Scene(toy_formatter(), toy_encrypter(name="ours"))
    with pytest.raises(NoCommonGround, match="ours:0") as caught:
        scene.send()
    assert "test:0" in caught.value.text
    assert "gre-encrypter-test" in caught.value.text
    assert scene.network.sent == []


# -- D3: encrypted_only ---------------------------------------------------------------------------------


def test_D3_gateway_announces_encrypted_only() -> None:
    assert ENCRYPTED_ONLY in Scene(encrypted_only=True).gateway.features()


def test_D3_gateway_that_takes_plain_messages_does_not_announce_encrypted_only() -> None:
    assert ENCRYPTED_ONLY not in Scene().gateway.features()


# -- D4: clients announce too, and the gateway chooses from it --------------------------------------------


def test_D4_client_announces_gre_its_plugins_and_eme() -> None:
    scene = Scene(toy_formatter(0), toy_formatter(3), toy_encrypter(1), toy_encrypter(name="other"))
    assert {
        GRE,
        EME,
        "urn:xmpp:gre:formatter:test:0",
        "urn:xmpp:gre:formatter:test:3",
        "urn:xmpp:gre:encrypter:test:1",
        "urn:xmpp:gre:encrypter:other:0",
    } <= set(scene.client.features())


def test_D4_gateway_announces_eme() -> None:
    assert EME in Scene().gateway.features()


def test_D4_gateway_chooses_from_what_the_client_announces() -> None:
    scene = Scene()
    assert scene.gateway.choose(scene.client.features()).pair == PAIR


def test_D4_gateway_never_chooses_a_pair_that_it_cannot_carry() -> None:
    one, two = (formatter("a"), encrypter("b")), (formatter("b"), encrypter("a"))
    gateway = Scene(pairs=[one, two]).gateway
    features = [GRE, *map(str, (*one, *two))]
    assert gateway.choose(features).pair in {one, two}


def test_D4_gateway_has_nothing_for_a_client_without_gre() -> None:
    with pytest.raises(NotAGateway):
        Scene().gateway.choose([EME, *map(str, PAIR)])


def test_D4_disco_is_answered_on_the_contact_first_and_else_on_the_domain() -> None:
    scene = Scene()
    scene.send()
    assert scene.network.asked[0] == ("disco", CONTACT)

    other = Scene()
    other.network.announce(CONTACT, "urn:example:nothing")
    other.send()
    assert other.network.asked[:2] == [("disco", CONTACT), ("disco", DOMAIN)]
    explanation = run(other.client.explain(CONTACT))
    assert explanation.answered_by == DOMAIN
    assert explanation.error is None
    assert other.client.account == ACCOUNT


def test_D4_a_formatter_that_cannot_be_made_is_not_announced_either() -> None:
    unusable = FormatterProvider(formatter("broken"), broken)  # type: ignore[arg-type]
    features = Scene(toy_formatter(), toy_encrypter(), unusable).client.features()
    assert str(formatter("broken")) not in features
