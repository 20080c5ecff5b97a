"""What every component of the control plane does around its work: connect, tell its health, and work only while it leads."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from pybernetes.client import kubeconfig
from pybernetes.client.leader_election import LeaderElector
from pybernetes.client.rest import Client
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.entropy import Entropy
from pybernetes.machinery.http.health import Check, Metrics, health_handler
from pybernetes.machinery.http.server import Server
from pybernetes.machinery.http.tls import self_signed_context, server_context


class ComponentOptions(Protocol):
    """The flags that such components share, by upstream's names."""

    @property
    def kubeconfig(self) -> str: ...
    @property
    def bind_address(self) -> str: ...
    @property
    def secure_port(self) -> int:
        """0: no health and metrics."""
        ...

    @property
    def tls_cert_file(self) -> str:
        """ "" (as its key): a self-signed certificate, made at start."""
        ...

    @property
    def tls_private_key_file(self) -> str: ...
    @property
    def leader_elect(self) -> bool: ...
    @property
    def leader_elect_resource_name(self) -> str: ...
    @property
    def leader_elect_resource_namespace(self) -> str: ...
    @property
    def leader_elect_lease_duration_s(self) -> float: ...
    @property
    def leader_elect_renew_deadline_s(self) -> float: ...
    @property
    def leader_elect_retry_period_s(self) -> float: ...


async def run_component(
    options: ComponentOptions,
    lead: Callable[[Client], Awaitable[None]],
    *,
    user_agent: str,
    clock: Clock,
    entropy: Entropy,
    metrics: Metrics,
    readiness: Mapping[str, Check] | None = None,
) -> None:
    """Run `lead` (while holding the lease, if options say so) until cancelled, with health served meanwhile.

    Raises OSError for a port in use, ValueError for a bad kubeconfig, and what `lead` and the elector raise.
    """
    try:
        client = kubeconfig.connect(options.kubeconfig, clock=clock, entropy=entropy, user_agent=user_agent)
    except kubeconfig.ConfigError as error:
        raise ValueError(str(error)) from error
    server = Server(health_handler({}, metrics, readiness=readiness), clock=clock)
    try:
        if options.secure_port:
            if options.tls_cert_file and options.tls_private_key_file:
                context = server_context(options.tls_cert_file, options.tls_private_key_file)
            else:
                context = self_signed_context(clock)
            await server.start(options.bind_address, options.secure_port, context)
        if not options.leader_elect:
            await lead(client)
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
        await elector.run(lambda: lead(client))
    finally:
        await server.stop(0)
        await asyncio.shield(client.close())
