"""What a cluster of one node consists of: each component with its command line and where it tells its health."""

from __future__ import annotations

from dataclasses import dataclass

from pybernetes.cli import containerd
from pybernetes.cli.credentials import ApiAddress
from pybernetes.cli.layout import Layout

SERVICE_CIDR = "10.96.0.0/16"
KUBERNETES_SERVICE_IP = "10.96.0.1"
DNS_SERVICE_IP = "10.96.0.10"
POD_CIDR = "10.244.0.0/16"
CLUSTER_DOMAIN = "cluster.local"
API_PORT = 6443
DNS_PORT = 10053
CGROUP_ROOT = "/pybernetes"  # below which all pods of this cluster are


@dataclass(frozen=True, slots=True)
class Component:
    """A process of the cluster. `health` is a URL, or "" where only the process itself tells."""

    name: str
    argv: tuple[str, ...]
    health: str = ""
    is_program: bool = False  # a program of its own; else a `pyb` subcommand, forked from the supervisor
    address: str = ""


def components(layout: Layout, address: ApiAddress) -> tuple[Component, ...]:
    """In the order in which they are started; they are stopped in the opposite one."""
    return (
        Component("containerd", containerd.argv(layout), is_program=True, address=f"unix://{layout.containerd_socket}"),
        Component("apiserver", _apiserver(layout, address), f"https://127.0.0.1:{address.port}/readyz", address=address.url),
        Component(
            "kubelet", _kubelet(layout, address), "http://127.0.0.1:10248/healthz", address=f"https://{address.node_ip}:10250"
        ),
        Component(
            "controller-manager",
            _controller_manager(layout),
            "https://127.0.0.1:10257/healthz",
            address="https://127.0.0.1:10257",
        ),
        Component("scheduler", _scheduler(layout), "https://127.0.0.1:10259/healthz", address="https://127.0.0.1:10259"),
        Component("proxy", _proxy(layout, address), "http://127.0.0.1:10256/healthz", address="http://127.0.0.1:10256"),
        Component("dns", _dns(layout, address), "http://127.0.0.1:10054/readyz", address=f"dns://{address.node_ip}:{DNS_PORT}"),
    )


def tcp_ports(address: ApiAddress) -> tuple[tuple[str, int, str], ...]:
    """(address, port, who): what must be free before a cluster starts."""
    return (
        ("0.0.0.0", address.port, "the API server"),
        ("0.0.0.0", 10250, "the kubelet"),
        ("127.0.0.1", 10248, "the kubelet's health check"),
        ("127.0.0.1", 10257, "the controller manager"),
        ("127.0.0.1", 10259, "the scheduler"),
        ("0.0.0.0", 10256, "the proxy's health check"),
        ("127.0.0.1", 10249, "the proxy's metrics"),
        (address.node_ip, DNS_PORT, "the cluster DNS"),
    )


def _apiserver(layout: Layout, address: ApiAddress) -> tuple[str, ...]:
    pki = layout.pki
    return (
        "apiserver",
        f"--advertise-address={address.node_ip}",
        "--bind-address=0.0.0.0",
        f"--secure-port={address.port}",
        f"--data-dir={layout.store}",
        f"--tls-cert-file={pki}/apiserver.crt",
        f"--tls-private-key-file={pki}/apiserver.key",
        f"--client-ca-file={pki}/ca.crt",
        f"--kubelet-client-certificate={pki}/apiserver-kubelet-client.crt",
        f"--kubelet-client-key={pki}/apiserver-kubelet-client.key",
        f"--kubelet-certificate-authority={pki}/ca.crt",
        f"--service-account-issuer=https://kubernetes.default.svc.{address.cluster_domain}",
        f"--service-account-signing-key-file={pki}/sa.key",
        f"--service-account-key-file={pki}/sa.pub",
        f"--service-cluster-ip-range={SERVICE_CIDR}",
        "--authorization-mode=Node,RBAC",
        "--enable-bootstrap-token-auth=true",
    )


def _kubelet(layout: Layout, address: ApiAddress) -> tuple[str, ...]:
    return (
        "kubelet",
        f"--bootstrap-kubeconfig={layout.bootstrap_kubeconfig}",
        f"--kubeconfig={layout.kubelet_kubeconfig}",
        f"--cert-dir={layout.kubelet}/pki",
        f"--root-dir={layout.kubelet}",
        f"--pod-logs-dir={layout.pod_logs}",
        f"--cni-conf-dir={layout.cni_conf}",
        f"--cgroup-root={CGROUP_ROOT}",
        f"--container-runtime-endpoint=unix://{layout.containerd_socket}",
        f"--hostname-override={address.node_name}",
        f"--node-ip={address.node_ip}",
        f"--cluster-dns={DNS_SERVICE_IP}",
        f"--cluster-domain={address.cluster_domain}",
        f"--client-ca-file={layout.pki}/ca.crt",
        f"--tls-cert-file={layout.pki}/kubelet-server.crt",
        f"--tls-private-key-file={layout.pki}/kubelet-server.key",
    )


def _controller_manager(layout: Layout) -> tuple[str, ...]:
    pki = layout.pki
    return (
        "controller-manager",
        f"--kubeconfig={layout.kubeconfig('controller-manager')}",
        "--bind-address=127.0.0.1",
        "--allocate-node-cidrs=true",
        f"--cluster-cidr={POD_CIDR}",
        f"--service-cluster-ip-range={SERVICE_CIDR}",
        f"--cluster-signing-cert-file={pki}/ca.crt",
        f"--cluster-signing-key-file={pki}/ca.key",
        f"--root-ca-file={pki}/ca.crt",
        f"--service-account-private-key-file={pki}/sa.key",
        "--leader-elect=false",  # one of each: an election would only delay the start
    )


def _scheduler(layout: Layout) -> tuple[str, ...]:
    return (
        "scheduler",
        f"--kubeconfig={layout.kubeconfig('scheduler')}",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
    )


def _proxy(layout: Layout, address: ApiAddress) -> tuple[str, ...]:
    return (
        "proxy",
        f"--kubeconfig={layout.kubeconfig('proxy')}",
        f"--hostname-override={address.node_name}",
        f"--cluster-cidr={POD_CIDR}",
        "--proxy-mode=nftables",
    )


def _dns(layout: Layout, address: ApiAddress) -> tuple[str, ...]:
    return (
        "dns",
        f"--kubeconfig={layout.kubeconfig('dns')}",
        f"--bind-address={address.node_ip}",
        f"--port={DNS_PORT}",
        f"--cluster-domain={address.cluster_domain}",
    )
