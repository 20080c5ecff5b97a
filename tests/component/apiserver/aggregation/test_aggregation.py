"""Aggregation: a real extension API server, over TLS, that trusts the front proxy's certificate."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pybernetes.apiserver.aggregation.front_proxy import FrontProxy
from pybernetes.client.http import HttpTransport
from pybernetes.machinery import pki
from pybernetes.machinery.clock import SystemClock
from pybernetes.machinery.entropy import SystemEntropy
from pybernetes.machinery.http import websocket
from pybernetes.machinery.http.messages import Request, Response
from pybernetes.machinery.http.server import Server as HttpServer
from pybernetes.machinery.http.tls import server_context
from pybernetes.machinery.resources import ENDPOINT_SLICES
from tools import install_clients

GROUP, VERSION = "metrics.example.com", "v1beta1"
API = f"/apis/{GROUP}/{VERSION}"
SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
RESOURCES = {
    "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": f"{GROUP}/{VERSION}",
    "resources": [
        {
            "name": "gauges", "singularName": "gauge", "namespaced": True, "kind": "Gauge", "verbs": ["get", "list"],
            "shortNames": ["ga"],
        },
        {"name": "gauges/status", "singularName": "", "namespaced": True, "kind": "Gauge", "verbs": ["get"]},
    ],
}  # fmt: skip


@pytest.fixture
def authority(tmp_path: Path) -> pki.Authority:
    """The front proxy's: its certificate is what extension servers trust."""
    now = SystemClock().now()
    made = pki.Authority.create("front-proxy-ca", now)
    (tmp_path / "front-proxy-ca.crt").write_bytes(made.certificate_pem)
    made.issue("front-proxy-client", now=now).save(tmp_path / "front.crt", tmp_path / "front.key")
    return made


@pytest.fixture
def configuration(tmp_path: Path, authority: pki.Authority) -> dict[str, Any]:
    options = FrontProxy(
        proxy_client_cert_file=str(tmp_path / "front.crt"),
        proxy_client_key_file=str(tmp_path / "front.key"),
        requestheader_client_ca_file=str(tmp_path / "front-proxy-ca.crt"),
        requestheader_allowed_names=("front-proxy-client",),
    )
    return {"front_proxy": options, "enable_aggregator_routing": True}


class Extension:
    """The extension server: tells who it was asked by, and as whom."""

    def __init__(self) -> None:
        self.http = HttpServer(self.handle, clock=SystemClock())
        self.ca_bundle = ""
        self.healthy = True
        self.asked: list[Request] = []

    async def handle(self, request: Request) -> Response:
        self.asked.append(request)
        if request.peer_certificate is None:
            return Response(401, {}, b"who are you?")
        if request.path == "/apis":
            return Response(406, {}, b"")
        if not self.healthy:
            return Response(500, {}, b"")
        if websocket.is_upgrade(request):

            async def echo(socket: websocket.WebSocket) -> None:
                while (message := await socket.receive()) is not None:
                    await socket.send(message.upper())

            return websocket.accept(request, ["v5.channel.k8s.io"], echo)
        if request.path == API:
            return _json(RESOURCES)
        if request.path == "/openapi/v3":
            return _json({"paths": {f"apis/{GROUP}/{VERSION}": {"serverRelativeURL": f"/openapi/v3{API}?hash=1"}}})
        if request.path == f"/openapi/v3{API}":
            return _json({"openapi": "3.0.0", "info": {"title": "gauges"}})
        if request.query == "watch=true":
            return Response(200, {"Content-Type": "application/json"}, self.ticks())
        if request.path == f"{API}/reviews":
            review = json.loads(request.body)
            return _json({**review, "response": {"uid": review["request"]["uid"], "allowed": False}})
        if request.path.endswith("/gauges"):
            item = {"metadata": {"name": "g", "namespace": "default"}, "said": request.body.decode()}
            items = [{"kind": "Gauge", "apiVersion": f"{GROUP}/{VERSION}", **item}]
            return _json({"kind": "GaugeList", "apiVersion": f"{GROUP}/{VERSION}", "metadata": {}, "items": items})
        return Response(404, {}, b"")

    async def ticks(self) -> AsyncIterator[bytes]:
        while True:
            yield b'{"type":"ADDED"}\n'
            await asyncio.sleep(0.01)


def _json(obj: Any) -> Response:
    return Response(200, {"Content-Type": "application/json"}, json.dumps(obj).encode())


