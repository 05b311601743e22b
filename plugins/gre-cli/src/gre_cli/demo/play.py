"""The play in three acts: Juliet sends, Romeo reads and answers, Juliet reads."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, cast

from gre_cli.demo.stage import JULIET, READY_SECONDS, ROMEO_JID, STEP_SECONDS, Letter
from gre_core.errors import GreError
from gre_core.model import Attachment, Message

if TYPE_CHECKING:
    from pathlib import Path

    from gre_cli.demo.stage import Stage
    from gre_core.client import Explanation, Received, Sent, Unopened
    from gre_core.model import Notice, Question
    from gre_core.slixmpp import Client
    from gre_core.testing.server import XmppServer

SEQUOIA: Final = "gre-encrypter-openpgp"
PGPY: Final = "gre-encrypter-openpgp-pgpy"

_FORGET_SECONDS: Final = 5.0


class PlayFailed(GreError):
    """A step of the demo did not happen."""

    code = "demo-step"


@dataclass(slots=True)
class Outcome:
    """What happened.

    Arguments:
        letter: what Juliet sent.
        answer: what Romeo answered.
        key: what Romeo's program said about his key.
        read: what it read.
        answered: what it said about the answer.
        sent: the final state of Juliet's message.
        explanation: the negotiated pair with its reason.
        received: what Juliet received.
        left: how many messages the gateway still kept at the end; -1 when that was not looked at.
        juliet_key: the fingerprint of her key.
        questions: what she was asked.
        notices: what she was told.
        timings: milliseconds by step.
    """

    letter: Letter
    answer: Letter
    key: dict[str, object] = field(default_factory=dict)
    read: dict[str, object] = field(default_factory=dict)
    answered: dict[str, object] = field(default_factory=dict)
    sent: Sent | None = None
    explanation: Explanation | None = None
    received: Received | None = None
    left: int = -1
    juliet_key: str = ""
    questions: list[Question] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)


async def play(stage: Stage, letter: Letter, answer: Letter, started: float) -> Outcome:
    """Play it on a stage.

    Arguments:
        stage: with everything started.
        letter: what Juliet sends.
        answer: what Romeo's program was told to answer.
        started: ``time.monotonic()`` when the demo began.

    Raises:
        GreError: a step failed; the text says which and why.
    """
    outcome = Outcome(letter, answer)
    client, received = await _juliet(stage, outcome)
    outcome.key = await stage.mail_user_says("key")
    await stage.gateway_ready()
    clock = _Clock(outcome.timings, started)
    clock.mark("start")

    picture = Attachment.from_bytes(letter.file_name, "image/png", letter.file)
    sent = await client.send(
        ROMEO_JID, Message(text=letter.text, subject=letter.subject, attachments=(picture,))
    )
    clock.mark("make a key, negotiate, seal")
    try:
        outcome.sent = await client.settled(sent, STEP_SECONDS)
    except TimeoutError:
        raise PlayFailed("Neither a receipt nor an error came back for Juliet's message.") from None
    clock.mark("relayed, receipt")
    outcome.explanation = await client.engine.explain(ROMEO_JID)
    if outcome.sent.state != "relayed":
        raise PlayFailed(f"Juliet's message was {outcome.sent.state}: {outcome.sent.error}")

    outcome.read = await stage.mail_user_says("read")
    clock.mark("Romeo opens it")
    outcome.answered = await stage.mail_user_says("answered")
    try:
        result = await asyncio.wait_for(received, STEP_SECONDS)
    except TimeoutError:
        raise PlayFailed("Romeo's answer did not reach Juliet.") from None
    if isinstance(result, GreError):
        raise PlayFailed(f"Juliet could not open the answer: {result.text}")
    clock.mark("Romeo answers, Juliet opens it")
    outcome.received = result
    outcome.left = await _emptied(stage.root / "state" / "gateway.db")
    outcome.juliet_key = (await client.engine.ports.store.get("openpgp/own/active") or b"").decode()
    return outcome


async def _emptied(database: Path) -> int:
    """Wait until the gateway has the receipt of Juliet's client and lets go of the answer; at most five seconds.

    Result:
        How many messages the gateway still keeps.
    """
    end = time.monotonic() + _FORGET_SECONDS
    while (left := _kept(database)) and time.monotonic() < end:
        await asyncio.sleep(0.01)
    return left


def _kept(database: Path) -> int:
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        counts = (connection.execute(f"SELECT count(*) FROM {table}") for table in ("inbox", "outbox"))  # noqa: S608
        return sum(int(count.fetchone()[0]) for count in counts)


class _Clock:
    def __init__(self, timings: dict[str, float], started: float) -> None:
        self._timings = timings
        self._last = started

    def mark(self, step: str) -> None:
        now = time.monotonic()
        self._timings[step] = round((now - self._last) * 1000, 1)
        self._last = now


def providers() -> dict[str, str]:
    """Name the packages of the demo for what several may provide. PGPy plays where Sequoia is not installed."""
    openpgp = SEQUOIA if find_spec(SEQUOIA.replace("-", "_")) is not None else PGPY
    return {
        "urn:xmpp:gre:formatter:mime:0": "gre-formatter-mime",
        "urn:xmpp:gre:encrypter:openpgp:0": openpgp,
    }


async def _juliet(stage: Stage, outcome: Outcome) -> tuple[Client, asyncio.Future[Received | GreError]]:
    """Bring Juliet's client online; give it and what will hold the answer."""
    from gre_core.registry import Plugins
    from gre_core.slixmpp import attach_client
    from gre_core.stores import FileStore
    from gre_core.testing.slix import make_client, offline, online

    answer: asyncio.Future[Received | GreError] = asyncio.get_running_loop().create_future()

    async def decide(question: Question) -> bool:
        outcome.questions.append(question)
        return question.code == "confirm-sender-id" and question.after == JULIET

    def opened(received: Received) -> None:
        if not answer.done():
            answer.set_result(received)

    def unopened(failed: Unopened) -> None:
        if not answer.done():
            answer.set_result(failed.error)

    xmpp = make_client(cast("XmppServer", stage.address), JULIET.partition("@")[0], "demo")
    # Its own, whatever else is installed: the demo shows what these packages do.
    plugins = Plugins.discover(prefer=providers())
    store = FileStore(stage.root / "juliet")
    client = attach_client(xmpp, plugins, store=store, decide=decide, reconnect=False)
    client.on_received(opened)
    client.on_unopened(unopened)
    client.on_notice(outcome.notices.append)
    stage.at_end(lambda: offline(xmpp))
    await online(xmpp, READY_SECONDS)
    xmpp.send_presence()
    await asyncio.wait_for(client.ready.wait(), READY_SECONDS)
    return client, answer
