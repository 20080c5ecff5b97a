"""The controller manager's options: upstream's flags, with upstream's defaults."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Durations are seconds; `_file` fields are paths, "" for none."""

    kubeconfig: str = ""
    bind_address: str = "127.0.0.1"
    secure_port: int = 10257  # 0: no health and metrics endpoint
    tls_cert_file: str = ""
    tls_private_key_file: str = ""
    controllers: tuple[str, ...] = ("*",)
    leader_elect: bool = True
    leader_elect_lease_duration_s: float = 15.0
    leader_elect_renew_deadline_s: float = 10.0
    leader_elect_retry_period_s: float = 2.0
    leader_elect_resource_name: str = "kube-controller-manager"
    leader_elect_resource_namespace: str = "kube-system"

    cluster_cidr: str = ""
    service_cluster_ip_range: str = ""
    allocate_node_cidrs: bool = False
    node_cidr_mask_size: int = 24

    cluster_signing_cert_file: str = ""
    cluster_signing_key_file: str = ""
    cluster_signing_duration_s: float = 8760 * 3600.0
    root_ca_file: str = ""
    service_account_private_key_file: str = ""  # signs the tokens of Secrets; others are the API server's (TokenRequest)

    node_monitor_period_s: float = 5.0
    node_monitor_grace_period_s: float = 50.0
    node_startup_grace_period_s: float = 60.0
    node_eviction_rate: float = 0.1  # nodes per second
    secondary_node_eviction_rate: float = 0.01
    unhealthy_zone_threshold: float = 0.55
    large_cluster_size_threshold: int = 50

    terminated_pod_gc_threshold: int = 12500
    max_endpoints_per_slice: int = 100
    enable_garbage_collector: bool = True
    concurrent_deployment_syncs: int = 5
    concurrent_replicaset_syncs: int = 5
    concurrent_rc_syncs: int = 5
    concurrent_endpoint_syncs: int = 5
    concurrent_service_endpoint_syncs: int = 5
    concurrent_namespace_syncs: int = 10
    concurrent_gc_syncs: int = 20
