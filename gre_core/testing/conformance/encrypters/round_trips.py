"""What is sealed opens at those whom it is for, with the verdict that it deserves, and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gre_core.errors import DecryptFailed, NotForUs, NoUsableKey
from gre_core.model import Body, Direction, Opened, Signature
from gre_core.testing.conformance import strategies
from gre_core.testing.conformance.encrypters.base import EncrypterSuite
from gre_core.testing.conformance.encrypters.bodies import all_bytes, all_text, same_key_stream
from gre_core.testing.conformance.leaks import CANARY, shows
from gre_core.testing.conformance.rules import demand
from gre_core.testing.conformance.switches import section

if TYPE_CHECKING:
    from gre_core.testing.conformance.people import People

_PAYLOADS: Final = {
    "empty": b"",
    "one byte": b"\0",
    "all bytes": bytes(range(256)) * 3,
    "zeros": bytes(1000),
    "what looks like an end": b"-----END-----\r\n\0\0\0",
    "line ends": b"\r\n\n\r a \r\n",
}
_ZEROS: Final = 4096
_HIDDEN: Final = (
    CANARY.encode(),
    b" " * 100 + CANARY.encode() + b" " * 100,
    # Whoever knows what is inside may think that a part of it is no secret.
    b"From: romeo@montague.example\r\nTo: juliet@capulet.example\r\nSubject: %b\r\n\r\nHello\r\n"
    % CANARY.encode(),
    b'{"subject": "%b", "text": "Hello"}' % CANARY.encode(),
)


class RoundTrips(EncrypterSuite):
    """Who can read what, and what a signature is worth."""

    def _carries(self, people: People, name: str, payload: bytes) -> None:
        __tracebackhide__ = True
        body = self.seal(people, "romeo", "juliet", payload=payload, doing=name)
        read = self.open(people, "juliet", "romeo", body).payload
        same = read == payload
        demand(same, "round-trip-payload", f"{name}: {len(payload)} bytes became {len(read)} others")

    def test_payloads_of_every_kind(self) -> None:
        people = self.people()
        for name, payload in _PAYLOADS.items():
            self._carries(people, name, payload)
        self._carries(people, "huge", bytes(range(256)) * (self.huge // 256))

    def test_random_payloads(self) -> None:
        people = self.people()

        def check(payload: bytes) -> None:
            self._carries(people, "a random payload", payload)

        strategies.explore(strategies.payloads, self.examples, check)

    def test_we_can_read_what_we_sent(self) -> None:
        people = self.people()
        body = self.seal(people, "romeo", "juliet")

        def read() -> Opened:
            return self.open(people, "romeo", "juliet", body, Direction.SENT, "own-copy")

        section(self, "own_copies", lambda: read().payload == b"Wherefore")
        demand(read().payload == b"Wherefore", "own-copy", "another payload came out")

    def test_several_recipients(self) -> None:
        people = self.people()

        def readable() -> bool:
            body = self.seal(people, "romeo", "juliet", "nurse")
            rule = "several-recipients"
            return all(
                self.open(people, name, "romeo", body, rule=rule).payload == b"Wherefore"
                for name in ("juliet", "nurse")
            )

        section(self, "several_recipients", readable)
        demand(readable(), "several-recipients", "another payload came out")

    # -- verdicts ----------------------------------------------------------------------------------

    def test_a_message_of_a_known_contact_is_good(self) -> None:
        people = self.people()
        verdict = self.open(people, "juliet", "romeo", self.seal(people, "romeo", "juliet")).verdict
        good = verdict.signature is Signature.GOOD
        section(self, "signs", lambda: good)
        demand(good, "verdict-good", f"the verdict is {verdict.signature}: {verdict.detail}")

    def test_a_message_of_somebody_else_is_not_good(self) -> None:
        people = self.people()
        body = self.seal(people, "nurse", "juliet")
        self.open(people, "juliet", "nurse", body)  # what was found out then does not count now
        opened = self.try_open(people["juliet"], body, people.open_job("juliet", "romeo"))
        if isinstance(opened, Opened):
            found = "the nurse's message is good as Romeo's"
            demand(opened.verdict.signature is not Signature.GOOD, "verdict-wrong-signer", found)

    # -- confidentiality ---------------------------------------------------------------------------

    def test_the_plaintext_is_not_to_be_seen(self) -> None:
        people = self.people()
        for payload in _HIDDEN:
            body = self.seal(people, "romeo", "juliet", payload=payload)
            demand(not shows(all_text(body)), "hides-plaintext", "the plaintext stands in the body")
            coded = any(shows(each.decode("latin-1")) for each in all_bytes(body))
            demand(not coded, "hides-plaintext", "the plaintext stands in the body, encoded or compressed")

    def test_no_two_bodies_are_the_same(self) -> None:
        people, payload = self.people(), bytes(_ZEROS)
        bodies = [self.seal(people, "romeo", "juliet", payload=payload) for _ in range(3)]
        different = len({all_text(body) for body in bodies}) == len(bodies)
        demand(different, "randomised", "one payload, encrypted three times, gave the same body twice")
        found = (
            f"{_ZEROS} zeros, encrypted twice, gave the same bytes: a nonce or a session key was used again"
        )
        demand(not same_key_stream(bodies[0], bodies[1], _ZEROS), "randomised", found)

    def test_others_cannot_open_it(self) -> None:
        people = self.new_people()
        body = self.seal(people, "romeo", "juliet")
        self.open(people, "juliet", "romeo", body)  # what she read is hers alone
        for name in ("nurse", "mallory"):
            result = self.try_open(people[name], body, people.open_job(name, "romeo"))
            found = f"{name} got {type(result).__name__}"
            demand(isinstance(result, NotForUs | DecryptFailed), "wrong-key", found)

    # -- without keys ------------------------------------------------------------------------------

    def test_nothing_is_sealed_without_a_key(self) -> None:
        people = self.new_people()

        def refused(*names: str) -> bool:
            job = people.seal_job("romeo", *names)
            return isinstance(self.try_seal(people, job, people["romeo"]), NoUsableKey)

        section(self, "needs_keys", lambda: refused("mallory"))
        demand(refused("mallory"), "no-key-no-message", "a message to Mallory, who has no key, was sealed")
        if self.several_recipients:
            for names in (("juliet", "mallory"), ("mallory", "juliet")):
                found = f"a message to {' and '.join(names)} was sealed, and Mallory has no key"
                demand(refused(*names), "all-recipients-or-none", found)

    def test_a_changed_key_is_asked_about(self) -> None:
        people = self.new_people()
        self.seal(people, "romeo", "juliet")
        people.renew("juliet")
        self.meet(people, "juliet", "nurse")
        self.look_again(people, "romeo", "juliet")
        result = self.try_seal(people, people.seal_job("romeo", "juliet"), people["romeo"])
        section(self, "asks_about_changed_keys", lambda: not isinstance(result, Body))
        found = "Juliet's key changed, the user refused it, and a message was sealed"
        demand(not isinstance(result, Body), "changed-key-asked", found)
