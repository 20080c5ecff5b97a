"""A watch over WebSocket, as browsers may want it: each event is one message; JSON is text, protobuf is binary.

Source: API concepts, "Efficient detection of changes"; the framing is upstream's (no newline, no length in front).
"""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Iterator

from pybernetes.apiserver.authentication.union import WEBSOCKET_TOKEN_PREFIX
from pybernetes.machinery.http import websocket
from pybernetes.machinery.http.messages import Request, Response
from pybernetes.machinery.http.relay import until_either_ends
from pybernetes.machinery.http.websocket import WebSocket


def over_websocket(request: Request, response: Response) -> Response:
    """`response`, the answer to a watch, as a WebSocket if that was asked for; a refusal as it is.

    Raises `BadRequest` for a malformed handshake.
    """
    events = response.body
    if isinstance(events, bytes) or not websocket.is_upgrade(request):
        return response
    in_protobuf = "protobuf" in response.headers.get("Content-Type", "")

    async def serve(socket: WebSocket) -> None:
        try:
            await until_either_ends(_send(socket, events, in_protobuf), _drain(socket))
        finally:
            if hasattr(events, "aclose"):
                await events.aclose()

    offered = [name.strip() for name in request.headers.get("sec-websocket-protocol", "").split(",")]
    return websocket.accept(request, [name for name in offered if not name.startswith(WEBSOCKET_TOKEN_PREFIX)], serve)


async def _send(socket: WebSocket, chunks: AsyncIterator[bytes], in_protobuf: bool) -> None:
    async for chunk in chunks:
        if in_protobuf:
            for frame in _frames(chunk):
                await socket.send(frame)
        else:
            for line in chunk.splitlines():
                await socket.send(line.decode())


async def _drain(socket: WebSocket) -> None:
    """Nothing is expected from the client but its goodbye."""
    while await socket.receive() is not None:
        pass


def _frames(chunk: bytes) -> Iterator[bytes]:
    position = 0
    while position < len(chunk):
        (length,) = struct.unpack_from(">I", chunk, position)
        yield chunk[position + 4 : position + 4 + length]
        position += 4 + length
