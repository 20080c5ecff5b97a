"""log, exec and proxy: sent on to a kubelet (a fake one, over TLS) or to a pod, streamed and relayed back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pybernetes.apiserver.proxying import Kubelets
from pybernetes.client.http import HttpTransport
from pybernetes.machinery import pki
from pybernetes.machinery.clock import SystemClock
from pybernetes.machinery.entropy import SystemEntropy
from pybernetes.machinery.http import websocket
from pybernetes.machinery.http.messages import Request, Response
from pybernetes.machinery.http.server import Server as HttpServer
from pybernetes.machinery.http.tls import server_context
from pybernetes.machinery.resources import ENDPOINT_SLICES

PODS = "/api/v1/namespaces/default/pods"


@pytest.fixture
def kubelets(tmp_path: Path) -> Kubelets:
    now = SystemClock().now()
    authority = pki.Authority.create("ca", now)
    (tmp_path / "ca.crt").write_bytes(authority.certificate_pem)
    authority.issue("node", (), [], ["127.0.0.1"], usages=pki.SERVER, now=now).save(
        tmp_path / "node.crt", tmp_path / "node.key"
    )
    authority.issue("apiserver", ("system:masters",), now=now).save(tmp_path / "api.crt", tmp_path / "api.key")
    return Kubelets(str(tmp_path / "api.crt"), str(tmp_path / "api.key"), str(tmp_path / "ca.crt"))


@pytest.fixture
async def kubelet(server: Any, tmp_path: Path) -> AsyncIterator[HttpServer]:
    """A fake kubelet with a node and a pod of its own; it tells what it is asked."""

    async def log_lines() -> AsyncIterator[bytes]:
        for number in range(3):
            yield f"line {number}\n".encode()
            await asyncio.sleep(0)

    async def handler(request: Request) -> Response:
        if request.peer_certificate is None:
            return Response(401, {}, b"who are you?")
        if websocket.is_upgrade(request):

            async def echo(socket: websocket.WebSocket) -> None:
                await socket.send(f"{request.path}?{request.query}".encode())
                while (message := await socket.receive()) is not None:
                    await socket.send(message)

            return websocket.accept(request, ["v5.channel.k8s.io"], echo)
        if request.path.startswith("/containerLogs/"):
            return Response(200, {"Content-Type": "text/plain"}, log_lines())
        return Response(200, {"X-Path": request.path}, request.headers.get("authorization", "no credentials").encode())

    http = HttpServer(handler, clock=SystemClock())
    context = server_context(str(tmp_path / "node.crt"), str(tmp_path / "node.key"), str(tmp_path / "ca.crt"))
    await http.start("127.0.0.1", 0, context)
    await server.ask("POST", "/api/v1/nodes", {"metadata": {"name": "n1"}})
    status = {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": http.port}},
    }
    await server.ask("PATCH", "/api/v1/nodes/n1/status", {"status": status}, content_type="application/merge-patch+json")
    spec = {"nodeName": "n1", "containers": [{"name": "c", "image": "i"}]}
    await server.ask("POST", PODS, {"metadata": {"name": "p"}, "spec": spec})
    yield http
    await http.stop(1)


async def test_a_log_is_streamed_from_the_kubelet(server: Any, kubelet: HttpServer) -> None:
    response = await server.send("GET", f"{PODS}/p/log?follow=true")
    assert response.headers["Content-Type"] == "text/plain"
    assert b"".join([chunk async for chunk in response.body]) == b"line 0\nline 1\nline 2\n"


async def test_exec_is_relayed_both_ways(server: Any, kubelet: HttpServer) -> None:
    front = HttpServer(server.api.handle, clock=SystemClock())
    await front.start("127.0.0.1", 0)
    transport = HttpTransport(f"http://127.0.0.1:{front.port}", token="test-admin")
    query = "container=c&command=echo&command=hi&stdout=true"
    request = websocket.handshake(f"{PODS}/p/exec", query, ["v5.channel.k8s.io"], SystemEntropy())
    response, connection = await transport.upgrade(request)
    assert connection is not None, response.body
    socket = websocket.WebSocket(connection, client=True, subprotocol=websocket.subprotocol_of(request, response))
    assert await socket.receive() == b"/exec/default/p/c?command=echo&command=hi&stdout=true"
    await socket.send(b"\0typed")
    assert await socket.receive() == b"\0typed"
    await socket.close()
    await transport.close()
    await front.stop(1)


async def test_a_node_is_proxied_with_our_certificate_and_without_the_users_credentials(
    server: Any, kubelet: HttpServer
) -> None:
    response = await server.send("GET", "/api/v1/nodes/n1/proxy/stats/summary")
    assert response.headers["x-path"] == "/stats/summary"
    assert b"".join([chunk async for chunk in response.body]) == b"no credentials"


async def test_a_kubelet_that_does_not_answer_is_503(server: Any, kubelet: HttpServer) -> None:
    await kubelet.stop(0)
    assert (await server.send("GET", f"{PODS}/p/log")).status == 503


async def test_a_container_that_is_not_there_is_a_bad_request(server: Any, kubelet: HttpServer) -> None:
    answer = await server.ask("GET", f"{PODS}/p/log?container=x")
    assert (answer["code"], answer["message"]) == (400, "container x is not valid for pod p")


async def test_a_service_is_proxied_to_one_of_its_ready_endpoints(server: Any) -> None:
    async def pod(request: Request) -> Response:
        return Response(200, {}, f"{request.path}?{request.query}".encode())

    http = HttpServer(pod, clock=SystemClock())
    await http.start("127.0.0.1", 0)
    ports = [{"name": "web", "port": 80}]
    await server.ask("POST", "/api/v1/namespaces/default/services", {"metadata": {"name": "s"}, "spec": {"ports": ports}})
    endpoint_slice = {
        "metadata": {"name": "s-1", "namespace": "default", "labels": {"kubernetes.io/service-name": "s"}},
        "addressType": "IPv4",
        "endpoints": [
            {"addresses": ["127.0.0.1"], "conditions": {"ready": True}},
            {"addresses": ["192.0.2.1"], "conditions": {"ready": False}},
        ],
        "ports": [{"name": "web", "port": http.port}],
    }  # fmt: skip
    # Written past validation, which refuses loopback addresses.
    await server.api.writer.create(ENDPOINT_SLICES, endpoint_slice)
    response = await server.send("GET", "/api/v1/namespaces/default/services/s:web/proxy/a/b?c=d")
    assert b"".join([chunk async for chunk in response.body]) == b"/a/b?c=d"
    assert (await server.send("GET", "/api/v1/namespaces/default/services/s:nope/proxy/")).status == 503
    await http.stop(1)
