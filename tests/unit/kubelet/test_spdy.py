"""SPDY/3.1 framing: the two sides understand each other, and nobody is hurt by nonsense."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybernetes.machinery.spdy import (
    DATA_BYTES_MAX,
    DICTIONARY,
    Connection,
    Data,
    Event,
    ProtocolError,
    StreamAccepted,
    StreamOpened,
    StreamReset,
)


def test_the_dictionary_is_the_draft_s() -> None:
    assert (len(DICTIONARY), zlib.adler32(DICTIONARY)) == (1423, 0xE3C6A7C2)


def exchange(sender: Connection, receiver: Connection, step: int = 1 << 30) -> list[Event]:
    data, events = sender.outgoing(), []
    for start in range(0, len(data), step):
        events += receiver.receive(data[start : start + step])
    return events


@given(
    headers=st.dictionaries(st.text("abc-", min_size=1, max_size=9), st.text(max_size=20), max_size=4),
    payload=st.binary(max_size=200),
    step=st.integers(1, 50),
)
def test_a_stream_goes_through_in_pieces_of_any_size(headers: dict[str, str], payload: bytes, step: int) -> None:
    client, server = Connection(client=True), Connection(client=False)
    first, second = client.open_stream(headers), client.open_stream({"streamtype": "stdin"}, fin=True)
    client.send(first, payload, fin=True)
    events = exchange(client, server, step)
    assert events == [
        StreamOpened(first, headers, False),
        StreamOpened(second, {"streamtype": "stdin"}, True),
        Data(first, payload, True),
    ]
    server.accept_stream(first)
    server.send(first, b"answer")
    server.reset(first)
    answers = exchange(server, client, step)
    assert answers == [StreamAccepted(first, {}, False), Data(first, b"answer", False), StreamReset(first, 5)]


def test_large_data_is_cut_into_frames_and_ended_once() -> None:
    client, server = Connection(client=True), Connection(client=False)
    stream = client.open_stream({})
    client.send(stream, b"x" * (DATA_BYTES_MAX * 2 + 1), fin=True)
    pieces = [event for event in exchange(client, server) if isinstance(event, Data)]
    assert [len(piece.data) for piece in pieces] == [DATA_BYTES_MAX, DATA_BYTES_MAX, 1]
    assert [piece.fin for piece in pieces] == [False, False, True]


def test_a_ping_is_answered_and_an_answer_is_not() -> None:
    client, server = Connection(client=True), Connection(client=False)
    ping = bytes.fromhex("8003000600000004 00000002".replace(" ", ""))
    client.receive(ping)
    assert client.outgoing() == ping
    server.receive(ping)
    assert server.outgoing() == b""


@given(noise=st.binary(max_size=64))
def test_nonsense_is_a_protocol_error_or_ignored(noise: bytes) -> None:
    try:
        Connection(client=False).receive(noise)
    except ProtocolError:
        pass


def test_headers_that_do_not_decompress_are_a_protocol_error() -> None:
    frame = bytes.fromhex("80030001 0000000e 00000001 00000000 0000 ffffffff".replace(" ", ""))
    with pytest.raises(ProtocolError):
        Connection(client=False).receive(frame)
