"""What `pyb dns` can be told."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Options:
    kubeconfig: str = ""
    bind_address: str = "127.0.0.1"
    port: int = 53
    cluster_domain: str = "cluster.local"
    # host or host:port; empty: those of resolv_conf
    upstreams: tuple[str, ...] = ()
    resolv_conf: str = "/etc/resolv.conf"
    health_port: int = 10054  # /healthz, /readyz and /metrics, on loopback; 0: none
