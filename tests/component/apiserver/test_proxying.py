"""log, exec and proxy: sent on to a kubelet (a fake one, over TLS) or to a pod, streamed and relayed back."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pybernetes.apiserver.proxying import proxy
from pybernetes.apiserver.proxying.targets import Kubelets
from pybernetes.client.http import HttpTransport
from pybernetes.machinery import pki
from pybernetes.machinery.clock import SystemClock
from pybernetes.machinery.entropy import SystemEntropy
from pybernetes.machinery.http import websocket
from pybernetes.machinery.http.messages import Request, Response
from pybernetes.machinery.http.server import Server as HttpServer
from pybernetes.machinery.http.tls import server_context

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

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"more\n"
                await asyncio.sleep(0.01)
        finally:
            http.ended.set()  # type: ignore[attr-defined]

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
        if "previous" in request.query:
            return Response(400, {"Content-Type": "text/plain"}, b"no previous container")
        if "sinceSeconds" in request.query:
            return Response(200, {"Content-Type": "text/plain"}, endless())
        if request.path.startswith("/containerLogs/"):
            return Response(200, {"Content-Type": "text/plain"}, log_lines())
        return Response(200, {"X-Path": request.path}, request.headers.get("authorization", "no credentials").encode())

    http = HttpServer(handler, clock=SystemClock())
    http.ended = asyncio.Event()  # type: ignore[attr-defined]
    context = server_context(str(tmp_path / "node.crt"), str(tmp_path / "node.key"), str(tmp_path / "ca.crt"))
    await http.start("127.0.0.1", 0, context)
    await server.ask("POST", "/api/v1/nodes", {"metadata": {"name": "n1"}})
    status = {
        "declaredFeatures": ["ExtendWebSocketsToKubelet"],
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
    assert response.headers["content-type"] == "text/plain"
    assert b"".join([chunk async for chunk in response.body]) == b"line 0\nline 1\nline 2\n"


async def test_a_reader_that_hangs_up_is_missed_by_the_kubelet_too(server: Any, kubelet: HttpServer) -> None:
    front = HttpServer(server.api.handle, clock=SystemClock())
    await front.start("127.0.0.1", 0)
    transport = HttpTransport(f"http://127.0.0.1:{front.port}", token="test-admin")
    response = await transport.send(Request("GET", f"{PODS}/p/log", "follow=true&sinceSeconds=9"), stream=True)
    assert not isinstance(response.body, bytes)
    assert (await anext(response.body)).startswith(b"more")
    await transport.close()
    async with asyncio.timeout(5):
        await kubelet.ended.wait()  # type: ignore[attr-defined]
    await front.stop(1)


async def test_exec_is_relayed_both_ways(server: Any, kubelet: HttpServer) -> None:
    front = HttpServer(server.api.handle, clock=SystemClock())
    await front.start("127.0.0.1", 0)
    transport = HttpTransport(f"http://127.0.0.1:{front.port}", token="test-admin")
    query = "container=c&command=echo&command=hi&stdout=true"
    request = websocket.handshake(f"{PODS}/p/exec", query, ["v5.channel.k8s.io"], SystemEntropy())
    response, connection = await transport.upgrade(request)
    assert connection is not None, response.body
    socket = websocket.WebSocket(connection, client=True, subprotocol=websocket.subprotocol_of(request, response))
    assert await socket.receive() == b"/exec/default/p/c?output=1&command=echo&command=hi"
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


async def test_our_certificate_is_shown_to_the_kubelet_alone(server: Any, kubelet: HttpServer) -> None:
    assert (await server.send("GET", f"/api/v1/nodes/https:n1:{kubelet.port}/proxy/pods")).status == 200
    seen: list[Request] = []

    async def other(request: Request) -> Response:
        seen.append(request)
        return Response(200, {}, b"")

    http = HttpServer(other, clock=SystemClock())
    address = own_address()
    await http.start(address, 0)
    status = {"addresses": [{"type": "InternalIP", "address": address}]}
    await server.ask("PATCH", "/api/v1/nodes/n1/status", {"status": status}, content_type="application/merge-patch+json")
    assert (await server.send("GET", f"/api/v1/nodes/n1:{http.port}/proxy/metrics")).status == 200
    assert [(request.path, request.peer_certificate) for request in seen] == [("/metrics", None)]
    await http.stop(1)


async def test_of_many_addresses_the_connections_are_not_kept(server: Any, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "TRANSPORTS_MAX", 1)
    port = shop.port
    for target in (f"pods/p:{port}/proxy/", f"pods/http:p:{port}/proxy/", f"pods/p:{port}/proxy/"):
        assert (await shop.get(target))[0].status == 200
    other = HttpServer(shop.handler, clock=SystemClock())
    await other.start(own_address(), 0)
    for number in (port, other.port, port, other.port):
        assert (await shop.get(f"pods/p:{number}/proxy/x"))[1] == b"GET /x?"
        assert len(server.api._proxy._transports) == 1
    await other.stop(1)


async def test_a_kubelet_that_does_not_answer_is_an_error_that_says_so(server: Any, kubelet: HttpServer) -> None:
    await kubelet.stop(0)
    answer = await server.ask("GET", f"{PODS}/p/log")
    assert answer["code"] == 500
    why = f"dial tcp 127.0.0.1:{kubelet.port}: connect: connection refused"
    assert answer["message"].endswith(f'/containerLogs/default/p/c": {why}')


async def test_what_the_kubelet_has_against_a_request_for_a_log_is_a_status(server: Any, kubelet: HttpServer) -> None:
    answer = await server.ask("GET", f"{PODS}/p/log?previous=true")
    assert (answer["code"], answer["reason"], answer["message"]) == (400, "BadRequest", "no previous container")
    answer = await server.ask("GET", f"{PODS}/p/log?tailLines=-1&limitBytes=0")
    assert answer["message"] == (
        'PodLogOptions "p" is invalid: [tailLines: Invalid value: -1: must be greater than or equal to 0, '
        "limitBytes: Invalid value: 0: must be greater than 0]"
    )


async def test_who_may_only_get_pods_exec_cannot_run_a_command_by_a_websocket(server: Any, kubelet: HttpServer) -> None:
    rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
    rule = {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["get"]}
    await server.ask("POST", f"{rbac}/roles", {"metadata": {"name": "looks"}, "rules": [rule]})
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "looks"}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "nobody"}
    await server.ask("POST", f"{rbac}/rolebindings", {"metadata": {"name": "looks"}, "roleRef": role, "subjects": [subject]})
    answer = await server.ask("GET", f"{PODS}/p/exec?command=id", authorization="Bearer nobody")
    assert (answer["code"], answer["message"]) == (403, 'pods "p" is forbidden: ')


async def test_a_container_that_is_not_there_is_a_bad_request(server: Any, kubelet: HttpServer) -> None:
    answer = await server.ask("GET", f"{PODS}/p/log?container=x")
    assert (answer["code"], answer["message"]) == (400, "container x is not valid for pod p")


@dataclass
class Shop:
    """A pod behind a Service, both to be proxied; it answers with what it was asked, or with what it was told to."""

    server: Any
    answers: dict[str, Response]
    asked: list[Request]
    port: int = 0

    async def handler(self, request: Request) -> Response:
        self.asked.append(request)
        if websocket.is_upgrade(request):

            async def echo(socket: websocket.WebSocket) -> None:
                while (message := await socket.receive()) is not None:
                    await socket.send(message)

            return websocket.accept(request, ["chat"], echo)
        text = f"{request.method} {request.path}?{request.query}"
        return self.answers.get(request.path) or Response(200, {"Content-Type": "text/plain"}, text.encode())

    async def get(self, target: str, method: str = "GET", **headers: str) -> tuple[Response, bytes]:
        response = await self.server.send(method, f"/api/v1/namespaces/default/{target}", **headers)
        if isinstance(response.body, bytes):
            return response, response.body
        return response, b"".join([chunk async for chunk in response.body])


@pytest.fixture
async def shop(server: Any) -> AsyncIterator[Shop]:
    made = Shop(server, {}, [])

    address = own_address()
    http = HttpServer(made.handler, clock=SystemClock())
    await http.start(address, 0)
    made.port = http.port
    ports = [{"containerPort": http.port}]
    await server.ask(
        "POST", PODS, {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i", "ports": ports}]}}
    )
    status = {"podIP": address, "podIPs": [{"ip": address}]}
    await server.ask("PATCH", f"{PODS}/p/status", {"status": status}, content_type="application/merge-patch+json")
    spec = {"ports": [{"name": "web", "port": 80}]}
    await server.ask("POST", "/api/v1/namespaces/default/services", {"metadata": {"name": "s"}, "spec": spec})
    pod = {"kind": "Pod", "namespace": "default", "name": "p"}
    endpoint_slice = {
        "metadata": {"name": "s-1", "labels": {"kubernetes.io/service-name": "s"}},
        "addressType": "IPv4",
        "endpoints": [
            {"addresses": [address], "conditions": {"ready": True}, "targetRef": pod},
            {"addresses": ["192.0.2.1"], "conditions": {"ready": False}, "targetRef": pod},
            {"addresses": ["192.0.2.2"], "conditions": {"ready": True}},  # nobody's
            {"addresses": ["192.0.2.3"], "conditions": {"ready": True}, "targetRef": pod},  # not that pod's
        ],
        "ports": [{"name": "web", "port": http.port}],
    }  # fmt: skip
    await server.ask("POST", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", endpoint_slice)
    yield made
    await http.stop(1)


def own_address() -> str:
    """This machine's, since loopback addresses are not proxied to. (Connecting a datagram socket sends nothing.)"""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but loopback")
        return str(probe.getsockname()[0])


