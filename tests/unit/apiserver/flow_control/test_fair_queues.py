"""Shuffle sharding and start-time fair queueing within a level."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybernetes.apiserver.flow_control.fair_queues import FairQueues, Waiter, deal, flow_hash
from pybernetes.apiserver.flow_control.flows import Seat
from tests.unit.apiserver.flow_control.objects import MAP, gate, user


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


def waiter(loop: asyncio.AbstractEventLoop, name: str, width: int = 1) -> Waiter:
    flow = gate().seat(user(name), MAP, {}).flow
    return Waiter(Seat(flow, width), name, name, MAP, 0, datetime(2026, 1, 1, tzinfo=UTC), loop.create_future())


@given(st.integers(0, 2**64 - 1), st.integers(1, 200), st.integers(1, 10))
def test_a_hand_has_different_queues(entropy: int, deck: int, hand: int) -> None:
    cards = deal(entropy, deck, hand)
    assert len(set(cards)) == len(cards) == min(hand, deck)
    assert all(0 <= card < deck for card in cards)


def test_hands_are_dealt_evenly() -> None:
    seen = Counter(card for number in range(4000) for card in deal(flow_hash("s", f"user{number}"), 16, 4))
    assert len(seen) == 16 and all(800 < count < 1200 for count in seen.values())


def test_a_flood_leaves_room_for_nearly_everybody_else(loop: asyncio.AbstractEventLoop) -> None:
    queues = FairQueues(64, 6, 50)
    while queues.put(waiter(loop, "flood"), flow_hash("s", "flood")):
        pass
    others = [queues.put(waiter(loop, f"u{number}"), flow_hash("s", f"u{number}")) for number in range(100)]
    assert sum(len(queue.waiters) for queue in queues) == 6 * 50 + 100 and all(others)


def test_queues_take_turns_whatever_their_length(loop: asyncio.AbstractEventLoop) -> None:
    queues = FairQueues(1000, 1, 50)
    for _ in range(20):
        queues.put(waiter(loop, "flood"), flow_hash("s", "flood"))
    for _ in range(3):
        assert queues.take().user == "flood"
    for _ in range(2):
        queues.put(waiter(loop, "calm"), flow_hash("s", "calm"))
    order = [queues.take().user for _ in range(6)]
    assert Counter(order)["calm"] == 2 and order.index("calm") <= 1


def test_who_asks_for_more_has_fewer_turns(loop: asyncio.AbstractEventLoop) -> None:
    queues = FairQueues(1000, 1, 100)
    for _ in range(60):
        queues.put(waiter(loop, "wide", 4), flow_hash("s", "wide"))
        queues.put(waiter(loop, "slim"), flow_hash("s", "slim"))
    order = Counter(queues.take().user for _ in range(50))
    assert 3.5 <= order["slim"] / order["wide"] <= 4.5


def test_who_gives_up_is_passed_over(loop: asyncio.AbstractEventLoop) -> None:
    queues = FairQueues(1, 1, 50)
    first, second = waiter(loop, "a"), waiter(loop, "a")
    queues.put(first, 0), queues.put(second, 0)
    assert queues.remove(first) and not queues.remove(first)
    assert queues.first() is second
    assert queues.remove(second) and queues.first() is None
    queues.put(first, 0)
    assert queues.take() is first and queues.first() is None
