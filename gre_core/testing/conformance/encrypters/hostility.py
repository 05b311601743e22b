"""What a hostile peer may do to an encrypter."""

from __future__ import annotations

import base64
import random
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element

from hypothesis import strategies as st

from gre_core.model import Body, Opened, Signature
from gre_core.testing.conformance import strategies
from gre_core.testing.conformance.bounding import bounded, hostile
from gre_core.testing.conformance.calling import drive
from gre_core.testing.conformance.damaging import rubbish, truncated
from gre_core.testing.conformance.encrypters.base import EncrypterSuite
from gre_core.testing.conformance.encrypters.bodies import cut_between_chunks, damaged
from gre_core.testing.conformance.encrypters.pieces import pieces, without_some
from gre_core.testing.conformance.rules import demand

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from gre_core.testing.conformance.encrypters.pieces import Piece

_LEGAL: Final = st.text(
    st.characters(exclude_categories=["Cc", "Cs", "Cn"]) | st.sampled_from("\t\n"), max_size=200
)


_LARGE: Final = 200_000
_MOST: Final = 3
_NOT_MUCH: Final = 8
"""How many pieces of a body are looked into, and how much smaller they may be than the largest one."""


class Hostility(EncrypterSuite):
    """Damage is noticed, only our own errors come out, in bounded time and memory."""

    def test_damage_is_noticed(self) -> None:
        people = self.people()
        for sender in ("romeo", "nurse"):
            payload = f"from {sender}".encode()
            body = self.seal(people, sender, "juliet", payload=payload)
            job = people.open_job("juliet", "romeo")
            before = self.try_open(people["juliet"], body, job)
            was_good = isinstance(before, Opened) and before.verdict.signature is Signature.GOOD
            for doing, bad in damaged(body, 5 * self.examples):
                opened = self.try_open(people["juliet"], bad, job, doing)
                if isinstance(opened, Opened):
                    found = f"{doing}: it opened as another plaintext"
                    demand(opened.payload == payload, "damage-detected", found)
                    better = opened.verdict.signature is Signature.GOOD and not was_good
                    demand(not better, "damage-detected", f"{doing}: the verdict became good")

    def test_a_large_message_is_whole_or_refused(self) -> None:
        people, payload = self.people(), random.Random(1).randbytes(_LARGE)  # it cannot be compressed
        job = people.open_job("juliet", "romeo")

        @cache
        def sealed(size: int) -> Mapping[str, Piece]:
            body = self.seal(people, "romeo", "juliet", payload=payload[:size])
            return {piece.name: piece for piece in pieces(body)}

        body = self.seal(people, "romeo", "juliet", payload=payload)
        damages = [*without_some(body)]
        for piece in _largest(pieces(body)):
            here, raw = piece.name, piece.raw

            def length(size: int, here: str = here) -> int:
                return len(sealed(size)[here].raw) if here in sealed(size) else 0

            cuts = [*cut_between_chunks(raw, length), *truncated(raw, self.examples)]
            damages += [(f"{here}: {doing}", piece.put(data)) for doing, data in cuts]
        for doing, bad in damages:
            opened = self.try_open(people["juliet"], bad, job, doing)
            found = f"{doing}: a message of {len(payload)} bytes opened as another"
            whole = not isinstance(opened, Opened) or opened.payload == payload
            demand(whole, "damage-detected", found)

    def test_rubbish_raises_our_own_errors_only(self) -> None:
        people = self.people()
        job = people.open_job("juliet", "romeo")
        sealed = self.seal(people, "romeo", "juliet")
        bodies = [Body(data.decode("latin-1")) for _, data in rubbish() if b"\0" not in data]
        bodies += [Body(base64.b64encode(data).decode()) for _, data in rubbish()]
        bodies += [
            Body(children=(Element("{urn:example:unknown}a"),)),
            Body("a", (Element("a"), Element("b"))),
        ]
        for body in bodies:
            result = self.try_open(people["juliet"], body, job, f"{body.text[:20]!r}")
            demand(not isinstance(result, Opened), "damage-detected", f"{body.text[:20]!r} opened")
        for piece in _largest(pieces(sealed)):
            for name, data in rubbish():
                doing = f"{piece.name}: {name}"
                opened = self.try_open(people["juliet"], piece.put(data), job, doing)
                same = not isinstance(opened, Opened) or opened.payload == b"Wherefore"
                demand(same, "damage-detected", f"{doing} opened as another plaintext")

    def test_random_bodies_raise_our_own_errors_only(self) -> None:
        people = self.people()
        job = people.open_job("juliet", "romeo")

        def check(text: str) -> None:
            self.try_open(people["juliet"], Body(text), job, f"{text[:40]!r}")

        encoded = st.binary(max_size=200).map(lambda data: base64.b64encode(data).decode())
        strategies.explore(_LEGAL | encoded, self.examples, check)

    def test_hostile_bodies_take_bounded_time_and_memory(self) -> None:
        people = self.people()
        juliet, job = people["juliet"], people.open_job("juliet", "romeo")
        valid = self.seal(people, "romeo", "juliet")
        # The bodies go by number: a body is no bytes. Only those that take long are made of half the bytes as well.
        bodies: list[Body] = []
        halves: list[Callable[[], Body]] = []
        names: list[str] = []

        def add(name: str, data: bytes, put: Callable[[bytes], Body]) -> None:
            names.append(name)
            bodies.append(put(data))
            halves.append(lambda: put(data[: len(data) // 8 * 4]))  # groups of base64 stay whole

        for number, body in enumerate(self.hostile):
            add(f"hostile[{number}]", body.text.encode(), partial(_with_text, body))
        for name, data in hostile(valid.text.encode(), self.hostile_size):
            add(f"text: {name}", data, lambda data: Body(data.decode("latin-1")))
            add(f"base64 of: {name}", data, lambda data: Body(base64.b64encode(data).decode()))
        for piece in _largest(pieces(valid)):
            for name, data in hostile(piece.raw, self.hostile_size):
                add(f"{piece.name}: {name}", data, piece.put)

        def work(number: bytes) -> None:
            at, _, halved = number.partition(b"/")
            body = halves[int(at)]() if halved else bodies[int(at)]
            drive(self.opening(juliet, body, job))

        numbered = [(name, b"%d" % number) for number, name in enumerate(names)]
        bounded(numbered, work, self.seconds, self.memory, lambda number: number + b"/2")


def _with_text(body: Body, text: bytes) -> Body:
    return replace(body, text=text.decode("utf-8", "ignore"))


def _largest(found: Iterable[Piece]) -> list[Piece]:
    """Give the pieces where the ciphertext is: the largest one, and a few others that are not much smaller."""
    ordered = sorted(found, key=lambda piece: -len(piece.raw))
    return [piece for piece in ordered[:_MOST] if _NOT_MUCH * len(piece.raw) >= len(ordered[0].raw)]
