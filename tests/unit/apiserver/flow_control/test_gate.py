"""Who gets the next place: levels by their shares, flows of a level in turn, bounds on all that waits."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from pybernetes.apiserver.attributes import User
from pybernetes.apiserver.flow_control import gate as gates
from pybernetes.apiserver.flow_control.flows import Seat
from pybernetes.apiserver.flow_control.gate import TURN_STARTS, Gate
from pybernetes.apiserver.flow_control.interface import TooBusy
from tests.unit.apiserver.flow_control.objects import MAP, configuration, gate, level, schema, user

NODE = user("system:node:n", "system:nodes")
ACCOUNT = user("sa", "system:serviceaccounts")


async def enter(door: Gate, who: User, width: int = 1, size: int = 0) -> Seat:
    seat = door.seat(who, MAP, {})
    if width > 1:
        seat = Seat(seat.flow, width)
    if not door.enter_at_once(seat):
        seat = await door.wait(seat, who, MAP, size)
    return seat


async def serve(door: Gate, who: User, order: list[str], width: int = 1) -> None:
    seat = await enter(door, who, width)
    order.append(who.name)
    await asyncio.sleep(0)
    door.leave(seat)


def mine(shares: int = 10, seats: int = 10_000, **options: int) -> Gate:
    """A gate where the users me, you and so on have a level of their own."""
    schemas = [schema("mine", "mine", "*", method="ByUser", precedence=2)]
    return gate(seats, wanted=configuration(schemas, [level("mine", shares, **options)]))


async def test_one_turn_of_the_loop_starts_a_bounded_number() -> None:
    door = gate()
    started = [door.enter_at_once(door.seat(ACCOUNT, MAP, {})) for _ in range(100)]
    assert sum(started) == TURN_STARTS
    await asyncio.sleep(0)
    assert door.enter_at_once(door.seat(ACCOUNT, MAP, {}))


async def test_the_exempt_start_at_once_whatever_there_is() -> None:
    door = gate(1)
    admin = user("admin", "system:masters")
    assert all(door.enter_at_once(door.seat(admin, MAP, {})) for _ in range(100))


async def test_a_user_who_floods_waits_behind_a_user_who_does_not() -> None:
    door = gate()
    order: list[str] = []
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        for _ in range(300):
            group.create_task(serve(door, user("flood"), order))
        await asyncio.sleep(0)
        group.create_task(serve(door, user("calm"), order))
        group.create_task(serve(door, NODE, order))
    assert order.index("calm") < 60 and order.index(NODE.name) < 60
    assert Counter(order) == {"flood": 300, "calm": 1, NODE.name: 1}
    assert door.waiting == 0 and all(found.idle for found in door.levels.values())


async def test_levels_that_all_wait_are_served_by_their_shares() -> None:
    door = gate(10_000)
    order: list[str] = []
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        for who in (ACCOUNT, user("me")):
            for _ in range(200):
                group.create_task(serve(door, who, order))
    early = Counter(order[24:144])
    assert 4 <= early["sa"] / early["me"] <= 6  # 100 shares to 20


async def test_a_level_has_no_more_seats_than_its_limit() -> None:
    door = mine(shares=245, seats=20, queues=4)  # as many as all others together: 10
    running = [await enter(door, user("me")) for _ in range(10)]
    late = asyncio.create_task(enter(door, user("me")))
    await asyncio.sleep(0.01)
    assert not late.done() and door.levels["mine"].waiting == 1
    door.leave(running.pop())
    await asyncio.wait_for(late, 1)


async def test_a_wide_request_takes_its_seats_and_one_that_is_too_wide_goes_alone() -> None:
    door = mine(shares=245, seats=20, queues=4)
    wide = await enter(door, user("me"), 8)
    assert door.levels["mine"].running_seats == 8
    wider = asyncio.create_task(enter(door, user("me"), 12))
    await asyncio.sleep(0.01)
    assert not wider.done()
    door.leave(wide)
    door.leave(await asyncio.wait_for(wider, 1))
    assert door.levels["mine"].running_seats == 0


async def test_a_level_that_rejects_lets_nobody_wait_for_a_seat() -> None:
    door = mine(shares=245, seats=60)  # 30 seats
    results = await asyncio.gather(*(enter(door, user("me")) for _ in range(40)), return_exceptions=True)
    assert sum(isinstance(found, Seat) for found in results) == 30  # those beyond a turn's starts wait for the next turn
    busy = next(found for found in results if isinstance(found, TooBusy))
    assert busy.headers["X-Kubernetes-Pf-Prioritylevel-Uid"] == "uid-mine"
    assert door.counts["mine", "mine"].rejected == {"concurrency-limit": 10}


async def test_queues_are_bounded_and_waiting_is_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    schemas = [schema("mine", "mine", "*", method="ByUser", precedence=2)]
    wanted = configuration(schemas, [level("mine", 245, queues=8, hand=1, length=3)])
    door = gate(2, wait_s=0.05, wanted=wanted)
    await enter(door, user("a"))  # never leaves
    results = await asyncio.gather(*(enter(door, user("a")) for _ in range(5)), return_exceptions=True)
    assert [type(result) for result in results] == [TooBusy] * 5
    assert door.counts["mine", "mine"].rejected == {"queue-full": 2, "time-out": 3}
    monkeypatch.setattr(gates, "WAITING_BYTES", 10)
    with pytest.raises(TooBusy):
        await enter(door, user("a"), size=11)
    assert door.waiting == 0


async def test_a_request_that_goes_away_leaves_its_place() -> None:
    door = mine(shares=245, seats=2, queues=8)
    seat = await enter(door, user("a"))
    gone = [asyncio.create_task(enter(door, user("a"))) for _ in range(3)]
    await asyncio.sleep(0)
    for task in gone:
        task.cancel()
    await asyncio.gather(*gone, return_exceptions=True)
    assert door.waiting == 0 and door.counts["mine", "mine"].rejected == {"cancelled": 3}
    door.leave(seat)
    await asyncio.wait_for(enter(door, user("a")), 1)


async def test_a_new_configuration_counts_at_once_and_what_waits_goes_on() -> None:
    door = mine(shares=245, seats=2, queues=8)
    seat = await enter(door, user("a"))
    late = [asyncio.create_task(enter(door, user(name))) for name in "abc"]
    await asyncio.sleep(0)
    door.configure(configuration())
    assert door.levels["mine"].quiescing
    assert door.seat(user("a"), MAP, {}).flow.schema == "global-default"
    door.leave(seat)
    for _ in range(3):
        done, pending = await asyncio.wait(late, timeout=1, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            door.leave(task.result())
        late = list(pending)
    assert not late
    door.adjust()
    assert "mine" not in door.levels


async def test_requests_move_to_the_new_queues_of_their_level() -> None:
    door = mine(shares=245, seats=2, queues=8)
    seat = await enter(door, user("a"))
    late = [asyncio.create_task(enter(door, user(name))) for name in "abc"]
    await asyncio.sleep(0)
    schemas = [schema("mine", "mine", "*", method="ByUser", precedence=2)]
    door.configure(configuration(schemas, [level("mine", 2450, queues=1)]))
    assert [len(queue.waiters) for queue in door.levels["mine"].queues] == [3]
    door.leave(seat)
    for task in asyncio.as_completed(late, timeout=1):
        door.leave(await task)
    assert door.levels["mine"].idle


async def test_a_busy_level_borrows_what_an_idle_one_lends() -> None:
    door = gate(245)  # workload-low: 100, of which it lends 90
    found = door.levels["global-default"]
    assert (found.limits.nominal, found.limits.lower, found.limit) == (20, 10, 15)
    late = [asyncio.create_task(enter(door, user("me"))) for _ in range(60)]
    await asyncio.sleep(0.01)
    assert found.running == 15
    for _ in range(10):
        door.sample()
    door.adjust()
    await asyncio.sleep(0.01)
    assert found.running == 60 and door.levels["workload-low"].limit < 100
    for task in late:
        door.leave(await task)
    for _ in range(100):
        door.adjust()
    assert found.limit < 30  # and gives it back
