"""Subresources that somebody else answers: log, exec, attach, port-forward by a node's kubelet, proxy by a pod or Service.

The request is checked, sent on, and its answer streamed back; an upgraded connection (WebSocket, SPDY) is relayed byte by byte.
Source: API reference of pods/log, pods/exec, pods/proxy, …; kubelet's HTTP API.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote

from pybernetes.apiserver.admission.chain import Chain
from pybernetes.apiserver.admission.interface import AdmissionRequest, Operation
from pybernetes.apiserver.aggregation.service_resolver import proxied_address
from pybernetes.apiserver.calls import Call
from pybernetes.apiserver.registry.strategy import Reader
from pybernetes.apiserver.requests import remaining_path
from pybernetes.client.http import HttpTransport
from pybernetes.client.transport import ConnectionFailed
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.entropy import Entropy
from pybernetes.machinery.errors import BadRequest, InternalError, ServiceUnavailable, not_found
from pybernetes.machinery.http.messages import Request, Response, Upgradable
from pybernetes.machinery.meta import GroupVersionKind, Object
from pybernetes.machinery.resources import NODES, PODS, SUBRESOURCES, builtin

KUBELET_PORT = 10250
# RFC 9110, section 7.6.1: about this connection only. The credentials are ours to use, not to pass on.
NOT_FORWARDED = frozenset((
    "authorization", "connection", "content-length", "host", "keep-alive", "proxy-authorization", "te", "trailer",
    "transfer-encoding", "upgrade",
))  # fmt: skip
NOT_RETURNED = frozenset(("connection", "keep-alive", "transfer-encoding", "upgrade", "date"))
_KUBELET_PATHS = {"log": "containerLogs", "exec": "exec", "attach": "attach", "portforward": "portForward"}


@dataclass(frozen=True, slots=True)
class Kubelets:
    """How to reach kubelets: our client certificate, and whether theirs is verified (with a CA) or taken on trust."""

    certificate: str = ""
    key: str = ""
    certificate_authority: str = ""
    address_types: Sequence[str] = ("InternalIP", "ExternalIP", "Hostname", "InternalDNS", "ExternalDNS")

    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self.certificate_authority:
            context.load_verify_locations(self.certificate_authority)
        else:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if self.certificate:
            context.load_cert_chain(self.certificate, self.key)
        return context


class Proxy:
    def __init__(self, reader: Reader, kubelets: Kubelets | None, *, clock: Clock, entropy: Entropy, admission: Chain) -> None:
        self._reader = reader
        self._kubelets = kubelets
        self._clock = clock
        self._entropy = entropy
        self._admission = admission
        self._context: ssl.SSLContext | None = None
        self._transports: dict[str, HttpTransport] = {}

    async def serve(self, call: Call) -> Response:
        info = call.info
        await self._admit(call)
        if info.subresource != "proxy":
            return await self._to_pods_kubelet(call)
        if info.resource == "nodes":
            return await self._to_node(call)
        if info.resource == "services":
            url, path = self._service_url(call)
        else:
            url, path = self._pod_url(call)
        return await self._forward(call, self._transport(url), path, call.request.query)

    async def close(self) -> None:
        transports, self._transports = self._transports, {}
        for transport in transports.values():
            await transport.close()

    async def _admit(self, call: Call) -> None:
        info = call.info
        if info.verb == "get" and info.subresource in ("log", "proxy"):
            return
        resource = builtin(f"{info.group}/{info.version}" if info.group else info.version, info.resource)
        options = connect_options(SUBRESOURCES[resource][info.subresource].gvk, call.request.query)
        request = AdmissionRequest(
            Operation.CONNECT, resource, info.subresource, info.namespace, info.name, call.user, options, None, {},
            warnings=call.warnings, audit_annotations=call.audit_annotations,
        )  # fmt: skip
        await self._admission.admit(request)
        await self._admission.validate(request)

    # kubelet

    async def _to_pods_kubelet(self, call: Call) -> Response:
        info, query = call.info, call.query
        pod = self._reader.get(PODS, info.namespace, info.name)
        if pod is None:
            raise not_found("", "pods", info.name)
        node_name = pod.get("spec", {}).get("nodeName", "")
        parts = [_KUBELET_PATHS[info.subresource], info.namespace, info.name]
        if info.subresource != "portforward":
            parts.append(container_name(pod, query.get("container", "")))
        if info.subresource == "log" and not node_name:
            return Response(200, {"Content-Type": "text/plain"}, b"")  # not scheduled: nothing said yet
        if not node_name:
            raise BadRequest(f"pod {info.name} does not have a host assigned")
        path = "/" + "/".join(quote(part, safe="") for part in parts)
        kept = "&".join(pair for pair in call.request.query.split("&") if pair and not pair.startswith("container="))
        response = await self._forward(call, self._to_kubelet(node_name), path, kept)
        if info.subresource == "log" and response.status == 200:
            response.headers["Content-Type"] = "text/plain"
        return response

    async def _to_node(self, call: Call) -> Response:
        rest = remaining_path(call.request.path, call.info) or "/"
        name, _, port = call.info.name.partition(":")
        return await self._forward(call, self._to_kubelet(name, port), rest, call.request.query)

    def _to_kubelet(self, node_name: str, port: str = "") -> HttpTransport:
        node = self._reader.get(NODES, "", node_name)
        if node is None:
            raise not_found("", "nodes", node_name)
        if self._kubelets is None:
            raise ServiceUnavailable("this server knows no way to kubelets")
        status = node.get("status", {})
        addresses = {found["type"]: found["address"] for found in reversed(status.get("addresses") or ())}
        for kind in self._kubelets.address_types:
            if kind in addresses:
                address = addresses[kind]
                break
        else:
            raise InternalError(f"no preferred addresses found; known addresses: {list(addresses.values())}")
        number = port or status.get("daemonEndpoints", {}).get("kubeletEndpoint", {}).get("Port") or KUBELET_PORT
        host = f"[{address}]" if ":" in address else address
        return self._transport(f"https://{host}:{number}", kubelet=True)

    # pods and Services

    def _pod_url(self, call: Call) -> tuple[str, str]:
        scheme, name, port = split_target(call.info.name)
        pod = self._reader.get(PODS, call.info.namespace, name)
        if pod is None:
            raise not_found("", "pods", name)
        if not port:
            ports = [port for container in pod["spec"]["containers"] for port in container.get("ports") or ()]
            port = str(ports[0]["containerPort"]) if ports else ""
        address = pod.get("status", {}).get("podIP", "")
        if not address:
            raise BadRequest(f"address not allowed: pod {name} has no address")
        return _url(scheme, address, port), remaining_path(call.request.path, call.info)

    def _service_url(self, call: Call) -> tuple[str, str]:
        scheme, name, wanted = split_target(call.info.name)
        namespace = call.info.namespace
        address, number = proxied_address(self._reader, self._entropy, namespace, name, wanted)
        return _url(scheme, address, str(number)), remaining_path(call.request.path, call.info)

    # the exchange

    def _transport(self, base_url: str, *, kubelet: bool = False) -> HttpTransport:
        known = self._transports.get(base_url)
        if known is None:
            if kubelet:
                assert self._kubelets is not None
                self._context = self._context or self._kubelets.context()
                context: ssl.SSLContext | None = self._context
            else:
                context = Kubelets().context()  # a pod's own certificate proves nothing that we could check
            known = self._transports[base_url] = HttpTransport(base_url, ssl_context=context, clock=self._clock)
        return known

    async def _forward(self, call: Call, transport: HttpTransport, path: str, query: str) -> Response:
        request = call.request
        headers = {name: value for name, value in request.headers.items() if name not in NOT_FORWARDED}
        forwarded = Request(request.method, path or "/", query, headers, request.body)
        upgrades = "upgrade" in request.headers.get("connection", "").lower()
        try:
            if upgrades:
                headers["upgrade"], headers["connection"] = request.headers.get("upgrade", ""), "Upgrade"
                response, connection = await transport.upgrade(forwarded)
                if connection is not None:
                    return relayed(response, connection)
            else:
                response = await transport.send(forwarded, stream=True, timeout_s=30)
        except ConnectionFailed as error:
            raise ServiceUnavailable(f"error trying to reach service: {error}") from error
        kept = {name: value for name, value in response.headers.items() if name.lower() not in NOT_RETURNED}
        if isinstance(response.body, bytes):
            kept = {name: value for name, value in kept.items() if name.lower() != "content-length"}
        return Response(response.status, kept, response.body)


def relayed(response: Response, backend: Upgradable) -> Response:
    """The 101 of the other side, and then its bytes and the client's, until one of them ends."""

    async def relay(client: Upgradable) -> None:
        async def pump(source: Upgradable, target: Upgradable) -> None:
            while data := await source.read():
                await target.write(data)

        pumps = [asyncio.create_task(pump(client, backend)), asyncio.create_task(pump(backend, client))]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in pumps:
                task.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            backend.close()
            client.close()

    headers = {name: value for name, value in response.headers.items() if name.lower() not in ("date", "content-length")}
    headers = {name: value for name, value in headers.items() if name.lower() not in ("connection", "upgrade")}
    upgrade = next((value for name, value in response.headers.items() if name.lower() == "upgrade"), "")
    return Response(101, {**headers, "Upgrade": upgrade, "Connection": "Upgrade"}, upgrade=relay)


