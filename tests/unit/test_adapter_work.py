"""The work queues of the adapter: order, bounds, pauses, cancellation."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from xml.etree.ElementTree import fromstring

import pytest

from gre_core.slixmpp import work
from gre_core.slixmpp.work import WorkQueue, weight, within


class Transport:
    def __init__(self):
        self.calls = []

    def pause_reading(self):
        self.calls.append("pause")

    def resume_reading(self):
        self.calls.append("resume")


@pytest.fixture
async def xmpp(monkeypatch):
    monkeypatch.setattr(work, "PAUSE", 0.02)
    return SimpleNamespace(loop=asyncio.get_running_loop(), transport=Transport())


async def test_one_worker_keeps_the_order(xmpp):
    queue, done = WorkQueue(xmpp, workers=1, max_bytes=1000), []

    async def job(number):
        await asyncio.sleep(0.001 * (5 - number))
        done.append(number)

    for number in range(5):
        assert queue.put(lambda number=number: job(number))
    async with asyncio.timeout(30):
        while len(done) < 5:
            await asyncio.sleep(0.01)
    assert done == [0, 1, 2, 3, 4]


async def test_no_more_jobs_run_at_once_than_there_are_workers(xmpp):
    queue, running, most = WorkQueue(xmpp, workers=3, max_bytes=1000), 0, []

    async def job():
        nonlocal running
        running += 1
        most.append(running)
        await asyncio.sleep(0.001)
        running -= 1

    for _ in range(10):
        queue.put(job)
    await asyncio.sleep(0.05)
    assert (len(most), max(most), running) == (10, 3, 0)


@pytest.mark.parametrize("error", [ZeroDivisionError, asyncio.CancelledError, TimeoutError])
async def test_a_job_that_raises_does_not_end_the_others(xmpp, error):
    queue, done = WorkQueue(xmpp, workers=1, max_bytes=1000), []

    async def broken():
        raise error

    async def job():
        done.append(1)

    queue.put(broken, 600)
    queue.put(job, 400)
    await asyncio.sleep(0.01)
    assert done == [1]
    assert queue._bytes == 0
    assert not queue._tasks


async def test_memory_is_bounded_and_comes_back(xmpp):
    queue, release = WorkQueue(xmpp, workers=1, max_bytes=1000), asyncio.Event()
    assert queue.put(release.wait, 5000), "a single job always has room"
    assert not queue.put(release.wait, 1)
    release.set()
    await asyncio.sleep(0.01)
    assert queue.put(release.wait, 1000)
    assert not queue.put(release.wait, 1)


async def test_reading_is_slowed_down_but_never_stopped(xmpp):
    """A job may wait for an answer that comes over the same stream."""
    queue, release = WorkQueue(xmpp, workers=1, max_bytes=1000), asyncio.Event()
    queue.put(release.wait, 500)
    assert xmpp.transport.calls == []
    queue.put(release.wait, 1)
    queue.put(release.wait, 1)
    assert xmpp.transport.calls == ["pause"]
    await asyncio.sleep(0.05)
    assert xmpp.transport.calls == ["pause", "resume"]
    queue.put(release.wait, 1)
    assert xmpp.transport.calls == ["pause", "resume", "pause"]
    release.set()


async def test_a_transport_that_was_replaced_while_paused_is_read(xmpp):
    queue, release = WorkQueue(xmpp, workers=1, max_bytes=1000), asyncio.Event()
    old, xmpp.transport = xmpp.transport, None
    queue.put(release.wait, 900)  # down: nothing to pause
    xmpp.transport = old
    queue.put(release.wait, 1)
    xmpp.transport = Transport()
    await asyncio.sleep(0.05)
    assert old.calls == ["pause", "resume"]
    assert xmpp.transport.calls == []
    queue.put(release.wait, 1)
    assert xmpp.transport.calls == ["pause"], "the new one can be slowed down as well"
    release.set()


async def test_an_idle_queue_holds_no_task(xmpp):
    queue = WorkQueue(xmpp, workers=2, max_bytes=1000)

    async def job():
        pass

    queue.put(job)
    await asyncio.sleep(0.01)
    assert len(asyncio.all_tasks()) == 1


async def test_a_job_that_comes_as_the_last_one_ends_is_done(xmpp):
    """The worker has ended, but its task is not yet seen to be done."""
    queue, done = WorkQueue(xmpp, workers=1, max_bytes=1000), []

    async def job(number):
        done.append(number)

    for number in range(100):
        queue.put(lambda number=number: job(number))
        for _ in range(number % 4):
            await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    assert done == list(range(100))
    queue.put(lambda: job(0))
    [task] = queue._tasks
    while queue._running:
        await asyncio.sleep(0)
    assert queue._tasks == {task}, "the moment that is meant"
    queue.put(lambda: job(1))
    await asyncio.sleep(0.01)
    assert done[100:] == [0, 1]


async def test_within_gives_the_result_and_ends_what_hangs():
    async def soon():
        return 7

    assert await within(1, soon()) == 7
    hung = asyncio.Event()
    with pytest.raises(TimeoutError):
        await within(0.01, hung.wait())


async def test_within_tells_its_own_cancellation_from_that_of_a_handler():
    gone = asyncio.get_running_loop().create_future()
    gone.cancel()
    with pytest.raises(RuntimeError):
        await within(1, gone)
    task = asyncio.create_task(within(1, asyncio.Event().wait()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_weight_grows_with_text_and_elements():
    small, large, many = "<m/>", f"<m>{'x' * 10_000}</m>", f"<m>{'<a/>' * 100}</m>"
    weights = [weight(fromstring(text)) for text in (small, large, many)]
    assert weights[0] < 1000
    assert weights[1] > 10_000
    assert weights[2] > 10_000
