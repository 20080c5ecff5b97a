"""An HTTP/2 connection without a socket: requests, flow control both ways, and what floods get."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from hpack import Decoder, Encoder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pybernetes.machinery.http import connections, frames, http2
from pybernetes.machinery.http.connections import STREAMS_MAX
from pybernetes.machinery.http.frames import Code
from pybernetes.machinery.http.http2_allowance import ALLOWANCE
from pybernetes.machinery.http.messages import Request, Response

END = frames.END_STREAM
WHOLE = frames.END_STREAM | frames.END_HEADERS


class Owner:
    def __init__(self, handler: Any, body_limit: int = 300_000, streams_max: int = STREAMS_MAX) -> None:
        self.handler = handler
        self.body_limit = body_limit
        self.streams_max = streams_max
        self.stopping = False
        self.now = 0.0

    def date(self) -> str:
        return "now"

    def monotonic(self) -> float:
        return self.now

    def added(self, connection: Any) -> None: ...
    def removed(self, connection: Any) -> None: ...


class Peer:
    """The client and the socket between."""

    def __init__(self, handler: Any = None, *, settings: tuple[tuple[int, int], ...] = (), **options: int) -> None:
        self.owner = Owner(handler or echo, **options)
        self.connection = http2.Http2Connection(self.owner, asyncio.get_running_loop())
        self.encoder, self.decoder = Encoder(), Decoder()
        self.reader = frames.Frames()
        self.reader.feed(frames.PREFACE)
        self.sent: list[frames.Frame] = []
        self.closed = False
        self.connection.connection_made(self)  # type: ignore[arg-type]
        self.feed(frames.PREFACE + frames.settings(*settings))

    # asyncio.Transport

    def get_extra_info(self, name: str) -> Any:
        return None

    def write(self, data: bytes) -> None:
        self.sent += self.reader.feed(data)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self.connection.connection_lost, None)

    abort = close

    # the client

    def feed(self, data: bytes) -> None:
        self.connection.data_received(data)

    def block(self, path: str = "/", method: str = "GET", **headers: str) -> bytes:
        fields = [(":method", method), (":scheme", "https"), (":path", path), (":authority", "h")]
        return bytes(self.encoder.encode([*fields, *((name.replace("_", "-"), value) for name, value in headers.items())]))

    def request(self, stream_id: int, path: str = "/", method: str = "GET", flags: int = WHOLE, **headers: str) -> None:
        self.feed(frames.frame(frames.HEADERS, flags, stream_id, self.block(path, method, **headers)))

    def data(self, stream_id: int, data: bytes, flags: int = 0) -> None:
        self.feed(frames.frame(frames.DATA, flags, stream_id, data))

    async def settle(self) -> None:
        for _ in range(30):
            await asyncio.sleep(0)

    def of(self, stream_id: int, type_: int = frames.DATA) -> list[frames.Frame]:
        return [frame for frame in self.sent if frame.stream_id == stream_id and frame.type == type_]

    def body(self, stream_id: int) -> bytes:
        return b"".join(frame.payload for frame in self.of(stream_id))

    def status(self, stream_id: int) -> str:
        [head] = self.of(stream_id, frames.HEADERS)
        return str(dict(self.decoder.decode(head.payload))[":status"])

    def goaway(self) -> int | None:
        found = self.of(0, frames.GOAWAY)
        return int.from_bytes(found[-1].payload[4:8], "big") if found else None

    def reset(self, stream_id: int) -> int | None:
        found = self.of(stream_id, frames.RST_STREAM)
        return int.from_bytes(found[0].payload, "big") if found else None


async def echo(request: Request) -> Response:
    return Response(200, {}, f"{request.method} {request.path}?{request.query} {len(request.body)}".encode())


async def test_streams_are_answered_as_their_handlers_finish() -> None:
    release = asyncio.Event()

    async def handler(request: Request) -> Response:
        if request.path == "/slow":
            await release.wait()
        return Response(200, {}, request.path.encode())

    peer = Peer(handler)
    peer.request(1, "/slow")
    peer.request(3, "/fast")
    await peer.settle()
    assert (peer.body(1), peer.body(3)) == (b"", b"/fast")
    release.set()
    await peer.settle()
    assert peer.body(1) == b"/slow"


async def test_requests_that_carry_the_same_fields_share_a_memo() -> None:
    asked: list[Request] = []

    async def handler(request: Request) -> Response:
        asked.append(request)
        return Response(200, {}, b"")

    peer = Peer(handler)
    for stream_id, token in ((1, "x"), (3, "x"), (5, "y")):
        peer.request(stream_id, f"/{stream_id}", authorization=token)
    await peer.settle()
    first, second, other = (request.memo for request in asked)
    assert first is not None
    assert first is second
    assert other is not first


async def test_header_blocks_may_come_in_pieces_and_with_padding_and_trailers() -> None:
    peer = Peer()
    block = peer.block("/a?b=c", "POST")
    padded = b"\x03" + b"\0\0\0\0\x10" + block[:4] + b"\0\0\0"
    peer.feed(frames.frame(frames.HEADERS, frames.PADDED | frames.HAS_PRIORITY, 1, padded))
    peer.feed(frames.frame(frames.CONTINUATION, frames.END_HEADERS, 1, block[4:]))
    peer.feed(frames.frame(frames.DATA, frames.PADDED, 1, b"\x02hello\0\0"))
    peer.feed(frames.frame(frames.HEADERS, WHOLE, 1, bytes(peer.encoder.encode([("x-checksum", "1")]))))
    await peer.settle()
    assert peer.body(1) == b"POST /a?b=c 5"


async def test_an_answer_waits_for_the_windows() -> None:
    async def handler(_: Request) -> Response:
        return Response(200, {}, bytes(100_000))

    peer = Peer(handler, settings=((frames.SETTINGS_INITIAL_WINDOW_SIZE, 10),))
    peer.request(1)
    await peer.settle()
    assert len(peer.body(1)) == 10
    peer.feed(frames.window_update(1, 200_000))
    await peer.settle()
    assert len(peer.body(1)) == frames.WINDOW_DEFAULT  # the connection's
    peer.feed(frames.window_update(0, 200_000))
    await peer.settle()
    assert len(peer.body(1)) == 100_000
    assert peer.of(1)[-1].flags & END
    assert max(len(frame.payload) for frame in peer.sent) <= frames.FRAME_SIZE_MAX


async def test_changed_settings_change_the_windows_of_open_streams() -> None:
    async def handler(_: Request) -> Response:
        return Response(200, {}, b"x" * 100)

    peer = Peer(handler, settings=((frames.SETTINGS_INITIAL_WINDOW_SIZE, 0),))
    peer.request(1)
    await peer.settle()
    peer.feed(frames.settings((frames.SETTINGS_INITIAL_WINDOW_SIZE, 60)))
    await peer.settle()
    assert len(peer.body(1)) == 60
    peer.feed(frames.settings((frames.SETTINGS_INITIAL_WINDOW_SIZE, 20)))  # now 40 below zero
    peer.feed(frames.window_update(1, 50))
    await peer.settle()
    assert len(peer.body(1)) == 70


async def test_a_stream_that_is_not_read_does_not_hold_up_the_others() -> None:
    async def handler(request: Request) -> Response:
        return Response(200, {}, b"x" * 1000 if request.path == "/long" else b"ok")

    peer = Peer(handler, settings=((frames.SETTINGS_INITIAL_WINDOW_SIZE, 100),))
    peer.request(1, "/long")
    peer.request(3)
    await peer.settle()
    assert (len(peer.body(1)), peer.body(3)) == (100, b"ok")


async def test_large_bodies_are_granted_a_few_at_a_time_and_all_arrive() -> None:
    peer = Peer()
    ids = list(range(1, 2 * 10, 2))
    left = dict.fromkeys(ids, 250_000)
    window = dict.fromkeys(ids, frames.WINDOW_DEFAULT)
    for stream_id in ids:
        peer.request(stream_id, method="POST", flags=frames.END_HEADERS)
    granted: list[int] = []
    while any(left.values()):
        for stream_id in ids:
            size = min(left[stream_id], window[stream_id], 10_000)
            if size:
                left[stream_id] -= size
                window[stream_id] -= size
                peer.data(stream_id, bytes(size), 0 if left[stream_id] else END)
        await peer.settle()
        for frame in peer.sent:
            if frame.type == frames.WINDOW_UPDATE and frame.stream_id:
                window[frame.stream_id] += int.from_bytes(frame.payload, "big")
                granted.append(frame.stream_id)
        peer.sent = [frame for frame in peer.sent if frame.type != frames.WINDOW_UPDATE]
        assert len(peer.connection._large) <= http2.LARGE_BODIES_MAX
    await peer.settle()
    assert sorted(granted) == ids
    assert {peer.body(stream_id) for stream_id in ids} == {b"POST /? 250000"}


async def test_a_body_over_the_limit_is_answered_413_and_the_rest_goes_on() -> None:
    peer = Peer()
    peer.request(1, method="POST", flags=frames.END_HEADERS, content_length="300001")
    peer.request(3)
    await peer.settle()
    assert (peer.status(1), peer.status(3)) == ("413", "200")
    peer.data(1, b"on its way")  # ignored
    await peer.settle()
    assert peer.goaway() is None


async def test_a_length_that_is_wrong_resets_the_stream() -> None:
    peer = Peer()
    peer.request(1, method="POST", flags=frames.END_HEADERS, content_length="3")
    peer.data(1, b"four", END)
    await peer.settle()
    assert peer.reset(1) == Code.PROTOCOL_ERROR
    assert not peer.connection._tasks


async def test_a_client_that_overruns_a_window_is_stopped() -> None:
    peer = Peer()
    for stream_id in range(1, 13, 2):  # the first four are granted more
        peer.request(stream_id, method="POST", flags=frames.END_HEADERS)
        for _ in range(5):
            peer.data(stream_id, bytes(16_000))
    await peer.settle()
    assert [peer.reset(stream_id) for stream_id in range(1, 13, 2)] == [None] * 4 + [Code.FLOW_CONTROL_ERROR] * 2


async def test_a_stream_body_ends_when_the_client_resets_it() -> None:
    closed = asyncio.Event()

    async def lines() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"line\n"
                await asyncio.sleep(0.001)
        finally:
            closed.set()

    async def handler(_: Request) -> Response:
        return Response(200, {}, lines())

    peer = Peer(handler)
    peer.request(1)
    await peer.settle()
    assert peer.body(1).startswith(b"line\n")
    peer.feed(frames.rst_stream(1, Code.CANCEL))
    await asyncio.wait_for(closed.wait(), 1)
    await peer.settle()
    assert peer.goaway() is None and not peer.connection._tasks


async def test_an_orderly_stop_ends_streams_and_waits_for_answers() -> None:
    release = asyncio.Event()

    async def lines() -> AsyncIterator[bytes]:
        yield b"line\n"
        await asyncio.sleep(60)

    async def handler(request: Request) -> Response:
        if request.path == "/watch":
            return Response(200, {}, lines())
        if request.path == "/list":
            return Response(200, {}, items(), ends_anywhere=False)
        await release.wait()
        return Response(200, {}, b"done")

    async def items() -> AsyncIterator[bytes]:
        yield b"first"
        await release.wait()
        yield b"last"

    peer = Peer(handler)
    peer.request(1, "/watch")
    peer.request(3)
    peer.request(7, "/list")
    await peer.settle()
    peer.owner.stopping = True
    peer.connection.finish()
    peer.request(9)
    await peer.settle()
    assert peer.goaway() == Code.NO_ERROR and int.from_bytes(peer.of(0, frames.GOAWAY)[0].payload[:4], "big") == 7
    assert peer.of(1)[-1].flags & END
    assert not peer.closed
    release.set()
    await peer.settle()
    assert peer.body(3) == b"done" and peer.closed and not peer.of(9, frames.HEADERS)
    assert peer.body(7) == b"firstlast" and peer.of(7)[-1].flags & END


async def test_a_handler_may_send_the_client_away_while_other_streams_go_on() -> None:
    release = asyncio.Event()

    async def handler(request: Request) -> Response:
        assert request.http2
        if request.path == "/leave":
            return Response(200, {"Connection": "close"}, b"bye")
        await release.wait()
        return Response(200, {}, b"done")

    peer = Peer(handler)
    peer.request(1)
    peer.request(3, "/leave")
    await peer.settle()
    assert peer.body(3) == b"bye" and peer.goaway() == Code.NO_ERROR and not peer.closed
    release.set()
    await peer.settle()
    assert peer.body(1) == b"done" and peer.closed


@pytest.mark.parametrize("allowed", [3, STREAMS_MAX, 300])
async def test_more_streams_than_allowed_are_refused(allowed: int) -> None:
    async def handler(_: Request) -> Response:
        await asyncio.sleep(60)
        raise AssertionError

    peer = Peer(handler, streams_max=allowed)
    for number in range(allowed + 1):
        peer.request(2 * number + 1)
    await peer.settle()
    assert peer.reset(2 * allowed + 1) == Code.REFUSED_STREAM
    assert peer.reset(2 * allowed - 1) is None
    peer.connection.abort()


async def test_handlers_of_streams_that_were_reset_count_until_they_finish() -> None:
    """The rapid reset attack: request, reset, request, reset…: each would start a handler while the last ones still run."""
    running = 0
    most = 0

    async def handler(_: Request) -> Response:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(60)
        raise AssertionError

    peer = Peer(handler)
    for number in range(5000):
        peer.request(2 * number + 1)
        peer.feed(frames.rst_stream(2 * number + 1, Code.CANCEL))
        if number % 50 == 0:
            await peer.settle()
    assert most <= STREAMS_MAX
    assert peer.goaway() == Code.ENHANCE_YOUR_CALM and peer.closed
    peer.connection.abort()


@pytest.mark.parametrize(
    "flood",
    [
        lambda _: frames.frame(frames.PING, 0, 0, bytes(8)),
        lambda _: frames.settings(),
        lambda _: frames.frame(frames.PRIORITY, 0, 1, bytes(5)),
        lambda _: frames.frame(99, 0, 0, b"?"),
        lambda number: frames.frame(frames.DATA, 0, 1, b""),
        lambda _: frames.window_update(0, 1),
    ],
    ids=["ping", "settings", "priority", "unknown", "empty data", "small windows"],
)
async def test_floods_of_frames_that_ask_for_nothing_end_the_connection(flood: Callable[[int], bytes]) -> None:
    peer = Peer()
    peer.request(1, method="POST", flags=frames.END_HEADERS)
    for number in range(ALLOWANCE + 10):
        peer.feed(flood(number))
    await peer.settle()
    assert peer.goaway() == Code.ENHANCE_YOUR_CALM and peer.closed


async def test_pings_at_an_honest_rate_go_on_for_ever() -> None:
    peer = Peer()
    for _ in range(5 * ALLOWANCE):
        peer.owner.now += 0.01
        peer.feed(frames.frame(frames.PING, 0, 0, b"12345678"))
    await peer.settle()
    assert len([frame for frame in peer.sent if frame.type == frames.PING and frame.flags == frames.ACK]) == 5 * ALLOWANCE


@pytest.mark.parametrize("size", [0, 1, 10_000])
async def test_a_header_block_without_end_is_bounded_in_frames_and_bytes(size: int) -> None:
    peer = Peer()
    peer.feed(frames.frame(frames.HEADERS, END, 1, b""))
    for _ in range(2 * http2.BLOCK_FRAMES_MAX):
        peer.feed(frames.frame(frames.CONTINUATION, 0, 1, bytes(size)))
        assert peer.connection._block_size <= connections.HEAD_LIMIT_BYTES + frames.FRAME_SIZE_MAX
    assert peer.goaway() == Code.ENHANCE_YOUR_CALM


async def test_a_silent_client_is_cut_off() -> None:
    peer = Peer()
    peer.owner.now += connections.IDLE_TIMEOUT_S + 1
    peer.connection.check(peer.owner.now)
    assert peer.closed


async def test_slow_bodies_and_answers_that_nobody_takes_are_reset() -> None:
    async def handler(_: Request) -> Response:
        return Response(200, {}, b"x" * 100)

    peer = Peer(handler, settings=((frames.SETTINGS_INITIAL_WINDOW_SIZE, 1),))
    peer.request(1, method="POST", flags=frames.END_HEADERS)
    peer.request(3)
    await peer.settle()
    peer.owner.now += connections.WRITE_TIMEOUT_S + 1
    peer.connection.check(peer.owner.now)
    await peer.settle()
    assert (peer.reset(1), peer.reset(3)) == (Code.CANCEL, Code.CANCEL)
    assert not peer.connection._tasks


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frames.frame(frames.HEADERS, WHOLE, 2, b""), Code.PROTOCOL_ERROR),
        (frames.frame(frames.HEADERS, WHOLE, 0, b""), Code.PROTOCOL_ERROR),
        (frames.frame(frames.HEADERS, WHOLE, 1, b"\xff\xff\xff\xff\xff"), Code.COMPRESSION_ERROR),
        (frames.frame(frames.DATA, 0, 1, b"x"), Code.PROTOCOL_ERROR),
        (frames.frame(frames.DATA, 0, 0, b"x"), Code.PROTOCOL_ERROR),
        (frames.rst_stream(1, Code.CANCEL), Code.PROTOCOL_ERROR),
        (frames.window_update(1, 1), Code.PROTOCOL_ERROR),
        (frames.window_update(0, 0), Code.PROTOCOL_ERROR),
        (frames.window_update(0, frames.WINDOW_MAX), Code.FLOW_CONTROL_ERROR),
        (frames.frame(frames.WINDOW_UPDATE, 0, 0, b""), Code.FRAME_SIZE_ERROR),
        (frames.settings((frames.SETTINGS_INITIAL_WINDOW_SIZE, 2**31)), Code.FLOW_CONTROL_ERROR),
        (frames.settings((frames.SETTINGS_MAX_FRAME_SIZE, 1)), Code.PROTOCOL_ERROR),
        (frames.frame(frames.SETTINGS, 0, 0, b"odd"), Code.FRAME_SIZE_ERROR),
        (frames.frame(frames.SETTINGS, frames.ACK, 0, bytes(6)), Code.FRAME_SIZE_ERROR),
        (frames.frame(frames.PING, 0, 0, b""), Code.FRAME_SIZE_ERROR),
        (frames.frame(frames.CONTINUATION, 0, 1, b""), Code.PROTOCOL_ERROR),
        (frames.frame(frames.PUSH_PROMISE, 0, 1, b""), Code.PROTOCOL_ERROR),
        (frames.head(16_385, frames.DATA, 0, 1), Code.FRAME_SIZE_ERROR),
        (frames.frame(frames.HEADERS, 0, 1, b"") + frames.settings(), Code.PROTOCOL_ERROR),
        (frames.frame(frames.HEADERS, WHOLE | frames.PADDED, 1, b"\x09ab"), Code.PROTOCOL_ERROR),
    ],
)
async def test_violations_end_the_connection_with_their_code(data: bytes, code: Code) -> None:
    peer = Peer()
    peer.feed(data)
    assert peer.goaway() == code and peer.closed


a_frame = st.builds(
    frames.frame,
    st.integers(0, 10),
    st.sampled_from([0, 1, 4, 5, 8, 12, 13, 32, 37]),
    st.sampled_from([0, 1, 1, 3, 3, 5, 7, 2]),
    st.one_of(
        st.binary(max_size=60),
        st.sampled_from([bytes(4), b"\0\0\1\0", bytes(8), b"\x82\x86\x84", b"\x83\x87\x84\x0f\x0d\x013", b"x" * 5000]),
    ),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(st.lists(a_frame, max_size=40))
def test_no_sequence_of_frames_crashes_a_connection_or_fills_memory(sequence: list[bytes]) -> None:
    async def run() -> None:
        peer = Peer()
        connection = peer.connection
        for data in sequence:
            peer.feed(data)
            await asyncio.sleep(0)
            held = sum(len(stream.body) for stream in connection._streams.values())
            assert held <= STREAMS_MAX * frames.WINDOW_DEFAULT + http2.LARGE_BODIES_MAX * peer.owner.body_limit
            assert len(connection._streams) <= STREAMS_MAX
            assert len(connection._tasks) <= STREAMS_MAX
        if peer.goaway() is not None:
            assert peer.closed
        connection.connection_lost(None)
        await peer.settle()
        assert not connection._tasks  # nothing waits for a client that is gone

    asyncio.run(run())
