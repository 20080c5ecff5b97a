"""Durations as Go writes them."""

from __future__ import annotations

import pytest

from pybernetes.machinery import go_duration


@pytest.mark.parametrize(
    ("text", "nanos"),
    [
        ("0", 0), ("+0", 0), ("1h2m3s", 3723 * 10**9), ("-1.5s", -15 * 10**8), (".5ms", 500_000), ("1.s", 10**9),
        ("1.9ns", 1), ("0.5ns0.5ns", 0), ("3µs", 3000), ("3us", 3000), ("9223372036854775807ns", 2**63 - 1),
    ],
)  # fmt: skip
def test_durations_are_sums_of_terms_in_whole_nanoseconds(text: str, nanos: int):
    assert go_duration.parse(text) == nanos


@pytest.mark.parametrize("text", ["", "-", "1", ".s", "s", "1h ", "1d", "1h-2m", "--1s", "٣s", "9223372036854775808ns"])
def test_what_is_no_duration_is_refused_with_gos_sentence(text: str):
    with pytest.raises(ValueError, match=r"^time: invalid duration"):
        go_duration.parse(text)
