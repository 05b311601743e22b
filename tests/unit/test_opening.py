"""What the engine does between decryption and the host: parsing elsewhere, signed parts, learning, times."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from xml.etree.ElementTree import Element, SubElement

import pytest

from gre_core import Received, Unopened
from gre_core.errors import DecryptFailed, ParseFailed, WorkerFailed
from gre_core.incoming import sort_message
from gre_core.message_codec import encode_message
from gre_core.model import Message, Notice, Opened, OpenJob, Signature, SignedPart, Verdict
from gre_core.testing.fakes import toy_encrypter, toy_formatter
from gre_core.testing.scene import ACCOUNT, CONTACT, LEGACY, Scene

PART = SignedPart(b"content", b"signature", "application/x-toy")
MARCH = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def plugins(scene: Scene) -> tuple[Any, Any]:
    found = scene.client.plugins
    return found.formatter(toy_formatter().namespace), found.encrypter(toy_encrypter().namespace)


def patched(plugin: Any, monkeypatch: pytest.MonkeyPatch, **methods: Any) -> None:
    for name, method in methods.items():
        monkeypatch.setattr(type(plugin), name, method, raising=False)


def opened_by(scene: Scene, **options: Any) -> Received:
    received = scene.deliver(scene.from_legacy("Hi", **options))
    assert isinstance(received, Received), received
    return received


class Jobs:
    """Notes the jobs that an encrypter sees."""

    def __init__(self, encrypter: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[OpenJob] = []
        real = type(encrypter).open_keys

        async def open_keys(me: Any, body: Any, job: OpenJob, ports: Any, /) -> Any:
            self.seen.append(job)
            return await real(me, body, job, ports)

        patched(encrypter, monkeypatch, open_keys=open_keys)


# -- where a payload is parsed ---------------------------------------------------------------------


class FakeWorker:
    def __init__(self, answer: bytes | Exception) -> None:
        self.answer = answer
        self.asked: list[str] = []

    async def run(self, function: str, data: bytes, /) -> bytes:
        self.asked.append(function)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def with_worker(scene: Scene, monkeypatch: pytest.MonkeyPatch, answer: bytes | Exception) -> FakeWorker:
    formatter, _ = plugins(scene)
    patched(formatter, monkeypatch, worker_parser=property(lambda _: "toys:parse"))
    worker = FakeWorker(answer)
    scene.client._opener._ports = replace(scene.client.ports, worker=worker)
    return worker


def test_a_payload_is_parsed_in_the_worker(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = with_worker(scene, monkeypatch, encode_message(Message(text="from the worker")))
    assert opened_by(scene).message.text == "from the worker"
    assert worker.asked == ["toys:parse"]


def test_what_was_parsed_with_the_decryption_is_taken(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = with_worker(scene, monkeypatch, b"unused")
    _, encrypter = plugins(scene)
    jobs = Jobs(encrypter, monkeypatch)

    async def decrypt(_me: Any, _body: Any, _keys: Any, _ports: Any, /) -> Opened:
        return Opened(
            b"", Verdict(Signature.GOOD, LEGACY), parsed=encode_message(Message(text="both at once"))
        )

    patched(encrypter, monkeypatch, decrypt=decrypt)
    assert opened_by(scene).message.text == "both at once"
    assert worker.asked == []
    assert jobs.seen[0].parser == "toys:parse"


@pytest.mark.parametrize("answer", [b"rubbish", ParseFailed("no mail"), WorkerFailed("ended")])
def test_a_worker_that_fails_costs_the_message_with_our_error(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, answer: bytes | Exception
) -> None:
    with_worker(scene, monkeypatch, answer)
    result = scene.deliver(scene.from_legacy("Hi"))
    assert isinstance(result, Unopened)
    assert isinstance(result.error, ParseFailed)


def test_without_worker_or_parser_it_is_parsed_here(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    _, encrypter = plugins(scene)
    jobs = Jobs(encrypter, monkeypatch)
    assert opened_by(scene).message.text == "Hi"
    assert jobs.seen[0].parser == ""


# -- a signed part inside the encryption -----------------------------------------------------------


def with_signed_part(scene: Scene, monkeypatch: pytest.MonkeyPatch, *verdicts: Any) -> list[OpenJob]:
    formatter, encrypter = plugins(scene)
    real = type(formatter).parse

    def parse(me: Any, payload: bytes, job: OpenJob, /) -> Message:
        message: Message = real(me, payload, job)
        return replace(message, signed=PART, notices=(Notice("mended", "It was mended."),))

    asked: list[OpenJob] = []
    answers = iter(verdicts)

    async def judge_signed(_me: Any, part: SignedPart, job: OpenJob, _ports: Any, /) -> Opened:
        assert part == PART
        asked.append(job)
        answer: Opened | Exception = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    patched(formatter, monkeypatch, parse=parse)
    patched(encrypter, monkeypatch, judge_signed=judge_signed)
    return asked


def judged(signature: Signature, **more: Any) -> Opened:
    return Opened(b"", Verdict(signature, LEGACY), (LEGACY,), warnings=(Notice("judged", "Judged."),), **more)


def test_the_signature_inside_decides_when_there_is_none_outside(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = with_signed_part(scene, monkeypatch, judged(Signature.GOOD))
    received = opened_by(scene, signer=None)
    assert received.verdict.signature is Signature.GOOD
    assert [notice.code for notice in received.notices] == ["judged", "mended"]
    assert len(asked) == 1


def test_an_unknown_signer_inside_is_asked_for_once_more(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = judged(Signature.UNKNOWN_SIGNER, missing=("AA",))
    asked = with_signed_part(scene, monkeypatch, unknown, unknown)
    assert opened_by(scene, signer=None).verdict.signature is Signature.UNKNOWN_SIGNER
    assert [job.missing for job in asked] == [(), ("AA",)]


def test_a_signature_around_the_whole_is_not_replaced(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = with_signed_part(scene, monkeypatch)
    received = opened_by(scene)
    assert received.verdict.signature is Signature.GOOD
    assert [notice.code for notice in received.notices] == ["signature-unchecked", "mended"]
    assert asked == []


@pytest.mark.parametrize("error", [DecryptFailed("cannot be judged"), RuntimeError("secret")])
def test_a_signature_that_cannot_be_judged_costs_no_message(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    with_signed_part(scene, monkeypatch, error)
    received = opened_by(scene, signer=None)
    assert received.verdict.signature is Signature.UNSIGNED
    assert "signature-unchecked" in [notice.code for notice in received.notices]
    assert "secret" not in " ".join(notice.text for notice in received.notices)


def test_who_cannot_judge_signed_parts_says_so(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    with_signed_part(scene, monkeypatch)
    monkeypatch.delattr(type(plugins(scene)[1]), "judge_signed")
    received = opened_by(scene, signer=None)
    assert received.verdict.signature is Signature.UNSIGNED
    assert "signature-unchecked" in [notice.code for notice in received.notices]


# -- learning --------------------------------------------------------------------------------------


def test_an_encrypter_learns_after_the_verdict(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    learned: list[tuple[Message, Opened]] = []

    async def learn(_me: Any, message: Message, opened: Opened, _job: Any, _ports: Any, /) -> list[Notice]:
        learned.append((message, opened))
        return [Notice("learned", "Something new.")]

    patched(plugins(scene)[1], monkeypatch, learn=learn)
    received = opened_by(scene)
    assert [notice.code for notice in received.notices] == ["learned"]
    assert [(message.text, opened.verdict) for message, opened in learned] == [("Hi", received.verdict)]


@pytest.mark.parametrize("result", [None, DecryptFailed("disk full"), KeyError("secret")])
def test_what_cannot_be_learned_costs_no_message(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, result: Exception | None
) -> None:
    async def learn(*_: Any) -> Any:
        if result is None:
            return None
        raise result

    patched(plugins(scene)[1], monkeypatch, learn=learn)
    received = opened_by(scene)
    assert received.message.text == "Hi"
    assert [notice.code for notice in received.notices] == ["not-learned"]
    assert "secret" not in received.notices[0].text


# -- when it came ----------------------------------------------------------------------------------


def delay(parent: Element, sender: str | None, stamp: str = "2026-03-04T05:06:07Z") -> None:
    element = SubElement(parent, "{urn:xmpp:delay}delay", {"stamp": stamp})
    if sender is not None:
        element.set("from", sender)


@pytest.mark.parametrize("server", [ACCOUNT, ACCOUNT.rpartition("@")[2]])
def test_the_time_is_that_of_our_own_server(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    jobs = Jobs(plugins(scene)[1], monkeypatch)
    stanza = scene.from_legacy("Hi")
    delay(stanza, CONTACT, "2020-01-01T00:00:00Z")
    delay(stanza, server)
    scene.deliver(stanza)
    assert jobs.seen[0].received == MARCH


@pytest.mark.parametrize(
    ("sender", "stamp"),
    [
        (CONTACT, "2026-03-04T05:06:07Z"),
        (None, "2026-03-04T05:06:07Z"),
        (ACCOUNT, "2026-03-04T05:06:07"),
        (ACCOUNT, "lately"),
        (ACCOUNT, "0001-01-01T00:00:00+14:00"),
        (ACCOUNT, "9" * 100),
    ],
)
def test_any_other_time_is_now(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, sender: str | None, stamp: str
) -> None:
    jobs = Jobs(plugins(scene)[1], monkeypatch)
    stanza = scene.from_legacy("Hi")
    delay(stanza, sender, stamp)
    scene.deliver(stanza)
    assert jobs.seen[0].received == scene.client.ports.now()


def test_a_carbon_bears_its_time_outside(scene: Scene) -> None:
    scene.send("Hello")
    carbon = scene.carbon(scene.last)
    delay(carbon[0][0], None)
    incoming = sort_message(carbon, ACCOUNT)
    assert incoming is not None
    assert incoming.received == MARCH


def test_a_kept_message_keeps_the_time_when_it_came(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    from gre_core.testing.fakes import run

    _, encrypter = plugins(scene)
    jobs = Jobs(encrypter, monkeypatch)
    stanza = scene.from_legacy("Hi")
    delay(stanza, ACCOUNT)
    with monkeypatch.context() as failing:

        async def decrypt(*_: Any) -> Any:
            raise DecryptFailed("not yet")

        patched(encrypter, failing, decrypt=decrypt)
        assert isinstance(scene.deliver(stanza), Unopened)

    async def reopened() -> list[str]:
        return [received.message.text async for received in scene.client.reopen()]

    assert run(reopened()) == ["Hi"]
    assert [job.received for job in jobs.seen] == [MARCH, MARCH]
