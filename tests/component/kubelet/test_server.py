"""Logs, exec, attach and port-forward through the kubelet's HTTP API, on a real containerd."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from pybernetes.client.transport import InProcessTransport
from pybernetes.kubelet.server.routes import KubeletServer
from pybernetes.machinery import spdy
from pybernetes.machinery.http.messages import Request, Response
from pybernetes.machinery.http.websocket import WebSocket, handshake, subprotocol_of

V5 = "v5.channel.k8s.io"


class Access:
    """A client of the kubelet's server."""

    def __init__(self, cluster: Any) -> None:
        self.cluster = cluster
        server = KubeletServer(cluster.kubelet, clock=cluster.clock, entropy=cluster.entropy)
        self.transport = InProcessTransport(server.handle, headers={"authorization": "Bearer admin"})
        self.anonymous = InProcessTransport(server.handle)

    async def get(self, path: str, query: str = "") -> Response:
        return await self.transport.send(Request("GET", path, query))

    async def websocket(self, path: str, query: str, *protocols: str) -> WebSocket:
        request = handshake(path, query, protocols, self.cluster.entropy)
        response, connection = await self.transport.upgrade(request)
        assert connection is not None, response
        return WebSocket(connection, client=True, subprotocol=subprotocol_of(request, response))

    async def exec(self, name: str, script: str, *, stdin: bytes | None = None, protocol: str = V5) -> tuple[str, str, Any]:
        """(stdout, stderr, status)."""
        query = f"command=sh&command=-c&command={script}&stdout=true&stderr=true" + ("&stdin=true" if stdin is not None else "")
        socket = await self.websocket(f"/exec/default/{name}/main", query, protocol)
        if stdin is not None:
            for start in range(0, len(stdin), 30000):
                await socket.send(b"\0" + stdin[start : start + 30000])
            await socket.send(b"\xff\0")
        return await collect(socket)


async def collect(socket: WebSocket) -> tuple[str, str, Any]:
    out, err, status = b"", b"", None
    async with asyncio.timeout(20):
        while (message := await socket.receive()) is not None:
            if message[0] == 1:
                out += message[1:]
            elif message[0] == 2:
                err += message[1:]
            elif message[0] == 3:
                status = orjson.loads(message[1:])
    return out.decode(), err.decode(), status


@pytest.fixture
async def access(cluster: Any) -> Access:
    return Access(cluster)


async def test_logs_are_served_whole_in_part_and_followed(cluster: Any, access: Access) -> None:
    script = "for i in 1 2 3 4; do echo line $i; done; sleep 0.1; echo oops >&2; sleep 1; echo late"
    await cluster.create(cluster.pod("talker", cluster.container(script), restartPolicy="Never"))
    await cluster.pod_until("talker", lambda pod: (pod.get("status") or {}).get("phase") in ("Running", "Succeeded"))
    await asyncio.sleep(0.3)
    whole = await access.get("/containerLogs/default/talker/main")
    assert whole.body == b"line 1\nline 2\nline 3\nline 4\noops\n"
    tail = await access.get("/containerLogs/default/talker/main", "tailLines=2")
    assert tail.body == b"line 4\noops\n"
    limited = await access.get("/containerLogs/default/talker/main", "limitBytes=6")
    assert limited.body == b"line 1"
    followed = await access.get("/containerLogs/default/talker/main", "follow=true")
    assert followed.body.endswith(b"late\n")  # type: ignore[union-attr]
    stamped = await access.get("/containerLogs/default/talker/main", "timestamps=true&tailLines=1")
    assert stamped.body.split(b" ", 1)[1] == b"late\n"  # type: ignore[union-attr]


async def test_logs_of_what_is_not_there_are_refused_with_a_reason(cluster: Any, access: Access) -> None:
    await cluster.create(cluster.pod("web"))
    await cluster.ready("web")
    assert (await access.get("/containerLogs/default/nobody/main")).status == 404
    wrong = await access.get("/containerLogs/default/web/nobody")
    assert (wrong.status, wrong.body) == (400, b"container nobody is not valid for pod web")
    previous = await access.get("/containerLogs/default/web/main", "previous=true")
    assert (previous.status, previous.body) == (400, b'previous terminated container "main" in pod "web" not found')


