"""The proxied subresources: a request is checked, sent on to who answers it, and its answer streamed back.

Source: API reference of pods/log, pods/exec, pods/proxy, services/proxy, nodes/proxy; kubelet's HTTP API.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pybernetes.apiserver.admission.chain import Chain
from pybernetes.apiserver.admission.interface import AdmissionRequest, Operation
from pybernetes.apiserver.aggregation.service_resolver import proxied_address
from pybernetes.apiserver.authorization.interface import Authorizer, Decision
from pybernetes.apiserver.calls import Call
from pybernetes.apiserver.proxying.answers import View, presented
from pybernetes.apiserver.proxying.exchange import exchange, forwarded_headers, upgrades
from pybernetes.apiserver.proxying.kubelet_tls import KubeletTls, unverified_context
from pybernetes.apiserver.proxying.queries import check_log_options, connect_options, container_name, kubelet_query
from pybernetes.apiserver.proxying.targets import Kubelets, kubelet_port, kubelet_url, node_url, pod_url, split_target, url
from pybernetes.apiserver.registry.strategy import Reader
from pybernetes.apiserver.requests import remaining_path
from pybernetes.client.failures import explain
from pybernetes.client.http import HttpTransport
from pybernetes.client.transport import ConnectionFailed
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.entropy import Entropy
from pybernetes.machinery.errors import (
    BadRequest,
    InternalError,
    NotFound,
    ServiceUnavailable,
    StatusError,
    forbidden,
    not_found,
)
from pybernetes.machinery.http.messages import Request, Response
from pybernetes.machinery.meta import Object, Resource
from pybernetes.machinery.resources import NODES, PODS, SUBRESOURCES, builtin

_KUBELET_PATHS = {"log": "containerLogs", "exec": "exec", "attach": "attach", "portforward": "portForward"}
_INTERACTIVE = frozenset(("attach", "exec", "portforward"))
TRANSPORTS_MAX = 256
_ERROR_BYTES_MAX = 50_000


class Proxy:
    def __init__(
        self, reader: Reader, kubelets: Kubelets | None, authorizer: Authorizer, admission: Chain, *, clock: Clock,
        entropy: Entropy,
    ) -> None:  # fmt: skip
        self._reader = reader
        self._kubelets = kubelets
        self._authorizer = authorizer
        self._clock = clock
        self._entropy = entropy
        self._admission = admission
        self._kubelet_tls = KubeletTls(kubelets) if kubelets is not None else None
        # Kubelets have transports of their own: ours show a certificate that is not for whoever proxies to a pod's address.
        self._transports: dict[tuple[str, bool], HttpTransport] = {}  # the most recently used last

    async def serve(self, call: Call) -> Response:
        info = call.info
        resource = builtin(f"{info.group}/{info.version}" if info.group else info.version, info.resource)
        options = connect_options(SUBRESOURCES[resource][info.subresource].gvk, call.request.query)
        if info.subresource in _INTERACTIVE and info.verb != "create":
            await self._authorize_interaction(call)
        await self._admit(call, resource, options)
        if info.subresource == "log":
            return await self._log(call)
        if info.subresource != "proxy":
            return await self._stream(call, options)
        if info.resource == "nodes":
            transport = await self._to_node(info.name)
        elif info.resource == "services":
            transport = await self._transport(self._service_url(call))
        else:
            transport = await self._transport(self._pod_url(call))
        return await self._proxied(call, transport)

    async def close(self) -> None:
        transports, self._transports = self._transports, {}
        for transport in transports.values():
            await transport.close()

    async def _authorize_interaction(self, call: Call) -> None:
        """A WebSocket begins with GET, but who may only `get` pods/exec must run no command by it (KEP-4006).

        Raises `Forbidden`.
        """
        info = call.info
        verdict = await self._authorizer.authorize(call.user, replace(info, verb="create"))
        if verdict.decision is not Decision.ALLOW:
            raise forbidden(info.group, info.resource, info.name, verdict.reason)

    async def _admit(self, call: Call, resource: Resource, options: Object) -> None:
        info = call.info
        if info.verb == "get" and info.subresource in ("log", "proxy"):
            return
        request = AdmissionRequest(
            Operation.CONNECT, resource, info.subresource, info.namespace, info.name, call.user, options, None, {},
            warnings=call.warnings, audit_annotations=call.audit_annotations,
        )  # fmt: skip
        await self._admission.admit(request)
        await self._admission.validate(request)

    # A pod's kubelet

    async def _log(self, call: Call) -> Response:
        info = call.info
        check_log_options(info.name, call.query)
        pod = self._pod(call)
        container = container_name(pod, call.query.get("container", ""))
        node_name = pod.get("spec", {}).get("nodeName", "")
        if not node_name:
            return Response(200, {"Content-Type": "text/plain"}, b"")  # not scheduled: nothing said yet
        transport = await self._to_kubelet(self._node(node_name))
        asked = self._asked(call, container, kubelet_query("log", {}, call.request.query))
        try:
            response = await exchange(transport, asked)
        except ConnectionFailed as error:
            where = f"https://{transport.host}:{transport.port}{asked.path}"
            raise _unreachable(f'Get "{where}": {explain(error, transport.host)}') from error
        if response.status >= 300:
            raise await _refusal(response, info.name)
        response.headers["content-type"] = "text/plain"
        return response

    async def _stream(self, call: Call, options: Object) -> Response:
        """Exec, attach or port-forward."""
        from pybernetes.apiserver.proxying import streams  # loads wsproto

        info = call.info
        pod = self._pod(call)
        container = container_name(pod, call.query.get("container", "")) if info.subresource != "portforward" else ""
        node_name = pod.get("spec", {}).get("nodeName", "")
        if not node_name:
            raise BadRequest(f"pod {info.name} does not have a host assigned")
        node = self._node(node_name)
        transport = await self._to_kubelet(node)
        if not upgrades(call.request):
            raise BadRequest("Upgrade request required")
        asked = self._asked(call, container, kubelet_query(info.subresource, options, call.request.query))
        try:
            if streams.must_translate(call.request, info.subresource, node):
                return await streams.translated(call.request, info.subresource, asked, options, transport)
            return await exchange(transport, asked, upgrade=call.request.headers.get("upgrade", ""))
        except ConnectionFailed as error:
            raise _unreachable(f"error dialing backend: {explain(error, transport.host)}") from error

    def _asked(self, call: Call, container: str, query: str) -> Request:
        info = call.info
        path = "/".join(part for part in ("", _KUBELET_PATHS[info.subresource], info.namespace, info.name, container) if part)
        return Request(call.request.method, f"/{path}", query, forwarded_headers(call.request))

    def _pod(self, call: Call) -> Object:
        pod = self._reader.get(PODS, call.info.namespace, call.info.name)
        if pod is None:
            raise not_found("", "pods", call.info.name)
        return pod

    def _node(self, name: str) -> Object:
        node = self._reader.get(NODES, "", name)
        if node is None:
            raise not_found("", "nodes", name)
        return node

    async def _to_kubelet(self, node: Object) -> HttpTransport:
        return await self._transport(kubelet_url(node, self._address_types()), kubelet=True)

    def _address_types(self) -> Sequence[str]:
        if self._kubelets is None:
            raise ServiceUnavailable("this server knows no way to kubelets")
        return self._kubelets.address_types

    # Nodes, pods and Services themselves

    async def _to_node(self, target: str) -> HttpTransport:
        """Our certificate is for the node's kubelet, not for whatever else listens there."""
        scheme, name, port = split_target(target)
        node = self._node(name)
        if port in ("", str(kubelet_port(node))):
            return await self._to_kubelet(node)
        return await self._transport(node_url(node, self._address_types(), scheme, port))

    def _pod_url(self, call: Call) -> str:
        scheme, name, port = split_target(call.info.name)
        pod = self._reader.get(PODS, call.info.namespace, name)
        if pod is None:
            raise not_found("", "pods", name)
        return pod_url(pod, scheme, port)

    def _service_url(self, call: Call) -> str:
        scheme, name, wanted = split_target(call.info.name)
        address, number = proxied_address(self._reader, self._entropy, call.info.namespace, name, wanted)
        return url(scheme, address, number)

    async def _proxied(self, call: Call, transport: HttpTransport) -> Response:
        request = call.request
        path = remaining_path(request.path, call.info)
        if not path and request.method in ("GET", "HEAD") and not upgrades(request):
            # A page's relative links need the slash.
            query = f"?{request.query}" if request.query else ""
            return Response(301, {"location": f"{request.path}/{query}"})
        prefix = request.path.removesuffix(path)
        backend = f"{transport.host}:{transport.port}"
        headers = {**forwarded_headers(request), "x-forwarded-uri": request.path}
        asked = Request(request.method, path or "/", request.query, headers, request.body)
        try:
            response = await exchange(transport, asked, upgrade=request.headers.get("upgrade", "") if upgrades(request) else "")
        except ConnectionFailed as error:
            raise ServiceUnavailable(f"error trying to reach service: {explain(error, transport.host)}") from error
        if response.upgrade is not None:
            return response
        return await presented(response, View(prefix, backend, request.headers.get("host", "")))

    async def _transport(self, base_url: str, *, kubelet: bool = False) -> HttpTransport:
        known = self._transports.pop((base_url, kubelet), None)
        if known is None:
            if len(self._transports) >= TRANSPORTS_MAX:
                await self._forget_one()
            # A pod's own certificate proves nothing that we could check.
            known = HttpTransport(base_url, ssl_context=unverified_context(), clock=self._clock)
        self._transports[base_url, kubelet] = known  # the last now
        if kubelet:
            assert self._kubelet_tls is not None
            known.ssl_context = self._kubelet_tls.context()
        return known

    async def _forget_one(self) -> None:
        """The one that was not used for the longest time, unless all are in use: pods come and go, with their addresses."""
        for key, transport in self._transports.items():
            if not transport.in_use:
                del self._transports[key]
                await transport.close()
                return


def _unreachable(message: str) -> StatusError:
    """A kubelet that cannot be reached is a 500 without a reason, as upstream's."""
    return StatusError(message)


async def _refusal(response: Response, name: str) -> StatusError:
    """A kubelet's plain-text error as a Status."""
    body = response.body
    if not isinstance(body, bytes):
        parts, size = [], 0
        async for chunk in body:
            parts.append(chunk)
            size += len(chunk)
            if size > _ERROR_BYTES_MAX:
                break
        body = b"".join(parts)
    text = body[:_ERROR_BYTES_MAX].decode(errors="replace")
    if response.status == 400:
        return BadRequest(text)
    if response.status == 404:
        return NotFound(f"the server could not find the requested resource ( pods/log {name})", kind="pods/log", name=name)
    return InternalError(f"Internal error occurred: {text}")
