"""`pyb controller-manager`: the controller manager alone, with kube-controller-manager's flag names."""

from __future__ import annotations

from typing import Any

import click

from pybernetes.cli.parameters import DURATION
from pybernetes.cli.runtime import run_component


@click.command("controller-manager")
@click.option("--kubeconfig", required=True, help="How to reach the API server.")
@click.option("--bind-address", default="127.0.0.1", show_default=True, help="Where /healthz and /metrics listen.")
@click.option("--secure-port", default=10257, show_default=True, help="Their port, over HTTPS; 0 for none.")
@click.option("--tls-cert-file", default="", help="Certificate of that port; default: one of its own making.")
@click.option("--tls-private-key-file", default="", help="Its private key.")
@click.option(
    "--controllers",
    default="*",
    show_default=True,
    help="Which to run, separated by commas: '*' all that are on by default, 'foo' with foo, '-foo' without it.",
)
@click.option("--leader-elect", default=True, type=bool, show_default=True, help="Run only while holding the lease.")
@click.option("--leader-elect-lease-duration", "leader_elect_lease_duration_s", default="15s", type=DURATION, show_default=True,
              help="How long others wait before they take over a lease that is not renewed.")  # fmt: skip
@click.option("--leader-elect-renew-deadline", "leader_elect_renew_deadline_s", default="10s", type=DURATION, show_default=True,
              help="How long the leader tries to renew before it gives up.")  # fmt: skip
@click.option("--leader-elect-retry-period", "leader_elect_retry_period_s", default="2s", type=DURATION, show_default=True,
              help="Time between attempts.")  # fmt: skip
@click.option("--leader-elect-resource-name", default="kube-controller-manager", show_default=True, help="The Lease's name.")
@click.option("--leader-elect-resource-namespace", default="kube-system", show_default=True, help="The Lease's namespace.")
@click.option("--cluster-cidr", default="", help="The pods' addresses; IPv4, IPv6, or both separated by a comma.")
@click.option("--service-cluster-ip-range", default="", help="The Services' addresses, never given to pods.")
@click.option("--allocate-node-cidrs", default=False, type=bool, show_default=True, is_flag=False, flag_value=True,
              help="Give each node a range of --cluster-cidr.")  # fmt: skip
@click.option("--node-cidr-mask-size", default=24, show_default=True, help="Prefix length of a node's IPv4 range.")
@click.option("--cluster-signing-cert-file", default="", help="The cluster's certificate authority.")
@click.option("--cluster-signing-key-file", default="", help="Its private key; without it nothing is signed.")
@click.option("--cluster-signing-duration", "cluster_signing_duration_s", default="8760h0m0s", type=DURATION, show_default=True,
              help="The longest life of a certificate.")  # fmt: skip
@click.option("--root-ca-file", default="", help="The authority that is published to pods; without it none is.")
@click.option("--service-account-private-key-file", default="",
              help="Signs the tokens of Secrets; without it they stay empty.")  # fmt: skip
@click.option("--node-monitor-period", "node_monitor_period_s", default="5s", type=DURATION, show_default=True,
              help="How soon a node that may not be evicted yet is looked at again.")  # fmt: skip
@click.option("--node-monitor-grace-period", "node_monitor_grace_period_s", default="50s", type=DURATION, show_default=True,
              help="How long a node may be silent before it counts as lost.")  # fmt: skip
@click.option("--node-startup-grace-period", "node_startup_grace_period_s", default="1m0s", type=DURATION, show_default=True,
              help="The same for a node that has never posted a status.")  # fmt: skip
@click.option(
    "--node-eviction-rate", default=0.1, show_default=True, help="Nodes per second whose pods are evicted, in a zone."
)
@click.option("--secondary-node-eviction-rate", default=0.01, show_default=True,
              help="The same where much of a large zone is down.")  # fmt: skip
@click.option("--unhealthy-zone-threshold", default=0.55, show_default=True, help="The part of a zone that is 'much of it'.")
@click.option("--large-cluster-size-threshold", default=50, show_default=True, help="More nodes than this make a zone large.")
@click.option("--terminated-pod-gc-threshold", default=12500, show_default=True,
              help="How many finished pods may stay; 0 for any number.")  # fmt: skip
@click.option("--max-endpoints-per-slice", default=100, show_default=True, help="Endpoints in one EndpointSlice.")
@click.option("--enable-garbage-collector", default=True, type=bool, show_default=True, help="Delete what has lost its owner.")
@click.option("--concurrent-deployment-syncs", default=5, show_default=True, help="Deployments worked on at once.")
@click.option("--concurrent-replicaset-syncs", default=5, show_default=True, help="ReplicaSets worked on at once.")
@click.option("--concurrent-rc-syncs", default=5, show_default=True, help="ReplicationControllers worked on at once.")
@click.option("--concurrent-endpoint-syncs", default=5, show_default=True, help="Services whose Endpoints are made at once.")
@click.option("--concurrent-service-endpoint-syncs", default=5, show_default=True,
              help="Services whose EndpointSlices are made at once.")  # fmt: skip
@click.option("--concurrent-namespace-syncs", default=10, show_default=True, help="Namespaces emptied at once.")
@click.option(
    "--concurrent-gc-syncs", default=20, show_default=True, help="Objects that the garbage collector examines at once."
)
@click.option("-v", "--v", "verbosity", default=0, help="Log verbosity.")
def command(verbosity: int, controllers: str, **flags: Any) -> None:
    """Run the controllers that bring the cluster to the state that its objects describe."""
    from pybernetes.controllers import app
    from pybernetes.controllers.options import Options

    wanted = tuple(item.strip() for item in controllers.split(",") if item.strip())
    options = Options(controllers=wanted, **flags)  # the flags' names are the options' fields
    run_component("controller-manager", app.run, options, verbosity)