@pytest.fixture
async def extension(server: Any, tmp_path: Path, authority: pki.Authority) -> AsyncIterator[Extension]:
    """Running, with its Service and endpoints; not registered yet."""
    made = Extension()
    now = SystemClock().now()
    serving = pki.Authority.create("extension-ca", now)
    serving.issue("gauges", (), ["gauges.default.svc"], usages=pki.SERVER, now=now).save(
        tmp_path / "ext.crt", tmp_path / "ext.key"
    )
    made.ca_bundle = base64.b64encode(serving.certificate_pem).decode()
    context = server_context(str(tmp_path / "ext.crt"), str(tmp_path / "ext.key"), str(tmp_path / "front-proxy-ca.crt"))
    await made.http.start("127.0.0.1", 0, context)
    await server.ask(
        "POST", "/api/v1/namespaces/default/services", {"metadata": {"name": "gauges"}, "spec": {"ports": [{"port": 443}]}}
    )
    await server.api.writer.create(  # written past validation, which refuses loopback addresses
        ENDPOINT_SLICES,
        {
            "metadata": {
                "name": "gauges-1", "namespace": "default", "labels": {"kubernetes.io/service-name": "gauges"},
            },
            "addressType": "IPv4", "endpoints": [{"addresses": ["127.0.0.1"]}], "ports": [{"name": "", "port": made.http.port}],
        },
    )  # fmt: skip
    yield made
    await made.http.stop(0)


def api_service(extension: Extension, **spec: Any) -> Any:
    reference = {"namespace": "default", "name": "gauges"}
    common = {"group": GROUP, "version": VERSION, "groupPriorityMinimum": 17650, "versionPriority": 7}
    return {
        "metadata": {"name": f"{VERSION}.{GROUP}"},
        "spec": {**common, "service": reference, "caBundle": extension.ca_bundle, **spec},
    }


async def available(server: Any, status: str, reason: str = "") -> Any:
    """The Available condition, once it is so."""
    async with asyncio.timeout(10):
        while True:
            found = await server.ask("GET", f"{SERVICES}/{VERSION}.{GROUP}")
            for condition in (found.get("status") or {}).get("conditions") or ():
                if condition["status"] == status and reason in ("", condition["reason"]):
                    return condition
            await asyncio.sleep(0.02)


@pytest.fixture
async def registered(server: Any, extension: Extension) -> Extension:
    made = await server.send("POST", SERVICES, api_service(extension))
    assert made.status == 201, made.body
    await available(server, "True", "Passed")
    return extension


async def body(response: Response) -> bytes:
    if isinstance(response.body, bytes):
        return response.body
    return b"".join([chunk async for chunk in response.body])


async def test_every_group_version_that_is_served_here_is_registered(server: Any) -> None:
    found = {item["metadata"]["name"]: item for item in (await server.ask("GET", SERVICES))["items"]}
    assert {"v1.", "v1.apps", "v2.autoscaling", "v1.resource.k8s.io"} <= found.keys()
    assert "v1.apiregistration.k8s.io" not in found
    apps = found["v1.apps"]
    assert apps["spec"] == {"group": "apps", "version": "v1", "groupPriorityMinimum": 17800, "versionPriority": 15}
    assert apps["metadata"]["labels"] == {"kube-aggregator.kubernetes.io/automanaged": "onstart"}
    (condition,) = apps["status"]["conditions"]
    assert (condition["status"], condition["reason"], condition["message"]) == (
        "True", "Local", "Local APIServices are always available",
    )  # fmt: skip


async def test_custom_resources_are_registered_and_go_with_their_definition(server: Any) -> None:
    version = {
        "name": "v1", "served": True, "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
    }  # fmt: skip
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget"}
    definition = {
        "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]},
    }
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    assert (await server.send("POST", definitions, definition)).status == 201
    path = f"{SERVICES}/v1.example.com"
    async with asyncio.timeout(5):
        while (await server.send("GET", path)).status != 200:
            await asyncio.sleep(0.01)
    made = await server.ask("GET", path)
    assert (made["spec"]["groupPriorityMinimum"], made["spec"]["versionPriority"]) == (1000, 100)
    await server.ask("DELETE", f"{definitions}/widgets.example.com")
    async with asyncio.timeout(5):
        while (await server.send("GET", path)).status != 404:
            await asyncio.sleep(0.01)


