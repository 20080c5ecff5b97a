"""Streams to a container over one WebSocket: `v5.channel.k8s.io` (KEP-4006), with v4 for older servers.

A message's first byte is its channel: standard input, output, error, the final `Status`, and terminal sizes. Version 5 adds a
message that closes a channel, which is how the end of standard input reaches the command.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlencode

import orjson

from pybernetes.client.rest import status_error
from pybernetes.kubectl.failure import Failure
from pybernetes.kubectl.session import Session
from pybernetes.machinery.http import websocket
from pybernetes.machinery.http.websocket import WebSocket

V5, V4 = "v5.channel.k8s.io", "v4.channel.k8s.io"
STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
CHUNK_BYTES = 32 * 1024
PING_S = 10.0  # as upstream: keeps proxies from cutting a silent session


async def connect(
    session: Session, path: str, query: list[tuple[str, str]], protocols: tuple[str, ...] = (V5, V4)
) -> WebSocket:
    """Open the stream. Raises `Failure` where the server refuses, `ConnectionFailed` where it cannot be reached."""
    request = websocket.handshake(path, urlencode(query), protocols, session.entropy)
    request.headers = {**request.headers, "user-agent": "kubectl/pybernetes"}
    response, connection = await session.client.transport.upgrade(request)
    if connection is None:
        assert isinstance(response.body, bytes)
        refusal = status_error(response.status, response.headers, response.body, "GET")
        raise Failure(f"unable to upgrade connection: {refusal.message}") from refusal
    try:
        protocol = websocket.subprotocol_of(request, response)
    except ConnectionError as error:
        connection.close()
        raise Failure(f"unable to upgrade connection: {error}") from error
    return WebSocket(connection, client=True, subprotocol=protocol)


async def run(
    socket: WebSocket,
    *,
    stdin: AsyncIterator[bytes] | None,
    on_stdout: Callable[[bytes], None],
    on_stderr: Callable[[bytes], None],
    tty: bool,
) -> int:
    """Copy until the command has ended. Returns its exit code; raises `Failure` if it could not be run."""
    tasks = [asyncio.create_task(_ping(socket), name="ping")]
    if stdin is not None:
        tasks.append(asyncio.create_task(_send_stdin(socket, stdin), name="stdin"))
    status = b""
    try:
        with _resizing(socket) if tty else _nothing():
            while (message := await socket.receive()) is not None:
                channel, data = message[:1], message[1:]
                if channel == b"\x01":
                    on_stdout(data)
                elif channel == b"\x02":
                    on_stderr(data)
                elif channel == b"\x03":
                    status += data
                    if status.endswith((b"}", b"}\n")):
                        break
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await socket.close()
    return exit_code(status)


def exit_code(status: bytes) -> int:
    """The command's exit code in the `Status` of the error channel (none at all: the connection just ended)."""
    if not status:
        return 0
    try:
        value = json.loads(status)
    except ValueError:
        raise Failure(f"error stream protocol error: {status.decode('utf-8', 'replace')}") from None
    if value.get("status") == "Success":
        return 0
    for cause in (value.get("details") or {}).get("causes") or ():
        if cause.get("reason") == "ExitCode":
            return int(cause.get("message", 1))
    raise Failure(value.get("message") or "unknown error")


async def _send_stdin(socket: WebSocket, stdin: AsyncIterator[bytes]) -> None:
    async for data in stdin:
        await socket.send(bytes([STDIN]) + data)
    if socket.subprotocol == V5:
        await socket.send(bytes([CLOSE, STDIN]))


async def _ping(socket: WebSocket) -> None:
    while True:
        await asyncio.sleep(PING_S)
        await socket.ping()


async def read_stdin() -> AsyncIterator[bytes]:
    """Standard input, whatever it is: a file, a pipe or a terminal. The thread is a daemon: a blocked read must not keep us."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes] = asyncio.Queue(maxsize=64)

    def read() -> None:
        descriptor = sys.stdin.fileno()
        while True:
            try:
                data = os.read(descriptor, CHUNK_BYTES)
            except OSError:
                data = b""
            try:
                asyncio.run_coroutine_threadsafe(queue.put(data), loop).result()
            except (RuntimeError, asyncio.CancelledError):
                return
            if not data:
                return

    threading.Thread(target=read, name="stdin", daemon=True).start()
    while data := await queue.get():
        yield data


@contextmanager
def raw_terminal() -> Iterator[None]:
    """Pass every key on as it is, while this lasts; the terminal is restored whatever happens."""
    import termios
    import tty

    descriptor = sys.stdin.fileno()
    saved = termios.tcgetattr(descriptor)
    try:
        tty.setraw(descriptor)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, saved)


@contextmanager
def _nothing() -> Iterator[None]:
    yield


@contextmanager
def _resizing(socket: WebSocket) -> Iterator[None]:
    """Tell the other side the terminal's size now, and whenever it changes."""
    loop = asyncio.get_running_loop()
    sends: set[asyncio.Task[None]] = set()

    def tell() -> None:
        try:
            size = os.get_terminal_size(sys.stdout.fileno())
        except OSError:
            return
        message = bytes([RESIZE]) + orjson.dumps({"Width": size.columns, "Height": size.lines})
        task = loop.create_task(socket.send(message))
        sends.add(task)
        task.add_done_callback(sends.discard)

    loop.add_signal_handler(signal.SIGWINCH, tell)
    tell()
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGWINCH)
        for task in sends:
            task.cancel()
