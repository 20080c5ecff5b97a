"""The streams of exec, attach and port-forward, carried from a client's WebSocket to a SPDY connection behind it.

Who has a WebSocket client in front and SPDY behind joins them here: a kubelet to its runtime, the API server to a kubelet that
knows no better. A WebSocket's channels become SPDY streams, because only those can end in one direction: `kubectl exec -i … <
file` ends stdin (v5) and still wants the output. Port-forward over WebSocket is SPDY in WebSocket messages (relayed as it is),
or the older pairs of channels.

Source: KEP-4006; the remote command protocol v4 (channels 0 stdin, 1 stdout, 2 stderr, 3 error, 4 resize), v5 (255 close).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import orjson

from pybernetes.machinery import spdy
from pybernetes.machinery.http.messages import Upgradable
from pybernetes.machinery.http.relay import until_either_ends
from pybernetes.machinery.http.websocket import WebSocket

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
NAMES = {STDIN: "stdin", STDOUT: "stdout", STDERR: "stderr", ERROR: "error", RESIZE: "resize"}
SPDY = "SPDY/3.1"
V4 = "v4.channel.k8s.io"
V5 = "v5.channel.k8s.io"
PORT_FORWARD = "portforward.k8s.io"
PORT_FORWARD_TUNNEL = f"{SPDY}+{PORT_FORWARD}"
PORTS_MAX = 64


async def tunnel(socket: WebSocket, backend: Upgradable) -> None:
    """SPDY bytes in WebSocket messages (KEP-4006, port-forward), until either side ends; then the backend is closed."""

    async def inbound() -> None:
        while (data := await socket.receive()) is not None:
            await backend.write(data)

    async def outbound() -> None:
        while data := await backend.read():
            await socket.send(data)

    try:
        await until_either_ends(inbound(), outbound())
    finally:
        backend.close()


async def translate_command(socket: WebSocket, backend: Upgradable, channels: Sequence[int]) -> None:
    """One exec or attach session; `channels` are those of stdin, stdout, stderr, resize that the client asked for."""
    await _Command(socket, backend, channels).run()


async def translate_port_forward(socket: WebSocket, backend: Upgradable, ports: Sequence[int]) -> None:
    """The channel protocol: per port two channels, data and error; each begins with the port, two bytes little-endian."""
    await _PortForward(socket, backend, ports).run()


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
    def __init__(self, socket: WebSocket, backend: Upgradable, channels: Sequence[int]) -> None:
        super().__init__(backend)
        self._socket = socket
        self._channels = channels
        self._streams: dict[int, int] = {}  # channel -> stream id

    async def run(self) -> None:
        for channel in (ERROR, *self._channels):
            self._streams[channel] = self.connection.open_stream({"streamtype": NAMES[channel]})
        try:
            await self.flush()
            await until_either_ends(self._inbound(), self._outbound())
        finally:
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
        try:
            await self.flush()
            await until_either_ends(self._inbound(), self._outbound())
        finally:
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
