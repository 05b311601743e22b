"""The contract of the methods: ports only, no state of messages in the object, silent, the same in a worker."""

from __future__ import annotations

import copy
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from xml.etree.ElementTree import tostring

from gre_core.api import Learning
from gre_core.errors import GreError, OpenError, RemoteProtocolError
from gre_core.model import Body, DataForm, Message, Opened, Signature
from gre_core.testing.conformance.calling import drive
from gre_core.testing.conformance.encrypters.base import EncrypterSuite
from gre_core.testing.conformance.encrypters.bodies import damaged, with_unknown_children
from gre_core.testing.conformance.failing import FailingPubSub, FailingStore
from gre_core.testing.conformance.leaks import CANARY, forms, listening, parts_of, shows, texts_of
from gre_core.testing.conformance.people import PASSPHRASE
from gre_core.testing.conformance.rules import demand
from gre_core.testing.conformance.taking_turns import PAUSE, pausing, take_turns
from gre_core.testing.conformance.together import in_threads
from gre_core.testing.conformance.watching import hands_off

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gre_core.testing.conformance.people import People

_TALKS: Final = (("romeo", "juliet"), ("juliet", "romeo"), ("romeo", "nurse"), ("nurse", "romeo"))
_FINGERPRINT: Final = re.compile(rb"[0-9A-Fa-f]{40}")
_LEAST: Final = 32
"""Bytes of a secret, at least: shorter values are no keys."""