async def test_a_service_is_proxied_to_a_ready_pod_of_its_own(server: Any, shop: Shop) -> None:
    for name in ("s:web", "s:80", "http:s:web"):
        for _ in range(3):
            assert (await shop.get(f"services/{name}/proxy/a/b?c=d"))[1] == b"GET /a/b?c=d"
    answer = await server.ask("GET", "/api/v1/namespaces/default/services/s:81/proxy/")
    assert (answer["code"], answer["message"]) == (503, 'no service port 81 found for service "s"')
    answer = await server.ask("GET", "/api/v1/namespaces/default/services/s:nope/proxy/")
    assert (answer["code"], answer["message"]) == (503, 'no endpoints available for service "s"')


async def test_every_method_is_proxied_with_its_body_and_none_of_the_users_credentials(server: Any, shop: Shop) -> None:
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        assert (await shop.get("pods/p/proxy/x%2Fy/?q=1", method))[1] == f"{method} /x%2Fy/?q=1".encode()
    assert (await shop.get("pods/p/proxy/x", "HEAD"))[0].status == 200
    await server.send("POST", f"{PODS}/p/proxy/", b"body", host="api.example", content_type="text/x-own", te="trailers")
    asked = shop.asked[-1]
    assert asked.body == b"body"
    assert asked.headers["host"] == "api.example"
    assert asked.headers["content-type"] == "text/x-own"
    assert asked.headers["x-forwarded-uri"] == f"{PODS}/p/proxy/"
    assert not {"authorization", "te"} & set(asked.headers)


