"""Node IPAM controller: each node gets a range of pod addresses of its own, cut from --cluster-cidr.

Contract: API reference, `NodeSpec.podCIDRs` (set once, never changed). One pass sees all nodes, so that two of them are never
given the same range.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from pybernetes.controllers.actions import Action, Emit, Retry, patch
from pybernetes.controllers.controller import Caches, Context, Controller, Look, Wake
from pybernetes.machinery.meta import Object, is_being_deleted, name_of
from pybernetes.machinery.resources import NODES

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
ALL = "nodes"
MASK_IPV6 = 64


@dataclass(frozen=True, slots=True)
class Range:
    """A cluster range, cut into ranges of `mask` bits for nodes."""

    network: Network
    mask: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a decision may depend on."""

    nodes: Sequence[Object]
    ranges: Sequence[Range]
    reserved: Sequence[Network]  # not to be given to pods: Service addresses


def reconcile(seen: Snapshot) -> list[Action]:
    taken: list[Network] = [*seen.reserved]
    for node in seen.nodes:
        taken += [ipaddress.ip_network(text, strict=False) for text in _ranges_of(node)]
    used = {(each.network_address, each.prefixlen) for each in taken}
    odd = [each for each in taken if all(each.prefixlen != range_.mask for range_ in seen.ranges)]
    free = [_free(range_, used, odd) for range_ in seen.ranges]
    actions: list[Action] = []
    for node in seen.nodes:
        if _ranges_of(node) or is_being_deleted(node):
            continue
        given = [next(each, None) for each in free]
        if any(each is None for each in given):
            message = f"Node {name_of(node)} status is now: CIDRNotAvailable"
            actions.append(Emit(node, "Normal", "CIDRNotAvailable", message))
            actions.append(Retry("CIDRNotAvailable", message))
            continue
        texts = [str(each) for each in given]
        actions.append(patch(NODES, node, {"spec": {"podCIDR": texts[0], "podCIDRs": texts}}))
    # Whoever found nothing must not keep the others from what they were given.
    return sorted(actions, key=lambda action: isinstance(action, Retry))


def _free(range_: Range, used: set[tuple[Address, int]], odd: Sequence[Network]) -> Iterator[Network]:
    """The node ranges that are free, lowest first; an iterator."""
    return (
        candidate
        for candidate in range_.network.subnets(new_prefix=range_.mask)
        if (candidate.network_address, candidate.prefixlen) not in used
        and not any(candidate.version == each.version and candidate.overlaps(each) for each in odd)
    )


def _ranges_of(node: Object) -> list[str]:
    spec = node.get("spec") or {}
    return list(spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else []))


def _observer(ranges: Sequence[Range], reserved: Sequence[Network]) -> Callable[[Look, str], Snapshot]:
    def observe(look: Look, key: str) -> Snapshot:
        return Snapshot(look.caches[NODES].list(), ranges, reserved)

    return observe


def _without_range(caches: Caches, node: Object) -> Iterable[str]:
    return () if _ranges_of(node) else (ALL,)


def controller(context: Context) -> Controller[Snapshot] | None:
    options = context.options
    if not options.allocate_node_cidrs or not options.cluster_cidr:
        return None
    ranges = []
    for text in options.cluster_cidr.split(","):
        network = ipaddress.ip_network(text.strip())
        ranges.append(Range(network, options.node_cidr_mask_size if network.version == 4 else MASK_IPV6))
    reserved = [ipaddress.ip_network(text.strip()) for text in options.service_cluster_ip_range.split(",") if text.strip()]
    return Controller(
        name="node-ipam-controller",
        source="cidrAllocator",
        wakes_on=(Wake(NODES, _without_range, lambda _old, new: not _ranges_of(new)),),
        observe=_observer(ranges, reserved),
        decide=reconcile,
        workers=1,
    )
