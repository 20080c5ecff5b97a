import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybernetes.client.workqueue import QueueShutDown, WorkQueue
from pybernetes.machinery.clock import SystemClock
from pybernetes.machinery.entropy import SeededEntropy


@pytest.fixture
def queue():
    return WorkQueue(SystemClock(), SeededEntropy(1))


async def test_a_key_is_queued_once(queue):
    for key in ("a", "b", "a"):
        queue.add(key)
    assert len(queue) == 2
    assert [await queue.get(), await queue.get()] == ["a", "b"]


async def test_a_key_added_while_worked_on_waits_until_it_is_done(queue):
    queue.add("a")
    await queue.get()
    queue.add("a")
    assert len(queue) == 0
    queue.done("a")
    assert await queue.get() == "a"
    queue.done("a")
    assert len(queue) == 0


async def test_a_waiting_worker_is_woken(queue):
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add("a")
    assert await waiting == "a"


async def test_a_worker_cancelled_as_it_is_woken_passes_the_key_on(queue):
    first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add("a")
    first.cancel()
    assert await asyncio.wait_for(second, 5) == "a"


async def test_of_two_delays_the_shorter_holds(queue):
    queue.add_after("a", 100)
    queue.add_after("a", 0.001)
    queue.add_after("a", 50)
    assert await asyncio.wait_for(queue.get(), 5) == "a"


async def test_retries_wait_longer_each_time_until_forgotten(queue, monkeypatch):
    delays = []
    monkeypatch.setattr(queue, "add_after", lambda key, delay_s: delays.append(delay_s))
    for _ in range(40):
        queue.add_rate_limited("a")
    assert 0.005 <= delays[0] <= 0.0055
    assert 0.01 <= delays[1] <= 0.011
    assert 1000 <= delays[-1] <= 1100
    assert queue.retries("a") == 40
    queue.forget("a")
    queue.add_rate_limited("a")
    assert delays[-1] <= 0.0055


async def test_a_shut_queue_gives_out_what_it_has_and_then_ends(queue):
    queue.add("a")
    waiting = [asyncio.create_task(queue.get()) for _ in range(2)]
    await asyncio.sleep(0)
    queue.shut_down()
    queue.add("b")
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert results[0] == "a"
    assert isinstance(results[1], QueueShutDown)


@given(st.lists(st.sampled_from(["add", "get", "done"]).flatmap(lambda op: st.tuples(st.just(op), st.integers(0, 3)))))
def test_no_key_is_lost_or_worked_on_twice_at_once(steps):
    async def play():
        queue = WorkQueue(SystemClock(), SeededEntropy(0))
        dirty, processing = set(), set()
        for op, key in steps:
            if op == "add":
                queue.add(key)
                dirty.add(key)
            elif op == "get" and len(queue):
                got = await queue.get()
                assert got in dirty
                assert got not in processing
                dirty.discard(got)
                processing.add(got)
            elif op == "done" and key in processing:
                processing.discard(key)
                queue.done(key)
            assert len(queue) == len(dirty - processing)

    asyncio.run(play())
