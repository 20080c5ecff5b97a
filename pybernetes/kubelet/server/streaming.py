"""Exec, attach and port-forward: between the client's connection and the runtime's streaming server.

The runtime speaks SPDY. A client that speaks SPDY too is relayed byte by byte; a WebSocket client (KEP-4006) is translated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from pybernetes.client.http import HttpTransport
from pybernetes.client.transport import ConnectionFailed
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.errors import BadRequest, InternalError
from pybernetes.machinery.http.messages import Request, Response, Upgradable
from pybernetes.machinery.http.relay import relay
from pybernetes.machinery.http.websocket import Serve, WebSocket, accept
from pybernetes.machinery.stream_translation import (
    PORT_FORWARD,
    PORT_FORWARD_TUNNEL,
    SPDY,
    V4,
    V5,
    translate_command,
    translate_port_forward,
    tunnel,
)

COMMAND_PROTOCOLS = (V5, V4, "channel.k8s.io")
PORT_FORWARD_PROTOCOLS = (PORT_FORWARD_TUNNEL, V4, PORT_FORWARD)


def is_spdy(request: Request) -> bool:
    return request.headers.get("upgrade", "").lower() == SPDY.lower()


class Streams:
    """Opens connections to the runtime's streaming server and joins clients to them."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock

    async def command(self, request: Request, url: str, channels: Sequence[int]) -> Response:
        """Exec or attach. `channels` are those of stdin, stdout, stderr, resize that the client asked for."""
        if is_spdy(request):
            return await self._relay(request, url)

        # Before the answer: a runtime that cannot be reached is an HTTP error, not a session that ends at once.
        backend = await self._connect(url, V4)

        async def serve(socket: WebSocket) -> None:
            await translate_command(socket, backend, channels)

        return _accepted(request, COMMAND_PROTOCOLS, serve, backend)

    async def port_forward(self, request: Request, url: str, ports: Sequence[int]) -> Response:
        """`ports` are those of the query, which only the channel protocol uses."""
        if is_spdy(request):
            return await self._relay(request, url)

        if PORT_FORWARD_TUNNEL not in request.headers.get("sec-websocket-protocol", "") and not ports:
            raise BadRequest("query parameter ports is required")
        backend = await self._connect(url, PORT_FORWARD)

        async def serve(socket: WebSocket) -> None:
            if socket.subprotocol == PORT_FORWARD_TUNNEL:
                await tunnel(socket, backend)
            else:
                await translate_port_forward(socket, backend, ports)

        return _accepted(request, PORT_FORWARD_PROTOCOLS, serve, backend)

    async def _connect(self, url: str, protocol: str) -> Upgradable:
        """A SPDY connection to the runtime. Raises InternalError."""
        try:
            _, connection = await self._upgrade(url, {"x-stream-protocol-version": protocol})
        except (ConnectionFailed, ConnectionError) as error:
            raise InternalError(f"cannot reach the runtime's streaming server: {error}") from error
        return connection

    async def _upgrade(self, url: str, headers: Mapping[str, str]) -> tuple[Response, Upgradable]:
        parts = urlsplit(url)
        transport = HttpTransport(f"{parts.scheme}://{parts.netloc}", clock=self._clock)
        head = {"upgrade": SPDY, "connection": "Upgrade", **headers}
        response, connection = await transport.upgrade(Request("POST", parts.path, parts.query, head))
        if connection is None:
            body = response.body[:200] if isinstance(response.body, bytes) else b""
            raise ConnectionResetError(f"the runtime's streaming server answered {response.status}: {body!r}")
        return response, connection

    async def _relay(self, request: Request, url: str) -> Response:
        version = request.headers.get("x-stream-protocol-version", "")
        try:
            response, backend = await self._upgrade(url, {"x-stream-protocol-version": version} if version else {})
        except (ConnectionFailed, ConnectionError) as error:
            raise InternalError(f"cannot reach the runtime's streaming server: {error}") from error

        async def serve(client: Upgradable) -> None:
            await relay(client, backend)

        headers = {"Upgrade": SPDY, "Connection": "Upgrade"}
        if chosen := response.headers.get("x-stream-protocol-version"):
            headers["X-Stream-Protocol-Version"] = chosen
        return Response(101, headers, upgrade=serve)


def _accepted(request: Request, protocols: Sequence[str], serve: Serve, backend: Upgradable) -> Response:
    try:
        return accept(request, protocols, serve)
    except BadRequest:
        backend.close()
        raise
