"""Passphrases of our own keys: from the environment, a command, the system's keyring, or a prompt, in this order."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from getpass import getpass
from typing import TYPE_CHECKING, Final

from gre_cli.safe import clean_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from gre_cli.output import Output
    from gre_cli.settings import Settings
    from gre_core.ports import PassphraseRequest

PASSPHRASE: Final = "GRE_PASSPHRASE"  # noqa: S105 - the name of a variable
IMPORT_PASSPHRASE: Final = "GRE_IMPORT_PASSPHRASE"  # noqa: S105
EXPORT_PASSPHRASE: Final = "GRE_EXPORT_PASSPHRASE"  # noqa: S105
SERVICE: Final = "gre"
"""Under this name the system's keyring keeps our passphrases."""

_RANDOM_BYTES: Final = 24
_UNPROTECTED: Final = (
    "Your key is kept without a passphrase: whoever reads your files can use it. "
    "`gre keys passphrase` sets one"
)


class Passphrases:
    """Answers what :class:`gre_core.ports.PassphraseRequest` asks. A wrong answer is never given twice.

    Arguments:
        output: where to ask.
        settings: may name a command, and switch the keyring off.
    """

    def __init__(self, output: Output, settings: Settings) -> None:
        self._output = output
        self._settings = settings
        self._lock = asyncio.Lock()

    async def __call__(self, request: PassphraseRequest) -> str | None:
        """Give a passphrase, or None when there is none."""
        async with self._lock:
            return await asyncio.to_thread(self._answer, request)

    def _answer(self, request: PassphraseRequest) -> str | None:
        sources: list[Callable[[PassphraseRequest], str | None]] = [_environment, self._command, self._kept]
        found = [text for text in (source(request) for source in sources) if text]
        if request.new:
            return found[0] if found else self._choose(request)
        unused = found[request.attempt - 1 :]
        return unused[0] if unused else self._ask(request)

    def _command(self, _request: PassphraseRequest) -> str | None:
        return self._settings.passphrase()

    def _kept(self, request: PassphraseRequest) -> str | None:
        return None if request.new or not self._settings.keyring else _from_keyring(_name(request))

    def _choose(self, request: PassphraseRequest) -> str | None:
        if self._asking():
            self._output.note(
                "A passphrase protects your new key on this device. With an empty one, "
                + ("the system's keyring keeps a random one." if self._settings.keyring else "there is none.")
            )
            while True:
                first = getpass("New passphrase: ")
                if first == getpass("The same again: "):
                    break
                self._output.warn("They differ. Once more.")
            if first:
                return first
        if self._settings.keyring:
            text = secrets.token_urlsafe(_RANDOM_BYTES)
            if _into_keyring(_name(request), text):
                return text
        self._output.warn(_UNPROTECTED)
        return None

    def _ask(self, request: PassphraseRequest) -> str | None:
        if not self._asking():
            return None
        if request.attempt > 1:
            self._output.warn("That was not it.")
        return getpass(f"Passphrase of your key {clean_line(request.key)[-16:]}: ") or None

    def _asking(self) -> bool:
        return not self._output.json and sys.stdin.isatty() and sys.stderr.isatty()


def keep(request: PassphraseRequest, text: str) -> bool:
    """Keep a passphrase in the system's keyring; tell whether it took it."""
    return _into_keyring(_name(request), text)


def _environment(_request: PassphraseRequest) -> str | None:
    return os.environ.get(PASSPHRASE)


def _name(request: PassphraseRequest) -> str:
    return f"{request.account} {request.key}".strip()


def _from_keyring(name: str) -> str | None:
    import keyring
    from keyring.errors import KeyringError

    try:
        return keyring.get_password(SERVICE, name)
    except (KeyringError, OSError, RuntimeError):
        return None


def _into_keyring(name: str, text: str) -> bool:
    import keyring
    from keyring.errors import KeyringError

    try:
        keyring.set_password(SERVICE, name, text)
        return keyring.get_password(SERVICE, name) == text
    except (KeyringError, OSError, RuntimeError):
        return False
