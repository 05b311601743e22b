"""Catches up from the message archive of the account after this device was away (XEP-0313).

slixmpp's own plugin takes results from anybody, and as many as come; so the query is written here.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from gre_core.archive import MAM, STANZA_ID, Archived, Place, build_query, is_last_page, read_result
from gre_core.client import Received, Sent, Unopened
from gre_core.errors import GreError, PeerError, PeerTimeout
from gre_core.handled import Mark
from gre_core.log import get_logger
from gre_core.model import Direction, Notice
from gre_core.slixmpp.ports import new_id
from gre_core.slixmpp.work import weight

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from gre_core.client import ClientEngine
    from gre_core.slixmpp.stream import Stream

DEFAULT_PERIOD: Final = timedelta(days=7)
"""How far back a device looks that never looked before."""

PAGE: Final = 50
"""Messages in one page."""

MAX_MESSAGES: Final = 5000
"""Messages that are read in one session; the next one goes on."""

MAX_PAGE_BYTES: Final = 32 * 1024 * 1024
"""Memory of one page. What is beyond it is asked for again."""

MAX_RECEIPTS: Final = 50
"""Receipts for archived messages in one session (XEP-0184): the gateway repeats what it still wants confirmed."""

Deliver = Callable[[Received | Unopened | Sent], Awaitable[bool]]
_log = get_logger(__name__)


class CatchUp:
    """Reads the archive of the account at the start of a session, oldest first, behind what was handled.

    Arguments:
        stream: the stream.
        engine: opens the messages, and remembers what was handled.
        first: how far back a device looks that never looked before.
        deliver: gives a result to the host; False when the host failed.

    Attributes:
        stopped: the host wants nothing more in this session; the next one goes on.
        trusted_ids: the server removes ids that others made up, so that those of live messages count (XEP-0359).
    """

    def __init__(self, stream: Stream, engine: ClientEngine, first: timedelta, deliver: Deliver) -> None:
        self.stopped: bool = False
        self.trusted_ids: bool = False
        self._stream = stream
        self._engine = engine
        self._first = first
        self._deliver = deliver
        self._query = ""
        self._page: list[Archived] = []
        self._bytes = 0
        self._receipts = 0

    def take(self, message: Element) -> bool:
        """Keep a message that brings a result of our query. False: it is something else."""
        if not self._query:
            return False
        found = read_result(message, self._engine.account, self._query)
        if found is None:
            return False
        self._bytes += weight(message)
        # The first one is always taken, or a large message would hold up all that follow it.
        if not self._page or (len(self._page) < PAGE and self._bytes <= MAX_PAGE_BYTES):
            self._page.append(found)
        return True

    async def run(self) -> tuple[Notice, ...]:
        """Read to the end, and give what is new to the host. What it returns is shown to the user.

        Raises:
            StoreError: the store failed.
        """
        try:
            info = await self._engine.network.disco_info(self._engine.account)
            self.trusted_ids = STANZA_ID in info.features
            if MAM not in info.features:
                return ()
            return await self._read()
        except PeerTimeout:
            _log.info("archive-not-read")
            return ()  # the next session, or its resumption, begins again
        except PeerError as error:
            _log.warning("archive-not-read", condition=error.condition)
            text = "Messages that came while this device was away may be missing: the server's archive answered: "
            return (Notice("archive-failed", text + error.text),)
        finally:
            self._query = ""
            self._page = []

    async def _read(self) -> tuple[Notice, ...]:
        handled = self._engine.handled
        began = self._engine.ports.now()
        place = await handled.place(began - self._first)
        self._receipts = total = 0
        open_before = False
        while True:
            try:
                page, last = await self._ask(place)
            except PeerError as error:
                if error.condition != "item-not-found" or place.after is None:
                    raise
                page, last = [], True
            if not page and last and place.after is not None and not total:
                # Nothing new, or the archive forgot that message, or does not even say so: go by the time.
                place = Place(None, place.start)
                continue
            await self._engine.acquaint(archived.stanza.get("from", "") for archived in page)
            for archived in page:
                if self.stopped:
                    return ()
                open_before = not await self._one(archived, move=not open_before) or open_before
            if page and not open_before:
                await handled.passed(page[-1].id, page[-1].stamp)
            total += len(page)
            if last:
                break
            if total >= MAX_MESSAGES:
                text = (
                    f"More than {total:,} messages wait in the archive. The rest comes with the next session."
                )
                return (Notice("archive-cut", text, {"count": str(total)}),)
            place = Place(page[-1].id, place.start)
        if not open_before:
            await handled.caught_up(began)
        _log.info("caught-up", count=total)
        return ()

    async def _ask(self, place: Place) -> tuple[list[Archived], bool]:
        """Give one page, and whether it is the last one."""
        self._query, self._page, self._bytes = secrets.token_hex(16), [], 0
        fin = await self._stream.iq(None, "set", build_query(self._query, place, PAGE))
        page, self._query = self._page, ""
        cut = self._bytes > MAX_PAGE_BYTES and len(page) > 0
        return page, not page or (is_last_page(fin) and not cut) or page[-1].id == place.after

    async def _one(self, archived: Archived, *, move: bool) -> bool:
        """Handle one message. False when the host failed on it: then it is open, and the place stays before it."""
        handled = self._engine.handled
        result = await self._engine.handle_archived(archived)
        if result is not None and not await self._deliver(result):
            if self.stopped or not await handled.failed(archived.id):
                return False
            _log.error("archived-message-passed-over")
            await handled.add(Mark(Direction.RECEIVED, "", None, archived.id), archived.stamp, move=move)
        elif isinstance(result, Received | Unopened):
            # What could not be opened may come again, with the key for it.
            known = result.id if isinstance(result, Received) else None
            mark = Mark(result.direction, result.peer, known, archived.id)
            await handled.add(mark, archived.stamp, move=move)
            self._confirm(archived, result)
        return True

    def _confirm(self, archived: Archived, result: Received | Unopened) -> None:
        if result.direction is not Direction.RECEIVED or self._receipts == MAX_RECEIPTS:
            return
        receipt = self._engine.receipt(archived.stanza)
        if receipt is not None:
            self._receipts += 1
            receipt.set("id", new_id())
            try:
                self._stream.put(receipt, wait=True)
            except GreError as error:
                _log.error("receipt-not-sent", code=error.code)
