"""The toys, unharmed, keep every rule."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from gre_core.testing.conformance import EncrypterConformance, FormatterConformance
from gre_core.testing.fakes import KEY_NODE, toy_encrypter, toy_formatter

if TYPE_CHECKING:
    from gre_core.testing.conformance import People


class TestToyFormatter(FormatterConformance):
    provider = toy_formatter()


class TestToyEncrypter(EncrypterConformance):
    """Its keys are names, which others put into a node."""

    provider = toy_encrypter(keys=True)
    accounts: ClassVar = {
        name: (address, address)
        for name, address in (
            ("romeo", "romeo@montague.example"),
            ("juliet", "juliet@capulet.example"),
            ("nurse", "nurse@capulet.example"),
            ("mallory", "mallory@evil.example"),
        )
    }

    def introduce(self, people: People, *names: str) -> None:
        for name in names:
            party = people[name]
            party.pubsub.put(party.account, KEY_NODE, f"{name}-{party.times}")


class TestToyEncrypterWithoutKeys(TestToyEncrypter):
    """What it cannot do is skipped, and shown."""

    provider = toy_encrypter()
    needs_keys = False
    asks_about_changed_keys = False
