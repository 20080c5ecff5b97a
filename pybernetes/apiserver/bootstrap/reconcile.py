"""Create what a cluster lacks, and bring RBAC back to its defaults without taking away what users added."""

from __future__ import annotations

from pybernetes.apiserver.registry.strategy import Reader, Writer


async def ensure(reader: Reader, writer: Writer, *, service_cidr: str = "10.96.0.0/16") -> None:
    """What upstream's API server makes: system namespaces, RBAC, priority classes, flow control, the ServiceCIDR."""
    raise NotImplementedError


async def ensure_cluster_addons(reader: Reader, writer: Writer) -> None:
    """What kubeadm adds for a real cluster: node bootstrap and certificate approval, and DNS's role."""
    raise NotImplementedError
