"""Lifecycle hooks: `postStart` and `preStop` handlers (exec, httpGet, tcpSocket, sleep)."""

from __future__ import annotations

import asyncio

from pybernetes.kubelet.cri.client import Runtime, RuntimeFailed
from pybernetes.kubelet.http_get import http_get
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.meta import Object


class HookFailed(Exception):
    """The handler did not succeed; `str()` is the event's message."""


async def run_hook(
    handler: Object, *, runtime: Runtime, container_id: str, container: Object, pod_ip: str, timeout_s: float, clock: Clock
) -> None:
    """Raises HookFailed, also after `timeout_s`."""
    try:
        async with asyncio.timeout(timeout_s):
            if "exec" in handler:
                code, output = await runtime.exec_sync(container_id, handler["exec"].get("command") or (), int(timeout_s))
                if code != 0:
                    raise HookFailed(f"command exited with {code}: {output[:1024].decode(errors='replace')}")
            elif "httpGet" in handler:
                get = handler["httpGet"]
                headers = [(header["name"], header["value"]) for header in get.get("httpHeaders") or ()]
                port = resolve_port(get["port"], container)
                scheme = get.get("scheme", "HTTP").lower()
                await http_get(scheme, get.get("host") or pod_ip, port, get.get("path") or "/", headers, timeout_s)
            elif "tcpSocket" in handler:
                socket = handler["tcpSocket"]
                port = resolve_port(socket["port"], container)
                _, writer = await asyncio.open_connection(socket.get("host") or pod_ip, port)
                writer.close()
            elif "sleep" in handler:
                await clock.sleep(handler["sleep"]["seconds"])
    except TimeoutError:
        raise HookFailed("the hook did not end in time") from None
    except (RuntimeFailed, OSError, ValueError) as error:
        raise HookFailed(str(error)) from error


def resolve_port(port: int | str, container: Object) -> int:
    """A port number, or the container port of that name. Raises ValueError."""
    if isinstance(port, int):
        return port
    for declared in container.get("ports") or ():
        if declared.get("name") == port:
            return int(declared["containerPort"])
    if port.isdigit():
        return int(port)
    raise ValueError(f"couldn't find port: {port}")
