"""`pyb scheduler`: the scheduler alone, with kube-scheduler's flag names."""

from __future__ import annotations

from typing import Any

import click

from pybernetes.cli.parameters import DURATION
from pybernetes.cli.runtime import run_component


@click.command("scheduler")
@click.option("--kubeconfig", required=True, help="How to reach the API server.")
@click.option("--config", default="", help="A KubeSchedulerConfiguration file (kubescheduler.config.k8s.io/v1).")
@click.option("--bind-address", default="127.0.0.1", show_default=True, help="Where /healthz and /metrics listen.")
@click.option("--secure-port", default=10259, show_default=True, help="Their port, over HTTPS; 0 for none.")
@click.option("--tls-cert-file", default="", help="Certificate of that port; default: one of its own making.")
@click.option("--tls-private-key-file", default="", help="Its private key.")
@click.option("--leader-elect", default=True, type=bool, show_default=True, help="Run only while holding the lease.")
@click.option("--leader-elect-lease-duration", "leader_elect_lease_duration_s", default="15s", type=DURATION, show_default=True,
              help="How long others wait before they take over a lease that is not renewed.")  # fmt: skip
@click.option("--leader-elect-renew-deadline", "leader_elect_renew_deadline_s", default="10s", type=DURATION, show_default=True,
              help="How long the leader tries to renew before it gives up.")  # fmt: skip
@click.option("--leader-elect-retry-period", "leader_elect_retry_period_s", default="2s", type=DURATION, show_default=True,
              help="Time between attempts.")  # fmt: skip
@click.option("--leader-elect-resource-name", default="kube-scheduler", show_default=True, help="The Lease's name.")
@click.option("--leader-elect-resource-namespace", default="kube-system", show_default=True, help="The Lease's namespace.")
@click.option("-v", "--v", "verbosity", default=0, help="Log verbosity.")
def command(verbosity: int, **flags: Any) -> None:
    """Give each pod a node."""
    from pybernetes.scheduler import app
    from pybernetes.scheduler.options import Options

    options = Options(**flags)  # the flags' names are the options' fields
    run_component("scheduler", app.run, options, verbosity)
