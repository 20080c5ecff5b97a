from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybernetes.store import bolt

some_bytes = st.binary(min_size=1, max_size=40)
some_items = st.dictionaries(some_bytes, st.binary(max_size=200) | st.integers(0, 30_000).map(bytes), max_size=60)


def written(buckets: dict[bytes, dict[bytes, bytes]]) -> bytes:
    file = io.BytesIO()
    bolt.write(file, {name: sorted(items.items()) for name, items in buckets.items()})
    return file.getvalue()


@given(buckets=st.dictionaries(some_bytes, some_items, min_size=1, max_size=4))
def test_what_is_written_is_read(buckets: dict[bytes, dict[bytes, bytes]]) -> None:
    found = bolt.BoltFile.of(memoryview(written(buckets))).buckets()
    assert {name: dict(items) for name, items in found.items()} == buckets


def test_items_come_in_order_out_of_a_tree_of_several_levels() -> None:
    items = {number.to_bytes(8): bytes(3) * (number % 50) for number in range(100_000)}
    data = written({b"many": items})
    assert list(bolt.BoltFile.of(memoryview(data)).buckets()[b"many"]) == list(items.items())
    assert len(data) % bolt.PAGE == 0


@given(
    data=st.binary(max_size=100) | st.just(written({b"a": {b"k": b"v"}})), at=st.integers(0, 30_000), byte=st.integers(0, 255)
)
def test_any_file_is_read_or_called_damaged(data: bytes, at: int, byte: int) -> None:
    spoilt = bytearray(data)
    if at < len(spoilt):
        spoilt[at] = byte
    for view in (memoryview(bytes(spoilt)), memoryview(data[:at])):
        try:
            for items in bolt.BoltFile.of(view).buckets().values():
                list(items)
        except bolt.Damaged:
            pass


def test_a_tree_that_bites_its_tail_is_damaged() -> None:
    data = bytearray(written({b"a": {number.to_bytes(4): bytes(3000) for number in range(40)}}))
    root = bolt.BoltFile.of(memoryview(bytes(data))).root
    branch = next(page for page in range(3, root) if data[page * bolt.PAGE + 8] == 1)
    data[branch * bolt.PAGE + 16 + 8 : branch * bolt.PAGE + 16 + 16] = branch.to_bytes(8, "little")
    with pytest.raises(bolt.Damaged):
        list(bolt.BoltFile.of(memoryview(bytes(data))).buckets()[b"a"])
