"""`pyb dns`: the cluster DNS alone."""

from __future__ import annotations

import click

from pybernetes.cli.runtime import run_component


@click.command("dns")
@click.option("--kubeconfig", required=True, help="How to reach the API server.")
@click.option("--bind-address", default="127.0.0.1", show_default=True, help="The address to answer on.")
@click.option("--port", default=53, show_default=True, help="The port, UDP and TCP.")
@click.option("--cluster-domain", default="cluster.local", show_default=True, help="The domain of the cluster.")
@click.option("--upstream", multiple=True, help="A resolver (HOST or HOST:PORT) for other names; default: the machine's.")
@click.option("--health-port", default=10054, show_default=True, help="Port of /healthz on loopback; 0 for none.")
@click.option("-v", "--v", "verbosity", default=0, help="Log verbosity.")
def command(
    kubeconfig: str,
    bind_address: str,
    port: int,
    cluster_domain: str,
    upstream: tuple[str, ...],
    health_port: int,
    verbosity: int,
) -> None:
    """Answer the names of Services and pods; forward the rest."""
    from pybernetes.dns import app
    from pybernetes.dns.options import Options

    options = Options(
        kubeconfig=kubeconfig,
        bind_address=bind_address,
        port=port,
        cluster_domain=cluster_domain,
        upstreams=upstream,
        health_port=health_port,
    )
    run_component("dns", app.run, options, verbosity)
