from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybernetes.store.face.errors import InvalidArgument
from pybernetes.store.face.ranges import at_or_after, key_of, range_of

some_text = st.text(
    alphabet=st.sampled_from("\0/aé߿ࠀ\ud7ff\ue000\U00010000\U0010ffff") | st.characters(codec="utf-8"), max_size=4
)
some_bound = st.binary(max_size=6) | some_text.map(lambda text: text.encode()[:-1])


@given(bound=some_bound, text=some_text)
def test_the_bounds_of_a_range_part_text_as_they_part_bytes(bound: bytes, text: str) -> None:
    found = at_or_after(bound)
    is_after = found is not None and found <= text
    assert is_after == (bound <= text.encode())


@given(start=some_text.filter(bool), end=some_bound.filter(bool), text=some_text)
def test_a_range_holds_what_etcds_holds(start: str, end: bytes, text: str) -> None:
    low, stop = range_of(start.encode(), end)
    holds = low <= text and (stop is None or text < stop)
    key = text.encode()
    from_there = start == "\0" or start.encode() <= key
    assert holds == (from_there and (end == b"\0" or key < end))


@given(key=some_text.filter(bool), text=some_text)
def test_without_an_end_it_is_the_key_alone(key: str, text: str) -> None:
    low, stop = range_of(key.encode(), b"")
    assert (low <= text and stop is not None and text < stop) == (text == key)


@pytest.mark.parametrize("key", [b"", b"\xff", b"/\xc3", b"\xed\xa0\x80"])
def test_what_is_no_text_is_no_key(key: bytes) -> None:
    with pytest.raises(InvalidArgument):
        key_of(key)
