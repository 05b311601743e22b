"""Keeps a record of every message of a run, and judges it at the end: nothing acknowledged may be lost."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

from flight import Flight
from letters import read_mail


@dataclass(slots=True)
class Letter:
    """One message on its way, in either direction; times are those of ``time.monotonic``.

    Arguments:
        direction: ``out`` (from a user to mail) or ``in`` (from mail to a user).
        check: checksum of its content; 0 for text.
        receipts: whether the user's client gives receipts.
    """

    direction: str
    check: int
    receipts: bool
    begun: float = field(default_factory=time.monotonic)
    acknowledged: float | None = None
    refused: str = ""
    arrivals: list[tuple[float, str]] = field(default_factory=list)
    notes: list[tuple[float, str]] = field(default_factory=list)


@dataclass(slots=True)
class Verdict:
    """What a run has shown; the lists hold markers."""

    outbound: int = 0
    inbound: int = 0
    acknowledged: int = 0
    refused: int = 0
    lost: list[str] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    lost_with_server: list[str] = field(default_factory=list)
    lost_with_client: list[str] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)
    unaccepted: list[str] = field(default_factory=list)
    spoiled: list[str] = field(default_factory=list)
    repeated: Counter[str] = field(default_factory=Counter)
    renamed: list[str] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)

    @property
    def proven(self) -> bool:
        """Whether the promises were kept."""
        return not (
            self.lost or self.held or self.unanswered or self.unaccepted or self.spoiled or self.renamed or self.unexplained
            or self.strange
        )  # fmt: skip


class Ledger:
    """All letters of a run. It is the watcher of the users (see :class:`xmpp_user.Watcher`) and of the sink."""

    def __init__(self) -> None:
        self.letters: dict[str, Letter] = {}
        self.disasters: list[tuple[float, str]] = []
        self.strange: list[str] = []
        self.open: Counter[str] = Counter()
        """Letters of each direction that are not finished: not answered, or not arrived at the user."""
        self.last_progress = time.monotonic()
        self.held: set[str] = set()
        """Letters that a mail server had taken at the end, and not delivered: they are late, and not lost."""
        self.flight = Flight()
        """What was under way when something died."""

    # -- what is done --------------------------------------------------------------------------------

    def begin(self, marker: str, direction: str, check: int, *, receipts: bool) -> None:
        """Note that a letter is about to be handed over."""
        self.letters[marker] = Letter(direction, check, receipts)
        self.open[direction] += 1

    def accepted(self, marker: str, reply: str) -> None:
        """Note that a mail was acknowledged by the mail server or the gateway."""
        letter = self.letters[marker]
        letter.notes.append((time.monotonic(), f"accepted: {reply}"))
        if letter.acknowledged is None:
            letter.acknowledged = time.monotonic()

    def refused(self, marker: str, reason: str) -> None:
        """Note that a letter was refused for good."""
        letter = self.letters[marker]
        if not letter.refused and letter.acknowledged is None:
            self._finished(letter)
        letter.refused = reason

    def disaster(self, what: str) -> None:
        """Note that something was killed, or started again."""
        self.disasters.append((time.monotonic(), what))

    # -- what is seen --------------------------------------------------------------------------------

    def receipt(self, marker: str) -> None:
        """A receipt came for a message that a user sent."""
        letter = self.letters.get(marker)
        if letter is None:
            self.strange.append(f"a receipt for {marker}, which nobody sent")
            return
        letter.notes.append((time.monotonic(), "receipt"))
        if letter.acknowledged is None:
            letter.acknowledged = time.monotonic()
            if not letter.refused:
                self._finished(letter)

    def error(self, marker: str, condition: str, text: str, *, final: bool) -> None:
        """An error came for a message that a user sent."""
        if marker not in self.letters:
            return
        self.letters[marker].notes.append((time.monotonic(), f"error {condition} ({text}), final: {final}"))
        if final:
            self.refused(marker, f"{condition}: {text}")

    def message(self, user: str, stanza_id: str, marker: str, check: int) -> None:
        """A message came to a user."""
        letter = self._arrived(marker, stanza_id, check)
        if letter is not None and letter.direction == "in" and user_of(marker) != user:
            self.strange.append(f"{marker} came to {user}")

    def mail(self, content: bytes) -> None:
        """A mail came to its recipient's mail server."""
        try:
            marker, check, message_id = read_mail(content)
        except ValueError:
            self.strange.append(f"a mail without a marker: {content[:500]!r}")
            return
        if marker.startswith("in-"):
            self.letters[marker].notes.append((time.monotonic(), "bounced"))
            self.strange.append(f"{marker} was sent back")
            return
        self._arrived(marker, message_id, check)

    def _arrived(self, marker: str, name: str, check: int) -> Letter | None:
        letter = self.letters.get(marker)
        if letter is None:
            self.strange.append(f"{marker} arrived, which nobody sent")
            return None
        if check != letter.check:
            letter.notes.append((time.monotonic(), "arrived spoiled"))
            self.strange.append(f"{marker} arrived with another content")
        letter.arrivals.append((time.monotonic(), name))
        if len(letter.arrivals) == 1 and letter.direction == "in":
            self._finished(letter)
        return letter

    def _finished(self, letter: Letter) -> None:
        self.open[letter.direction] -= 1
        self.last_progress = time.monotonic()

    # -- the judgement -------------------------------------------------------------------------------

    def judge(self) -> Verdict:
        """Compare what was promised with what arrived."""
        verdict = Verdict(strange=list(self.strange))
        for marker, letter in self.letters.items():
            outbound = letter.direction == "out"
            verdict.outbound += outbound
            verdict.inbound += not outbound
            verdict.acknowledged += letter.acknowledged is not None
            verdict.refused += bool(letter.refused)
            if letter.acknowledged is not None and not letter.arrivals:
                self._missing(verdict, marker, letter)
            elif letter.acknowledged is None and not letter.refused:
                (verdict.unanswered if outbound else verdict.unaccepted).append(marker)
            if len(letter.arrivals) > 1:
                further = len(letter.arrivals) - 1
                verdict.repeated[letter.direction] += further
                if len({name for _, name in letter.arrivals}) > 1:
                    verdict.renamed.append(marker)
                if further > self._explained(marker, letter):
                    verdict.unexplained.append(marker)
        return verdict

    def _explained(self, marker: str, letter: Letter) -> int:
        if letter.direction == "out":
            return self.flight.repeats_of_mail(marker, letter.arrivals[0][1])
        return self.flight.repeats_of_message(marker, user_of(marker))

    def _missing(self, verdict: Verdict, marker: str, letter: Letter) -> None:
        with_whom = ""
        if letter.direction == "in" and not letter.receipts:
            with_whom = self.flight.lost_with(marker, user_of(marker))
        if marker in self.held:
            verdict.held.append(marker)
        elif with_whom == "xmpp":
            verdict.lost_with_server.append(marker)
        elif with_whom == "client":
            verdict.lost_with_client.append(marker)
        else:
            verdict.lost.append(marker)

    def timeline(self, marker: str, around: float = 3.0) -> str:
        """Tell all that is known of a letter, with the disasters of its time."""
        letter = self.letters[marker]
        events = [(letter.begun, f"begun, {letter.direction}, receipts: {letter.receipts}")]
        events += letter.notes
        events += [(moment, f"arrived as {name}") for moment, name in letter.arrivals]
        events += [
            (step.at, f"gateway {step.generation}: {step.what}") for step in self.flight.steps.get(marker, ())
        ]
        end = max(moment for moment, _ in events) + around
        events += [
            (moment, what) for moment, what in self.disasters if letter.begun - around <= moment <= end
        ]
        lines = (f"  {moment - letter.begun:+9.3f} s  {what}" for moment, what in sorted(events))
        return "\n".join((f"{marker}:", *lines))


def user_of(marker: str) -> str:
    """Give the user of a letter; the name stands in its marker."""
    return marker.split("-")[1]
