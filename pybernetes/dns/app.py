"""The DNS component: the view kept current, the server in front of it, and its health."""

from __future__ import annotations

import asyncio

from pybernetes.client import kubeconfig
from pybernetes.client.informer import InformerFactory
from pybernetes.dns import forward
from pybernetes.dns.options import Options
from pybernetes.dns.server import DnsServer
from pybernetes.dns.view import ClusterView
from pybernetes.machinery.clock import SystemClock
from pybernetes.machinery.entropy import SystemEntropy
from pybernetes.machinery.http.health import health_handler
from pybernetes.machinery.http.server import Server


async def run(options: Options) -> None:
    """Serve until cancelled. Raises OSError for a port in use, ValueError for bad options."""
    clock, entropy = SystemClock(), SystemEntropy()
    upstreams = forward.resolvers(options.upstreams, options.resolv_conf)
    client = kubeconfig.connect(options.kubeconfig, clock=clock, entropy=entropy, user_agent="pybernetes-dns")
    factory = InformerFactory(client, clock=clock, entropy=entropy)
    view = ClusterView(factory)
    server = DnsServer(view, options.cluster_domain, forward.Forwarder(upstreams, clock, entropy))
    synced = asyncio.Event()

    async def is_synced() -> str | None:
        return None if synced.is_set() else "the cluster's Services are not known yet"

    health = Server(health_handler({"informer-sync": is_synced}), clock=clock)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(factory.run())
            if options.health_port:
                await health.start("127.0.0.1", options.health_port)
            # Until the cache is full we would deny names that exist, and clients remember a denial.
            await factory.wait_synced()
            await server.start(options.bind_address, options.port)
            synced.set()
    finally:
        await server.stop()
        await health.stop(0)
        await client.close()
