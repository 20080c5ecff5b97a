"""Synchronous work that others on the loop wait for no longer than they must."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from pybernetes.machinery.turns import SLICE_UNITS, TURN_UNITS, by_turns, spend, wait_for
from pybernetes.sim import virtual_time


def busy(units: int, each: int = 100) -> Callable[[], int]:
    """Work that takes so much, and gives it."""

    def work() -> int:
        for _ in range(units // each):
            spend(each)
        return units

    return work


@asynccontextmanager
async def counted_turns() -> AsyncIterator[Callable[[], int]]:
    """How many turns somebody else on the loop has had."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count())
    try:
        yield lambda: turns
    finally:
        counting.cancel()


async def test_work_that_is_soon_done_is_done_at_once():
    async with counted_turns() as turns:
        assert await by_turns(busy(TURN_UNITS // 2)) == TURN_UNITS // 2
        assert turns() == 0


async def test_others_have_a_turn_for_each_slice_of_work_that_takes_long():
    async with counted_turns() as turns:
        units = TURN_UNITS + 20 * SLICE_UNITS
        assert await by_turns(busy(units)) == units
        assert turns() >= 19


async def test_what_begins_in_one_turn_shares_it():
    async with counted_turns() as turns:
        for _ in range(10):
            await by_turns(busy(TURN_UNITS // 2))
        assert turns() >= 3


async def test_those_who_take_long_take_turns():
    order: list[str] = []

    def work(name: str) -> None:
        for _ in range(20):
            order.append(name)
            spend(TURN_UNITS + 1)

    await asyncio.gather(*(by_turns(lambda name=name: work(name)) for name in "abc"))
    assert all(order[:45].count(name) >= 14 for name in "abc")


async def test_little_work_does_not_wait_for_those_who_take_long():
    long = [asyncio.create_task(by_turns(busy(100 * SLICE_UNITS))) for _ in range(20)]
    await asyncio.sleep(0)
    async with counted_turns() as turns:
        for _ in range(10):
            await asyncio.sleep(0)
            await by_turns(busy(100))
        assert turns() <= 40
    assert not any(task.done() for task in long)
    await asyncio.gather(*long)


async def test_work_waits_for_an_answer_however_deep_it_is():
    async def answer() -> int:
        await asyncio.sleep(0)
        return 5

    def deep(levels: int) -> int:
        return deep(levels - 1) + 1 if levels else wait_for(answer)

    assert await by_turns(lambda: deep(100)) == 105


async def test_an_answer_that_fails_fails_where_it_was_waited_for():
    async def answer() -> int:
        raise LookupError("nobody knows")

    def work() -> str:
        try:
            return str(wait_for(answer))
        except LookupError as error:
            return str(error)

    assert await by_turns(work) == "nobody knows"


@pytest.mark.parametrize("units", [0, 2 * TURN_UNITS])
async def test_what_work_raises_is_raised(units):
    def work() -> None:
        busy(units)()
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await by_turns(work)
    assert await by_turns(busy(100)) == 100


async def test_work_whose_caller_is_cancelled_ends_where_it_is_and_lets_go_of_what_it_holds():
    held = ["it"]

    def work() -> None:
        try:
            busy(10_000 * SLICE_UNITS)()
        finally:
            held.clear()
            spend(10 * TURN_UNITS)

    task = asyncio.create_task(by_turns(work))
    for _ in range(10):
        await asyncio.sleep(0)
    assert held
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not held
    assert await by_turns(busy(2 * TURN_UNITS)) == 2 * TURN_UNITS  # the line is free, the stack as good as new


def test_without_turns_work_goes_on_but_cannot_wait():
    assert busy(10 * TURN_UNITS)() == 10 * TURN_UNITS
    with pytest.raises(RuntimeError, match="by turns"):
        wait_for(asyncio.Event().wait)


def test_there_are_turns_on_virtual_time_too():
    async def main(clock: virtual_time.VirtualClock) -> tuple[int, float]:
        units = await by_turns(busy(10 * TURN_UNITS))
        by_turns_s = clock.monotonic()
        await by_turns(lambda: wait_for(lambda: clock.sleep(60)))
        return units, clock.monotonic() - by_turns_s

    assert virtual_time.run(main) == (10 * TURN_UNITS, 60)
