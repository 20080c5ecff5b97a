"""Whatever requests do, and however the configuration changes meanwhile: books are kept, limits hold, everybody is served."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pybernetes.apiserver.flow_control.fair_queues import FairQueues, Waiter, flow_hash
from pybernetes.apiserver.flow_control.flows import Seat
from pybernetes.apiserver.flow_control.gate import Gate
from pybernetes.apiserver.flow_control.interface import TooBusy
from tests.unit.apiserver.flow_control.objects import MAP, configuration, gate, level, schema, user
from tests.unit.apiserver.flow_control.test_fair_queues import waiter

_PEOPLE = st.sampled_from(["a", "b", "c"])
_STEPS = st.one_of(
    st.tuples(st.just("ask"), _PEOPLE, st.integers(1, 3)),
    st.tuples(st.just("leave"), st.integers(0, 20)),
    st.tuples(st.just("give up"), st.integers(0, 20)),
    st.tuples(st.just("configure"), st.integers(0, 5), st.integers(0, 4)),
    st.tuples(st.just("turn")),
    st.tuples(st.just("adjust")),
)


def configured(shares: int, queues: int) -> Any:
    schemas = [schema("mine", "mine", "*", method="ByUser", precedence=2)]
    return configuration(schemas, [level("mine", shares, queues=queues)])


class World:
    """A gate, and those who use it."""

    def __init__(self) -> None:
        self.gate: Gate = gate(300, wanted=configured(3, 2), wait_s=60)
        self.asking: list[asyncio.Task[None]] = []
        self.held: list[Seat] = []

    async def ask(self, name: str, width: int) -> None:
        who = user(name)
        seat = Seat(self.gate.seat(who, MAP, {}).flow, width)
        if not self.gate.enter_at_once(seat):
            try:
                seat = await self.gate.wait(seat, who, MAP, 0)
            except TooBusy:
                return
        self.held.append(seat)

    async def step(self, step: tuple[Any, ...]) -> None:
        if step[0] == "ask":
            self.asking.append(asyncio.create_task(self.ask(step[1], step[2])))
        elif step[0] == "leave" and self.held:
            self.gate.leave(self.held.pop(step[1] % len(self.held)))
        elif step[0] == "give up" and self.asking:
            self.asking.pop(step[1] % len(self.asking)).cancel()
        elif step[0] == "configure":
            self.gate.configure(configured(step[1], step[2]))
        elif step[0] == "adjust":
            self.gate.adjust()
        else:
            await asyncio.sleep(0)

    def check(self) -> None:
        levels = self.gate.levels
        assert self.gate.waiting == sum(found.waiting for found in levels.values())
        for found in levels.values():
            counts = [one for (name, _), one in self.gate.counts.items() if name == found.name]
            queued = [one for queue in found.queues for one in queue.waiters]
            assert found.waiting == len(queued) == sum(one.waiting for one in counts)
            assert found.waiting_seats == sum(one.seat.width for one in queued)
            assert found.waiting_seats == sum(one.waiting_seats for one in counts)
            assert found.running == sum(one.running for one in counts)
            assert found.running_seats == sum(one.running_seats for one in counts) >= 0

    async def settle(self) -> None:
        async with asyncio.timeout(10):
            while not all(task.done() for task in self.asking) or self.held:
                while self.held:
                    self.gate.leave(self.held.pop())
                await asyncio.sleep(0)


@settings(max_examples=60, deadline=None)
@given(st.lists(_STEPS, max_size=60))
def test_books_are_kept_and_everybody_is_served_in_the_end(steps: list[tuple[Any, ...]]) -> None:
    async def run() -> None:
        world = World()
        for step in steps:
            await world.step(step)
            world.check()
        await world.settle()
        world.check()
        assert all(found.idle for found in world.gate.levels.values())

    asyncio.run(run())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 5)), min_size=10, max_size=80))
def test_two_flows_that_always_wait_get_the_same_within_one_request_each(asked: list[tuple[str, int]]) -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        queues = FairQueues(10_000, 1, 1000)
        left = {"a": 0, "b": 0}
        for name, width in asked:
            made: Waiter = waiter(loop, name, width)
            queues.put(made, flow_hash("s", name))
            left[name] += 1
        served = {"a": 0, "b": 0}
        while all(left.values()):
            found = queues.take()
            left[found.user] -= 1
            served[found.user] += found.seat.width
            assert abs(served["a"] - served["b"]) <= 10  # twice the widest

    asyncio.run(run())
