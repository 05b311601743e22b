"""The optional abilities of encrypters: whatever is there does what its Protocol says."""

from __future__ import annotations

import os
import tempfile
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from xml.etree.ElementTree import Element

import pytest

from gre_core.api import (
    Acquainting,
    AddsFields,
    Explaining,
    FileEncrypter,
    JudgesSigned,
    Learning,
    Observing,
    Preparing,
    RequestsData,
    TellsApart,
    UsesWorker,
)
from gre_core.errors import GreError
from gre_core.model import Direction, Message, Notice, Opened, Signature, SignedPart
from gre_core.testing.conformance.abilities import abilities_of
from gre_core.testing.conformance.calling import call, drive
from gre_core.testing.conformance.encrypters.base import EncrypterSuite
from gre_core.testing.conformance.rules import demand
from gre_core.testing.conformance.switches import only_if_able
from gre_core.worker_functions import allow, get

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gre_core.testing.conformance.people import People

_UNSIGNED: Final = SignedPart(
    b"Content-Type: text/plain\r\n\r\nHello\r\n", b"none", "application/pgp-signature"
)


class Optional(EncrypterSuite):
    """What ``gre_core.api`` says of optional abilities."""

    def test_optional_methods_answer_as_their_protocol_says(self) -> None:
        people = self.people()
        juliet = people["juliet"]
        made: Any = juliet.encrypter
        able = abilities_of(made)
        if not able:
            pytest.skip(f"{type(made).__name__} implements no optional Protocol of gre_core.api")
        body = self.seal(people, "romeo", "juliet")
        job, ports = people.open_job("juliet", "romeo"), juliet.ports
        opened = self.open(people, "juliet", "romeo", body)
        asked = len(juliet.questions)
        seal_job, contacts = people.seal_job("juliet", "romeo"), [people["romeo"].contact]
        if RequestsData in able:
            _children("data_children()", self._answer(made.data_children))
        if Preparing in able:
            self._notices("prepare()", made.prepare(juliet.account, ports))
        if Observing in able:
            nodes = self._answer(lambda: list(made.nodes))
            fine = isinstance(nodes, list) and not any("+notify" in node for node in nodes)
            demand(fine, "abilities-work", f"nodes: {nodes!r:.200}")
            for node in made.nodes:
                self._notices("notified()", made.notified(contacts[0], node, ports))
        if Learning in able:
            self._notices("learn()", made.learn(Message("a"), opened, job, ports))
        if TellsApart in able:
            name = self._answer(lambda: drive(made.signature_id(body, None, job, ports)))
            demand(isinstance(name, str | GreError), "abilities-work", f"signature_id(): {name!r:.200}")
        if JudgesSigned in able:
            judged = self._answer(lambda: drive(made.judge_signed(_UNSIGNED, job, ports)))
            good = isinstance(judged, Opened) and judged.verdict.signature is Signature.GOOD
            fine = isinstance(judged, Opened | GreError) and not good
            demand(fine, "abilities-work", f"judge_signed() of what is no signature: {judged!r:.200}")
        if Explaining in able:
            self._notices("explain()", made.explain(seal_job, ports))
            demand(len(juliet.questions) == asked, "abilities-work", "explain() asked the user")
        if Acquainting in able:
            self._notices("acquaint()", made.acquaint(juliet.account, contacts, ports))
            demand(len(juliet.questions) == asked, "abilities-work", "acquaint() asked the user")

    @staticmethod
    def _answer(work: Any, doing: str = "an optional method") -> Any:
        __tracebackhide__ = True
        return call(work, own=(GreError,), rule="abilities-work", doing=doing)

    def _notices(self, doing: str, work: Any) -> None:
        __tracebackhide__ = True
        given = self._answer(lambda: drive(work), doing)
        if isinstance(given, GreError):
            return
        fine = hasattr(given, "__iter__") and all(isinstance(each, Notice) for each in given)
        demand(fine, "abilities-work", f"{doing} gave {given!r:.200}, no notices")

    def test_with_a_worker_the_same_comes_out(self) -> None:
        people, made = self.people(worker=True), self.make()
        declared = set(made.worker_functions) if isinstance(made, UsesWorker) else set[str]()
        allow(declared)
        for name in declared:
            try:
                get(name)
            except GreError as error:
                demand(condition=False, rule="worker-declared", found=f"{name}: {error}")
        for payload in (b"", b"Wherefore", b"Wherefore" * 30_000):
            body = self.seal(people, "romeo", "juliet", payload=payload)
            opened = self.open(people, "juliet", "romeo", body)
            demand(opened.payload == payload, "worker-same", "another payload came out")
            here = self.open(self._without_worker(people), "juliet", "romeo", body)
            same = here.verdict == opened.verdict
            demand(same, "worker-same", f"verdict {opened.verdict} with a worker, {here.verdict} without")
        called = {name for party in people.all.values() if party.worker for name in party.worker.calls}
        extra = sorted(called - declared)
        demand(not extra, "worker-declared", f"called, but not named by worker_functions: {extra}")

    @staticmethod
    def _without_worker(people: People) -> People:
        other = copy(people)
        other.all = {
            name: replace(party, ports=replace(party.ports, worker=None))
            for name, party in people.all.items()
        }
        return other

    def test_protected_fields_are_pairs_of_lines(self) -> None:
        people = self.people()
        romeo, job = people["romeo"], people.seal_job("romeo", "juliet")
        made: Any = romeo.encrypter
        only_if_able(made, AddsFields)
        keys = drive(romeo.encrypter.seal_keys(job, romeo.ports))
        fields = self._answer(lambda: list(made.protected_fields(keys, job)), "protected_fields()")
        demand(isinstance(fields, list), "protected-fields", f"it gave {fields!r:.200}")
        for each in fields:
            fine = (
                isinstance(each, tuple)
                and len(each) == 2
                and all(isinstance(part, str) and not set(part) & set("\r\n\0") for part in each)
                and each[0].isascii()
            )
            demand(fine, "protected-fields", f"{each!r:.100}")

    def test_files(self) -> None:
        people = self.people()
        romeo, juliet = people["romeo"], people["juliet"]
        made: Any = romeo.encrypter
        other: Any = juliet.encrypter
        only_if_able(made, FileEncrypter)
        keys = drive(made.seal_keys(people.seal_job("romeo", "juliet"), romeo.ports))
        job = people.open_job("juliet", "romeo", Direction.RECEIVED)
        content = bytes(range(256)) * 2000
        with tempfile.TemporaryDirectory() as folder:
            plain, coded, read = (Path(folder, name) for name in ("plain", "coded", "read"))
            plain.write_bytes(content)
            self._file("encrypt_file()", made.encrypt_file(plain, coded, keys, romeo.ports))
            self._file("decrypt_file()", other.decrypt_file(coded, read, job, juliet.ports))
            demand(coded.exists() and read.exists(), "file-encryption", "there is no target")
            demand(read.read_bytes() == content, "file-encryption", "another content came out")
            private = os.name == "nt" or read.stat().st_mode & 0o077 == 0
            demand(private, "file-encryption", "others can read the decrypted file")
            read.unlink()
            whole = coded.read_bytes()
            coded.write_bytes(whole[: len(whole) // 2])
            half = call(
                lambda: drive(other.decrypt_file(coded, read, job, juliet.ports)),
                own=(GreError,),
                rule="file-encryption",
                doing="half a file",
            )
            demand(isinstance(half, GreError), "file-encryption", "half a file opened")
            demand(not read.exists(), "file-encryption", "half a file was left after a failure")

    @staticmethod
    def _file(doing: str, work: Any) -> None:
        __tracebackhide__ = True
        call(lambda: drive(work), own=(), rule="file-encryption", doing=doing)


def _children(doing: str, given: Iterable[object] | BaseException) -> None:
    __tracebackhide__ = True
    fine = not isinstance(given, BaseException) and all(
        isinstance(each, Element) and each.tag.startswith("{") for each in given
    )
    demand(fine, "abilities-work", f"{doing} gave {given!r:.200}, no elements with a namespace")
