"""The scene of the chaos: all servers, two kinds of users, a mail user, and traffic both ways."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections import Counter
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Protocol, Self

from gre_core.testing.postfix import PostfixServer
from gre_core.testing.postgres import PostgresServer
from gre_core.testing.prosody import ProsodyServer

from forked_gateway import ForkedGateway  # isort: skip - of tests/load
from ledger import Ledger, user_of  # isort: skip
from letters import GATEWAY, MAIL_DOMAIN, PEER, checksum, mail, read_mail, stanza  # isort: skip
from mail_sender import MailSender, Refused, persist  # isort: skip
from mail_sink import MailSink  # isort: skip
from taps import Tap  # isort: skip
from xmpp_user import XmppUser  # isort: skip

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

USERS = {"juliet": True, "nurse": True, "romeo": False, "friar": False}
"""Whether the client of each gives receipts."""

WINDOW = 8
"""Messages of one user that may wait for an answer."""

UNDER_WAY = 60
"""Mails that have not arrived, beyond which no more are handed over."""

LONGEST = 2.0
"""So long a mail waits for others to arrive before it is handed over, in seconds."""

PATIENCE = 300.0
"""For the last mails to be taken, in seconds."""

FLUSH_EVERY = 3.0
"""Postfix tries all that it holds so often while everything settles, in seconds."""

_TAKEN = re.compile(r"cleanup\[\d+\]: ([0-9A-F]+): message-id=<([^>]*)>")
_DONE = re.compile(r"qmgr\[\d+\]: ([0-9A-F]+): removed")

CONFIG = """
[retry]
first_seconds = 1
longest_seconds = 2
[limits]
messages_per_hour = 1_000_000
recipients_per_hour = 1_000_000
"""


class Server(Protocol):
    """What can be killed."""

    async def kill(self) -> None:
        """End it at once."""

    async def start(self) -> None:
        """Start it again."""


class Aim:
    """Waits for the so-many-th time that something happens, and acts at that very moment."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self._phase = ""
        self._left = 0
        self._act: Callable[[], None] = lambda: None
        self._done = asyncio.Event()

    def reached(self, phase: str) -> None:
        """Something happens now."""
        self.seen[phase] += 1
        if phase == self._phase:
            self._left -= 1
            if self._left == 0:
                self._phase = ""
                self._act()
                self._done.set()

    async def at(self, phase: str, times: int, act: Callable[[], None], patience: float) -> bool:
        """Act when it happens; False when it did not happen in time."""
        self._left, self._act, self._phase = times, act, phase
        self._done.clear()
        try:
            await asyncio.wait_for(self._done.wait(), patience)
        except TimeoutError:
            self._phase = ""
            return False
        return True


class Watched(Ledger):
    """A ledger that tells the aim what happens."""

    def __init__(self, aim: Aim) -> None:
        super().__init__()
        self._aim = aim

    def receipt(self, marker: str) -> None:
        """A receipt came."""
        super().receipt(marker)
        self._aim.reached("receipt came")

    def message(self, user: str, stanza_id: str, marker: str, check: int) -> None:
        """A message came, and is not confirmed yet."""
        super().message(user, stanza_id, marker, check)
        self._aim.reached("message came")
        self._aim.reached(f"message for {user}")
        asyncio.get_running_loop().call_soon(self._aim.reached, "receipt given")

    def accepted(self, marker: str, reply: str) -> None:
        """A mail was acknowledged."""
        super().accepted(marker, reply)
        if "queued as" not in reply:  # those are Postfix's words
            self._aim.reached("mail acknowledged")
            self._aim.reached(f"taken for {user_of(marker)}")


