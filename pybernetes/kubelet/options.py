"""The kubelet's command line: upstream's flag names and defaults."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Options:
    """Flags. None means "not given": the configuration file (--config), then upstream's default, decides."""

    kubeconfig: str = ""
    bootstrap_kubeconfig: str = ""
    config: str = ""
    container_runtime_endpoint: str | None = None
    root_dir: str = "/var/lib/kubelet"
    cert_dir: str = "/var/lib/kubelet/pki"
    pod_logs_dir: str | None = None
    hostname_override: str = ""
    node_ip: str = ""
    node_labels: str = ""  # key=value,key=value
    register_with_taints: str = ""  # key=value:effect,…
    register_node: bool = True
    cluster_dns: tuple[str, ...] = ()
    cluster_domain: str | None = None
    max_pods: int | None = None
    address: str | None = None
    port: int | None = None
    healthz_bind_address: str | None = None
    healthz_port: int | None = None
    client_ca_file: str | None = None
    tls_cert_file: str | None = None
    tls_private_key_file: str | None = None
    anonymous_auth: bool | None = None
    authorization_mode: str | None = None
    pod_manifest_path: str | None = None
    resolv_conf: str | None = None
    cgroup_root: str | None = None
    cgroup_driver: str | None = None
    node_status_update_frequency: str | None = None
    # Ours: where to write the CNI configuration once the node has a podCIDR; empty leaves CNI to someone else.
    cni_conf_dir: str = ""
    # Ours: where no masquerading is needed besides the node's own pods (the whole cluster's pod CIDRs).
    cluster_cidrs: tuple[str, ...] = ()