class Contract(EncrypterSuite):
    """What ``gre_core.api.Encrypter`` promises to hosts."""

    def test_no_file_socket_clock_or_event_loop(self) -> None:
        people = self.people()
        self.open(
            people, "juliet", "romeo", self.seal(people, "romeo", "juliet")
        )  # once, to load what is needed
        with hands_off("sealing"):
            body = self.seal(people, "romeo", "juliet")
        with hands_off("opening"):
            self.open(people, "juliet", "romeo", body)

    def test_eight_messages_in_progress(self) -> None:
        people = self.new_people()

        async def work(number: int) -> tuple[bytes, Signature]:
            # Others of each, so that nobody can do with what belongs to another message.
            sender, reader = _TALKS[number % len(_TALKS)]
            one, other = people[sender], people[reader]
            keys = await one.encrypter.seal_keys(people.seal_job(sender, reader), one.ports)
            await PAUSE
            body = await one.encrypter.encrypt(f"message {number}".encode(), keys, one.ports)
            await PAUSE
            job = people.open_job(reader, sender)
            opening = await other.encrypter.open_keys(body, job, other.ports)
            await PAUSE
            opened = await other.encrypter.decrypt(body, opening, other.ports)
            return opened.payload, opened.verdict.signature

        def one_by_one() -> list[tuple[bytes, Signature] | BaseException]:
            return [take_turns([work(number)])[0] for number in range(8)]

        one_by_one()
        alone = one_by_one()  # everything is known now that there is to be known
        failed = [each for each in alone if isinstance(each, BaseException)]
        demand(not failed, "opens-its-own", f"one message alone: {failed[:1]!r:.300}")
        for party in people.all.values():
            party.ports = pausing(party.ports)
        for number, result in enumerate(take_turns([work(number) for number in range(8)])):
            same = result == alone[number]
            found = f"message {number} came out as {result!r:.300}, alone as {alone[number]!r:.100}"
            demand(same, "interleaved", found)

    def test_eight_threads_with_an_object_each(self) -> None:
        groups = [self.new_people("romeo", "juliet") for _ in range(8)]

        def work(number: int) -> bytes:
            people = groups[number]
            payload = f"message {number}".encode()
            for _ in range(6):
                body = self.seal(people, "romeo", "juliet", payload=payload)
                if self.open(people, "juliet", "romeo", body).payload != payload:
                    return b"another payload"
            return payload

        for number, result in enumerate(in_threads(work)):
            right = result == f"message {number}".encode()
            demand(right, "thread-per-object", f"thread {number} got {result!r:.300}")

    def test_a_new_session_goes_on(self) -> None:
        people = self.new_people()
        body = self.seal(people, "romeo", "juliet", payload=b"before")
        people.restart("juliet")
        people.restart("romeo")
        opened = self.open(people, "juliet", "romeo", body, rule="restart")
        demand(opened.payload == b"before", "restart", "another payload came out")
        result = self.try_seal(people, people.seal_job("romeo", "juliet"), people["romeo"])
        demand(isinstance(result, Body), "restart", f"a new session cannot seal: {result!r:.200}")

    def test_unknown_data_is_ignored(self) -> None:
        people = self.people()
        body = self.seal(people, "romeo", "juliet")
        job = people.open_job("juliet", "romeo")
        for where, extended in with_unknown_children(body):
            doing = f"with a child {where} that nobody knows"
            opened = self.try_open(people["juliet"], extended, job, doing, "unknown-children-ignored")
            same = isinstance(opened, Opened) and opened.payload == b"Wherefore"
            demand(same, "unknown-children-ignored", f"{doing}: {opened!r:.200}")
        namespace = self.provider.namespace
        strange = {
            "{urn:example:unknown}field": ("value", "second"),
            f"{{{namespace}}}not-known-yet": ("value",),
        }
        options = {"{urn:example:unknown}wish": "yes", f"{{{namespace}}}not-known-yet": "yes"}
        data = DataForm(people["romeo"].address, strange)
        sealing = people.seal_job("romeo", "juliet", data=data, options=options)
        sealed = self.try_seal(people, sealing, people["romeo"], rule="unknown-fields-ignored")
        demand(isinstance(sealed, Body), "unknown-fields-ignored", f"with unknown fields: {sealed!r:.200}")

    def test_its_arguments_stay_as_they_are(self) -> None:
        people, fields, options = self.people(), {"{urn:example}a": ("b",)}, {"{urn:example}c": "d"}
        outer = {"Date": "Mon, 23 Nov 2026 17:04:09 +0000"}
        given = (fields, options, outer)
        before = copy.deepcopy(given)
        data = DataForm(people["romeo"].address, fields)
        job = people.seal_job("romeo", "juliet", data=data, options=options, outer=outer)
        self.try_seal(people, job, people["romeo"], rule="unknown-fields-ignored")
        demand(given == before, "inputs-unchanged", "a mapping of the job was changed")
        body = self.seal(people, "romeo", "juliet")
        for _, extended in with_unknown_children(body):
            children = [tostring(child) for child in extended.children]
            opening = people.open_job("juliet", "romeo")
            self.try_open(people["juliet"], extended, opening, rule="unknown-children-ignored")
            same = children == [tostring(child) for child in extended.children]
            demand(same, "inputs-unchanged", "a child of the body was changed")

    def test_ports_that_fail(self) -> None:
        for failing in ("pubsub", "store"):
            broken: Any = {"pubsub": FailingPubSub(), "store": FailingStore()}[failing]
            people = self.new_people()
            body = self.seal(people, "romeo", "juliet")
            for name in ("romeo", "juliet"):
                people.restart(name)
                party = people[name]
                party.ports = replace(party.ports, **{failing: broken})
                try:
                    drive(party.encrypter.seal_keys(people.seal_job(name, "nurse"), party.ports))
                    drive(self.opening(party, body, people.open_job(name, "romeo")))
                except GreError:
                    continue
                except Exception as error:  # noqa: BLE001 - that is what is looked for
                    found = f"with a {failing} that fails: {error!r:.200}"
                    demand(condition=False, rule="port-failures", found=found)

    # -- secrets -----------------------------------------------------------------------------------

    def test_no_secret_in_logs_errors_or_reprs(self) -> None:
        payload, shown = CANARY.encode(), list[object]()
        with listening() as heard:
            people = self.new_people()
            romeo, juliet = people["romeo"], people["juliet"]
            keys = drive(romeo.encrypter.seal_keys(people.seal_job("romeo", "juliet"), romeo.ports))
            body = drive(romeo.encrypter.encrypt(payload, keys, romeo.ports))
            job = people.open_job("juliet", "romeo")
            opening = drive(juliet.encrypter.open_keys(body, job, juliet.ports))
            opened = drive(juliet.encrypter.decrypt(body, opening, juliet.ports))
            if isinstance(juliet.encrypter, Learning):
                drive(juliet.encrypter.learn(Message(CANARY), opened, job, juliet.ports))
            shown += [romeo.encrypter, juliet.encrypter, opened, opened.verdict, body]
            if not isinstance(keys, dict):  # whoever hands over a dictionary shows it
                shown += [keys, opening]
            errors = [self.try_open(juliet, bad, job, doing) for doing, bad in damaged(body, self.examples)]
            errors.append(self.try_open(people["mallory"], body, people.open_job("mallory", "romeo")))
        secrets = forms(CANARY.encode()) | {PASSPHRASE}
        for secret in self.secrets(people):
            secrets |= forms(secret)
        demand(
            not shows(heard.getvalue(), secrets),
            "no-secret-in-log",
            "a secret stands in the log or the output",
        )
        for error in errors:
            told = texts_of(error) if isinstance(error, OpenError | RemoteProtocolError) else ""
            demand(not shows(told, secrets), "no-secret-in-errors", f"{type(error).__name__} quotes a secret")
        for each in shown:
            told = f"{each!r}\n{each!s}"
            demand(not shows(told, secrets), "no-secret-in-repr", f"repr of {type(each).__name__} shows it")
        self._nothing_kept(people)

    def secrets(self, people: People) -> Iterator[bytes]:
        """Give what may show nowhere: here what stores hold, when it has 32 bytes and more and nobody published it.

        What stands inside JSON, and what it says in hex or base64, counts too. Names and what looks like a fingerprint
        are left out. Override it to name further secrets, such as a key that stands inside a larger value.
        """
        public = people.published()
        for party in people.all.values():
            public += b"\n".join(each.encode() for each in (party.account, party.address, party.contact))
        for value in self._stored(people):
            for forms_of_it in parts_of(value):
                if any(each in public or _FINGERPRINT.fullmatch(each) for each in forms_of_it if each):
                    continue
                yield from (each for each in forms_of_it if len(each) >= _LEAST)

    @staticmethod
    def _stored(people: People) -> Iterator[bytes]:
        for party in people.all.values():
            for key in drive(party.ports.store.keys("")):
                yield drive(party.ports.store.get(key)) or b""

    def _nothing_kept(self, people: People) -> None:
        stored = b"\n".join(self._stored(people))
        demand(PASSPHRASE.encode() not in stored, "passphrase-kept-nowhere", "a store holds the passphrase")
        for place, told in (("store", stored), ("node", people.published())):
            shown = shows(told.decode("latin-1"))
            demand(not shown, "plaintext-kept-nowhere", f"a {place} holds the plaintext of a message")
