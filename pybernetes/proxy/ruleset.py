"""The nftables objects for a set of frontends, and the transaction that turns one set into another. Pure: text in, text out.

A `Ruleset` is one table: the base chains never change; maps and sets have elements, dynamic chains have rules. What a packet
meets, in order:

    filter-prerouting …  a client outside loadBalancerSourceRanges is dropped
    nat-prerouting/-output → services → @service-ips or @service-nodeports → [masq-]lb-N or affinity-… → dnat
    filter-input/-forward/-output → @no-endpoints: refused (or dropped) · @cluster-ips: a port that no Service has, refused
    nat-postrouting → masquerade what was marked, and what a pod sends to itself through a Service
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from pybernetes.proxy.topology import Endpoint, Frontend, Kind

TABLE = "kube-proxy"
MASQUERADE_MARK = 0x4000  # upstream's bit: other rules of a node may look for it
_ELEMENTS_PER_COMMAND = 500


class Family(NamedTuple):
    """What differs between the families in nft's language."""

    name: str  # of the table's family, and of the header
    address_type: str
    api: str  # the family in the API


IPV4 = Family("ip", "ipv4_addr", "IPv4")
IPV6 = Family("ip6", "ipv6_addr", "IPv6")


@dataclass(frozen=True, slots=True)
class Settings:
    """What the rules depend on besides the frontends."""

    cluster_cidr: str = ""
    masquerade_all: bool = False
    node_port_addresses: tuple[str, ...] = ()  # addresses of this node (one family) that node ports answer on


@dataclass(slots=True)
class Ruleset:
    """A table. `declarations` has each map or set with its type, `elements` their content: key -> value ("" in a set)."""

    family: Family
    settings: Settings
    declarations: dict[str, str] = field(default_factory=dict)
    elements: dict[str, dict[str, str]] = field(default_factory=dict)
    chains: dict[str, tuple[str, ...]] = field(default_factory=dict)


def build(frontends: Iterable[Frontend], family: Family, settings: Settings) -> Ruleset:
    """The table wanted. Of two frontends that claim the same address and port the first one has it."""
    ruleset = Ruleset(family, settings)
    for name, declaration in _fixed_declarations(family).items():
        ruleset.declarations[name] = declaration
        ruleset.elements[name] = {}
    for address in settings.node_port_addresses:
        ruleset.elements["node-ips"][address] = ""
    for frontend in frontends:
        _add(ruleset, frontend)
    return ruleset


def _fixed_declarations(family: Family) -> dict[str, str]:
    frontend = f"{family.address_type} . inet_proto . inet_service"
    return {
        "service-ips": f"map service-ips {{ type {frontend} : verdict; }}",
        "service-nodeports": "map service-nodeports { type inet_proto . inet_service : verdict; }",
        "no-endpoints": f"map no-endpoints {{ type {frontend} : verdict; }}",
        "no-endpoint-nodeports": "map no-endpoint-nodeports { type inet_proto . inet_service : verdict; }",
        "source-ranges": f"map source-ranges {{ type {frontend} : verdict; }}",
        "cluster-ips": f"set cluster-ips {{ type {family.address_type}; }}",
        "node-ips": f"set node-ips {{ type {family.address_type}; }}",
        "hairpin": f"set hairpin {{ type {family.address_type} . {family.address_type}; }}",
    }


def _add(ruleset: Ruleset, frontend: Frontend) -> None:
    is_node_port = frontend.kind is Kind.NODE_PORT
    key = f"{frontend.protocol} . {frontend.port}"
    if not is_node_port:
        key = f"{frontend.address} . {key}"
    if frontend.kind is Kind.CLUSTER_IP:
        ruleset.elements["cluster-ips"][frontend.address] = ""
    verdicts = ruleset.elements["service-nodeports" if is_node_port else "service-ips"]
    refusals = ruleset.elements["no-endpoint-nodeports" if is_node_port else "no-endpoints"]
    if key in verdicts or key in refusals:
        return
    if not frontend.endpoints:
        refusals[key] = "drop" if frontend.is_local_only else "goto refuse"
        return
    if frontend.source_ranges:
        ruleset.elements["source-ranges"][key] = f"goto {_source_ranges_chain(ruleset, frontend)}"
    for endpoint in frontend.endpoints:
        ruleset.elements["hairpin"][f"{endpoint.address} . {endpoint.address}"] = ""
    masquerades = "jump mark-masq" if _hides_source(frontend, ruleset.settings) else ""
    if frontend.affinity_s:
        verdicts[key] = f"goto {_affinity_chains(ruleset, frontend, masquerades)}"
        return
    verdicts[key] = f"goto {_balancer_chain(ruleset, len(frontend.endpoints), is_node_port, masquerades)}"
    numbered = ruleset.elements[_endpoints_map(len(frontend.endpoints), is_node_port)]
    for index, endpoint in enumerate(frontend.endpoints):
        numbered[f"{key} . {index}"] = _target(endpoint)


def _hides_source(frontend: Frontend, settings: Settings) -> bool:
    """Whether every connection is masqueraded: the endpoint's answer must come back through this node."""
    return settings.masquerade_all or (frontend.kind is not Kind.CLUSTER_IP and not frontend.is_local_only)


