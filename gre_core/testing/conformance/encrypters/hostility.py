"""What a hostile peer may do to an encrypter."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Final
from xml.etree.ElementTree import Element

import pytest
from hypothesis import strategies as st

from gre_core.model import Body, Opened, Signature
from gre_core.testing.conformance import strategies
from gre_core.testing.conformance.bounding import bounded, hostile
from gre_core.testing.conformance.calling import drive
from gre_core.testing.conformance.damaging import rubbish, truncated
from gre_core.testing.conformance.encrypters.base import EncrypterSuite
from gre_core.testing.conformance.encrypters.bodies import cut_between_chunks, damaged
from gre_core.testing.conformance.rules import demand

_LEGAL: Final = st.text(
    st.characters(exclude_categories=["Cc", "Cs", "Cn"]) | st.sampled_from("\t\n"), max_size=200
)


_LARGE: Final = 200_000


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
        people, payload = self.people(), bytes(range(256)) * (_LARGE // 256)
        job = people.open_job("juliet", "romeo")

        def raw_of(body: Body) -> bytes:
            try:
                return base64.b64decode(body.text, validate=True)
            except ValueError:
                return b""

        def lengths(size: int) -> int:
            return len(raw_of(self.seal(people, "romeo", "juliet", payload=payload[:size])))

        raw = raw_of(self.seal(people, "romeo", "juliet", payload=payload))
        if not raw:
            pytest.skip("the body is no base64")
        for doing, data in [*cut_between_chunks(raw, lengths), *truncated(raw, self.examples)]:
            bad = Body(base64.b64encode(data).decode())
            opened = self.try_open(people["juliet"], bad, job, doing)
            found = f"{doing}: a message of {len(payload)} bytes opened as another"
            whole = not isinstance(opened, Opened) or opened.payload == payload
            demand(whole, "damage-detected", found)

    def test_rubbish_raises_our_own_errors_only(self) -> None:
        people = self.people()
        job = people.open_job("juliet", "romeo")
        bodies = [Body(data.decode("latin-1")) for _, data in rubbish() if b"\0" not in data]
        bodies += [Body(base64.b64encode(data).decode()) for _, data in rubbish()]
        bodies += [
            Body(children=(Element("{urn:example:unknown}a"),)),
            Body("a", (Element("a"), Element("b"))),
        ]
        for body in bodies:
            result = self.try_open(people["juliet"], body, job, f"{body.text[:20]!r}")
            demand(not isinstance(result, Opened), "damage-detected", f"{body.text[:20]!r} opened")

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
        # The bodies go by number: a body is no bytes.
        bodies = list(self.hostile)
        names = [f"hostile[{number}]" for number in range(len(bodies))]
        for name, data in hostile(valid.text.encode(), self.hostile_size):
            bodies += [Body(data.decode("latin-1")), Body(base64.b64encode(data).decode())]
            names += [f"text: {name}", f"base64 of: {name}"]
        try:
            raw = base64.b64decode(valid.text, validate=True)
        except ValueError:
            raw = b""
        for name, data in hostile(raw, self.hostile_size) if raw else ():
            bodies.append(Body(base64.b64encode(data).decode()))
            names.append(f"base64 of: {name}")

        def work(number: bytes) -> None:
            at, _, halved = number.partition(b"/")
            body = bodies[int(at)]
            text = body.text[: len(body.text) // 8 * 4] if halved else body.text
            drive(self.opening(juliet, replace(body, text=text), job))

        numbered = [(name, b"%d" % number) for number, name in enumerate(names)]
        bounded(numbered, work, self.seconds, self.memory, lambda number: number + b"/2")