async def test_requests_are_passed_on_as_their_user(server: Any, registered: Extension) -> None:
    target = f"{API}/namespaces/default/gauges"
    response = await server.send(
        "POST", f"{target}?pretty=true", {"a": 1}, x_remote_user="mallory", x_remote_group="system:masters"
    )
    assert response.status == 200
    assert json.loads(await body(response))["items"][0]["said"] == '{"a": 1}'
    asked = registered.asked[-1]
    assert (asked.method, asked.path, asked.query) == ("POST", target, "pretty=true")
    assert asked.headers["x-remote-user"] == "admin"
    assert asked.headers["x-remote-group"] == "system:masters, system:authenticated"
    assert "authorization" not in asked.headers
    response = await server.send("GET", target, impersonate_user="jane", impersonate_group="system:masters",
        impersonate_extra_scopes="view",
    )  # fmt: skip
    assert response.status == 200, response.body
    asked = registered.asked[-1]
    assert asked.headers["x-remote-user"] == "jane"
    assert asked.headers["x-remote-extra-scopes"] == "view"
    assert not [name for name in asked.headers if name.startswith("impersonate")]


@pytest.mark.parametrize("address", [
    {"service": {"namespace": "default", "name": "kubernetes", "path": f"{API}/reviews"}},
    {"url": f"https://kubernetes.default.svc{API}/reviews"},
])  # fmt: skip
async def test_a_webhook_may_be_part_of_the_api_and_is_asked_as_the_server(
    server: Any, registered: Extension, address: dict[str, Any]
) -> None:
    rule = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}
    hook = {
        "name": "a.example.com", "clientConfig": address, "rules": [rule], "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
    }  # fmt: skip
    path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
    assert (await server.send("POST", path, {"metadata": {"name": "h"}, "webhooks": [hook]})).status == 201
    refused = await server.ask("POST", "/api/v1/namespaces/default/configmaps", {"metadata": {"name": "m"}})
    assert refused["message"] == 'admission webhook "a.example.com" denied the request without explanation'
    [asked] = [request for request in registered.asked if request.path.endswith("/reviews")]
    assert asked.headers["x-remote-user"] == "system:apiserver"
    assert "system:masters" in asked.headers["x-remote-group"]


async def test_requests_are_authorized_here_first(server: Any, registered: Extension) -> None:
    before = len(registered.asked)
    response = await server.send("GET", f"{API}/namespaces/default/gauges", authorization="Bearer nobody")
    assert response.status == 403
    assert len(registered.asked) == before


async def test_a_watch_is_streamed(server: Any, registered: Extension) -> None:
    assert len(await server.events(f"{API}/namespaces/default/gauges?watch=true", 3)) >= 3


async def test_an_upgraded_connection_is_relayed(server: Any, registered: Extension) -> None:
    front = HttpServer(server.api.handle, clock=SystemClock())
    await front.start("127.0.0.1", 0)
    transport = HttpTransport(f"http://127.0.0.1:{front.port}", token="test-admin")
    request = websocket.handshake(f"{API}/namespaces/default/gauges/g/exec", "", ["v5.channel.k8s.io"], SystemEntropy())
    response, connection = await transport.upgrade(request)
    assert connection is not None, response.body
    socket = websocket.WebSocket(connection, client=True, subprotocol=websocket.subprotocol_of(request, response))
    await socket.send(b"hello")
    assert await socket.receive() == b"HELLO"
    await socket.close()
    await transport.close()
    await front.stop(1)


async def test_discovery_has_the_group_where_its_priority_puts_it(server: Any, registered: Extension) -> None:
    names = [group["name"] for group in (await server.ask("GET", "/apis"))["groups"]]
    assert names.index("authentication.k8s.io") < names.index(GROUP) < names.index("authorization.k8s.io")
    group = await server.ask("GET", f"/apis/{GROUP}")
    assert group == {
        "kind": "APIGroup", "apiVersion": "v1", "name": GROUP,
        "versions": [{"groupVersion": f"{GROUP}/{VERSION}", "version": VERSION}],
        "preferredVersion": {"groupVersion": f"{GROUP}/{VERSION}", "version": VERSION},
    }  # fmt: skip
    assert json.loads(await body(await server.send("GET", API))) == RESOURCES


async def test_aggregated_discovery_is_made_from_the_old_document(server: Any, registered: Extension) -> None:
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    items = {item["metadata"]["name"]: item for item in (await server.ask("GET", "/apis", accept=accept))["items"]}
    kind = {"group": GROUP, "version": VERSION, "kind": "Gauge"}
    assert items[GROUP]["versions"] == [{
        "version": VERSION, "freshness": "Current",
        "resources": [{
            "resource": "gauges", "responseKind": kind, "scope": "Namespaced", "singularResource": "gauge",
            "verbs": ["get", "list"], "shortNames": ["ga"],
            "subresources": [{"subresource": "status", "responseKind": kind, "verbs": ["get"]}],
        }],
    }]  # fmt: skip
    assert "apps" in items


