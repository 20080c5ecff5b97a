"""Which endpoints each Service address leads to from this node: Services and EndpointSlices in, frontends out.

Sources: https://kubernetes.io/docs/reference/networking/virtual-ips/ (traffic policies), KEP-1669 (terminating endpoints),
KEP-2433 (topology hints), KEP-3015 (same node).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import NamedTuple

from pybernetes.machinery.meta import Object, key_of, labels_of

SERVICE_NAME_LABEL = "kubernetes.io/service-name"
# Who sets this label serves the Service itself: other proxies keep away.
PROXY_NAME_LABEL = "service.kubernetes.io/service-proxy-name"
HEADLESS_LABEL = "service.kubernetes.io/headless"
ZONE_LABEL = "topology.kubernetes.io/zone"
AFFINITY_DEFAULT_S = 10800


class Protocol(StrEnum):
    TCP = "tcp"
    UDP = "udp"
    SCTP = "sctp"


class Endpoint(NamedTuple):
    address: str
    port: int


class Kind(StrEnum):
    """How a frontend is reached; it decides whether the source must be hidden."""

    CLUSTER_IP = "cluster IP"
    EXTERNAL = "external"  # an external IP, or a load balancer's
    NODE_PORT = "node port"


@dataclass(frozen=True, slots=True)
class Frontend:
    """An address (of this node's own for a node port: "") with a port, and where a connection to it may go."""

    kind: Kind
    address: str
    protocol: Protocol
    port: int
    endpoints: tuple[Endpoint, ...]
    affinity_s: int = 0  # 0: none; else how long a client stays with its endpoint
    # Traffic policy Local: only endpoints of this node, so the client's address need not be hidden; without endpoints it drops
    # rather than rejects, since other nodes may have some.
    is_local_only: bool = False
    source_ranges: tuple[str, ...] = ()  # CIDRs of clients that are let in; empty: all


@dataclass(frozen=True, slots=True)
class Node:
    """This node, as far as it matters here."""

    name: str
    zone: str = ""
    addresses: tuple[str, ...] = ()


class _Candidate(NamedTuple):
    endpoint: Endpoint
    is_ready: bool
    is_serving_terminating: bool
    is_local: bool
    zones: frozenset[str]  # hints; empty: none
    nodes: frozenset[str]


def frontends(
    services: Iterable[Object], slices: Mapping[str, Sequence[Object]], node: Node, family: str
) -> Iterator[Frontend]:
    """The frontends of one address family ("IPv4", "IPv6"). `slices` is by the Service's key."""
    for service in services:
        if is_proxied(service):
            yield from _service_frontends(service, slices.get(key_of(service), ()), node, family)


def is_proxied(service: Object) -> bool:
    spec = service["spec"]
    return (
        spec.get("type") != "ExternalName"
        and spec.get("clusterIP") not in (None, "", "None")
        and PROXY_NAME_LABEL not in labels_of(service)
    )


def _service_frontends(service: Object, slices: Sequence[Object], node: Node, family: str) -> Iterator[Frontend]:
    spec = service["spec"]
    affinity_s = _affinity_s(spec)
    internal_local = spec.get("internalTrafficPolicy") == "Local"
    external_local = spec.get("externalTrafficPolicy") == "Local"
    slices = [slice_ for slice_ in slices if slice_.get("addressType") == family]
    balancers = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    balancer_ips = [entry["ip"] for entry in balancers if entry.get("ip") and entry.get("ipMode", "VIP") == "VIP"]
    for port in spec.get("ports") or ():
        protocol, number = Protocol(port.get("protocol", "TCP").lower()), port["port"]
        candidates = list(_candidates(slices, port.get("name") or "", protocol, node))
        inside = choose(candidates, node, local_only=internal_local)
        internal = partial(Frontend, protocol=protocol, endpoints=inside, affinity_s=affinity_s, is_local_only=internal_local)
        outside = choose(candidates, node, local_only=external_local)
        external = partial(Frontend, protocol=protocol, endpoints=outside, affinity_s=affinity_s, is_local_only=external_local)
        for address in _of_family(spec.get("clusterIPs") or [spec["clusterIP"]], family):
            yield internal(Kind.CLUSTER_IP, address, port=number)
        for address in _of_family(spec.get("externalIPs") or (), family):
            yield external(Kind.EXTERNAL, address, port=number)
        ranges = tuple(_of_family(spec.get("loadBalancerSourceRanges") or (), family))
        for address in _of_family(balancer_ips, family):
            yield external(Kind.EXTERNAL, address, port=number, source_ranges=ranges)
        if node_port := port.get("nodePort"):
            yield external(Kind.NODE_PORT, "", port=node_port)


def _affinity_s(spec: Object) -> int:
    if spec.get("sessionAffinity") != "ClientIP":
        return 0
    config = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
    return int(config.get("timeoutSeconds") or AFFINITY_DEFAULT_S)


def _of_family(addresses: Iterable[str], family: str) -> Iterator[str]:
    return (address for address in addresses if (":" in address) == (family == "IPv6"))


def _candidates(slices: Iterable[Object], port_name: str, protocol: Protocol, node: Node) -> Iterator[_Candidate]:
    for slice_ in slices:
        ports = [
            port["port"]
            for port in slice_.get("ports") or ()
            if (port.get("name") or "") == port_name and port.get("protocol", "TCP").lower() == protocol and port.get("port")
        ]
        for entry in slice_.get("endpoints") or ():
            conditions = entry.get("conditions") or {}
            hints = entry.get("hints") or {}
            for port in ports:
                yield _Candidate(
                    Endpoint(entry["addresses"][0], port),
                    # An absent condition means that it is not known, which counts as ready (EndpointSlice API).
                    conditions.get("ready", True) is not False,
                    conditions.get("serving", True) is not False and conditions.get("terminating", False) is True,
                    entry.get("nodeName") == node.name,
                    frozenset(each["name"] for each in hints.get("forZones") or ()),
                    frozenset(each["name"] for each in hints.get("forNodes") or ()),
                )


def choose(candidates: Sequence[_Candidate], node: Node, *, local_only: bool) -> tuple[Endpoint, ...]:
    """The endpoints for this node: ready ones, or if there are none those that still serve while they terminate."""
    if local_only:
        candidates = [candidate for candidate in candidates if candidate.is_local]
    usable = [candidate for candidate in candidates if candidate.is_ready]
    if not usable:
        usable = [candidate for candidate in candidates if candidate.is_serving_terminating]
    elif not local_only:
        usable = _hinted(usable, node)
    return tuple(sorted({candidate.endpoint for candidate in usable}))


def _hinted(usable: list[_Candidate], node: Node) -> list[_Candidate]:
    """Those hinted for this node or its zone; hints count only if every endpoint has them and some are for us."""
    if all(candidate.nodes for candidate in usable):
        for_node = [candidate for candidate in usable if node.name in candidate.nodes]
        if for_node:
            return for_node
    if node.zone and all(candidate.zones for candidate in usable):
        return [candidate for candidate in usable if node.zone in candidate.zones] or usable
    return usable


def slices_by_service(slices: Iterable[Object]) -> dict[str, list[Object]]:
    """EndpointSlices under `namespace/service`."""
    found: dict[str, list[Object]] = {}
    for slice_ in slices:
        labels = labels_of(slice_)
        name = labels.get(SERVICE_NAME_LABEL)
        if name and HEADLESS_LABEL not in labels and PROXY_NAME_LABEL not in labels:
            found.setdefault(f"{slice_['metadata']['namespace']}/{name}", []).append(slice_)
    return found