_FLAGS = frozenset(("stdin", "stdout", "stderr", "tty"))


def connect_options(gvk: GroupVersionKind, query: str) -> Object:
    """The parameters of a connection as the object that admission sees (`PodExecOptions`, say)."""
    options: Object = {"kind": gvk.kind, "apiVersion": gvk.api_version}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name in _FLAGS:
            options[name] = value.lower() not in ("false", "0")
        elif name == "command":
            options.setdefault(name, []).append(value)
        elif name == "ports":
            options.setdefault(name, []).extend(int(port) for port in value.split(",") if port.isdecimal())
        else:
            options.setdefault(name, value)
    return options


def container_name(pod: Object, wanted: str) -> str:
    """The container that is meant. Raises `BadRequest` where that is not clear."""
    spec, name = pod["spec"], pod["metadata"]["name"]
    regular = [container["name"] for container in spec.get("containers") or ()]
    initial = [container["name"] for container in spec.get("initContainers") or ()]
    ephemeral = [container["name"] for container in spec.get("ephemeralContainers") or ()]
    if wanted:
        if wanted not in (*regular, *initial, *ephemeral):
            raise BadRequest(f"container {wanted} is not valid for pod {name}")
        return wanted
    chosen = (pod["metadata"].get("annotations") or {}).get("kubectl.kubernetes.io/default-container")
    if chosen in regular:
        return str(chosen)
    if len(regular) == 1:
        return str(regular[0])
    text = f"a container name must be specified for pod {name}, choose one of: [{' '.join(regular)}]"
    if initial:
        text += f" or one of the init containers: [{' '.join(initial)}]"
    raise BadRequest(text)


def split_target(text: str) -> tuple[str, str, str]:
    """`[scheme:]name[:port]` → (scheme, name, port)."""
    parts = text.split(":")
    if len(parts) == 3:
        return parts[0], parts[1], parts[2]
    if len(parts) == 2:
        return "", parts[0], parts[1]
    return "", text, ""


def _url(scheme: str, address: str, port: str) -> str:
    host = f"[{address}]" if ":" in address else address
    return f"{scheme or 'http'}://{host}" + (f":{port}" if port else "")
