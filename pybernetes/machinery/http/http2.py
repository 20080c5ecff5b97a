"""HTTP/2, one connection (RFC 9113): an `asyncio.Protocol` cuts frames, one task per stream serves its request.

Flow control, towards us: a stream starts with the protocol's default window, 64 KiB, and few streams at a time are granted the
rest of a large body, in their order. So a connection's bodies are bounded (`streams_max` × 64 KiB + `LARGE_BODIES_MAX` × body
limit) and no two of them can block each other; the window of the connection itself never closes. Towards the client: a task
that finds a window or the socket's buffer full waits until all of them are open, and streams with much to send take turns.

What floods cost: at most `streams_max` handlers run for a connection, those of streams that the client has reset included (else
a reset would make room for another one at once: "rapid reset", CVE-2023-44487). Frames that make us work and bring nothing
(resets, pings, settings, empty frames) draw on an allowance that fills up slowly; header blocks are bounded in size and in
frames. Who overdraws is sent away with ENHANCE_YOUR_CALM. Nothing is pushed, priorities are ignored (RFC 9113, section 5.3).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Collection
from typing import Final, cast

import orjson

from pybernetes.machinery.errors import RequestEntityTooLarge
from pybernetes.machinery.http import frames, header_blocks
from pybernetes.machinery.http.connections import (
    BODY_TIMEOUT_S,
    HEAD_LIMIT_BYTES,
    HEAD_TIMEOUT_S,
    IDLE_TIMEOUT_S,
    NEVER,
    WRITE_TIMEOUT_S,
    Owner,
    answer,
)
from pybernetes.machinery.http.frames import ACK, END_HEADERS, END_STREAM, Code, ConnectionFailure, Frame, StreamFailure
from pybernetes.machinery.http.http2_allowance import Allowance
from pybernetes.machinery.http.http2_stream import Stream, connection_window
from pybernetes.machinery.http.messages import LastFields, Request, Response
from pybernetes.machinery.http.tls import verified_chain
from pybernetes.machinery.log import logger

log = logger("http")

LARGE_BODIES_MAX: Final = 4  # bodies over 64 KiB received at once
BLOCK_FRAMES_MAX: Final = 64  # HEADERS and CONTINUATIONs of one header block
TURN_BYTES: Final = 128 * 1024  # what a stream sends before the others have their turn
OUT_BYTES: Final = 64 * 1024  # collected before they are handed to the socket within one turn of the loop
RESET_REMEMBERED: Final = 256  # streams that we have reset and about which frames may still be on their way
REFUSAL_PAUSE_S: Final = 0.2  # between an early answer and the reset of its stream
LINGER_S: Final = 5.0  # for the farewell of a connection that failed


class Http2Connection(asyncio.Protocol):
    """One client. `_streams` holds those it waits on; `_tasks` also the handlers of streams that it has reset."""

    def __init__(self, server: Owner, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._loop = loop
        self._transport = cast(asyncio.Transport, None)
        self._frames = frames.Frames()
        self._heads = header_blocks.HeadReader(HEAD_LIMIT_BYTES)
        self._streams: dict[int, Stream] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._last_id = 0
        self._reset: deque[int] = deque(maxlen=RESET_REMEMBERED)
        self._settled = False  # the client's first SETTINGS have come
        self._block: list[bytes] = []  # of the header block that is under way, on `_block_of`
        self._block_of: Frame | None = None
        self._block_size = 0
        self._own_window = connection_window(server.streams_max)  # what we take
        self._window = frames.WINDOW_DEFAULT  # what the client takes, all streams together
        self._initial_window = frames.WINDOW_DEFAULT
        self._frame_size = frames.FRAME_SIZE_MAX  # of what the client takes
        self._owed = 0  # bytes received and not yet given back to the connection's window
        self._large: dict[int, Stream] = {}  # streams that may send a large body
        self._queued: dict[int, Stream] = {}  # streams that would
        self._allowance = Allowance(server.monotonic)
        self._out: list[bytes] = []
        self._out_size = 0
        self._flushing = False
        self._full = False  # the socket's buffer
        self._leaving = False  # GOAWAY is sent: no more streams
        self._closing = False
        self._peer_certificate: bytes | None = None
        self._peer_chain: tuple[bytes, ...] = ()
        self._last_fields = LastFields()
        self._peer = ""
        self._deadline = NEVER

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        if peer:
            self._peer = f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else str(peer)
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            self._peer_certificate = tls.getpeercert(True)
            self._peer_chain = verified_chain(tls)
        self._deadline = self._server.monotonic() + HEAD_TIMEOUT_S
        self._server.added(self)
        ours = frames.settings(
            (frames.SETTINGS_MAX_CONCURRENT_STREAMS, self._server.streams_max),
            (frames.SETTINGS_MAX_HEADER_LIST_SIZE, HEAD_LIMIT_BYTES),
        )
        self._write(ours + frames.window_update(0, self._own_window - frames.WINDOW_DEFAULT))

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        self._server.removed(self)
        self._end_streams()

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        try:
            for frame in self._frames.feed(data):
                self._take(frame)
                if self._closing:
                    return
        except ConnectionFailure as failure:
            self._fail(failure.code, str(failure))
        except header_blocks.RequestTooLarge:
            self._fail(Code.ENHANCE_YOUR_CALM, "header list too large")

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._wake_senders()

    # Frames

    def _take(self, frame: Frame) -> None:
        type_, stream_id = frame.type, frame.stream_id
        if self._block_of is not None and (type_ != frames.CONTINUATION or stream_id != self._block_of.stream_id):
            raise ConnectionFailure(Code.PROTOCOL_ERROR, "header block interrupted")
        if not self._settled:
            if type_ != frames.SETTINGS or frame.flags & ACK:
                raise ConnectionFailure(Code.PROTOCOL_ERROR, "no SETTINGS first")
            self._settled = True
            self._deadline = self._server.monotonic() + IDLE_TIMEOUT_S
        try:
            if type_ == frames.HEADERS:
                self._on_headers(frame)
            elif type_ == frames.DATA:
                self._on_data(frame)
            elif type_ == frames.WINDOW_UPDATE:
                self._on_window_update(frame)
            elif type_ == frames.CONTINUATION:
                self._on_continuation(frame)
            else:
                self._on_control(frame)
        except StreamFailure as failure:
            self._allowance.spend()
            self._reset_stream(stream_id, failure.code)

    def _on_control(self, frame: Frame) -> None:
        type_, payload = frame.type, frame.payload
        if type_ == frames.SETTINGS:
            self._on_settings(frame)
        elif type_ == frames.PING:
            if frame.stream_id or len(payload) != 8:
                raise ConnectionFailure(Code.PROTOCOL_ERROR if frame.stream_id else Code.FRAME_SIZE_ERROR, "bad PING")
            self._allowance.spend()
            if not frame.flags & ACK:
                self._write(frames.frame(frames.PING, ACK, 0, payload))
        elif type_ == frames.RST_STREAM:
            frames.word(payload)
            self._check_not_idle(frame.stream_id)
            self._allowance.spend()
            self._forget(frame.stream_id)
        elif type_ == frames.GOAWAY:
            if frame.stream_id:
                raise ConnectionFailure(Code.PROTOCOL_ERROR, "GOAWAY on a stream")
            self._allowance.spend()  # it makes no more streams; those under way are answered
        elif type_ == frames.PRIORITY:
            if not frame.stream_id:
                raise ConnectionFailure(Code.PROTOCOL_ERROR, "PRIORITY of no stream")
            self._allowance.spend()
            if len(payload) != 5:
                raise StreamFailure(Code.FRAME_SIZE_ERROR, "bad PRIORITY")
        elif type_ == frames.PUSH_PROMISE:
            raise ConnectionFailure(Code.PROTOCOL_ERROR, "clients do not push")
        else:
            self._allowance.spend()  # unknown: ignored (RFC 9113, section 5.5)

    def _on_settings(self, frame: Frame) -> None:
        if frame.stream_id:
            raise ConnectionFailure(Code.PROTOCOL_ERROR, "SETTINGS on a stream")
        self._allowance.spend()
        if frame.flags & ACK:
            if frame.payload:
                raise ConnectionFailure(Code.FRAME_SIZE_ERROR, "SETTINGS acknowledged with content")
            return
        for name, value in frames.settings_of(frame):
            if name == frames.SETTINGS_INITIAL_WINDOW_SIZE:
                change, self._initial_window = value - self._initial_window, value
                for stream in self._streams.values():
                    stream.window += change
                    if stream.window > frames.WINDOW_MAX:
                        raise ConnectionFailure(Code.FLOW_CONTROL_ERROR, "window too large")
                self._wake_senders()
            elif name == frames.SETTINGS_MAX_FRAME_SIZE:
                self._frame_size = min(value, OUT_BYTES)
        self._write(frames.frame(frames.SETTINGS, ACK, 0))

    def _on_window_update(self, frame: Frame) -> None:
        increment = frames.word(frame.payload) & frames.WINDOW_MAX
        if not frame.stream_id:
            if increment < 64:
                self._allowance.spend()  # each wakes everybody who waits
            self._window += increment
            if not increment or self._window > frames.WINDOW_MAX:
                raise ConnectionFailure(Code.FLOW_CONTROL_ERROR if increment else Code.PROTOCOL_ERROR, "bad window")
            self._wake_senders()
            return
        self._check_not_idle(frame.stream_id)
        stream = self._streams.get(frame.stream_id)
        if stream is None:
            return
        stream.window += increment
        if not increment or stream.window > frames.WINDOW_MAX:
            raise StreamFailure(Code.FLOW_CONTROL_ERROR if increment else Code.PROTOCOL_ERROR, "bad window")
        stream.resume()

    def _check_not_idle(self, stream_id: int) -> None:
        if not stream_id or stream_id > self._last_id or not stream_id & 1:
            raise ConnectionFailure(Code.PROTOCOL_ERROR, "frame of an idle stream")

    # Requests

    def _on_headers(self, frame: Frame) -> None:
        if not frame.stream_id & 1:
            raise ConnectionFailure(Code.PROTOCOL_ERROR, "not a client's stream")
        fragment = frames.header_fragment(frame)
        if frame.flags & END_HEADERS:
            self._on_block(frame, fragment)
            return
        self._block_of, self._block, self._block_size = frame, [fragment], len(fragment)
        if not self._streams:
            self._deadline = self._server.monotonic() + HEAD_TIMEOUT_S

    def _on_continuation(self, frame: Frame) -> None:
        first = self._block_of
        if first is None:
            raise ConnectionFailure(Code.PROTOCOL_ERROR, "nothing to continue")
        self._block.append(frame.payload)
        self._block_size += len(frame.payload)
        if self._block_size > HEAD_LIMIT_BYTES or len(self._block) > BLOCK_FRAMES_MAX:
            raise ConnectionFailure(Code.ENHANCE_YOUR_CALM, "header block too large")
        if frame.flags & END_HEADERS:
            block = b"".join(self._block)
            self._block_of, self._block = None, []
            self._on_block(first, block)

    def _on_block(self, frame: Frame, block: bytes) -> None:
        stream_id = frame.stream_id
        known = self._streams.get(stream_id)
        if known is not None:
            if known.whole or not frame.flags & END_STREAM:
                self._heads.skip(block)
                raise StreamFailure(Code.STREAM_CLOSED if known.whole else Code.PROTOCOL_ERROR, "unexpected header block")
            self._heads.skip(block, trailers=True)
            self._request_whole(known)
            return
        if stream_id <= self._last_id:
            self._heads.skip(block)
            if stream_id in self._reset:
                self._allowance.spend()
                return  # was on its way when we reset the stream
            raise ConnectionFailure(Code.STREAM_CLOSED, "stream is closed")
        self._last_id = stream_id
        if self._leaving:
            self._heads.skip(block)
            return  # over the number that GOAWAY has named: the client asks again elsewhere
        head = self._heads.read(block)
        if max(len(self._tasks), len(self._streams)) >= self._server.streams_max:
            raise StreamFailure(Code.REFUSED_STREAM, "too many streams")
        whole = bool(frame.flags & END_STREAM)
        stream = Stream(stream_id, head, self._initial_window, NEVER if whole else self._server.monotonic() + BODY_TIMEOUT_S)
        self._streams[stream_id] = stream
        self._deadline = NEVER
        announced = head.headers.get("content-length")
        if announced is not None and int(announced[:20]) > self._server.body_limit:
            self._refuse_body(stream)
        elif whole:
            self._request_whole(stream)

    def _on_data(self, frame: Frame) -> None:
        stream_id, size = frame.stream_id, len(frame.payload)
        data = frames.unpadded(frame)
        self._check_not_idle(stream_id)
        self._owed += size
        if self._owed >= self._own_window // 2:
            self._write(frames.window_update(0, self._owed))
            self._owed = 0
        if not data and not frame.flags & END_STREAM:
            self._allowance.spend()
        stream = self._streams.get(stream_id)
        if stream is None or stream.whole:
            if stream is None and stream_id in self._reset:
                return
            raise ConnectionFailure(Code.STREAM_CLOSED, "stream is closed")
        stream.received += size
        stream.size += len(data)
        if stream.received > stream.granted:
            raise StreamFailure(Code.FLOW_CONTROL_ERROR, "window overrun")
        if stream.size > self._server.body_limit:
            self._refuse_body(stream)
            return
        if data:
            if stream.body:  # not a list of parts: they may be of one byte each
                stream.body = stream.body if isinstance(stream.body, bytearray) else bytearray(stream.body)
                stream.body += data
            else:
                stream.body = data
        if frame.flags & END_STREAM:
            self._request_whole(stream)
        elif stream.received > stream.granted // 2 and stream_id not in self._large:
            self._queued[stream_id] = stream
            self._grant()
        elif stream.received > stream.granted - frames.WINDOW_DEFAULT and stream_id in self._large:
            raise StreamFailure(Code.ENHANCE_YOUR_CALM, "padding without end")

    def _grant(self) -> None:
        """Let the next streams send the whole of a large body."""
        while self._queued and len(self._large) < LARGE_BODIES_MAX:
            stream_id = next(iter(self._queued))
            stream = self._queued.pop(stream_id)
            self._large[stream_id] = stream
            more = 2 * self._server.body_limit + frames.WINDOW_DEFAULT
            stream.granted += more
            self._write(frames.window_update(stream_id, more))

    def _body_ended(self, stream: Stream) -> None:
        stream.deadline = NEVER
        self._queued.pop(stream.id, None)
        if self._large.pop(stream.id, None) is not None:
            self._grant()

    def _request_whole(self, stream: Stream) -> None:
        stream.whole = True
        self._body_ended(stream)
        method, path, query, headers = stream.head
        announced = headers.get("content-length")
        if announced is not None and int(announced[:20]) != stream.size:
            raise StreamFailure(Code.PROTOCOL_ERROR, "content-length is wrong")
        body, stream.body = stream.body, b""
        fields = dict(headers)
        request = Request(
            method, path, query, fields, bytes(body), self._peer_certificate, self._peer, peer_chain=self._peer_chain,
            http2=True, memo=self._last_fields.memo_of(fields),
        )  # fmt: skip
        task = self._loop.create_task(self._serve(stream, request))
        stream.task = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _refuse_body(self, stream: Stream) -> None:
        error = RequestEntityTooLarge(f"Request entity too large: limit is {self._server.body_limit}")
        body = orjson.dumps(error.status)
        head = header_blocks.response(Response(413, {"Content-Type": "application/json"}), len(body), self._server.date())
        self._write(
            frames.frame(frames.HEADERS, END_HEADERS, stream.id, head)
            + frames.frame(frames.DATA, END_STREAM, stream.id, body)  # a few bytes: no window is smaller by intent
        )
        self._reset.append(stream.id)
        self._forget(stream.id)
        # The reset tells a client to stop sending. Some drop an answer that comes together with it.
        self._loop.call_later(REFUSAL_PAUSE_S, self._write, frames.rst_stream(stream.id, Code.NO_ERROR))

    # Answers

    async def _serve(self, stream: Stream, request: Request) -> None:
        try:
            response = await answer(self._server.handler, request)
            await self._respond(stream, request, response)
        except asyncio.CancelledError:
            # Cancelled by the server's stop, by a reset or by the peer's going: all end this stream, and this task with it.
            if not self._server.stopping and not self._gone(stream):
                raise
        except ConnectionError:
            pass
        finally:
            self._finished(stream)

    def _gone(self, stream: Stream) -> bool:
        return self._closing or self._streams.get(stream.id) is not stream

    async def _respond(self, stream: Stream, request: Request, response: Response) -> None:
        body = response.body
        if response.headers.get("Connection") == "close":
            self._take_leave()
        if isinstance(body, bytes):
            if self._gone(stream):
                return
            head = header_blocks.response(response, len(body), self._server.date())
            size = len(body)
            if not size or request.method == "HEAD":
                self._write(frames.frame(frames.HEADERS, END_HEADERS | END_STREAM, stream.id, head))
            elif size <= stream.window and size <= self._window and size <= self._frame_size and not self._full:
                # All at once: most answers.
                stream.window -= size
                self._window -= size
                start = frames.frame(frames.HEADERS, END_HEADERS, stream.id, head)
                self._write(b"".join((start, frames.head(size, frames.DATA, END_STREAM, stream.id), body)))
            else:
                self._write(frames.frame(frames.HEADERS, END_HEADERS, stream.id, head))
                await self._send(stream, body, END_STREAM)
            return
        await self._stream(stream, request, response, body)

    async def _stream(self, stream: Stream, request: Request, response: Response, body: AsyncIterator[bytes]) -> None:
        code: Code | None = None
        ended = False
        stream.streaming, stream.ends_anywhere = True, response.ends_anywhere
        try:
            if self._gone(stream):
                return
            ended = request.method == "HEAD"
            head = header_blocks.response(response, -1, self._server.date())
            self._write(frames.frame(frames.HEADERS, END_HEADERS | (END_STREAM if ended else 0), stream.id, head))
            if not ended:
                async for chunk in body:
                    if chunk:
                        await self._send(stream, chunk, 0)
        except asyncio.CancelledError:
            if not (self._server.stopping and response.ends_anywhere):
                raise  # else it is an orderly end
        except ConnectionError:
            raise
        except Exception:
            log.exception("Body failed", method=request.method, path=request.path)
            code = Code.INTERNAL_ERROR
        finally:
            close = getattr(body, "aclose", None)
            if close is not None:
                await close()
        if self._gone(stream):
            return
        if code is not None:
            self._reset_stream(stream.id, code)
        elif not ended:
            self._write(frames.frame(frames.DATA, END_STREAM, stream.id))

    async def _send(self, stream: Stream, data: bytes, flags: int) -> None:
        """DATA frames as the windows and the socket allow. Raises ConnectionResetError once nobody wants them."""
        content = memoryview(data)
        while True:
            if self._gone(stream):
                raise ConnectionResetError("stream is closed")
            size = min(len(content), TURN_BYTES, self._window, stream.window)
            if size <= 0 or self._full:
                await self._may_send(stream)
                continue
            stream.window -= size
            self._window -= size
            last = size == len(content)
            self._write(frames.data(content[:size], self._frame_size, flags if last else 0, stream.id))
            if last:
                return
            content = content[size:]
            if size == TURN_BYTES:  # else the window is used up
                await asyncio.sleep(0)

    async def _may_send(self, stream: Stream) -> None:
        stream.wake = self._loop.create_future()
        stream.waiting_since = self._server.monotonic()
        try:
            await stream.wake
        finally:
            stream.wake = None
            stream.waiting_since = NEVER

    def _wake_senders(self) -> None:
        for stream in self._streams.values():
            stream.resume()

    # Ends

    def _finished(self, stream: Stream) -> None:
        """The answer is sent, or there will be none."""
        if self._streams.get(stream.id) is stream:
            del self._streams[stream.id]
        self._rest()

    def _rest(self) -> None:
        if self._streams or self._closing:
            return
        if self._leaving:
            self._closing = True
            self._flush()
            self._transport.close()
        else:
            self._deadline = self._server.monotonic() + IDLE_TIMEOUT_S

    def _forget(self, stream_id: int) -> None:
        """The client has reset a stream, or we have."""
        stream = self._streams.pop(stream_id, None)
        if stream is None:
            return
        self._body_ended(stream)
        # As over HTTP/1.1: a stream ends at once, anything else is finished and nobody is told.
        if stream.streaming and stream.task is not None:
            stream.task.cancel()
        stream.resume()
        self._rest()

    def _reset_stream(self, stream_id: int, code: Code) -> None:
        self._reset.append(stream_id)
        self._write(frames.rst_stream(stream_id, code))
        self._forget(stream_id)

    def _fail(self, code: Code, why: str) -> None:
        """Say why, and leave: what else comes has no meaning."""
        self._write(frames.goaway(self._last_id, code, why))
        self._flush()
        self._closing = True
        self._deadline = self._server.monotonic() + LINGER_S
        self._end_streams()
        self._transport.close()

    def _end_streams(self) -> None:
        for stream in self._streams.values():
            if stream.streaming and stream.task is not None:
                stream.task.cancel()
            stream.resume()

    # The server's view (`Connection`)

    @property
    def tasks(self) -> Collection[asyncio.Task[None]]:
        return tuple(self._tasks)

    def check(self, now: float) -> None:
        if self._deadline < now:
            self.abort()
            return
        for stream in tuple(self._streams.values()):
            # A stream may stand still for as long as its reader likes: somebody's pager.
            if stream.deadline < now or (stream.waiting_since < now - WRITE_TIMEOUT_S and not stream.streaming):
                self._reset_stream(stream.id, Code.CANCEL)

    def _take_leave(self) -> None:
        """Take no more streams, and close once those under way are answered (a handler says `Connection: close`)."""
        if not self._leaving:
            self._leaving = True
            self._write(frames.goaway(self._last_id, Code.NO_ERROR))

    def finish(self) -> None:
        if self._closing:
            return
        self._take_leave()
        for stream in tuple(self._streams.values()):
            if stream.streaming and stream.ends_anywhere and stream.task is not None:
                stream.task.cancel()
            elif not stream.whole:
                self._reset_stream(stream.id, Code.REFUSED_STREAM)
        self._rest()

    def abort(self) -> None:
        self._closing = True
        self._transport.abort()
        for task in tuple(self._tasks):
            task.cancel()

    # Sending

    def _write(self, data: bytes) -> None:
        """Hand over to the socket at the end of this turn of the loop: what many streams say becomes one TLS record."""
        if self._closing:
            return
        self._out.append(data)
        self._out_size += len(data)
        if self._out_size > OUT_BYTES:
            self._flush()
        elif not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        if self._out and not self._transport.is_closing():
            out, self._out, self._out_size = self._out, [], 0
            self._transport.write(out[0] if len(out) == 1 else b"".join(out))