async def test_openapi_is_listed_and_passed_on(server: Any, registered: Extension) -> None:
    paths = (await server.ask("GET", "/openapi/v3"))["paths"]
    assert paths[f"apis/{GROUP}/{VERSION}"]["serverRelativeURL"] == f"/openapi/v3{API}?hash=1"
    assert "apis/apps/v1" in paths
    document = await server.send("GET", f"/openapi/v3{API}?hash=1")
    assert json.loads(await body(document))["info"] == {"title": "gauges"}
    etag = (await server.send("GET", "/openapi/v3")).headers["Etag"]
    assert (await server.send("GET", "/openapi/v3", if_none_match=etag)).status == 304


async def test_a_server_that_fails_is_told_from_one_that_is_not_there(server: Any, extension: Extension) -> None:
    async def becomes(status: str, reason: str, **spec: Any) -> str:
        name = f"{VERSION}.{GROUP}"
        await server.send("DELETE", f"{SERVICES}/{name}")
        await server.ask("POST", SERVICES, api_service(extension, **spec))
        message: str = (await available(server, status, reason))["message"]
        return message

    def reference(**fields: Any) -> Any:
        return {"namespace": "default", "name": "gauges", **fields}

    assert await becomes("False", "ServiceNotFound", service=reference(name="none")) == (
        'service/none in "default" is not present'
    )
    response = await server.send("GET", f"{API}/namespaces/default/gauges")
    assert (response.status, response.body) == (503, b"service unavailable\n")
    assert await becomes("False", "ServicePortError", service=reference(port=1)) == (
        'service/gauges in "default" is not listening on port 1'
    )
    assert "x509: certificate signed by unknown authority" in await becomes("False", "FailedDiscoveryCheck", caBundle="")
    extension.healthy = False
    assert (await becomes("False", "FailedDiscoveryCheck")).endswith(f"{API}: 500")
    extension.healthy = True
    # It is asked again by and by, without anybody doing anything.
    assert (await available(server, "True"))["message"] == "all checks passed"
    await server.api.writer.delete(ENDPOINT_SLICES, "default", "gauges-1")
    assert (await available(server, "False", "EndpointsNotFound"))["message"] == (
        'cannot find endpointslices for service/gauges in "default"'
    )


async def test_extension_servers_can_learn_whom_to_trust(server: Any, authority: pki.Authority) -> None:
    path = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"
    async with asyncio.timeout(5):
        while (await server.send("GET", path)).status != 200:
            await asyncio.sleep(0.01)
    data = (await server.ask("GET", path))["data"]
    assert data["requestheader-client-ca-file"] == authority.certificate_pem.decode()
    assert data["requestheader-allowed-names"] == '["front-proxy-client"]'
    assert data["requestheader-username-headers"] == '["X-Remote-User"]'
    assert data["requestheader-group-headers"] == '["X-Remote-Group"]'
    assert data["requestheader-extra-headers-prefix"] == '["X-Remote-Extra-"]'


async def test_kubectl_reads_through_the_aggregator(server: Any, registered: Extension, tmp_path: Path) -> None:
    front = HttpServer(server.api.handle, clock=SystemClock())
    now = SystemClock().now()
    made = pki.Authority.create("front", now)
    made.issue("api", (), [], ["127.0.0.1"], usages=pki.SERVER, now=now).save(tmp_path / "api.crt", tmp_path / "api.key")
    (tmp_path / "api-ca.crt").write_bytes(made.certificate_pem)
    await front.start("127.0.0.1", 0, server_context(str(tmp_path / "api.crt"), str(tmp_path / "api.key")))

    async def kubectl(*arguments: str) -> str:
        process = await asyncio.create_subprocess_exec(
            install_clients.kubectl(),
            f"--server=https://127.0.0.1:{front.port}", f"--certificate-authority={tmp_path / 'api-ca.crt'}",
            "--token=test-admin", f"--cache-dir={tmp_path / 'cache'}", *arguments,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env={"HOME": str(tmp_path), "PATH": "/usr/bin"},
        )  # fmt: skip
        output, errors = await process.communicate()
        assert process.returncode == 0, errors.decode()
        return output.decode()

    listed = await kubectl("get", "apiservices")
    rows = {line.split()[0]: line.split()[1:3] for line in listed.splitlines()}
    assert rows["v1.apps"] == ["Local", "True"]
    assert rows[f"{VERSION}.{GROUP}"] == ["default/gauges", "True"]
    assert "gauges" in await kubectl("api-resources", f"--api-group={GROUP}")
    assert (await kubectl("get", "ga", "-n", "default", "-o", "name")).strip() == f"gauge.{GROUP}/g"
    await front.stop(1)
