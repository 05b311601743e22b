"""What Prometheus is shown: counters of the way of each message, and how much waits.

Labels come from small fixed sets: no address, no domain, nothing that a stranger chooses.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Final, Protocol

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from gre_gateway_email.relaying.events import Direction
    from gre_gateway_email.store.records import QueueCount

FRESH_SECONDS: Final = 2.0
"""Counts of the store are read at most so often, however often somebody asks."""

OTHER: Final = "other"
KINDS: Final = frozenset({"encrypted", "plain", "report", "notice", "error"})
CONDITIONS: Final = frozenset(
    {
        "bad-request",
        "conflict",
        "feature-not-implemented",
        "forbidden",
        "gone",
        "internal-server-error",
        "item-not-found",
        "jid-malformed",
        "not-acceptable",
        "not-allowed",
        "not-authorized",
        "policy-violation",
        "recipient-unavailable",
        "redirect",
        "registration-required",
        "remote-server-not-found",
        "remote-server-timeout",
        "resource-constraint",
        "service-unavailable",
        "subscription-required",
        "undefined-condition",
        "unexpected-request",
    }
)
"""The conditions of stanza errors (RFC 6120, section 8.3.3)."""

_STATUS: Final = re.compile(r"[245]\.[0-9]\.[0-9]{1,2}")
_BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 43200, 432000)


class Counted(Protocol):
    """What the metrics ask the store for."""

    async def counts(self) -> tuple[QueueCount, QueueCount]:
        """Give how much waits: outbound, inbound."""
        ...


class Metrics:
    """All metrics of one gateway; also the :class:`~gre_gateway_email.relaying.events.Events` of the relaying.

    Arguments:
        version: of the gateway.
        now: seconds since 1970.
        processes: show memory, file descriptors and processor time of this process too.
    """

    def __init__(self, version: str, now: Callable[[], float] = time.time, *, processes: bool = True) -> None:
        self.registry = registry = CollectorRegistry()
        if processes:
            ProcessCollector(registry=registry)
            PlatformCollector(registry=registry)
            GCCollector(registry=registry)
        self._now = now
        self._read_at = float("-inf")
        way = ["direction"]
        self._waiting = Gauge(
            "gre_email_queue_messages",
            "Messages: to be brought on (waiting), kept until they are fetched (held), given up (dead).",
            [*way, "state"],
            registry=registry,
        )
        self._bytes = Gauge("gre_email_queue_bytes", "Bytes of waiting messages.", way, registry=registry)
        self._oldest = Gauge(
            "gre_email_queue_oldest_seconds", "Age of the oldest waiting message.", way, registry=registry
        )
        self._taken = Counter(
            "gre_email_taken",
            "Messages that were stored to be brought on.",
            [*way, "kind"],
            registry=registry,
        )
        self._size = Counter("gre_email_taken_bytes", "Bytes of these messages.", way, registry=registry)
        self._taken_by: dict[tuple[str, str], tuple[Counter, Counter]] = {}
        self._repeated = Counter(
            "gre_email_repeated", "Messages that came again and were dropped.", way, registry=registry
        )
        self._refused = Counter(
            "gre_email_refused",
            "Messages that were refused: out with a stanza error, in within the SMTP dialogue.",
            [*way, "reason"],
            registry=registry,
        )
        self._retried = Counter(
            "gre_email_retried", "Tries that failed and are repeated.", way, registry=registry
        )
        self._dead = Counter("gre_email_dead", "Messages that were given up.", way, registry=registry)
        self._relayed = Histogram(
            "gre_email_relay_seconds",
            "From a user's stanza to the answer of the relay.",
            buckets=_BUCKETS,
            registry=registry,
        )
        self._delivered = Histogram(
            "gre_email_delivery_seconds",
            "From a received mail to the receipt of the user's client.",
            buckets=_BUCKETS,
            registry=registry,
        )
        self._connected = Gauge(
            "gre_email_connected", "1 while the XMPP server accepts the gateway.", registry=registry
        )
        self._listening = Gauge(
            "gre_email_listening", "1 while the mail server can deliver mail.", registry=registry
        )
        self._users = Gauge("gre_email_users", "Registered users.", registry=registry)
        Gauge("gre_email_info", "Version of the gateway.", ["version"], registry=registry).labels(
            version
        ).set(1)
        self._show_all()

    # -- told by the relaying ------------------------------------------------------------------------

    def taken(self, direction: Direction, kind: str, size: int) -> None:
        """Count a stored message."""
        key = direction, kind if kind in KINDS else OTHER
        if key not in self._taken_by:  # each look into the registry takes a lock
            self._taken_by[key] = self._taken.labels(*key), self._size.labels(direction)
        taken, taken_bytes = self._taken_by[key]
        taken.inc()
        taken_bytes.inc(max(0, size))

    def repeated(self, direction: Direction) -> None:
        """Count a repeated message."""
        self._repeated.labels(direction).inc()

    def refused(self, direction: Direction, reason: str) -> None:
        """Count a refused message."""
        known = reason in CONDITIONS or _STATUS.fullmatch(reason) is not None
        self._refused.labels(direction, reason if known else OTHER).inc()

    def relayed(self, seconds: float) -> None:
        """Count a mail that the relay took. A clock that was set back counts as no time."""
        self._relayed.observe(max(0.0, seconds))

    def delivered(self, seconds: float) -> None:
        """Count a message that a user has."""
        self._delivered.observe(max(0.0, seconds))

    def retried(self, direction: Direction) -> None:
        """Count a failed try."""
        self._retried.labels(direction).inc()

    def dead(self, direction: Direction) -> None:
        """Count a message that was given up."""
        self._dead.labels(direction).inc()

    # -- told by the program -------------------------------------------------------------------------

    def connected(self, *, yes: bool) -> None:
        """Note whether the XMPP server accepts the gateway."""
        self._connected.set(yes)

    def listening(self, *, yes: bool) -> None:
        """Note whether the listener for mail is open."""
        self._listening.set(yes)

    async def text(self, store: Counted, users: int) -> bytes:
        """Give all metrics in the text format of Prometheus.

        Arguments:
            store: asked how much waits, at most every :data:`FRESH_SECONDS`.
            users: how many are registered.

        Raises:
            StoreError: the store cannot tell.
        """
        self._users.set(users)
        if not 0 <= self._now() - self._read_at < FRESH_SECONDS:
            outbound, inbound = await store.counts()
            self._read_at = self._now()
            self._note("out", outbound)
            self._note("in", inbound)
        return generate_latest(self.registry)

    def _note(self, direction: Direction, count: QueueCount) -> None:
        self._waiting.labels(direction, "waiting").set(count.waiting)
        self._waiting.labels(direction, "held").set(count.held)
        self._waiting.labels(direction, "dead").set(count.dead)
        self._bytes.labels(direction).set(count.size)
        age = 0.0 if count.oldest_at is None else max(0.0, self._now() - count.oldest_at)
        self._oldest.labels(direction).set(age)

    def _show_all(self) -> None:
        """Show counters from the start, so that the first event is seen as a change."""
        for direction in ("out", "in"):
            for counter in (self._size, self._repeated, self._retried, self._dead, self._oldest, self._bytes):
                counter.labels(direction)
            for state in ("waiting", "held", "dead"):
                self._waiting.labels(direction, state)
            for kind in ("encrypted", "plain"):
                self._taken.labels(direction, kind)