async def test_a_request_without_identity_is_refused(cluster: Any, access: Access) -> None:
    assert (await access.anonymous.send(Request("GET", "/pods"))).status == 401
    assert (await access.get("/pods")).status == 200


async def test_exec_gives_output_errors_and_the_exit_code(cluster: Any, access: Access) -> None:
    await cluster.create(cluster.pod("web"))
    await cluster.ready("web")
    out, err, status = await access.exec("web", "echo%20out;echo%20err%20>%262;exit%203")
    assert (out, err) == ("out\n", "err\n")
    assert status["status"] == "Failure"
    assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]
    _, _, status = await access.exec("web", "true")
    assert status["status"] == "Success"


async def test_exec_reads_standard_input_to_its_end(cluster: Any, access: Access) -> None:
    """`kubectl exec -i … < file` must end: only v5's close message and a half-closed SPDY stream can say so."""
    await cluster.create(cluster.pod("web"))
    await cluster.ready("web")
    data = b"0123456789abcdef" * 20000
    out, _, status = await access.exec("web", "wc%20-c", stdin=data)
    assert (out.strip(), status["status"]) == (str(len(data)), "Success")


async def test_attach_shows_what_the_container_writes(cluster: Any, access: Access) -> None:
    await cluster.create(cluster.pod("web", cluster.container("while :; do echo tick; sleep 0.2; done")))
    await cluster.ready("web")
    socket = await access.websocket("/attach/default/web/main", "stdout=true&stderr=true", V5)
    async with asyncio.timeout(5):
        message = await socket.receive()
    assert message == b"\x01tick\n"
    await socket.close()


async def test_port_forward_over_channels_reaches_the_pod(cluster: Any, access: Access) -> None:
    await cluster.create(cluster.pod("web", cluster.container("while :; do echo hello | nc -l -p 8080; done")))
    await cluster.ready("web")
    await asyncio.sleep(0.2)
    socket = await access.websocket("/portForward/default/web", "ports=8080", "v4.channel.k8s.io")
    got = b""
    async with asyncio.timeout(10):
        while (message := await socket.receive()) is not None:
            got += message[1:] if message[0] == 0 else b""
            if got.endswith(b"hello\n"):
                break
    assert got == b"\x90\x1fhello\n"
    await socket.close()


async def test_port_forward_tunnels_spdy_in_a_websocket(cluster: Any, access: Access) -> None:
    """What kubectl 1.31 and later speaks."""
    await cluster.create(cluster.pod("web", cluster.container("while :; do echo hello | nc -l -p 8080; done")))
    await cluster.ready("web")
    await asyncio.sleep(0.2)
    socket = await access.websocket("/portForward/default/web", "", "SPDY/3.1+portforward.k8s.io")
    connection = spdy.Connection(client=True)
    connection.open_stream({"streamtype": "error", "port": "8080", "requestid": "0"}, fin=True)
    data = connection.open_stream({"streamtype": "data", "port": "8080", "requestid": "0"})
    await socket.send(connection.outgoing())
    got = b""
    async with asyncio.timeout(10):
        while not got.endswith(b"hello\n"):
            message = await socket.receive()
            assert message is not None
            for event in connection.receive(message):
                if isinstance(event, spdy.Data) and event.stream_id == data:
                    got += event.data
    assert got == b"hello\n"
    await socket.close()


async def test_statistics_name_the_pods(cluster: Any, access: Access) -> None:
    await cluster.create(cluster.pod("web"))
    await cluster.ready("web")
    found = orjson.loads((await access.get("/stats/summary")).body)  # type: ignore[arg-type]
    assert [pod["podRef"]["name"] for pod in found["pods"]] == ["web"]
    metrics = (await access.get("/metrics/resource")).body
    assert b'container_memory_working_set_bytes{container="main",namespace="default",pod="web"}' in metrics  # type: ignore[operator]
