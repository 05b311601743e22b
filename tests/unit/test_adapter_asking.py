"""The same passphrase is not asked for twice at a time."""

from __future__ import annotations

import asyncio

import pytest

from gre_core.ports import PassphraseRequest
from gre_core.slixmpp.asking import once_at_a_time

REQUEST = PassphraseRequest("alice@xmpp.example", "F" * 40)


class User:
    def __init__(self) -> None:
        self.asked: list[PassphraseRequest] = []
        self.answer: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()

    async def __call__(self, request: PassphraseRequest) -> str | None:
        self.asked.append(request)
        return await self.answer


async def test_all_that_ask_for_the_same_wait_for_one_answer() -> None:
    user = User()
    ask = once_at_a_time(user)
    tasks = [asyncio.ensure_future(ask(REQUEST)) for _ in range(3)]
    other = asyncio.ensure_future(ask(PassphraseRequest("alice@xmpp.example", "A" * 40)))
    await asyncio.sleep(0)
    user.answer.set_result("words")
    assert await asyncio.gather(*tasks, other) == ["words"] * 4
    assert [request.key[0] for request in user.asked] == ["F", "A"]
    await ask(REQUEST)
    assert len(user.asked) == 3


async def test_one_that_gives_up_does_not_take_the_answer_from_others() -> None:
    user = User()
    ask = once_at_a_time(user)
    first, second = (asyncio.ensure_future(ask(REQUEST)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    user.answer.set_result("words")
    assert await second == "words"
    assert first.cancelled()


async def test_an_error_reaches_all_and_is_forgotten() -> None:
    user = User()
    ask = once_at_a_time(user)
    tasks = [asyncio.ensure_future(ask(REQUEST)) for _ in range(2)]
    await asyncio.sleep(0)
    user.answer.set_exception(OSError("no terminal"))
    for task in tasks:
        with pytest.raises(OSError, match="no terminal"):
            await task
    with pytest.raises(OSError, match="no terminal"):
        await ask(REQUEST)
    assert len(user.asked) == 2
