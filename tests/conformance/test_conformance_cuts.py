"""Encrypters that do not notice when the end of a message is cut off, however they write their bodies down."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from typing import TYPE_CHECKING, Any, ClassVar
from xml.etree.ElementTree import Element, SubElement

import pytest

from gre_core.api import EncrypterProvider, encrypter
from gre_core.errors import BadEncrypted, DecryptFailed, NotForUs
from gre_core.model import Body, Direction, Opened, Signature, Verdict
from gre_core.testing.conformance import run_suite
from gre_core.testing.conformance.codings import coded
from gre_core.testing.conformance.encrypters.hostility import Hostility
from gre_core.testing.conformance.encrypters.pieces import pieces, without_some
from gre_core.testing.fakes import KEY_NODE, InsecureToyEncrypter
from gre_core.testing.toys import _xor

if TYPE_CHECKING:
    from gre_core.api import OpenJob
    from gre_core.ports import Ports
    from gre_core.testing.conformance import People, Report

SIZE = 4096
NAMES = ("romeo", "juliet", "nurse", "mallory")
CHUNK = "{urn:example:chunks}chunk"
ARMOR = "-----BEGIN TOY-----\nVersion: 1\n\n", "\n-----END TOY-----\n"


class Cuts(Hostility):
    """Only what is about damage: a whole suite for each way to write would take long."""

    def test_hostile_bodies_take_bounded_time_and_memory(self) -> None:
        pytest.skip("others try it")

    accounts = {name: (f"{name}@example.org",) * 2 for name in NAMES}  # noqa: RUF012 - as in the docs
    huge = 20_000
    examples = 6
    hostile_size = 1 << 12

    def introduce(self, people: People, *names: str) -> None:
        for name in names:
            people[name].pubsub.put(people[name].account, KEY_NODE, f"{name}-{people[name].times}")


class Chunks(InsecureToyEncrypter):
    """Chunks are authenticated with their number; only a careful one says which is the last."""

    careful: ClassVar[bool] = False
    numbered: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__(keys=True)

    def write(self, head: bytes, chunks: list[bytes]) -> Body:
        return Body(self.text(len(head).to_bytes(4) + head + b"".join(chunks)))

    def read(self, body: Body) -> tuple[bytes, list[bytes]]:
        raw = self.raw(body.text)
        head, rest = raw[4 : 4 + int.from_bytes(raw[:4])], raw[4 + int.from_bytes(raw[:4]) :]
        return head, [rest[at : at + SIZE + 32] for at in range(0, len(rest), SIZE + 32)]

    def text(self, raw: bytes) -> str:
        return base64.b64encode(raw).decode()

    def raw(self, text: str) -> bytes:
        return base64.b64decode(text, validate=True)

    def _mac(self, salt: str, number: int, last: bool, chunk: bytes) -> bytes:
        said = f"{salt} {number if self.numbered else 0} {last and self.careful} ".encode()
        return hmac.new(b"key", said + chunk, hashlib.sha256).digest()

    async def encrypt(self, payload: bytes, keys: dict[str, Any], _ports: Ports, /) -> Body:
        salt, chunks = secrets.token_hex(8), []
        for number, at in enumerate(range(0, max(len(payload), 1), SIZE)):
            chunk, last = payload[at : at + SIZE], at + SIZE >= len(payload)
            coded_chunk = _xor(chunk, f"{salt} {number if self.numbered else 0}")
            chunks.append(self._mac(salt, number, last, chunk) + coded_chunk)
        head = json.dumps({"to": keys["to"], "by": keys["by"], "salt": salt}).encode()
        return self.write(head + hmac.new(b"key", head, hashlib.sha256).digest(), chunks)

    async def open_keys(self, body: Body, job: OpenJob, _ports: Ports, /) -> dict[str, Any]:
        try:
            whole, chunks = self.read(body)
            head = whole[:-32]
            if not hmac.compare_digest(hmac.new(b"key", head, hashlib.sha256).digest(), whole[-32:]):
                raise BadEncrypted("This is no body.")
            found: dict[str, Any] = json.loads(head)
            return found | {"chunks": chunks, "job": job}
        except (ValueError, KeyError, TypeError, IndexError, RecursionError, AttributeError):
            raise BadEncrypted("This is no body.") from None

    async def decrypt(self, _body: Body, keys: dict[str, Any], _ports: Ports, /) -> Opened:
        job, salt, payload, chunks = keys["job"], keys["salt"], b"", keys["chunks"]
        if job.account not in keys["to"]:
            raise NotForUs("It is for others.")
        if not chunks:
            raise BadEncrypted("There is nothing in it.")
        for number, written in enumerate(chunks):
            chunk = _xor(written[32:], f"{salt} {number if self.numbered else 0}")
            mac = self._mac(salt, number, number == len(chunks) - 1, chunk)
            if not hmac.compare_digest(written[:32], mac):
                raise DecryptFailed("It is damaged.")
            payload += chunk
        good = job.direction is Direction.SENT or keys["by"] == job.expected_sender
        return Opened(payload, Verdict(Signature.GOOD if good else Signature.WRONG_SIGNER, keys["by"]))


class Hex(Chunks):
    def text(self, raw: bytes) -> str:
        return raw.hex()

    def raw(self, text: str) -> bytes:
        return bytes.fromhex(text)


class Base32(Chunks):
    def text(self, raw: bytes) -> str:
        return base64.b32encode(raw).decode()

    def raw(self, text: str) -> bytes:
        return base64.b32decode(text)


class BareUrl(Chunks):
    """As in tokens of the web: base64url without padding."""

    def text(self, raw: bytes) -> str:
        return base64.urlsafe_b64encode(raw).decode().rstrip("=")

    def raw(self, text: str) -> bytes:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


class Base85(Chunks):
    def text(self, raw: bytes) -> str:
        return base64.b85encode(raw).decode()

    def raw(self, text: str) -> bytes:
        return base64.b85decode(text)


class Armored(Chunks):
    def text(self, raw: bytes) -> str:
        lines = base64.encodebytes(raw).decode().strip()
        return f"{ARMOR[0]}{lines}{ARMOR[1]}"

    def raw(self, text: str) -> bytes:
        if not (text.startswith(ARMOR[0]) and text.endswith(ARMOR[1])):
            raise ValueError
        return base64.b64decode(text[len(ARMOR[0]) : -len(ARMOR[1])].replace("\n", ""), validate=True)


class OwnLetters(Chunks):
    """In an encoding that nobody else knows: one letter of Braille for each byte."""

    def text(self, raw: bytes) -> str:
        return "".join(chr(0x2800 + each) for each in raw)

    def raw(self, text: str) -> bytes:
        return bytes(ord(each) - 0x2800 for each in text)


class OneInJson(Chunks):
    """The ciphertext is one of the texts of an object."""

    def text(self, raw: bytes) -> str:
        return json.dumps({"v": 1, "sealed": {"with": "a toy", "content": raw.hex()}})

    def raw(self, text: str) -> bytes:
        return bytes.fromhex(json.loads(text)["sealed"]["content"])


class ListInJson(Chunks):
    """The chunks are the items of a list, all of that in base64."""

    def write(self, head: bytes, chunks: list[bytes]) -> Body:
        value = {"head": head.hex(), "chunks": [chunk.hex() for chunk in chunks]}
        return Body(self.text(json.dumps(value).encode()))

    def read(self, body: Body) -> tuple[bytes, list[bytes]]:
        value = json.loads(self.raw(body.text))
        return bytes.fromhex(value["head"]), [bytes.fromhex(chunk) for chunk in value["chunks"]]


class OneChild(Chunks):
    """As XEP-0384 does it: the payload is the text of a child."""

    def write(self, head: bytes, chunks: list[bytes]) -> Body:
        child = Element("{urn:example:chunks}payload")
        child.text = super().write(head, chunks).text
        return Body("", (child,))

    def read(self, body: Body) -> tuple[bytes, list[bytes]]:
        (child,) = (child for child in body.children if child.tag == "{urn:example:chunks}payload")
        return super().read(Body(child.text or ""))


class Children(Chunks):
    """Each chunk is a child of a child."""

    def write(self, head: bytes, chunks: list[bytes]) -> Body:
        outer = Element("{urn:example:chunks}chunks", {"head": head.hex()})
        for chunk in chunks:
            SubElement(outer, CHUNK).text = self.text(chunk)
        return Body("", (outer,))

    def read(self, body: Body) -> tuple[bytes, list[bytes]]:
        (outer,) = (child for child in body.children if child.tag == "{urn:example:chunks}chunks")
        return bytes.fromhex(outer.get("head", "")), [self.raw(each.text or "") for each in outer]


WAYS = [
    Chunks, Hex, Base32, BareUrl, Base85, Armored, OwnLetters, OneInJson, ListInJson, OneChild, Children,
]  # fmt: skip


def report_of(way: type[Chunks], **facts: Any) -> Report:
    made = type("Made", (way,), facts)
    provider = EncrypterProvider(encrypter("test"), made, "GRE Encrypter: Test")
    return run_suite(type(f"Suite{way.__name__}", (Cuts,), {"provider": provider}))


@pytest.mark.parametrize("way", WAYS)
def test_who_does_not_notice_a_missing_end_is_caught(brief: None, way: type[Chunks]) -> None:
    report = report_of(way)
    assert not report.foreign
    assert list(report.broken) == ["test_a_large_message_is_whole_or_refused"], report.broken
    assert report.rules == {"damage-detected"}


@pytest.mark.parametrize("way", WAYS)
def test_who_notices_it_is_let_pass_and_nothing_is_skipped(brief: None, way: type[Chunks]) -> None:
    report = report_of(way, careful=True)
    assert (report.broken, report.foreign) == ({}, {})
    assert "test_a_large_message_is_whole_or_refused" not in report.skipped


@pytest.mark.parametrize("way", [Chunks, Hex, ListInJson, Children])
def test_who_lets_chunks_change_places_is_caught(brief: None, way: type[Chunks]) -> None:
    report = report_of(way, careful=True, numbered=False)
    assert list(report.broken) == ["test_a_large_message_is_whole_or_refused"], report.broken
    assert report.rules == {"damage-detected"}


@pytest.mark.parametrize("way", WAYS)
def test_what_is_taken_apart_is_put_together_again(way: type[Chunks]) -> None:
    raw = bytes(range(256)) * 40
    body = way().write(b"head" * 12, [raw[:4000], raw[4000:8000], raw[8000:]])
    found = list(pieces(body))
    for piece in found:
        again = list(pieces(piece.put(piece.raw)))
        assert [(each.name, each.raw) for each in again] == [(each.name, each.raw) for each in found]
        assert way().read(piece.put(piece.raw)) == way().read(body)
    largest = max(found, key=lambda piece: len(piece.raw))
    assert b"".join(way().read(largest.put(largest.raw[:-50]))[1]) != raw
    for doing, less in without_some(body):
        assert doing
        assert way().read(less) != way().read(body)


@pytest.mark.parametrize(
    "text", ["", "Two words.", "\N{SNOWMAN}", "a", "-----BEGIN A-----\n?!\n-----END A-----"]
)
def test_a_text_of_no_known_encoding_is_none(text: str) -> None:
    assert coded(text) is None


def test_hex_is_not_taken_for_base64() -> None:
    found = coded("00ff00ff")
    assert found is not None
    assert (found.raw, found.write(b"\1")) == (b"\0\xff\0\xff", "01")
