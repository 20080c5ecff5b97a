"""What `pyb proxy` can be told: upstream's flags, and its defaults for the nftables mode."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Options:
    kubeconfig: str = ""
    hostname_override: str = ""
    cluster_cidr: str = ""  # traffic to Service addresses from elsewhere is masqueraded
    proxy_mode: str = "nftables"
    masquerade_all: bool = False
    min_sync_period_s: float = 0.02  # changes that come together are programmed together
    sync_period_s: float = 30.0  # how often what failed is tried again at the latest
    healthz_bind_address: str = "0.0.0.0:10256"
    metrics_bind_address: str = "127.0.0.1:10249"
