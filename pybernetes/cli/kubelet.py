"""`pyb kubelet`: the node agent, with upstream's flag names."""

from __future__ import annotations

from typing import Any

import click

from pybernetes.cli.runtime import run_component


@click.command("kubelet", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--kubeconfig", default="", help="How to reach the API server; written by bootstrapping if it is missing.")
@click.option("--bootstrap-kubeconfig", default="", help="Credentials that may only ask for the node's certificate.")
@click.option("--config", default="", help="A KubeletConfiguration file (kubelet.config.k8s.io/v1beta1); flags override it.")
@click.option("--container-runtime-endpoint", default=None, help="The CRI runtime's socket, unix:///path.")
@click.option("--root-dir", default="/var/lib/kubelet", show_default=True, help="Where pods' volumes and files are.")
@click.option("--cert-dir", default="/var/lib/kubelet/pki", show_default=True, help="Where certificates made here are.")
@click.option("--pod-logs-dir", default=None, help="Where containers' logs are (also podLogsDir).  [default: /var/log/pods]")
@click.option("--hostname-override", default="", help="The node's name, if not the host's.")
@click.option("--node-ip", default="", help="The node's address, or two (IPv4,IPv6).")
@click.option("--node-labels", default="", help="Labels for the Node when it is registered: key=value,key=value.")
@click.option("--register-with-taints", default="", help="Taints for the Node when it is registered: key=value:effect,…")
@click.option("--register-node/--no-register-node", default=True, help="Whether to create the Node.")
@click.option("--cluster-dns", multiple=True, help="The cluster DNS server for pods; may be repeated.")
@click.option("--cluster-domain", default=None, help="The cluster's DNS domain.")
@click.option("--max-pods", type=int, default=None, help="Pods that the node takes.  [default: 110]")
@click.option("--address", default=None, help="Where to serve.  [default: 0.0.0.0]")
@click.option("--port", type=int, default=None, help="The HTTPS port.  [default: 10250]")
@click.option("--healthz-bind-address", default=None, help="Where to serve health.  [default: 127.0.0.1]")
@click.option("--healthz-port", type=int, default=None, help="The health port; 0 for none.  [default: 10248]")
@click.option("--client-ca-file", default=None, help="The CA whose client certificates are accepted.")
@click.option("--tls-cert-file", default=None, help="The serving certificate; made in cert-dir if not given.")
@click.option("--tls-private-key-file", default=None, help="Its key.")
@click.option("--anonymous-auth/--no-anonymous-auth", default=None, help="Whether requests may be anonymous.  [default: no]")
@click.option("--authorization-mode", default=None, help="Webhook (ask the API server) or AlwaysAllow.  [default: Webhook]")
@click.option("--resolv-conf", default=None, help="The resolver configuration that pods inherit.  [default: /etc/resolv.conf]")
@click.option("--cgroup-root", default=None, help="The cgroup below which kubepods is made.")
@click.option("--cgroup-driver", default=None, help="cgroupfs is the only one.")
@click.option("--node-status-update-frequency", default=None, help="How often to look at the node's state.  [default: 10s]")
@click.option("--cni-conf-dir", default="", help="Write the pod network's CNI configuration here when the podCIDR is known.")
@click.option("--cluster-cidr", "cluster_cidrs", multiple=True, help="All pods' CIDR: not masqueraded (with --cni-conf-dir).")
@click.option("-v", "--v", "verbosity", type=int, default=0, help="Log level: 4 is debug.")
def command(verbosity: int, **flags: Any) -> None:
    """Run the node agent: register this machine as a node and run the pods bound to it."""
    from pybernetes.kubelet import app
    from pybernetes.kubelet.options import Options

    flags["cluster_dns"] = tuple(address for value in flags["cluster_dns"] for address in value.split(",") if address)
    flags["cluster_cidrs"] = tuple(cidr for value in flags["cluster_cidrs"] for cidr in value.split(",") if cidr)
    run_component("kubelet", app.run, Options(**flags), verbosity)
