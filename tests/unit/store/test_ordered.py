from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pybernetes.store.memory import ordered
from pybernetes.store.memory.image import bounds
from pybernetes.store.memory.ordered import SortedKeys

some_key = st.text(alphabet="/ab\0\U0010ffff", max_size=6)


@given(
    initial=st.sets(some_key, max_size=30),
    toggled=st.lists(some_key, max_size=60),
    start=some_key,
    stop=st.none() | some_key,
    chunk=st.integers(1, 4),
)
def test_sorted_keys_agree_with_a_sorted_set(
    initial: set[str], toggled: list[str], start: str, stop: str | None, chunk: int
) -> None:
    usual, ordered.CHUNK = ordered.CHUNK, chunk  # small, so that chunks split and vanish
    try:
        keys, model = SortedKeys(initial), set(initial)
        for key in toggled:
            if key in model:
                keys.remove(key)
                model.remove(key)
            else:
                keys.add(key)
                model.add(key)
        expected = sorted(key for key in model if start <= key and (stop is None or key < stop))
        assert list(keys.between(start, stop)) == expected
        assert keys.listed(start, stop) == expected
        assert keys.count(start, stop) == len(expected)
        sample = keys.sample(8)
        assert set(sample) <= model
        assert bool(sample) == bool(model)
        assert list(keys.between("", None)) == sorted(model)
    finally:
        ordered.CHUNK = usual


@given(prefix=some_key, after=some_key, key=some_key)
def test_bounds_hold_exactly_the_keys_of_the_prefix_after_a_key(prefix: str, after: str, key: str) -> None:
    start, stop = bounds(prefix, after)
    within = start <= key and (stop is None or key < stop)
    assert within == (key.startswith(prefix) and (not after or key > after))