async def test_a_proxied_page_leads_back_through_the_proxy(shop: Shop) -> None:
    page = b"<a href=/x?a=1&amp;b=2>x</a><img src='pic.png'>"
    cors = {"Access-Control-Allow-Origin": "*"}
    shop.answers["/"] = Response(200, {"Content-Type": "text/html; charset=utf-8", **cors}, page)
    shop.answers["/old"] = Response(302, {"Location": "/new/"})
    response, body = await shop.get("services/s:web/proxy/")
    prefix = "/api/v1/namespaces/default/services/s:web/proxy"
    assert body == f'<a href="{prefix}/x?a=1&amp;b=2">x</a>'.encode() + b"<img src='pic.png'>"
    assert "access-control-allow-origin" not in response.headers
    response, _ = await shop.get("services/s:web/proxy/old")
    assert (response.status, response.headers["location"]) == (302, f"{prefix}/new/")
    response, _ = await shop.get("services/s:web/proxy?a=b")
    assert (response.status, response.headers["location"]) == (301, f"{prefix}/?a=b")


async def test_a_websocket_reaches_a_proxied_pod(server: Any, shop: Shop) -> None:
    front = HttpServer(server.api.handle, clock=SystemClock())
    await front.start("127.0.0.1", 0)
    transport = HttpTransport(f"http://127.0.0.1:{front.port}", token="test-admin")
    token = "base64url.bearer.authorization.k8s.io.dGVzdC1hZG1pbg"
    request = websocket.handshake(f"{PODS}/p/proxy/chat", "", [token, "chat"], SystemEntropy())
    response, connection = await transport.upgrade(request)
    assert connection is not None, response.body
    assert shop.asked[-1].path == "/chat"
    assert shop.asked[-1].headers["sec-websocket-protocol"] == "chat"
    talk = websocket.WebSocket(connection, client=True)
    await talk.send(b"hello")
    assert await talk.receive() == b"hello"
    await talk.close()
    await transport.close()
    await front.stop(1)


async def test_a_pod_that_claims_a_loopback_address_is_not_proxied_to(server: Any, shop: Shop) -> None:
    status = {"podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]}
    await server.ask("PATCH", f"{PODS}/p/status", {"status": status}, content_type="application/merge-patch+json")
    answer = await server.ask("GET", f"{PODS}/p/proxy/")
    assert (answer["code"], answer["message"]) == (400, "address not allowed")
    assert (await server.ask("GET", "/api/v1/namespaces/default/services/s:web/proxy/"))["code"] == 503
