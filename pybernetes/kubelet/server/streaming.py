"""Exec, attach and port-forward: between the client's connection and the runtime's streaming server.

The runtime speaks SPDY. A client that speaks SPDY too is relayed byte by byte. A WebSocket client (KEP-4006) has its channels
turned into SPDY streams here, because only those can end in one direction: `kubectl exec -i … < file` ends stdin (v5) and still
wants the output. Port-forward over WebSocket is SPDY in WebSocket messages (relayed likewise), or the older pairs of channels.

Source: KEP-4006; the remote command protocol v4 (channels 0 stdin, 1 stdout, 2 stderr, 3 error, 4 resize), v5 (255 close).
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

import orjson

from pybernetes.client.http import HttpTransport
from pybernetes.client.transport import ConnectionFailed
from pybernetes.machinery import spdy
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.errors import BadRequest, InternalError
from pybernetes.machinery.http.messages import Request, Response, Upgradable
from pybernetes.machinery.http.websocket import Serve, WebSocket, accept
from pybernetes.machinery.log import logger

log = logger("kubelet.streaming")

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
NAMES = {STDIN: "stdin", STDOUT: "stdout", STDERR: "stderr", ERROR: "error", RESIZE: "resize"}
V5 = "v5.channel.k8s.io"
COMMAND_PROTOCOLS = (V5, "v4.channel.k8s.io", "channel.k8s.io")
RUNTIME_PROTOCOLS = "v4.channel.k8s.io"
PORT_FORWARD_TUNNEL = "SPDY/3.1+portforward.k8s.io"
PORT_FORWARD_PROTOCOLS = (PORT_FORWARD_TUNNEL, "v4.channel.k8s.io", "portforward.k8s.io")
PORT_FORWARD_SPDY = "portforward.k8s.io"
PORTS_MAX = 64


def is_spdy(request: Request) -> bool:
    return request.headers.get("upgrade", "").lower() == "spdy/3.1"


class Streams:
    """Opens connections to the runtime's streaming server and joins clients to them."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock

    async def command(self, request: Request, url: str, channels: Sequence[int]) -> Response:
        """Exec or attach. `channels` are those of stdin, stdout, stderr, resize that the client asked for."""
        if is_spdy(request):
            return await self._relay(request, url)

        # Before the answer: a runtime that cannot be reached is an HTTP error, not a session that ends at once.
        backend = await self._connect(url, RUNTIME_PROTOCOLS)

        async def serve(socket: WebSocket) -> None:
            await _Command(socket, backend, channels).run()

        return _accepted(request, COMMAND_PROTOCOLS, serve, backend)

    async def port_forward(self, request: Request, url: str, ports: Sequence[int]) -> Response:
        """`ports` are those of the query, which only the channel protocol uses."""
        if is_spdy(request):
            return await self._relay(request, url)

        if PORT_FORWARD_TUNNEL not in request.headers.get("sec-websocket-protocol", "") and not ports:
            raise BadRequest("query parameter ports is required")
        backend = await self._connect(url, PORT_FORWARD_SPDY)

        async def serve(socket: WebSocket) -> None:
            if socket.subprotocol == PORT_FORWARD_TUNNEL:
                await _tunnel(socket, backend)
            else:
                await _PortForward(socket, backend, ports).run()

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
        head = {"upgrade": "SPDY/3.1", "connection": "Upgrade", **headers}
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
            await _until_either_ends(_copy(client, backend), _copy(backend, client))
            backend.close()
            client.close()

        headers = {"Upgrade": "SPDY/3.1", "Connection": "Upgrade"}
        if chosen := response.headers.get("x-stream-protocol-version"):
            headers["X-Stream-Protocol-Version"] = chosen
        return Response(101, headers, upgrade=serve)


def _accepted(request: Request, protocols: Sequence[str], serve: Serve, backend: Upgradable) -> Response:
    try:
        return accept(request, protocols, serve)
    except BadRequest:
        backend.close()
        raise


async def _copy(source: Upgradable, target: Upgradable) -> None:
    while data := await source.read():
        await target.write(data)


async def _until_either_ends(*both: object) -> None:
    tasks = [asyncio.ensure_future(one) for one in both]  # type: ignore[call-overload]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception) and not isinstance(result, OSError):
                log.warning("A stream broke", error=repr(result))


async def _tunnel(socket: WebSocket, backend: Upgradable) -> None:
    """SPDY bytes in WebSocket messages (KEP-4006, port-forward)."""

    async def inbound() -> None:
        while (data := await socket.receive()) is not None:
            await backend.write(data)

    async def outbound() -> None:
        while data := await backend.read():
            await socket.send(data)

    await _until_either_ends(inbound(), outbound())
    backend.close()


