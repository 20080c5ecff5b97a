"""What `pyb scheduler` can be told: upstream's flags, with upstream's defaults."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Durations are seconds; `_file` fields are paths, "" for none."""

    kubeconfig: str = ""
    config: str = ""  # a KubeSchedulerConfiguration file
    bind_address: str = "127.0.0.1"  # upstream: everywhere, behind authentication; our metrics have none
    secure_port: int = 10259  # 0: no health and metrics
    tls_cert_file: str = ""  # "": a self-signed certificate, made at start
    tls_private_key_file: str = ""
    leader_elect: bool = True
    leader_elect_lease_duration_s: float = 15.0
    leader_elect_renew_deadline_s: float = 10.0
    leader_elect_retry_period_s: float = 2.0
    leader_elect_resource_name: str = "kube-scheduler"
    leader_elect_resource_namespace: str = "kube-system"
