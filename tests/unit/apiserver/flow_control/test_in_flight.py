"""Without priority and fairness: limits for reading and for writing requests."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pybernetes.apiserver.attributes import RequestInfo, User
from pybernetes.apiserver.flow_control.in_flight import MaxInFlight, Slot
from pybernetes.apiserver.flow_control.interface import TooBusy
from tests.unit.apiserver.flow_control.objects import MAP, user

WRITE = replace(MAP, verb="create")


def enter(door: MaxInFlight, who: User, what: RequestInfo) -> Slot | None:
    seat = door.seat(who, what, {})
    return seat if door.enter_at_once(seat) else None


async def test_reads_and_writes_are_counted_apart_and_administrators_are_never_refused() -> None:
    door = MaxInFlight(2, 1)
    seats = [enter(door, user("me"), what) for what in (MAP, MAP, MAP, WRITE, WRITE)]
    assert [found is not None for found in seats] == [True, True, False, True, False]
    assert enter(door, user("admin", "system:masters"), MAP) is not None
    with pytest.raises(TooBusy):
        await door.wait(door.seat(user("me"), MAP, {}), user("me"), MAP, 0)
    for _ in range(2):
        door.leave(door.seat(user("me"), MAP, {}))
    assert enter(door, user("me"), MAP) is not None


def test_a_limit_of_zero_is_none() -> None:
    door = MaxInFlight(0, 0)
    assert all(enter(door, user("me"), WRITE) is not None for _ in range(1000))
