"""Sizes of events: the buckets are found by their bits."""

from __future__ import annotations

from bisect import bisect_left

from hypothesis import given
from hypothesis import strategies as st

from pybernetes.apiserver.metrics.watches import BYTES, WatchCounts


@given(st.integers(1, 300_000))
def test_an_event_is_in_the_bucket_that_a_search_would_find(size: int) -> None:
    counts = WatchCounts()
    counts.sent([size])
    assert counts.sizes.buckets.index(1) == bisect_left(BYTES, size)
    assert counts.sizes.total == size
