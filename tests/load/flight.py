"""What was in flight when something died: only that may be repeated, and only without receipts may it be lost."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

SLACK = 1.0
"""A server hands a message on, and answers the ping behind it, within so many seconds of each other."""


class Step(NamedTuple):
    """What a gateway process did with a message; see ``inside/journal.py``."""

    at: float
    generation: int
    what: str


@dataclass(frozen=True, slots=True)
class Death:
    """The end of something, between two moments.

    Arguments:
        kind: ``gateway``, ``xmpp``, ``postfix``, ``client`` or ``database``.
        begin: it still worked.
        end: it was gone.
        generation: of the gateway: which of its processes.
        user: of a client.
        held: of Postfix: the Message-IDs of what it had taken and not finished.
    """

    kind: str
    begin: float
    end: float
    generation: int = 0
    user: str = ""
    held: frozenset[str] = frozenset()


@dataclass(slots=True)
class Flight:
    """The steps of all messages, and all deaths."""

    steps: dict[str, list[Step]] = field(default_factory=lambda: defaultdict(list))
    deaths: list[Death] = field(default_factory=list)

    def read(self, journal: Path) -> None:
        """Add what the processes of a gateway wrote down."""
        if not journal.exists():
            return
        for line in journal.read_text().splitlines():
            at, generation, what, marker = line.split()
            self.steps[marker].append(Step(float(at), int(generation), what))

    def repeats_of_mail(self, marker: str, message_id: str) -> int:
        """Count the deaths that explain one more arrival of a mail each: begun before, and not confirmed then."""
        steps = self.steps.get(marker, ())
        return sum(_mail_in_flight(steps, death, message_id) for death in self.deaths)

    def repeats_of_message(self, marker: str, user: str) -> int:
        """Count the deaths that explain one more arrival of a message each."""
        steps = self.steps.get(marker, ())
        return sum(self._message_in_flight(steps, death, user) for death in self.deaths)

    def lost_with(self, marker: str, user: str) -> str:
        """Tell with whom a message without receipts may be lost: ``xmpp``, ``client`` or nobody.

        The gateway had handed it to the server, and the server had answered the ping behind it, just when the server
        died, or the client that it was written to.
        """
        for death in self.deaths:
            if death.kind == "xmpp" or (death.kind == "client" and death.user == user):
                for sent, proven in self._on_the_way(marker):
                    if sent <= death.end + SLACK and proven >= death.begin - SLACK:
                        return death.kind
        return ""

    # -- inside --------------------------------------------------------------------------------------

    def _message_in_flight(self, steps: Sequence[Step], death: Death, user: str) -> bool:
        if death.kind == "gateway":
            of_process = [step.what for step in steps if step.generation == death.generation]
            return "courier" in of_process and "gone" not in of_process
        if death.kind == "xmpp" or (death.kind == "client" and death.user == user):
            slack = SLACK if death.kind == "client" else 0.0
            return any(
                sent <= death.end + slack and ended >= death.begin for sent, ended in self._unproven(steps)
            )
        return False

    def _unproven(self, steps: Sequence[Step]) -> Iterator[tuple[float, float]]:
        """Give from when to when a message was sent and not proven, in each process."""
        for generation in {step.generation for step in steps}:
            of_process = [step for step in steps if step.generation == generation]
            sent = next((step.at for step in of_process if step.what == "courier"), None)
            if sent is not None:
                proven = next((step.at for step in of_process if step.what == "proven"), None)
                yield sent, self._end_of(generation) if proven is None else proven

    def _on_the_way(self, marker: str) -> Iterator[tuple[float, float]]:
        """Give from when to when a message was with the server, in the process that forgot it."""
        steps = self.steps.get(marker, [])
        for generation in {step.generation for step in steps if step.what == "proven"}:
            of_process = [step for step in steps if step.generation == generation]
            sent = [step.at for step in of_process if step.what == "courier"]
            proven = next(step.at for step in of_process if step.what == "proven")
            if sent:
                yield max(at for at in sent if at <= proven), proven

    def _end_of(self, generation: int) -> float:
        return next(
            (
                death.end
                for death in self.deaths
                if death.generation == generation and death.kind == "gateway"
            ),
            float("inf"),
        )


def _handings(steps: Sequence[Step]) -> Iterator[tuple[float, float]]:
    """Give from when to when a mail was handed to the relay, for each time."""
    begun: Step | None = None
    for step in steps:
        if step.what == "relay":
            if begun is not None:
                yield begun.at, step.at
            begun = step
        elif step.what in {"relayed", "failed"} and begun is not None:
            yield begun.at, step.at
            begun = None
    if begun is not None:
        yield begun.at, float("inf")


def _mail_in_flight(steps: Sequence[Step], death: Death, message_id: str) -> bool:
    if death.kind == "gateway":
        of_process = [step.what for step in steps if step.generation == death.generation]
        return bool(of_process) and of_process[-1] in {"relay", "relayed"}
    if death.kind == "postfix":
        return message_id in death.held or any(
            begun <= death.end and ended >= death.begin for begun, ended in _handings(steps)
        )
    return False