class Scene:
    """All that takes part.

    Arguments:
        folder: for files.
        database: ``sqlite`` or ``postgresql``.
        planted: a bug in the gateway that has to be found, or ``""``.
    """

    gateway: ForkedGateway
    postfix: PostfixServer

    def __init__(self, folder: Path, database: str, planted: str) -> None:
        self.aim = Aim()
        self.ledger = Watched(self.aim)
        self.sink = MailSink(self.ledger.mail)
        self.users: list[XmppUser] = []
        self.servers: dict[str, Any] = {}
        self._folder = folder
        self._database = database
        self._planted = planted
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with self._stack:
            accounts = dict.fromkeys(USERS, "secret")
            xmpp = await self._stack.enter_async_context(
                ProsodyServer(accounts=accounts, components={GATEWAY: "secret-of-gateway"}, offline=True)
            )
            self.servers["xmpp"] = xmpp
            url = None
            if self._database == "postgresql":
                database = await self._stack.enter_async_context(PostgresServer())
                self.servers["database"] = database
                url = database.url
            await self.sink.start()
            self._stack.push_async_callback(self.sink.stop)
            # The tap and Postfix know each other's ports before either of them starts.
            postfix = self.postfix = PostfixServer([MAIL_DOMAIN], relay_port=self.sink.port)
            tap = Tap(
                postfix.submission_port,
                b"queued as",
                lambda: self.aim.reached("relay took it"),
                lambda: self.aim.reached("relay said so"),
            )
            await tap.start()
            self._stack.push_async_callback(tap.stop)
            addresses = {f"{name}@{MAIL_DOMAIN}": f"{name}@{xmpp.domain}" for name in USERS}
            planted = {"GRE_PLANTED": self._planted} if self._planted else {}
            self.gateway = ForkedGateway(
                self._folder,
                xmpp,
                tap.port,
                addresses,
                database=url,
                extra=CONFIG,
                environment=planted,
                journal=True,
            )
            self._stack.push_async_callback(self.gateway.end)
            postfix.lmtp_port = self.gateway.lmtp_port
            self.servers["postfix"] = await self._stack.enter_async_context(postfix)
            for name, receipts in USERS.items():
                user = XmppUser(xmpp, name, self.ledger, receipts=receipts, patience=2.0)
                await user.start()
                self._stack.push_async_callback(user.stop)
                self.users.append(user)
            self._stack = self._stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        await self._stack.aclose()

    def story(self, marker: str) -> str:
        """Tell all that is known of a letter, also by Postfix."""
        told = self.ledger.timeline(marker)
        log = self.postfix.log
        for queue_id in re.findall(r"queued as ([0-9A-F]+)", told):
            lines = [line for line in log.splitlines() if queue_id in line]
            held = "still has it" if queue_id in self.postfix.queued else "has it no more"
            told += f"\n  Postfix {held}:\n    " + "\n    ".join(lines)
        return told

    @property
    def log_tail(self) -> str:
        """The end of the gateway's log."""
        return "\n".join(self.gateway.log.read_text(errors="replace").splitlines()[-40:])

    def unfinished_at_postfix(self) -> frozenset[str]:
        """Give the Message-IDs of mails that Postfix took, and that its log does not call done."""
        names: dict[str, str] = {}
        for line in self.postfix.log.splitlines():
            if found := _TAKEN.search(line):
                names[found[1]] = found[2]
            elif found := _DONE.search(line):
                names.pop(found[1], None)
        return frozenset(names.values())

    async def settle(self, calm: float) -> None:
        """Wait until everything has arrived, or nothing happens for so many seconds; then a little for repeats.

        What is left then is asked for at Postfix: a mail that it still holds is not lost.
        """
        flushing = asyncio.ensure_future(self._keep_flushing())
        try:
            best, since = len(self._unfinished()), time.monotonic()
            while (left := self._unfinished()) and time.monotonic() - since < calm:
                if not any(letter.receipts or letter.direction == "out" for letter in left):
                    # What is left may be lost with the XMPP server; the rest is there, so these would be as well.
                    since -= calm / 60
                if len(left) < best:
                    best, since = len(left), time.monotonic()
                await asyncio.sleep(0.5)
            await asyncio.sleep(3)
        finally:
            flushing.cancel()
            await asyncio.gather(flushing, return_exceptions=True)
        if self._unfinished():
            self.ledger.held = await self._held_by_postfix()

    async def _keep_flushing(self) -> None:
        # A mail that an agent still had locked goes back to the queue of incoming ones, and that is not looked at
        # until another mail comes, or until someone asks for it.
        while True:
            await self.postfix.flush()
            await asyncio.sleep(FLUSH_EVERY)

    async def _held_by_postfix(self) -> set[str]:
        """Give the markers of all mails that Postfix has and has not delivered."""
        held = set()
        for queue_id in self.postfix.queued:
            with contextlib.suppress(ValueError):  # delivered meanwhile, or a report
                held.add(read_mail(await self.postfix.content(queue_id))[0])
        return held

    def _unfinished(self) -> list[Any]:
        return [
            letter
            for letter in self.ledger.letters.values()
            if not letter.refused and (letter.acknowledged is None or not letter.arrivals)
        ]


class Load:
    """Traffic in both directions.

    Arguments:
        scene: where it goes.
        chance: sizes and pauses.
    """

    def __init__(self, scene: Scene, chance: random.Random) -> None:
        self._scene = scene
        self._chance = chance
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to send."""
        for user in self._scene.users:
            self._tasks.append(asyncio.ensure_future(self._outbound(user)))
            lmtp = MailSender(self._scene.gateway.lmtp_port, lmtp=True)
            smtp = MailSender(self._scene.postfix.port, lmtp=False)
            self._tasks.append(asyncio.ensure_future(self._inbound(user.name, lmtp, 0)))
            self._tasks.append(asyncio.ensure_future(self._inbound(user.name, smtp, 1)))

    async def stop(self) -> None:
        """Send no more; what was begun goes on until it is taken."""
        self._stopping = True
        await asyncio.wait_for(asyncio.gather(*self._tasks), PATIENCE)

    async def cancel(self) -> None:
        """End at once."""
        for task in self._tasks:
            task.cancel()
        with contextlib.suppress(Exception):
            await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- inside --------------------------------------------------------------------------------------

    async def _outbound(self, user: XmppUser) -> None:
        ledger, number = self._scene.ledger, 0
        while not self._stopping:
            await user.slot(WINDOW)
            await self._pause()
            number += 1
            marker, size, plain = f"out-{user.name}-{number}", self._size(), self._chance.random() < 0.2
            check = 0 if plain else checksum(marker, size)
            ledger.begin(marker, "out", check, receipts=USERS[user.name])
            user.send(marker, stanza(marker, size, plain=plain))

    async def _inbound(self, user: str, sender: MailSender, number: int) -> None:
        ledger = self._scene.ledger
        while not self._stopping:
            await self._pause()
            # What a client lost that gives no receipts never arrives: it does not keep others back for ever.
            patient = time.monotonic() + LONGEST
            while ledger.open["in"] > UNDER_WAY and not self._stopping and time.monotonic() < patient:
                await asyncio.sleep(0.05)
            number += 2  # those of the two ways alternate
            marker, size, plain = f"in-{user}-{number}", self._size(), self._chance.random() < 0.2
            to = f"{user}@{MAIL_DOMAIN}"
            ledger.begin(marker, "in", 0 if plain else checksum(marker, size), receipts=USERS[user])
            try:
                reply = await persist(sender, PEER, to, mail(marker, size, to, plain=plain))
            except Refused as error:
                ledger.refused(marker, str(error))
            else:
                ledger.accepted(marker, reply)
        sender.close()

    async def _pause(self) -> None:
        await asyncio.sleep(self._chance.expovariate(20))

    def _size(self) -> int:
        return int(self._chance.choice((200, 1000, 4000, 60_000)))
