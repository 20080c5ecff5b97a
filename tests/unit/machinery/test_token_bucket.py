"""How much may be taken from a bucket, and when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from pybernetes.machinery.token_bucket import TokenBucket


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, delay_s: float) -> None:
        self.seconds += delay_s


@given(st.integers(1, 20), st.integers(1, 50), st.lists(st.floats(0, 2), max_size=60))
def test_no_more_is_taken_than_the_burst_and_what_has_come_back(burst, per_second, pauses):
    clock = Clock()
    bucket = TokenBucket(per_second, burst, clock)
    taken = 0
    for pause in pauses:
        clock.seconds += pause
        taken += bucket.take()
        assert taken <= burst + clock.seconds * per_second + 1e-6


async def test_who_waits_gets_one_as_soon_as_there_is_one():
    clock = Clock()
    bucket = TokenBucket(4, 2, clock)
    times = []
    for _ in range(4):
        await bucket.wait()
        times.append(round(clock.seconds, 6))
    assert times == [0, 0, 0.25, 0.5]
