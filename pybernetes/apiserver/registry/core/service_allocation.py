"""Cluster IPs and node ports of Services: chosen, reserved, given back.

An address is reserved by creating the `IPAddress` object of its name (KEP-1880), so that two creations, on two servers even,
cannot take the same one. A node port is in use if a Service says so; what is between choice and write is kept in memory.

Upstream's split of a range is kept: the low part (1/16 of it, 16 to 256 addresses) is left to static assignment as long as the
rest has room (KEP-3070), so that a new cluster may assign 10.96.0.10 to its DNS at any time.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from weakref import WeakKeyDictionary

from pybernetes.apiserver.registry.strategy import Context, Reader
from pybernetes.machinery.errors import AlreadyExists, FieldError, InternalError, Invalid, invalid
from pybernetes.machinery.meta import Object, name_of, namespace_of
from pybernetes.machinery.resources import IP_ADDRESSES, SERVICES

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_RANDOM_TRIES = 32
FAMILY_LABEL = "ipaddress.kubernetes.io/ip-family"
MANAGED_BY_LABEL = "ipaddress.kubernetes.io/managed-by"
MANAGER = "ipallocator.k8s.io"


def is_headless(spec: Object) -> bool:
    """It has no address of its own: DNS gives those of its pods."""
    first: str = (spec.get("clusterIPs") or [""])[0]
    return "None" in (spec.get("clusterIP", ""), first)


def needs_cluster_ip(spec: Object) -> bool:
    return bool(spec.get("type") != "ExternalName")


def needs_node_port(spec: Object) -> bool:
    type_ = spec.get("type")
    return type_ == "NodePort" or (type_ == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts", True))


async def begin_create(context: Context, service: Object) -> None:
    """Raises `Invalid` if something cannot be had; then nothing stays reserved."""
    set_families(context, service)
    taken = await _take_ips(context, service, None)
    try:
        _take_ports(context, service, None)
    except Invalid:
        await _release_ips(context, service, taken)
        raise


async def begin_update(context: Context, new: Object, old: Object) -> None:
    set_families(context, new)
    taken = await _take_ips(context, new, old)
    try:
        _take_ports(context, new, old)
    except Invalid:
        await _release_ips(context, new, taken)
        raise


async def after_update(context: Context, kept: Object, dropped: Object) -> None:
    """Give back what `dropped` holds and `kept` does not."""
    staying = set(kept["spec"].get("clusterIPs") or ())
    await _release_ips(context, dropped, [ip for ip in dropped["spec"].get("clusterIPs") or () if ip not in staying])
    pending = _PENDING.get(context.reader)
    if pending is not None:
        pending -= set(_ports_of(dropped)) - set(_ports_of(kept))


async def after_delete(context: Context, service: Object) -> None:
    await _release_ips(context, service, service["spec"].get("clusterIPs") or ())
    pending = _PENDING.get(context.reader)
    if pending is not None:
        pending -= set(_ports_of(service))


def set_families(context: Context, service: Object) -> None:
    """`ipFamilies` and `ipFamilyPolicy` from what is asked for and what the cluster has. Raises `Invalid`."""
    spec = service["spec"]
    if not needs_cluster_ip(spec):
        return
    configured = [f"IPv{ipaddress.ip_network(cidr).version}" for cidr in context.service_cidrs]
    families: list[str] = list(spec.get("ipFamilies") or ())
    ips = [ip for ip in spec.get("clusterIPs") or () if ip != "None"]
    for i, ip in enumerate(ips):
        if i >= len(families):
            families.append(f"IPv{ipaddress.ip_address(ip).version}")
    if is_headless(spec) and not spec.get("selector"):
        # Nobody but the author of its EndpointSlices knows where it leads: both families, whatever the cluster has.
        policy = spec.setdefault("ipFamilyPolicy", "SingleStack" if len(families) == 1 and ips else "RequireDualStack")
        if not families:
            families = [configured[0]]
        if policy != "SingleStack" and len(families) == 1:
            families.append(_other(families[0]))
        spec["ipFamilies"] = families
        return
    policy = spec.setdefault("ipFamilyPolicy", "RequireDualStack" if len(families) == 2 else "SingleStack")
    problems = []
    if policy == "RequireDualStack" and len(configured) < 2:
        sentence = "this cluster is not configured for dual-stack services"
        problems.append(FieldError.invalid("spec.ipFamilyPolicy", policy, sentence))
    for i, family in enumerate(families):
        if family not in configured:
            problems.append(FieldError.invalid(f"spec.ipFamilies[{i}]", family, "not configured on this cluster"))
    if policy == "SingleStack" and len(families) == 2:
        sentence = "must be RequireDualStack or PreferDualStack when multiple IP families are specified"
        problems.append(FieldError.invalid("spec.ipFamilyPolicy", policy, sentence))
    if problems:
        raise invalid("", "Service", name_of(service), problems)
    if not families:
        families = [configured[0]]
    if policy != "SingleStack" and len(configured) == 2 and len(families) == 1:
        families.append(_other(families[0]))
    spec["ipFamilies"] = families


def _other(family: str) -> str:
    return "IPv6" if family == "IPv4" else "IPv4"


async def _take_ips(context: Context, service: Object, old: Object | None) -> list[str]:
    """Reserve the addresses that the Service does not hold yet; returns those."""
    spec = service["spec"]
    if not needs_cluster_ip(spec) or is_headless(spec):
        return []
    held = set((old["spec"].get("clusterIPs") or ()) if old is not None else ())
    ips: list[str] = list(spec.get("clusterIPs") or ())
    taken: list[str] = []
    try:
        for i, family in enumerate(spec["ipFamilies"]):
            if i < len(ips):
                if ips[i] not in held:
                    await _take_this_ip(context, service, ips[i])
                    taken.append(ips[i])
            else:
                ips.append(await _take_any_ip(context, service, family))
                taken.append(ips[-1])
    except Exception:
        await _release_ips(context, service, taken)
        raise
    spec["clusterIP"], spec["clusterIPs"] = ips[0], ips
    return taken


async def _take_this_ip(context: Context, service: Object, text: str) -> None:
    ip = ipaddress.ip_address(text)
    networks = _networks(context, f"IPv{ip.version}")
    if not any(_is_usable(ip, network) for network in networks):
        ranges = ", ".join(map(str, networks))
        why = f"the provided IP ({text}) is not in the valid range. The range of valid IPs is {ranges}"
        raise _no_ip(service, f"failed to allocate IP {text}: {why}")
    if not await _reserve(context, service, ip):
        raise _no_ip(service, f"failed to allocate IP {text}: provided IP is already allocated")


def _no_ip(service: Object, why: str) -> Invalid:
    ips = service["spec"].get("clusterIPs") or None
    return invalid("", "Service", name_of(service), [FieldError.invalid("spec.clusterIPs", ips, why)])


async def _take_any_ip(context: Context, service: Object, family: str) -> str:
    for network in _networks(context, family):
        for ip in _candidates(context, network):
            if context.reader.get(IP_ADDRESSES, "", str(ip)) is None and await _reserve(context, service, ip):
                return str(ip)
    raise InternalError("failed to allocate a serviceIP: range is full")


def _candidates(context: Context, network: Network) -> Iterator[Address]:
    """A few at random from the upper part, then the upper part in order, then the part for static assignment."""
    first, count = int(network.network_address) + 1, network.num_addresses - (2 if network.version == 4 else 1)
    if network.num_addresses == 1:
        first, count = first - 1, 1
    count = min(count, 1 << 16)  # upstream bounds IPv6 ranges, too
    static = 0 if count < 16 else min(max(16, count // 16), 256)
    kind = type(network.network_address)
    for _ in range(_RANDOM_TRIES):
        yield kind(first + static + int(context.entropy.random() * (count - static)))
    for offset in (*range(static, count), *range(static)):
        yield kind(first + offset)


def _is_usable(ip: Address, network: Network) -> bool:
    if ip.version != network.version or ip not in network:
        return False
    edges = {network.network_address, network.broadcast_address} if network.version == 4 else {network.network_address}
    return network.num_addresses <= 2 or ip not in edges


def _networks(context: Context, family: str) -> list[Network]:
    networks = [ipaddress.ip_network(cidr) for cidr in context.service_cidrs]
    return [network for network in networks if f"IPv{network.version}" == family]


async def _reserve(context: Context, service: Object, ip: Address) -> bool:
    """False if it is taken."""
    if context.dry_run:
        return context.reader.get(IP_ADDRESSES, "", str(ip)) is None
    try:
        await context.writer.create(IP_ADDRESSES, address_object(service, ip))
    except AlreadyExists:
        return False
    return True


def address_object(service: Object, ip: Address) -> Object:
    """What reserves an address for a Service."""
    return {
        "kind": "IPAddress",
        "apiVersion": "networking.k8s.io/v1",
        "metadata": {"name": str(ip), "labels": {FAMILY_LABEL: f"IPv{ip.version}", MANAGED_BY_LABEL: MANAGER}},
        "spec": {"parentRef": {"resource": "services", "namespace": namespace_of(service), "name": name_of(service)}},
    }


async def _release_ips(context: Context, service: Object, ips: Iterable[str]) -> None:
    if context.dry_run:
        return
    for ip in ips:
        if ip != "None":
            address = context.reader.get(IP_ADDRESSES, "", ip)
            parent = ((address or {}).get("spec") or {}).get("parentRef") or {}
            # Never take away another's: this Service may have asked for it in vain.
            if (parent.get("namespace"), parent.get("name")) == (namespace_of(service), name_of(service)):
                await context.writer.delete(IP_ADDRESSES, "", ip)


# Ports promised to Services that are not written yet (or whose write failed and is still to be reported).
_PENDING: WeakKeyDictionary[Reader, set[tuple[str, int]]] = WeakKeyDictionary()


def _ports_of(service: Object) -> Iterator[tuple[str, int]]:
    spec = service["spec"]
    for port in spec.get("ports") or ():
        if port.get("nodePort"):
            yield port.get("protocol", "TCP"), port["nodePort"]
    if spec.get("healthCheckNodePort"):
        yield "TCP", spec["healthCheckNodePort"]


def _take_ports(context: Context, service: Object, old: Object | None) -> None:
    spec = service["spec"]
    wants = needs_node_port(spec)
    wants_check = spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"
    if not wants and not wants_check:
        return
    held = set(_ports_of(old)) if old is not None else set()
    used = {claim for one in context.reader.list(SERVICES) for claim in _ports_of(one)}
    pending = _PENDING.setdefault(context.reader, set())
    pending -= used  # written since
    used = (used | pending) - held
    numbers = {number for _, number in used}
    mine = set(held)
    problems = []
    if wants:
        for i, port in enumerate(spec.get("ports") or ()):
            protocol, number = port.get("protocol", "TCP"), port.get("nodePort")
            if number and (protocol, number) not in mine:
                problem = _unavailable(context, number, (protocol, number) in used)
                if problem:
                    problems.append(FieldError.invalid(f"spec.ports[{i}].nodePort", number, problem))
                mine.add((protocol, number))
        for port in spec.get("ports") or ():
            if not port.get("nodePort"):
                port["nodePort"] = _share(spec, port, mine) or _free_port(context, numbers | {number for _, number in mine})
                mine.add((port.get("protocol", "TCP"), port["nodePort"]))
    if wants_check:
        number = spec.get("healthCheckNodePort")
        if not number:
            spec["healthCheckNodePort"] = number = _free_port(context, numbers | {number for _, number in mine})
        elif ("TCP", number) not in mine and (problem := _unavailable(context, number, ("TCP", number) in used)):
            problems.append(FieldError.invalid("spec.healthCheckNodePort", number, problem))
        mine.add(("TCP", number))
    if problems:
        raise invalid("", "Service", name_of(service), problems)
    if not context.dry_run:
        pending |= mine - held


def _share(spec: Object, port: Object, mine: set[tuple[str, int]]) -> int:
    """The same port over another protocol shares the number (DNS over UDP and TCP); 0 if there is none to share."""
    for other in spec["ports"]:
        number: int = other.get("nodePort", 0)
        same = other is not port and other.get("port") == port.get("port")
        if same and number and (port.get("protocol", "TCP"), number) not in mine:
            return number
    return 0


def _unavailable(context: Context, number: int, is_used: bool) -> str:
    low, high = context.node_port_range
    if not low <= number <= high:
        return f"provided port is not in the valid range. The range of valid ports is {low}-{high}"
    return "provided port is already allocated" if is_used else ""


def _free_port(context: Context, used: set[int]) -> int:
    low, high = context.node_port_range
    span = high - low + 1
    static = 0 if span < 32 else min(max(16, span // 32), 128)  # KEP-3668
    for _ in range(_RANDOM_TRIES):
        number = low + static + int(context.entropy.random() * (span - static))
        if number not in used:
            return number
    in_order = (*range(low + static, high + 1), *range(low, low + static))
    number = next((number for number in in_order if number not in used), 0)
    if number:
        return number
    raise InternalError("failed to allocate a nodePort: range is full")