def _endpoints_map(count: int, is_node_port: bool) -> str:
    return f"{'nodeport-' if is_node_port else ''}endpoints-{count}"


def _balancer_chain(ruleset: Ruleset, count: int, is_node_port: bool, masquerades: str) -> str:
    """The chain for frontends with that many endpoints; made with its map when it is first wanted."""
    name = f"{'masq-' if masquerades else ''}{'nodeport-' if is_node_port else ''}lb-{count}"
    if name not in ruleset.chains:
        family, numbers = ruleset.family.name, f"numgen random mod {count}"
        key = f"meta l4proto . th dport . {numbers}"
        if not is_node_port:
            key = f"{family} daddr . {key}"
        map_ = _endpoints_map(count, is_node_port)
        ruleset.declarations[map_] = f"map {map_} {{ typeof {key} : {family} daddr . th dport; }}"
        ruleset.elements.setdefault(map_, {})
        balance = f"dnat {family} to {key} map @{map_}"
        ruleset.chains[name] = (masquerades, balance) if masquerades else (balance,)
    return name


def _affinity_chains(ruleset: Ruleset, frontend: Frontend, masquerades: str) -> str:
    """A chain for the frontend and one for each endpoint, which remembers the clients that it sent there."""
    family = ruleset.family
    base = f"affinity-{_digest(frontend.kind, frontend.address, frontend.protocol, frontend.port)}"
    known, fresh = [], []
    for index, endpoint in enumerate(frontend.endpoints):
        name = f"{base}-{_digest(*endpoint)}"
        ruleset.declarations[name] = (
            f"set {name} {{ type {family.address_type}; flags dynamic, timeout; timeout {frontend.affinity_s}s; }}"
        )
        ruleset.elements[name] = {}
        ruleset.chains[name] = (
            f"update @{name} {{ {family.name} saddr }}",
            f"meta l4proto {frontend.protocol} dnat {family.name} to {_address_port(endpoint, family)}",
        )
        known.append(f"{family.name} saddr @{name} goto {name}")
        fresh.append(f"{index} : goto {name}")
    balance = f"numgen random mod {len(fresh)} vmap {{ {', '.join(fresh)} }}"
    ruleset.chains[base] = (*([masquerades] if masquerades else []), *known, balance)
    return base


def _source_ranges_chain(ruleset: Ruleset, frontend: Frontend) -> str:
    name = f"sources-{_digest(frontend.address, frontend.protocol, frontend.port)}"
    ranges = ", ".join(sorted(frontend.source_ranges))
    ruleset.chains[name] = (f"{ruleset.family.name} saddr {{ {ranges} }} return", "drop")
    return name


def _target(endpoint: Endpoint) -> str:
    return f"{endpoint.address} . {endpoint.port}"


def _address_port(endpoint: Endpoint, family: Family) -> str:
    host = f"[{endpoint.address}]" if family is IPV6 else endpoint.address
    return f"{host}:{endpoint.port}"


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


def _base_chains(family: Family, settings: Settings) -> Mapping[str, tuple[str, ...]]:
    frontend = f"{family.name} daddr . meta l4proto . th dport"
    nodeport = f"{family.name} daddr @node-ips meta l4proto . th dport"
    outside = (
        (f"{family.name} daddr @cluster-ips {family.name} saddr != {settings.cluster_cidr} jump mark-masq",)
        if settings.cluster_cidr and (":" in settings.cluster_cidr) == (family is IPV6)
        else ()
    )
    check = (f"{frontend} vmap @no-endpoints", f"{nodeport} vmap @no-endpoint-nodeports")
    unassigned = f"{family.name} daddr @cluster-ips jump refuse"
    reject = "reject with icmpv6 port-unreachable" if family is IPV6 else "reject with icmp port-unreachable"
    return {
        "mark-masq": (f"meta mark set meta mark or {MASQUERADE_MARK:#x}",),
        "refuse": ("meta l4proto tcp reject with tcp reset", reject),
        "services": (*outside, f"{frontend} vmap @service-ips", f"{nodeport} vmap @service-nodeports"),
        "filter-prerouting": (
            "type filter hook prerouting priority dstnat - 10; policy accept",
            f"ct state new {frontend} vmap @source-ranges",
        ),
        "filter-input": ("type filter hook input priority filter; policy accept", *(f"ct state new {rule}" for rule in check)),
        "filter-forward": (
            "type filter hook forward priority filter; policy accept",
            *(f"ct state new {rule}" for rule in (*check, unassigned)),
        ),
        "filter-output": (
            "type filter hook output priority filter; policy accept",
            *(f"ct state new {rule}" for rule in (*check, unassigned)),
        ),
        "nat-prerouting": ("type nat hook prerouting priority dstnat; policy accept", "jump services"),
        "nat-output": ("type nat hook output priority -100; policy accept", "jump services"),
        "nat-postrouting": (
            "type nat hook postrouting priority srcnat; policy accept",
            # Only what came through a Service: a node talks to itself directly too, and a flow that began before these rules
            # must not get another source port in the middle of its handshake.
            f"ct status dnat {family.name} saddr . {family.name} daddr @hairpin masquerade fully-random",
            # The bit is cleared before it leaves: a tunnel on its way must not masquerade again.
            f"meta mark & {MASQUERADE_MARK:#x} != 0 meta mark set meta mark ^ {MASQUERADE_MARK:#x} masquerade fully-random",
        ),
    }


