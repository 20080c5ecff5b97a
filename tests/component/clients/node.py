"""A hollow node as a process: it tells of pods what a kubelet would, and serves the kubelet's streams as upstream's does.

Commands are run on this machine (`exec`), `attach` echoes, ports are this machine's. It speaks SPDY and the old WebSocket
channels (version 4), which is all that an upstream kubelet before 1.36 knows.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from urllib.parse import parse_qs

import orjson

from pybernetes.client.kubeconfig import connect
from pybernetes.machinery import pki, spdy
from pybernetes.machinery.clock import SystemClock
from pybernetes.machinery.entropy import SystemEntropy
from pybernetes.machinery.http import websocket
from pybernetes.machinery.http.messages import Request, Response, Upgradable
from pybernetes.machinery.http.server import Server
from pybernetes.machinery.http.tls import server_context
from pybernetes.machinery.resources import NODES
from pybernetes.sim.hollow_node import HollowNode

NAME = "hollow"
V4 = "v4.channel.k8s.io"
NAMES = {0: "stdin", 1: "stdout", 2: "stderr", 3: "error", 4: "resize"}  # by channel
STREAMS = {"input": "stdin", "output": "stdout", "error": "stderr"}  # as the kubelet is asked for them
PROTOCOLS = (V4, "portforward.k8s.io")
LOG = b"".join(b"line %d\n" % number for number in range(5))


async def main(directory: Path) -> None:
    clock, entropy = SystemClock(), SystemEntropy()
    authority = pki.Authority((directory / "pki/ca.crt").read_bytes(), (directory / "pki/ca.key").read_bytes())
    serving = authority.issue(f"system:node:{NAME}", (), [NAME], ["127.0.0.1"], usages=pki.SERVER, now=clock.now())
    serving.save(directory / "node.crt", directory / "node.key")
    http = Server(handle, clock=clock)
    await http.start("127.0.0.1", 0, server_context(str(directory / "node.crt"), str(directory / "node.key"), None))
    client = connect(directory / "kubeconfig", clock=clock, entropy=entropy)
    node = HollowNode(client, NAME, clock=clock, entropy=entropy, pod_prefix="127.1.0")
    async with asyncio.TaskGroup() as group:
        group.create_task(node.run())
        group.create_task(announce(client, http.port))


async def announce(client, port: int) -> None:  # type: ignore[no-untyped-def]
    """Where our streams are, as soon as the node is there."""
    status = {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}, {"type": "Hostname", "address": NAME}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
    }
    while True:
        with contextlib.suppress(Exception):
            await client.patch(NODES, NAME, "", {"status": status}, subresource="status")
            return
        await asyncio.sleep(0.05)


async def handle(request: Request) -> Response:
    verb, *parts = request.path.strip("/").split("/")
    query = parse_qs(request.query)
    if verb == "containerLogs":
        lines = LOG.splitlines(keepends=True)
        kept = lines[-int(query["tailLines"][0]) :] if "tailLines" in query else lines
        return Response(200, {"Content-Type": "text/plain"}, b"".join(kept))
    if verb in ("exec", "attach", "portForward"):
        if websocket.is_upgrade(request):
            return websocket.accept(request, [V4], lambda socket: over_websocket(socket, verb, query))
        if request.headers.get("upgrade", "").lower() != "spdy/3.1":
            return Response(400, {"Content-Type": "text/plain"}, b"Upgrade request required\n")
        offered = [text.strip() for text in request.headers.get("x-stream-protocol-version", "").split(",")]
        protocol = next((text for text in offered if text in PROTOCOLS), "")
        serve = port_forward if verb == "portForward" else lambda session: command(session, verb, query)
        headers = {"Upgrade": "SPDY/3.1", "Connection": "Upgrade", "X-Stream-Protocol-Version": protocol}
        return Response(101, headers, upgrade=lambda connection: Session(connection).run(serve))
    body = {"verb": verb, "path": request.path, "query": request.query, "method": request.method, "parts": parts}
    return Response(200, {"Content-Type": "application/json"}, orjson.dumps(body))


class Stream:
    """One stream of a session; `received` ends with None."""

    def __init__(self, headers: dict[str, str], send: Callable[[bytes, bool], Awaitable[None]]) -> None:
        self.headers = headers
        self.received: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._send = send

    async def send(self, data: bytes, *, fin: bool = False) -> None:
        await self._send(data, fin)


class Session:
    def __init__(self, connection: Upgradable) -> None:
        self.protocol = spdy.Connection(client=False)
        self.opened: asyncio.Queue[Stream] = asyncio.Queue()
        self._connection = connection
        self._streams: dict[int, Stream] = {}

    async def flush(self) -> None:
        if data := self.protocol.outgoing():
            await self._connection.write(data)

    async def run(self, serve: Callable[[Session], Awaitable[None]]) -> None:
        reading, serving = asyncio.create_task(self._read()), asyncio.create_task(serve(self))
        try:
            await asyncio.wait([reading, serving], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (reading, serving):
                task.cancel()
            await asyncio.gather(reading, serving, return_exceptions=True)
            self._connection.close()

    async def _read(self) -> None:
        while data := await self._connection.read():
            for event in self.protocol.receive(data):
                if isinstance(event, spdy.StreamOpened):
                    self.protocol.accept_stream(event.stream_id)
                    stream = self._streams[event.stream_id] = self._stream(event.stream_id, dict(event.headers))
                    self.opened.put_nowait(stream)
                    if event.fin:
                        stream.received.put_nowait(None)
                elif isinstance(event, spdy.Data) and event.stream_id in self._streams:
                    if event.data:
                        self._streams[event.stream_id].received.put_nowait(event.data)
                    if event.fin:
                        self._streams[event.stream_id].received.put_nowait(None)
            await self.flush()

    def _stream(self, stream_id: int, headers: dict[str, str]) -> Stream:
        async def send(data: bytes, fin: bool) -> None:
            self.protocol.send(stream_id, data, fin=fin)
            await self.flush()

        return Stream(headers, send)


async def over_websocket(socket: websocket.WebSocket, verb: str, query: dict[str, list[str]]) -> None:
    """The channels of version 4: a message's first byte names one."""
    if verb == "portForward":
        ports = [int(port) for port in query["port"][0].split(",")]
        streams = {}
        for index, port in enumerate(ports):
            streams[2 * index] = channel(socket, 2 * index, {"streamtype": "data", "port": str(port)})
            streams[2 * index + 1] = channel(socket, 2 * index + 1, {"streamtype": "error"})
            for number in (2 * index, 2 * index + 1):
                await streams[number].send(port.to_bytes(2, "little"))
        work = [_forward(streams[number], streams[number + 1]) for number in range(0, 2 * len(ports), 2)]
    else:
        streams = {number: channel(socket, number, {"streamtype": name}) for number, name in NAMES.items()}
        wanted = wanted_streams(query)
        work = [_command({name: streams[number] for number, name in NAMES.items() if name in wanted}, verb, query)]
    tasks = [asyncio.create_task(one) for one in work]
    reading = asyncio.create_task(_distribute(socket, streams))
    await asyncio.wait([reading, asyncio.gather(*tasks)], return_when=asyncio.FIRST_COMPLETED)
    for task in (reading, *tasks):
        task.cancel()


