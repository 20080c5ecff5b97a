"""The kubelet as a process: identity, connections, servers; ends when cancelled and leaves the pods running."""

from __future__ import annotations

import asyncio
from pathlib import Path

from pybernetes.client import kubeconfig
from pybernetes.kubelet import configuration as configurations
from pybernetes.kubelet.bootstrap import bootstrap, is_usable, keep_certificate
from pybernetes.kubelet.configuration import Configuration
from pybernetes.kubelet.node_facts import default_ip, host_name
from pybernetes.kubelet.options import Options
from pybernetes.machinery.clock import Clock, SystemClock
from pybernetes.machinery.entropy import SystemEntropy
from pybernetes.machinery.http.health import health_handler
from pybernetes.machinery.http.server import Server
from pybernetes.machinery.http.tls import server_context
from pybernetes.machinery.log import logger

log = logger("kubelet")

SERVER_GRACE_S = 2.0


async def run(options: Options) -> None:
    """Until cancelled. Raises ValueError or OSError with what an operator has to mend."""
    clock, entropy = SystemClock(), SystemEntropy()
    configuration = configurations.load(options)
    if not options.kubeconfig:
        raise ValueError("--kubeconfig is needed: how to reach the API server")
    node_name = configuration.host_name or host_name()

    # Here, and not at the top: grpc is heavy, and most of what imports this module does not need it. Before the bootstrap,
    # not after: a new cluster's API server is just starting, and the time passes anyway.
    from pybernetes.kubelet.cri.client import Runtime
    from pybernetes.kubelet.kubelet import Kubelet
    from pybernetes.kubelet.server.routes import KubeletServer

    if not is_usable(options.kubeconfig, clock):
        if not options.bootstrap_kubeconfig:
            raise ValueError(f"{options.kubeconfig} is missing or expired, and no --bootstrap-kubeconfig is given")
        await bootstrap(options.bootstrap_kubeconfig, options.kubeconfig, node_name, clock=clock, entropy=entropy)
    client = kubeconfig.connect(options.kubeconfig, clock=clock, entropy=entropy, user_agent="kubelet")
    certificate, key = _serving_certificate(configuration, node_name, clock)
    runtime = Runtime(configuration.container_runtime_endpoint)
    kubelet = Kubelet(client, runtime, configuration, clock=clock, entropy=entropy)
    routes = KubeletServer(kubelet, clock=clock, entropy=entropy)
    https = Server(routes.handle, clock=clock)
    health = Server(health_handler({"syncloop": kubelet.healthy}), clock=clock)
    try:
        context = server_context(certificate, key, configuration.client_ca_file)
        await https.start(configuration.address, configuration.port, context)
        if configuration.healthz_port:
            await health.start(configuration.healthz_bind_address, configuration.healthz_port)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(kubelet.run())
            tasks.create_task(keep_certificate(client, options.kubeconfig, node_name, clock=clock, entropy=entropy))
    finally:
        await asyncio.gather(https.stop(SERVER_GRACE_S), health.stop(SERVER_GRACE_S))
        await runtime.close()
        await client.close()


def _serving_certificate(configuration: Configuration, node_name: str, clock: Clock) -> tuple[str, str]:
    """The given one, else one signed by ourselves in cert-dir, as upstream."""
    if configuration.tls_cert_file and configuration.tls_private_key_file:
        return configuration.tls_cert_file, configuration.tls_private_key_file
    certificate, key = Path(configuration.cert_dir) / "kubelet.crt", Path(configuration.cert_dir) / "kubelet.key"
    if not (certificate.exists() and key.exists()):
        from pybernetes.machinery import pki

        now = clock.now()
        authority = pki.Authority.create(f"{node_name}-ca", now)
        address = configuration.node_ip.split(",", 1)[0] or default_ip()
        pair = authority.issue(f"{node_name}@{int(now.timestamp())}", (), (node_name,), (address,), usages=pki.SERVER, now=now)
        certificate.parent.mkdir(parents=True, exist_ok=True)
        pair.save(certificate, key)
    return str(certificate), str(key)