def replace(wanted: Ruleset) -> str:
    """The transaction that makes the table exactly this, whatever there was."""
    table = f"{wanted.family.name} {TABLE}"
    lines = [f"add table {table}", f"delete table {table}", f"add table {table}"]
    chains = {**_base_chains(wanted.family, wanted.settings), **wanted.chains}
    lines += [_declare(table, declaration) for declaration in wanted.declarations.values()]
    for name, rules in chains.items():
        lines += _declare_chain(table, name, rules)
    for name, rules in chains.items():
        lines += _rules(table, name, rules)
    for name, elements in wanted.elements.items():
        lines += _element_commands("add", table, name, elements)
    return "\n".join(lines) + "\n"


def update(present: Ruleset, wanted: Ruleset) -> str:
    """The transaction from one to the other, "" if they are the same. For equal families and settings."""
    table = f"{wanted.family.name} {TABLE}"
    lines: list[str] = []
    # A set whose type changed (another affinity timeout) is another set: its chain is rewritten around it.
    retyped = {
        name for name, text in present.declarations.items() if name in wanted.declarations and wanted.declarations[name] != text
    }
    changed = [
        name
        for name, rules in wanted.chains.items()
        if present.chains.get(name) != rules or any(f"@{set_}" in rule for set_ in retyped for rule in rules)
    ]
    for name in changed:
        lines.append(f"add chain {table} {name}")
        lines.append(f"flush chain {table} {name}")
    lines += [f"delete set {table} {name}" for name in retyped]
    for name, declaration in wanted.declarations.items():
        if name not in present.declarations or name in retyped:
            lines.append(_declare(table, declaration))
    for name in changed:
        lines += _rules(table, name, wanted.chains[name])
    for name, elements in present.elements.items():
        kept = wanted.elements.get(name, {})
        # A map's element is changed by removing and adding it, within the transaction nobody sees it gone.
        gone = {key: "" for key, value in elements.items() if kept.get(key) != value}
        lines += _element_commands("delete", table, name, gone)
    for name, elements in wanted.elements.items():
        had = present.elements.get(name, {})
        fresh = {key: value for key, value in elements.items() if had.get(key) != value}
        lines += _element_commands("add", table, name, fresh)
    gone_chains = [name for name in present.chains if name not in wanted.chains]
    # First all are emptied: they may refer to one another and to the sets that go.
    lines += [f"flush chain {table} {name}" for name in gone_chains]
    lines += [f"delete chain {table} {name}" for name in gone_chains]
    for name, declaration in present.declarations.items():
        if name not in wanted.declarations:
            lines.append(f"delete {declaration.split()[0]} {table} {name}")
    return "\n".join(lines) + "\n" if lines else ""


def _declare(table: str, declaration: str) -> str:
    kind, name, body = declaration.split(" ", 2)
    return f"add {kind} {table} {name} {body}"


def _declare_chain(table: str, name: str, rules: tuple[str, ...]) -> Iterator[str]:
    hook = f" {{ {rules[0]}; }}" if rules[0].startswith("type ") else ""
    yield f"add chain {table} {name}{hook}"


def _rules(table: str, name: str, rules: tuple[str, ...]) -> Iterator[str]:
    return (f"add rule {table} {name} {rule}" for rule in rules if not rule.startswith("type "))


def _element_commands(verb: str, table: str, name: str, elements: Mapping[str, str]) -> Iterator[str]:
    texts = [f"{key} : {value}" if value else key for key, value in elements.items()]
    for start in range(0, len(texts), _ELEMENTS_PER_COMMAND):
        chunk = ", ".join(texts[start : start + _ELEMENTS_PER_COMMAND])
        yield f"{verb} element {table} {name} {{ {chunk} }}"


def stale_udp(present: Iterable[Frontend], wanted: Iterable[Frontend]) -> set[tuple[str, int, str]]:
    """(frontend address or "", port, endpoint address) of UDP flows whose endpoint went away.

    The kernel keeps sending a known flow where it went before, and UDP clients never say goodbye (upstream: conntrack
    cleanup); "" as endpoint address stands for flows that had none and may have one now.
    """
    before, after = _udp_endpoints(present), _udp_endpoints(wanted)
    stale = set()
    for (address, port), endpoints in before.items():
        stale |= {(address, port, gone) for gone in endpoints - after.get((address, port), set())}
    for (address, port), endpoints in after.items():
        if endpoints and not before.get((address, port)):
            stale.add((address, port, ""))
    return stale


def _udp_endpoints(frontends: Iterable[Frontend]) -> dict[tuple[str, int], set[str]]:
    return {
        (each.address, each.port): {endpoint.address for endpoint in each.endpoints}
        for each in frontends
        if each.protocol == "udp"
    }
