"""Looking keys up at the domain: which addresses, in which order, and what is taken of the answer."""

from __future__ import annotations

from typing import Any

import pytest
from gre_openpgp.armor import PUBLIC_KEY, armor
from gre_openpgp.packets import read_certificate
from gre_openpgp.wkd import MAX_ANSWER, WkdOutcome, locate, look_up, zbase32

from gre_core.errors import GreError, NoSuchHost, PeerTimeout, Refused
from gre_core.ports import WebAnswer

ADDRESS = "Joe.Doe@example.org"
HASH = "iy9q119eutrkn8s1mk4r39qejnbu3n5q"  # of the draft, section 3.1
ADVANCED = f"https://openpgpkey.example.org/.well-known/openpgpkey/example.org/hu/{HASH}?l=Joe.Doe"
DIRECT = f"https://example.org/.well-known/openpgpkey/hu/{HASH}?l=Joe.Doe"


def packet(tag: int, body: bytes) -> bytes:
    return bytes([0xC0 | tag, len(body)]) + body


def certificate(*user_ids: str, seed: int = 1) -> bytes:
    """Packets in the shape of a key; nothing is signed."""
    key = bytes([4, 0, 0, 0, seed, 22]) + bytes(20)
    signature = packet(2, bytes([4, 0x13, 22, 8, 0, 0, 0, 0]))
    names = b"".join(packet(13, name.encode()) + signature for name in user_ids)
    return packet(6, key) + names + packet(17, b"picture") + signature + packet(14, key) + signature


class FakeWeb:
    def __init__(self, **answers: WebAnswer | GreError | bytes) -> None:
        self.answers = answers
        self.asked: list[str] = []

    async def get(self, url: str, /, *, max_size: int) -> WebAnswer:
        assert max_size == MAX_ANSWER
        self.asked.append(url)
        answer = self.answers["advanced" if url == ADVANCED else "direct"]
        if isinstance(answer, GreError):
            raise answer
        return WebAnswer(200, answer) if isinstance(answer, bytes) else answer


def test_the_example_of_the_draft() -> None:
    assert locate(ADDRESS) == (ADVANCED, DIRECT)
    assert locate("Joe.Doe@EXAMPLE.org") == (ADVANCED, DIRECT)
    assert zbase32(b"") == ""
    assert zbase32(bytes(5)) == "y" * 8
    assert zbase32(b"\xff" * 5) == "9" * 8


@pytest.mark.parametrize(
    "address",
    ["", "joe", "joe@", "@example.org", "joe@localhost", "joe@example.org/x", "joe@127.0.0.1", "joe@[::1]",
     "joe@example.org#x", "joe@example.org?x", "a@b@example.org", "joe@exa mple.org", "joe@-a.org", "joe@" + "a." * 140 + "org"],
)  # fmt: skip
def test_what_is_no_address_is_not_asked_about(address: str) -> None:
    assert locate(address) is None


def test_other_letters_are_converted() -> None:
    location = locate("jö&e@bücher.example")
    assert location is not None
    assert location.direct.startswith("https://xn--bcher-kva.example/.well-known/openpgpkey/hu/")
    assert location.direct.endswith("?l=j%C3%B6%26e")


async def test_the_advanced_address_is_enough() -> None:
    web = FakeWeb(advanced=certificate(f"<{ADDRESS}>"))
    answer = await look_up(ADDRESS, web)
    assert (answer.outcome, len(answer.keys), web.asked) == (WkdOutcome.KEYS, 1, [ADVANCED])


async def test_the_direct_address_only_without_the_advanced_host() -> None:
    web = FakeWeb(advanced=NoSuchHost("none"), direct=certificate(f"<{ADDRESS}>"))
    assert (await look_up(ADDRESS, web)).outcome is WkdOutcome.KEYS
    assert web.asked == [ADVANCED, DIRECT]


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (PeerTimeout("late"), WkdOutcome.OFFLINE),
        (Refused("not public"), WkdOutcome.REFUSED),
        (WebAnswer(404, b""), WkdOutcome.NOTHING),
        (WebAnswer(302, b""), WkdOutcome.REFUSED),
        (WebAnswer(503, b""), WkdOutcome.REFUSED),
        (b"", WkdOutcome.REFUSED),
        (b"<html>", WkdOutcome.REFUSED),
        (certificate("<eve@example.org>"), WkdOutcome.REFUSED),
        (certificate(), WkdOutcome.REFUSED),
        (certificate(f"<{ADDRESS}>")[:-3], WkdOutcome.REFUSED),
        (b"".join(certificate(f"<{ADDRESS}>", seed=seed) for seed in range(17)), WkdOutcome.REFUSED),
    ],
)
async def test_everything_else_ends_the_look_up(answer: Any, outcome: WkdOutcome) -> None:
    web = FakeWeb(advanced=answer)
    found = await look_up(ADDRESS, web)
    assert (found.outcome, found.keys, web.asked) == (outcome, (), [ADVANCED])


async def test_a_domain_without_directory_is_no_error() -> None:
    web = FakeWeb(advanced=NoSuchHost("none"), direct=NoSuchHost("none"))
    assert (await look_up(ADDRESS, web)).outcome is WkdOutcome.NO_DIRECTORY
    assert (await look_up("nobody", FakeWeb())).outcome is WkdOutcome.NO_DIRECTORY


async def test_several_keys_and_only_the_user_ids_of_the_address() -> None:
    foreign = certificate("Eve <eve@example.org>", f"Joe <{ADDRESS.lower()}>", "xmpp:joe@example.org", seed=2)
    served = certificate(f"<{ADDRESS}>") + foreign + certificate("<eve@example.org>", seed=3)
    for body in (served, armor(served, PUBLIC_KEY)):
        answer = await look_up(ADDRESS, FakeWeb(advanced=body))
        first, second = answer.keys
        assert read_certificate(first.data).user_ids == (f"<{ADDRESS}>",)
        assert read_certificate(second.data).user_ids == (f"Joe <{ADDRESS.lower()}>",)
        assert second.fingerprint == read_certificate(foreign).fingerprint
        assert len(read_certificate(second.data).keys) == 2
        assert b"picture" not in second.data
