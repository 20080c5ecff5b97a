"""One probe of one container: http, tcp, exec or grpc.

Source: "Liveness, Readiness, and Startup Probes"; GRPC Health Checking Protocol.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from pybernetes.kubelet.cri.client import ExecTimeout, Runtime, RuntimeFailed
from pybernetes.kubelet.hooks import resolve_port
from pybernetes.kubelet.http_get import http_get
from pybernetes.machinery.meta import Object

OUTPUT_MAX = 1024
SERVING = b"\x08\x01"  # HealthCheckResponse{status: SERVING}


@dataclass(frozen=True, slots=True)
class Outcome:
    """Whether it succeeded, and what to tell if not. `unknown`: the probe could not be made; it counts for nothing."""

    ok: bool
    output: str = ""
    unknown: bool = False


async def probe_once(spec: Object, *, runtime: Runtime, container: Object, container_id: str, pod_ip: str) -> Outcome:
    timeout_s = spec.get("timeoutSeconds") or 1
    try:
        if "exec" in spec:
            return await _exec(spec["exec"].get("command") or [], runtime, container_id, timeout_s)
        if "httpGet" in spec:
            return await _http(spec["httpGet"], container, pod_ip, timeout_s)
        if "tcpSocket" in spec:
            socket = spec["tcpSocket"]
            return await _tcp(socket.get("host") or pod_ip, resolve_port(socket["port"], container), timeout_s)
        if "grpc" in spec:
            return await _grpc(pod_ip, spec["grpc"]["port"], spec["grpc"].get("service") or "", timeout_s)
    except ValueError as error:
        return Outcome(False, str(error))
    return Outcome(False, "missing probe handler", unknown=True)


async def _exec(command: list[str], runtime: Runtime, container_id: str, timeout_s: int) -> Outcome:
    try:
        code, output = await runtime.exec_sync(container_id, command, timeout_s)
    except ExecTimeout:
        return Outcome(False, f"command timed out: {' '.join(command)!r} timed out after {timeout_s}s")
    except RuntimeFailed as error:
        return Outcome(False, str(error), unknown=True)
    return Outcome(code == 0, output[:OUTPUT_MAX].decode(errors="replace").rstrip())


async def _http(get: Object, container: Object, pod_ip: str, timeout_s: int) -> Outcome:
    scheme, host = (get.get("scheme") or "HTTP").lower(), get.get("host") or pod_ip
    port = resolve_port(get["port"], container)
    path = get.get("path") or "/"
    headers = [(header["name"], header["value"]) for header in get.get("httpHeaders") or ()]
    try:
        answer = await http_get(scheme, host, port, path, headers, timeout_s)
    except TimeoutError:
        limit = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        return Outcome(False, f'Get "{scheme}://{host}:{port}{path}": {limit}')
    except OSError as error:
        return Outcome(False, f'Get "{scheme}://{host}:{port}{path}": {_reason(error, host, port)}')
    if 200 <= answer.status < 400:
        return Outcome(True)
    return Outcome(False, f"HTTP probe failed with statuscode: {answer.status}")


async def _tcp(host: str, port: int, timeout_s: int) -> Outcome:
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(host, port)
        writer.close()
    except TimeoutError:
        return Outcome(False, f"dial tcp {host}:{port}: i/o timeout")
    except OSError as error:
        return Outcome(False, _reason(error, host, port))
    return Outcome(True)


async def _grpc(host: str, port: int, service: str, timeout_s: int) -> Outcome:
    import grpc
    import grpc.aio

    name = service.encode()
    request = b"\x0a" + bytes([len(name)]) + name if name else b""  # HealthCheckRequest{service}
    async with grpc.aio.insecure_channel(f"{host}:{port}", options=[("grpc.enable_http_proxy", 0)]) as channel:
        check: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/grpc.health.v1.Health/Check")
        try:
            answer: bytes = await check(request, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                return Outcome(False, f'timeout: failed to connect service "{host}:{port}" within {timeout_s}s')
            return Outcome(False, f"error: health rpc probe failed: {error.details()}")
    if answer == SERVING:
        return Outcome(True)
    return Outcome(False, f'service unhealthy (responded with "{answer.hex()}")')


def _reason(error: OSError, host: str, port: int) -> str:
    if isinstance(error, ConnectionRefusedError):
        return f"dial tcp {host}:{port}: connect: connection refused"
    return f"dial tcp {host}:{port}: {error.strerror or error}"