def channel(socket: websocket.WebSocket, number: int, headers: dict[str, str]) -> Stream:
    async def send(data: bytes, _: bool) -> None:
        if data:
            await socket.send(bytes([number]) + data)

    return Stream(headers, send)


async def _distribute(socket: websocket.WebSocket, streams: dict[int, Stream]) -> None:
    while (message := await socket.receive()) is not None:
        if message[1:] and message[0] in streams:
            streams[message[0]].received.put_nowait(message[1:])


def wanted_streams(query: dict[str, list[str]]) -> set[str]:
    wanted = {"error"} | {name for asked, name in STREAMS.items() if query.get(asked) == ["1"]}
    return (wanted | {"resize"}) - {"stderr"} if query.get("tty") == ["1"] else wanted


async def command(session: Session, verb: str, query: dict[str, list[str]]) -> None:
    wanted = wanted_streams(query)
    streams: dict[str, Stream] = {}
    while set(streams) != wanted:
        stream = await session.opened.get()
        streams[stream.headers["streamtype"]] = stream
    await _command(streams, verb, query)
    await asyncio.sleep(0.5)  # the client hangs up


async def _command(streams: dict[str, Stream], verb: str, query: dict[str, list[str]]) -> None:
    words = query.get("command", []) if verb == "exec" else ["cat"]
    code = await run(words, streams)
    status: dict[str, object] = {"metadata": {}, "status": "Success"}
    if code:
        causes = [{"reason": "ExitCode", "message": str(code)}]
        status = {
            "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": causes},
            "message": f"command terminated with non-zero exit code: exit status {code}",
        }  # fmt: skip
    for name in ("stdout", "stderr"):
        if name in streams:
            await streams[name].send(b"", fin=True)
    await streams["error"].send(orjson.dumps(status), fin=True)


async def run(words: Sequence[str], streams: dict[str, Stream]) -> int:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*words, stdin=pipe, stdout=pipe, stderr=pipe)
    assert process.stdin and process.stdout and process.stderr

    async def feed() -> None:
        assert process.stdin
        while "stdin" in streams and (data := await streams["stdin"].received.get()) is not None:
            process.stdin.write(data)
            await process.stdin.drain()
        process.stdin.close()

    async def drain(source: asyncio.StreamReader, name: str) -> None:
        while data := await source.read(65536):
            if name in streams:
                await streams[name].send(data)

    feeding = asyncio.create_task(feed())
    await asyncio.gather(drain(process.stdout, "stdout"), drain(process.stderr, "stderr"))
    feeding.cancel()
    return await process.wait()


async def port_forward(session: Session) -> None:
    """Pairs of streams, one for data and one for errors, joined by their request id."""
    errors: dict[str, Stream] = {}
    async with asyncio.TaskGroup() as group:
        while True:
            stream = await session.opened.get()
            if stream.headers["streamtype"] == "error":
                errors[stream.headers["requestid"]] = stream
            else:
                group.create_task(_forward(stream, errors[stream.headers["requestid"]]))


async def _forward(data: Stream, error: Stream) -> None:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(data.headers["port"]))
    except OSError as failure:
        await error.send(f"cannot reach port {data.headers['port']}: {failure}".encode(), fin=True)
        await data.send(b"", fin=True)
        return

    async def up() -> None:
        while (chunk := await data.received.get()) is not None:
            writer.write(chunk)
            await writer.drain()
        writer.write_eof()

    uploading = asyncio.create_task(up())
    while chunk := await reader.read(65536):
        await data.send(chunk)
    await data.send(b"", fin=True)
    await error.send(b"", fin=True)
    uploading.cancel()
    writer.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
