"""The controller manager as a process: see `client.component` for connection, health and leader election."""

from __future__ import annotations

import os

from pybernetes.client.component import run_component
from pybernetes.client.rest import Client
from pybernetes.controllers.manager import Manager
from pybernetes.controllers.options import Options
from pybernetes.controllers.registry import ALL
from pybernetes.machinery.clock import SystemClock
from pybernetes.machinery.entropy import SystemEntropy


async def run(options: Options) -> None:
    """Run the controllers until cancelled. Raises OSError for a port in use, ValueError for bad options."""
    check(options)
    clock, entropy = SystemClock(), SystemEntropy()

    async def lead(client: Client) -> None:
        # Made now, not before: caches are filled by whoever leads.
        await Manager(client, clock=clock, entropy=entropy, options=options).run()

    await run_component(options, lead, user_agent="kube-controller-manager", clock=clock, entropy=entropy, metrics=_metrics)


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


async def _metrics() -> bytes:
    import prometheus_client

    return prometheus_client.generate_latest()
