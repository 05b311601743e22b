"""Where passphrases come from, and how a backup is offered."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

import keyring
import pytest
from gre_cli import passphrases
from gre_cli.offering import Offering
from gre_cli.output import Output
from gre_cli.passphrases import Passphrases
from gre_cli.settings import Settings
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked

from gre_core.ports import BackupOffer, PassphraseRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

JULIET = "juliet@capulet.example"
KEY = "AB" * 20
OFFER = BackupOffer(JULIET, KEY, "TWNK-KD5Y-MT3T-E1GS-DRDB-KVTW")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Memory(KeyringBackend):
    """A keyring as the library wants it."""

    priority = 1

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], str] = {}
        self.locked = False

    def get_password(self, service: str, username: str) -> str | None:
        if self.locked:
            raise KeyringLocked
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        if self.locked:
            raise KeyringLocked
        self.kept[service, username] = password


@pytest.fixture
def ring() -> Iterator[Memory]:
    before = keyring.get_keyring()
    memory = Memory()
    keyring.set_keyring(memory)
    yield memory
    keyring.set_keyring(before)


def request(*, new: bool = False, attempt: int = 1) -> PassphraseRequest:
    return PassphraseRequest(JULIET, KEY, new=new, attempt=attempt)


def at_terminal(monkeypatch: pytest.MonkeyPatch, *typed: str) -> None:
    """Not as a fixture: pytest sets the streams anew between a fixture and its test."""
    lines = list(typed)
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(passphrases, "getpass", lambda _prompt: lines.pop(0))


async def test_the_environment_comes_first(ring: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    ring.kept["gre", f"{JULIET} {KEY}"] = "from the keyring"
    monkeypatch.setenv("GRE_PASSPHRASE", "from the environment")
    ask = Passphrases(Output(json=True), Settings(jid=JULIET))
    assert await ask(request()) == "from the environment"
    assert await ask(request(attempt=2)) == "from the keyring"
    assert await ask(request(attempt=3)) is None
    assert await ask(request(new=True)) == "from the environment"


async def test_a_command_of_the_configuration_is_asked(ring: Memory) -> None:
    settings = Settings(jid=JULIET, _passphrase_command=(sys.executable, "-c", "print('by command')"))
    assert await Passphrases(Output(json=True), settings)(request()) == "by command"


async def test_the_keyring_keeps_a_random_one_for_a_new_key(ring: Memory) -> None:
    ask = Passphrases(Output(json=True), Settings(jid=JULIET))
    chosen = await ask(request(new=True))
    assert chosen is not None
    assert len(chosen) >= 32
    assert await ask(request()) == chosen


async def test_without_keyring_and_user_there_is_none_and_that_is_said(
    ring: Memory, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(jid=JULIET, keyring=False)
    assert await Passphrases(Output(), settings)(request(new=True)) is None
    assert "without a passphrase" in " ".join(capsys.readouterr().err.split())
    assert ring.kept == {}
    ring.locked = True
    assert await Passphrases(Output(), Settings(jid=JULIET))(request(new=True)) is None
    assert await Passphrases(Output(), Settings(jid=JULIET))(request()) is None


async def test_a_new_one_is_typed_twice(ring: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    at_terminal(monkeypatch, "right", "wrogn", "right", "right")
    assert await Passphrases(Output(), Settings(jid=JULIET))(request(new=True)) == "right"
    assert ring.kept == {}


async def test_a_wrong_one_is_asked_for_again(ring: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    at_terminal(monkeypatch, "first", "second", "")
    ask = Passphrases(Output(), Settings(jid=JULIET))
    assert [await ask(request(attempt=attempt)) for attempt in (1, 2, 3)] == ["first", "second", None]


@pytest.mark.parametrize(
    ("typed", "answer"), [("yes\n", True), ("NO\n", False), ("\n", None), ("maybe\n", None)]
)
async def test_a_backup_is_offered_with_its_code(
    typed: str, answer: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    monkeypatch.setattr(sys, "stderr", screen)
    assert await Offering(Output())(OFFER) is answer
    assert OFFER.code in screen.getvalue()


async def test_without_a_terminal_the_code_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    offering = Offering(Output())
    assert [await offering(OFFER), await offering(OFFER)] == [None, None]
    shown = capsys.readouterr().err
    assert OFFER.code not in shown
    assert shown.count("gre keys backup") == 1
