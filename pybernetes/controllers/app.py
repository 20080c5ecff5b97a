"""The controller manager as a process: connection, leader election, health."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import tempfile
from pathlib import Path

from pybernetes.client import kubeconfig
from pybernetes.client.leader_election import LeaderElector
from pybernetes.controllers.manager import Manager
from pybernetes.controllers.options import Options
from pybernetes.controllers.registry import ALL
from pybernetes.machinery.clock import Clock, SystemClock
from pybernetes.machinery.entropy import SystemEntropy
from pybernetes.machinery.http.health import health_handler
from pybernetes.machinery.http.server import Server
from pybernetes.machinery.http.tls import server_context


async def run(options: Options) -> None:
    """Run the controllers until cancelled. Raises OSError for a port in use, ValueError for bad options."""
    check(options)
    clock, entropy = SystemClock(), SystemEntropy()
    try:
        client = kubeconfig.connect(options.kubeconfig, clock=clock, entropy=entropy, user_agent="kube-controller-manager")
    except kubeconfig.ConfigError as error:
        raise ValueError(str(error)) from error
    server = Server(health_handler({}, _metrics), clock=clock)
    try:
        if options.secure_port:
            await server.start(options.bind_address, options.secure_port, tls_context(options, clock))

        async def lead() -> None:
            # Made now, not before: caches are filled by whoever leads.
            await Manager(client, clock=clock, entropy=entropy, options=options).run()

        if not options.leader_elect:
            await lead()
            return
        elector = LeaderElector(
            client,
            namespace=options.leader_elect_resource_namespace,
            name=options.leader_elect_resource_name,
            identity=f"{socket.gethostname()}_{entropy.uid()}",
            clock=clock,
            entropy=entropy,
            lease_s=options.leader_elect_lease_duration_s,
            renew_s=options.leader_elect_renew_deadline_s,
            retry_s=options.leader_elect_retry_period_s,
        )
        await elector.run(lead)
    finally:
        await server.stop(0)
        await asyncio.shield(client.close())


def check(options: Options) -> None:
    """Refuse what cannot work, in one sentence."""
    known = {name for declared in ALL for name in (declared.name, *declared.aliases)}
    for item in options.controllers:
        if item != "*" and item.removeprefix("-") not in known:
            raise ValueError(f'--controllers: "{item.removeprefix("-")}" is not in the list of known controllers')
    if options.allocate_node_cidrs and not options.cluster_cidr:
        raise ValueError("--allocate-node-cidrs needs --cluster-cidr")
    for path in (options.root_ca_file, options.cluster_signing_cert_file, options.cluster_signing_key_file):
        if path and not os.access(path, os.R_OK):
            raise ValueError(f"cannot read {path}")


def tls_context(options: Options, clock: Clock) -> ssl.SSLContext:
    """The given certificate, or else one of our own making that lives as long as the process (as upstream does)."""
    if options.tls_cert_file and options.tls_private_key_file:
        return server_context(options.tls_cert_file, options.tls_private_key_file)
    from pybernetes.machinery.pki import SERVER, Authority

    now = clock.now()
    host = socket.gethostname().lower()
    pair = Authority.create(f"{host}-ca", now).issue(
        host, dns_names=(host, "localhost"), ip_addresses=("127.0.0.1",), usages=SERVER, now=now
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    with tempfile.TemporaryDirectory() as folder:  # readable by us only; ssl takes nothing but files
        pair.save(Path(folder, "tls.crt"), Path(folder, "tls.key"))
        context.load_cert_chain(Path(folder, "tls.crt"), Path(folder, "tls.key"))
    return context


async def _metrics() -> bytes:
    import prometheus_client

    return prometheus_client.generate_latest()
