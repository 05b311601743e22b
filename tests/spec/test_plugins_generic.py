"""What GRE asks of every formatter and encrypter, whatever it does: held against all that are installed here."""

from __future__ import annotations

import pytest

from gre_core.api import EncrypterProvider, FormatterProvider
from gre_core.namespaces import Kind, Namespace
from gre_core.registry import Plugins
from gre_core.testing.fakes import run
from gre_core.testing.scene import CONTACT, Scene

PLUGINS = Plugins.discover(prefer={"urn:xmpp:gre:encrypter:openpgp:0": "gre-encrypter-openpgp"})
PROVIDED = [*PLUGINS.formatters, *PLUGINS.encrypters]


def test_there_is_a_formatter_and_an_encrypter() -> None:
    assert PLUGINS.formatters
    assert PLUGINS.encrypters
    assert PLUGINS.problems == ()


@pytest.mark.parametrize("namespace", PROVIDED, ids=str)
def test_its_title_follows_the_template(namespace: Namespace) -> None:
    """GRE, "Formatter" and "Encrypter": specifications SHOULD be named "GRE Formatter: NAME"."""
    kind = "Formatter" if namespace.kind is Kind.FORMATTER else "Encrypter"
    title = PLUGINS.provider(namespace).title
    assert title.startswith(f"GRE {kind}: ")
    assert len(title) > len(f"GRE {kind}: ")


@pytest.mark.parametrize("namespace", PROVIDED, ids=str)
def test_it_is_offered_as_what_it_is(namespace: Namespace) -> None:
    provider = PLUGINS.provider(namespace)
    wanted = FormatterProvider if namespace.kind is Kind.FORMATTER else EncrypterProvider
    assert isinstance(provider, wanted)
    make = PLUGINS.formatter if namespace.kind is Kind.FORMATTER else PLUGINS.encrypter
    assert make(namespace) is make(namespace)


@pytest.mark.parametrize("namespace", PROVIDED, ids=str)
def test_its_data_can_be_cached_for_a_session(namespace: Namespace) -> None:
    """GRE, "Business Rules": data that has to be fetched before each message is discouraged."""
    assert not PLUGINS.provider(namespace).dynamic_data


def test_it_is_negotiated_as_soon_as_the_gateway_carries_it() -> None:
    scene = Scene(pairs=[(PLUGINS.formatters[0], PLUGINS.encrypters[0])])
    scene._plugins = PLUGINS
    scene.restart()
    agreed = run(scene.client.explain(CONTACT)).agreed
    assert agreed is not None
    assert agreed.agreement.pair == (PLUGINS.formatters[0], PLUGINS.encrypters[0])
