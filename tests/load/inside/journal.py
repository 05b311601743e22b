"""Writes down what the gateway does with each message, and lets it die at a commit: within the gateway process.

A line for each step, in one file for all processes of a run: time (``time.monotonic``, the same clock in all processes of
a machine), number of the process, step, marker. What is written outlives the process.

===========  ====================================================================
``relay``    a mail is handed to the relay
``relayed``  the relay took it
``failed``   it did not, or it is not known whether it did
``sent``     the outbox has forgotten it: committed
``courier``  a message is handed to the stream
``proven``   there is a proof that it arrived, a receipt or a ping
``gone``     the inbox has forgotten it: committed
===========  ====================================================================
"""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import sqlite3.dbapi2
import sys
import threading
import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.append(str(Path(__file__).parents[1]))

from letters import read_mail

if TYPE_CHECKING:
    from collections.abc import Callable

_MARKER = re.compile(r"[a-z]+-[a-z0-9]+-\d+")
_GENERATION = os.environ.get("GRE_GENERATION", "0")


class Journal:
    """The file.

    Arguments:
        path: of the file; it is appended to.
    """

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._markers: dict[str, str] = {}

    def note(self, step: str, marker: str) -> None:
        """Write a line."""
        os.write(self._file, f"{time.monotonic():.6f} {_GENERATION} {step} {marker}\n".encode())

    def watch(self) -> None:
        """Begin to write down what happens."""
        from gre_gateway_email.mail.relay import Relay
        from gre_gateway_email.store.inbox import SqlInbox
        from gre_gateway_email.store.outbox import SqlOutbox
        from gre_gateway_email.xmpp.courier import XmppCourier

        for kind, name, tap in (
            (Relay, "send", self._relay),
            (SqlOutbox, "sent", self._sent),
            (SqlInbox, "arrived", self._arrived),
            (XmppCourier, "send", self._courier),
        ):
            setattr(kind, name, _wrapped(getattr(kind, name), tap))

    async def _relay(self, call: Any, mail: Any) -> Any:
        marker = _marker_of_mail(mail)
        self.note("relay", marker)
        try:
            result = await call()
        except BaseException:
            self.note("failed", marker)
            raise
        self.note("relayed", marker)
        return result

    async def _sent(self, call: Any, mail: Any) -> Any:
        result = await call()
        self.note("sent", mail.stanza_id or "-")
        return result

    async def _courier(self, call: Any, message: Any) -> Any:
        found = _MARKER.search(message.message_id or "")
        marker = self._markers[message.id] = found[0] if found else "-"
        self.note("courier", marker)
        return await call()

    async def _arrived(self, call: Any, ids: Any) -> Any:
        markers = [self._markers.get(each, "-") for each in ids]
        for marker in markers:
            self.note("proven", marker)
        result = await call()
        for marker in markers:
            self.note("gone", marker)
        return result


def _wrapped(method: Any, tap: Any) -> Any:
    async def wrapped(self: Any, *arguments: Any, **named: Any) -> Any:
        # Relay.send has the mail as its third argument, the others have one argument that matters.
        what = arguments[2] if len(arguments) > 2 else arguments[0]
        return await tap(lambda: method(self, *arguments, **named), what)

    return wrapped


def _marker_of_mail(mail: bytes) -> str:
    try:
        return read_mail(mail)[0]
    except ValueError:
        return "-"


class Trap:
    """Ends the process at a commit, when it is told to by SIGUSR2 and a file.

    Arguments:
        path: of the file: ``{"where": "before" | "within" | "after", "times": 3, "delay": 0.002}``.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._where = ""
        self._left = 0
        self._delay = 0.0

    def set_up(self) -> None:
        """Watch all commits of this process."""
        signal.signal(signal.SIGUSR2, self._arm)
        self._watch_postgresql()

        trap, connect = self, sqlite3.connect

        class Connection(sqlite3.Connection):
            """The driver's own, which cannot be changed itself."""

            def commit(self) -> None:
                trap._around(super().commit)

        def connect_(*arguments: Any, **named: Any) -> Any:
            return connect(*arguments, **{"factory": Connection, **named})

        sqlite3.connect = sqlite3.dbapi2.connect = connect_

    def _watch_postgresql(self) -> None:
        connections: Any = import_module("asyncpg").Connection  # is not typed
        execute, trap = connections.execute, self

        async def execute_(connection: Any, query: str, *arguments: Any, **named: Any) -> str:
            here = query == "COMMIT" and trap._before()
            status: str = await execute(connection, query, *arguments, **named)
            if here:
                _die()
            return status

        connections.execute = execute_

    def _around(self, commit: Callable[[], None]) -> None:
        here = self._before()
        commit()
        if here:
            _die()

    def _before(self) -> bool:
        """Die now, or soon; tell whether to die after the commit."""
        here = self._is_here()
        if here and self._where == "before":
            _die()
        if here and self._where == "within":
            threading.Timer(self._delay, _die).start()
        return here

    def _arm(self, *_arguments: object) -> None:
        wish = json.loads(self._path.read_text())
        self._where, self._delay, self._left = wish["where"], wish["delay"], wish["times"]

    def _is_here(self) -> bool:
        if not self._where:
            return False
        self._left -= 1
        return self._left <= 0


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
