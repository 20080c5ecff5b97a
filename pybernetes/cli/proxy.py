"""`pyb proxy`: kube-proxy alone."""

from __future__ import annotations

import click

from pybernetes.cli.runtime import run_component


@click.command("proxy")
@click.option("--kubeconfig", required=True, help="How to reach the API server.")
@click.option("--hostname-override", default="", help="The name of this node; default: the host name.")
@click.option("--cluster-cidr", default="", help="The pods' addresses; Service traffic from elsewhere is masqueraded.")
@click.option("--proxy-mode", default="nftables", show_default=True, help="How Services are made: nftables.")
@click.option("--masquerade-all", is_flag=True, help="Masquerade all traffic to Service addresses.")
@click.option("--healthz-bind-address", default="0.0.0.0:10256", show_default=True, help="Where /healthz is; empty: nowhere.")
@click.option("--metrics-bind-address", default="127.0.0.1:10249", show_default=True, help="Where /metrics is; empty: nowhere.")
@click.option("-v", "--v", "verbosity", default=0, help="Log verbosity.")
def command(
    kubeconfig: str,
    hostname_override: str,
    cluster_cidr: str,
    proxy_mode: str,
    masquerade_all: bool,
    healthz_bind_address: str,
    metrics_bind_address: str,
    verbosity: int,
) -> None:
    """Make Services work on this node, by nftables."""
    from pybernetes.proxy import app
    from pybernetes.proxy.options import Options

    options = Options(
        kubeconfig=kubeconfig,
        hostname_override=hostname_override,
        cluster_cidr=cluster_cidr,
        proxy_mode=proxy_mode,
        masquerade_all=masquerade_all,
        healthz_bind_address=healthz_bind_address,
        metrics_bind_address=metrics_bind_address,
    )
    run_component("proxy", app.run, options, verbosity)
