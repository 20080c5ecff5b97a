"""The proxy component: informers, the loop, and its health."""

from __future__ import annotations

import asyncio
import socket

from pybernetes.client import kubeconfig
from pybernetes.client.informer import InformerFactory
from pybernetes.machinery.clock import SystemClock
from pybernetes.machinery.entropy import SystemEntropy
from pybernetes.machinery.http.health import health_handler
from pybernetes.machinery.http.server import Server
from pybernetes.proxy.options import Options
from pybernetes.proxy.proxier import Proxier


async def run(options: Options) -> None:
    """Program the node until cancelled. The rules stay when it ends: connections must not break because the proxy restarts.

    Raises OSError for a port in use, ValueError for bad options.
    """
    if options.proxy_mode != "nftables":
        raise ValueError(f"--proxy-mode={options.proxy_mode} is not available: nftables is the only mode")
    clock, entropy = SystemClock(), SystemEntropy()
    client = kubeconfig.connect(options.kubeconfig, clock=clock, entropy=entropy, user_agent="pybernetes-proxy")
    factory = InformerFactory(client, clock=clock, entropy=entropy)
    proxier = Proxier(factory, options, options.hostname_override or socket.gethostname().lower(), clock=clock, entropy=entropy)

    async def is_programmed() -> str | None:
        return None if proxier.healthy and proxier.synced.is_set() else "the rules are not programmed"

    servers = []
    try:
        for bound in dict.fromkeys((options.healthz_bind_address, options.metrics_bind_address)):
            if bound:
                host, _, port = bound.rpartition(":")
                server = Server(health_handler({"nftables": is_programmed}), clock=clock)
                await server.start(host.strip("[]"), int(port))
                servers.append(server)
        async with asyncio.TaskGroup() as group:
            group.create_task(factory.run())
            group.create_task(proxier.run())
    finally:
        for server in servers:
            await server.stop(0)
        await client.close()