class _SpdySide:
    """The runtime's connection: SPDY streams that were opened here."""

    def __init__(self, backend: Upgradable) -> None:
        self.backend = backend
        self.connection = spdy.Connection(client=True)

    async def flush(self) -> None:
        data = self.connection.outgoing()
        if data:
            await self.backend.write(data)

    async def events(self) -> list[spdy.Event]:
        """Some events; [] at the end of the connection."""
        while True:
            data = await self.backend.read()
            if not data:
                return []
            events = self.connection.receive(data)
            await self.flush()
            if events:
                return events


class _Command(_SpdySide):
    """One exec or attach session of a WebSocket client."""

    def __init__(self, socket: WebSocket, backend: Upgradable, channels: Sequence[int]) -> None:
        super().__init__(backend)
        self._socket = socket
        self._channels = channels
        self._streams: dict[int, int] = {}  # channel -> stream id

    async def run(self) -> None:
        for channel in (ERROR, *self._channels):
            self._streams[channel] = self.connection.open_stream({"streamtype": NAMES[channel]})
        await self.flush()
        await _until_either_ends(self._inbound(), self._outbound())
        self.backend.close()

    async def _inbound(self) -> None:
        """Until the client is gone."""
        while (message := await self._socket.receive()) is not None:
            if not message:
                continue
            channel, data = message[0], message[1:]
            if channel == CLOSE and self._socket.subprotocol == V5:
                if data[:1] == bytes([STDIN]) and STDIN in self._streams:
                    self.connection.send(self._streams.pop(STDIN), b"", fin=True)
            elif channel in (STDIN, RESIZE) and channel in self._streams and data:
                self.connection.send(self._streams[channel], data)
            await self.flush()

    async def _outbound(self) -> None:
        """Until the command has ended and everything that it wrote is with the client."""
        by_stream = {stream_id: channel for channel, stream_id in self._streams.items()}
        awaited = {self._streams[channel] for channel in (ERROR, STDOUT, STDERR) if channel in self._streams}
        error = bytearray()
        while awaited:
            events = await self.events()
            if not events:
                break
            for event in events:
                if isinstance(event, spdy.Data):
                    channel = by_stream.get(event.stream_id)
                    if channel == ERROR:
                        error += event.data
                    elif channel in (STDOUT, STDERR) and event.data:
                        await self._socket.send(bytes([channel]) + event.data)
                    if event.fin:
                        awaited.discard(event.stream_id)
                elif isinstance(event, spdy.StreamReset):
                    awaited.discard(event.stream_id)
        # Last, because clients take the status for the end of the session.
        await self._socket.send(bytes([ERROR]) + (bytes(error) or orjson.dumps({"metadata": {}, "status": "Success"})))
        await self._socket.close(1000)


class _PortForward(_SpdySide):
    """The channel protocol: per port two channels, data and error; each begins with the port, two bytes little-endian."""

    def __init__(self, socket: WebSocket, backend: Upgradable, ports: Sequence[int]) -> None:
        super().__init__(backend)
        self._socket = socket
        self._ports = ports
        self._data: list[int] = []  # stream ids by index of the port
        self._channels: dict[int, int] = {}  # stream id -> channel

    async def run(self) -> None:
        for index, port in enumerate(self._ports[:PORTS_MAX]):
            headers = {"port": str(port), "requestid": str(index)}
            error = self.connection.open_stream({**headers, "streamtype": "error"}, fin=True)
            data = self.connection.open_stream({**headers, "streamtype": "data"})
            self._data.append(data)
            self._channels.update({data: 2 * index, error: 2 * index + 1})
            for channel in (2 * index, 2 * index + 1):
                await self._socket.send(bytes([channel]) + struct.pack("<H", port))
        await self.flush()
        await _until_either_ends(self._inbound(), self._outbound())
        self.backend.close()

    async def _inbound(self) -> None:
        while (message := await self._socket.receive()) is not None:
            if len(message) > 1 and message[0] % 2 == 0 and message[0] // 2 < len(self._data):
                self.connection.send(self._data[message[0] // 2], message[1:])
                await self.flush()

    async def _outbound(self) -> None:
        open_streams = set(self._data)
        while open_streams:
            events = await self.events()
            if not events:
                return
            for event in events:
                if isinstance(event, spdy.Data):
                    channel = self._channels.get(event.stream_id)
                    if channel is not None and event.data:
                        await self._socket.send(bytes([channel]) + event.data)
                    if event.fin:
                        open_streams.discard(event.stream_id)
                elif isinstance(event, spdy.StreamReset):
                    open_streams.discard(event.stream_id)
