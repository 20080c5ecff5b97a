"""How the seats are divided: nominal shares, what is lent and borrowed (KEP-1040)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybernetes.apiserver.flow_control.allocation import Claim, Demand, Limits, Shares, claim, divide, limits, width_most


def test_a_level_has_its_share_lends_a_part_and_borrows_up_to_its_bound() -> None:
    found = limits({"a": Shares(30, 50, 100), "b": Shares(60, 25), "c": Shares(10)}, 600)
    assert found == {"a": Limits(180, 90, 360), "b": Limits(360, 270, 600), "c": Limits(60, 60, 600)}
    assert found["a"].initial == 135


def test_no_level_has_a_share_where_all_have_none() -> None:
    assert limits({"exempt": Shares(0, exempt=True)}, 600) == {"exempt": Limits(0, 0, 600)}


@pytest.mark.parametrize(("nominal", "hand", "expected"), [(49, 6, 8), (245, 6, 10), (25, 4, 4), (13, 0, 2), (1, 6, 1)])
def test_one_request_takes_a_small_part_of_its_level(nominal: int, hand: int, expected: int) -> None:
    assert width_most(nominal, hand) == expected


def test_demand_is_forgotten_slowly() -> None:
    demand = Demand()
    demand.high = 50
    for seats in (20, 40):
        demand.sample(seats)
    demand.close_period(30)
    assert (demand.average, round(demand.deviation, 2), demand.last_high) == (30.0, 8.16, 50)
    burst = demand.smoothed
    assert round(burst, 2) == 38.16
    demand.close_period(0)
    assert 0.97 * burst < demand.smoothed < burst and demand.last_high == 30


def test_an_idle_level_keeps_what_it_does_not_lend_and_a_busy_one_gets_the_rest() -> None:
    idle, busy = Demand(), Demand()
    idle.close_period(0), busy.close_period(1000)
    claims = [claim(Limits(100, 50, 300), idle), claim(Limits(200, 180, 300), busy)]
    assert divide(claims, 300)[0] == [50, 250]


bounds = st.tuples(st.floats(0, 500), st.floats(0, 200), st.floats(0, 200)).map(
    lambda found: Claim(found[0] + found[1], found[1], found[1] + found[2])
)


@given(st.lists(bounds, min_size=1, max_size=10), st.integers(1, 2000))
def test_a_division_keeps_to_the_bounds_and_gives_away_what_it_can(claims: list[Claim], seats: int) -> None:
    found, fraction = divide(claims, seats)
    for one, given_ in zip(claims, found, strict=True):
        assert one.lower - 0.5 <= given_ <= one.upper + 0.5
    least, most = sum(one.lower for one in claims), sum(one.upper for one in claims)
    wanted = min(max(seats, least), most)
    assert abs(sum(found) - wanted) <= 0.5 * len(claims) + 1
    assert fraction >= 0
