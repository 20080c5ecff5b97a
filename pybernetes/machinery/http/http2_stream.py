"""The state of one HTTP/2 stream; what happens to it is in `http2`."""

from __future__ import annotations

import asyncio

from pybernetes.machinery.http import frames, header_blocks
from pybernetes.machinery.http.connections import NEVER, STREAMS_MAX

CONNECTION_WINDOW = 64 * 1024 * 1024  # for as many streams as are usual


def connection_window(streams_max: int) -> int:
    """What a client may send before it is told to go on, all streams together: so much that it never has to wait for that."""
    return min(frames.WINDOW_MAX, CONNECTION_WINDOW + 2 * frames.WINDOW_DEFAULT * max(0, streams_max - STREAMS_MAX))


class Stream:
    """One request and its answer, with what flow control and the clock hold against it."""

    __slots__ = (
        "body", "deadline", "ends_anywhere", "granted", "head", "id", "received", "size", "streaming", "task", "waiting_since",
        "wake", "whole", "window",
    )  # fmt: skip

    def __init__(self, stream_id: int, head: header_blocks.Head, window: int, deadline: float) -> None:
        self.id = stream_id
        self.head = head
        self.window = window  # what the client takes
        self.body: bytes | bytearray = b""
        self.size = 0
        self.received = 0  # bytes that count against `granted`: padding is among them
        self.granted = frames.WINDOW_DEFAULT
        self.whole = False  # the request has come
        self.deadline = deadline  # for the body
        self.task: asyncio.Task[None] | None = None
        self.streaming = False
        self.ends_anywhere = True  # what is streamed
        self.wake: asyncio.Future[None] | None = None  # set while it cannot send
        self.waiting_since = NEVER

    def resume(self) -> None:
        """Let its task look again whether it can send."""
        if self.wake is not None and not self.wake.done():
            self.wake.set_result(None)
