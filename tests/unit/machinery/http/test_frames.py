"""Cutting bytes into HTTP/2 frames, and header blocks into requests."""

from __future__ import annotations

import itertools

import pytest
from hpack import Encoder
from hypothesis import given
from hypothesis import strategies as st

from pybernetes.machinery.http import frames, header_blocks
from pybernetes.machinery.http.frames import ConnectionFailure, StreamFailure

some_frames = st.lists(
    st.tuples(st.integers(0, 255), st.integers(0, 255), st.integers(0, 2**31 - 1), st.binary(max_size=300)), max_size=8
)


@given(wanted=some_frames, cuts=st.lists(st.integers(0, 3000), max_size=6))
def test_frames_come_out_as_they_went_in_however_the_bytes_are_cut(
    wanted: list[tuple[int, int, int, bytes]], cuts: list[int]
) -> None:
    data = frames.PREFACE + b"".join(frames.frame(*frame) for frame in wanted)
    reader = frames.Frames()
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    found = [frame for start, end in itertools.pairwise(places) for frame in reader.feed(data[start:end])]
    assert [tuple(frame) for frame in found] == wanted
    assert reader.pending_bytes == 0


@given(noise=st.binary(max_size=2000), size=st.integers(1, 300))
def test_noise_fails_in_order_or_waits_within_bounds(noise: bytes, size: int) -> None:
    reader = frames.Frames()
    try:
        reader.feed(frames.PREFACE)
        for start in range(0, len(noise), size):
            reader.feed(noise[start : start + size])
            assert reader.pending_bytes <= frames.FRAME_SIZE_MAX + 9
    except ConnectionFailure as failure:
        assert failure.code is frames.Code.FRAME_SIZE_ERROR


def test_a_wrong_preface_is_seen_at_its_first_wrong_byte() -> None:
    with pytest.raises(ConnectionFailure):
        frames.Frames().feed(b"GET")


REQUEST = [(":method", "GET"), (":scheme", "https"), (":path", "/api?x=1"), (":authority", "h")]


def read(fields: list[tuple[str, str]]) -> header_blocks.Head:
    return header_blocks.HeadReader(4096).read(Encoder().encode(fields))


def test_a_request_head() -> None:
    head = read([*REQUEST, ("accept", "a"), ("accept", "b"), ("cookie", "c=1"), ("cookie", "d=2")])
    assert head == ("GET", "/api", "x=1", {"accept": "a, b", "cookie": "c=1; d=2", "host": "h"})


@pytest.mark.parametrize(
    "fields",
    [
        REQUEST[1:],
        [*REQUEST, (":path", "/other")],
        [("accept", "a"), *REQUEST],
        [*REQUEST, (":status", "200")],
        [*REQUEST, ("Accept", "a")],
        [*REQUEST, ("a b", "c")],
        [*REQUEST, ("", "c")],
        [*REQUEST, ("connection", "close")],
        [*REQUEST, ("transfer-encoding", "chunked")],
        [*REQUEST, ("upgrade", "websocket")],
        [*REQUEST, ("te", "gzip")],
        [*REQUEST, ("x", "a\r\nb: c")],
        [*REQUEST, ("x", "a\0b")],
        [*REQUEST, ("content-length", "-1")],
        [*REQUEST, ("content-length", "1"), ("content-length", "1")],
        [(":method", "GET"), (":scheme", "https"), (":path", "")],
        [(":method", "GET"), (":scheme", "https"), (":path", "api")],
        [(":method", "GET"), (":scheme", "https"), (":path", "/a b")],
        [(":method", "GET"), (":scheme", "https"), (":path", "/a\tHTTP/1.1")],
        [(":method", "G T"), (":scheme", "https"), (":path", "/")],
        [(":method", "CONNECT"), (":authority", "h")],
        [*REQUEST[:2], (":path", "/"), (":protocol", "websocket")],
    ],
)
def test_a_malformed_head_fails_its_stream_only(fields: list[tuple[str, str]]) -> None:
    with pytest.raises(StreamFailure):
        read(fields)


@given(
    requests=st.lists(
        st.lists(st.sampled_from([("a", "1"), ("b", "2"), ("c", "3"), ("big", "x" * 150), ("accept", "x")]), max_size=4),
        max_size=12,
    ),
    table_size=st.sampled_from([0, 100, 200, 4096]),
    secret=st.booleans(),
)
def test_remembered_blocks_mean_what_the_table_says(
    requests: list[list[tuple[str, str]]], table_size: int, secret: bool
) -> None:
    encoder, reader = Encoder(), header_blocks.HeadReader(4096)
    encoder.header_table_size = table_size
    for fields in requests:
        expected: dict[str, str] = {"host": "h"}
        for name, value in fields:
            expected[name] = f"{expected[name]}, {value}" if name in expected else value
        sent = [(name, value, secret) for name, value in [*REQUEST, *fields]]  # secret: never put in the table
        assert reader.read(encoder.encode(sent)).headers == expected


def test_a_header_list_that_grows_by_reference_is_refused() -> None:
    reader, encoder = header_blocks.HeadReader(8192), Encoder()
    reader.read(encoder.encode([*REQUEST, ("bomb", "x" * 3000)]))
    with pytest.raises(header_blocks.RequestTooLarge):
        reader.read(encoder.encode([*REQUEST, *[("bomb", "x" * 3000)] * 100]))


@given(st.binary(max_size=400))
def test_no_block_does_worse_than_a_failure(noise: bytes) -> None:
    reader = header_blocks.HeadReader(4096)
    try:
        reader.read(noise)
    except (ConnectionFailure, StreamFailure, header_blocks.RequestTooLarge):
        pass


@given(
    status=st.sampled_from([200, 201, 404, 429, 504]),
    fields=st.lists(st.tuples(st.sampled_from(["Content-Type", "Retry-After", "X-New"]), st.text("aé ,;=", max_size=300))),
)
def test_what_we_write_any_decoder_reads(status: int, fields: list[tuple[str, str]]) -> None:
    from hpack import Decoder

    block = header_blocks.status(status) + b"".join(header_blocks.field(*field) for field in fields)
    block += header_blocks.content_length(12345)
    found = [(bytes(name).decode(), bytes(value).decode("latin-1")) for name, value in Decoder().decode(block, raw=True)]
    wanted = [(name.lower(), value) for name, value in fields]
    assert found == [(":status", str(status)), *wanted, ("content-length", "12345")]


@given(st.binary(max_size=5000), st.integers(1, 1000), st.sampled_from((0, frames.END_STREAM)))
def test_content_goes_out_in_frames_that_are_no_larger_than_the_peer_takes(content: bytes, size_max: int, flags: int) -> None:
    received = frames.Frames()
    received.feed(frames.PREFACE)
    found = received.feed(frames.data(memoryview(content), size_max, flags, 5))
    assert b"".join(frame.payload for frame in found) == content
    assert all(0 < len(frame.payload) <= size_max or not content for frame in found)
    assert {(frame.type, frame.stream_id) for frame in found} == {(frames.DATA, 5)}
    assert [frame.flags for frame in found] == [0] * (len(found) - 1) + [flags]
