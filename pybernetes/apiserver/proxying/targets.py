"""Where a proxied request goes: which node's kubelet, which address of a pod. (A Service's is the aggregation's to find.)"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from pybernetes.machinery.errors import BadRequest, InternalError
from pybernetes.machinery.meta import Object

KUBELET_PORT = 10250


@dataclass(frozen=True, slots=True)
class Kubelets:
    """How to reach kubelets: our client certificate, and whether theirs is verified (with a CA) or taken on trust."""

    certificate: str = ""
    key: str = ""
    certificate_authority: str = ""
    address_types: Sequence[str] = ("InternalIP", "ExternalIP", "Hostname", "InternalDNS", "ExternalDNS")


def kubelet_url(node: Object, address_types: Sequence[str]) -> str:
    """Raises `InternalError` for a node without an address."""
    return url("https", _node_address(node, address_types), kubelet_port(node))


def kubelet_port(node: Object) -> int:
    endpoints = node.get("status", {}).get("daemonEndpoints") or {}
    return int((endpoints.get("kubeletEndpoint") or {}).get("Port") or KUBELET_PORT)


def node_url(node: Object, address_types: Sequence[str], scheme: str, port: str) -> str:
    """Another port of the node than its kubelet's. Raises `BadRequest`, `InternalError`."""
    address = _node_address(node, address_types)
    if not is_global_unicast(address):
        raise BadRequest("address not allowed")
    return url(scheme, address, port)


def _node_address(node: Object, address_types: Sequence[str]) -> str:
    addresses = {found["type"]: found["address"] for found in reversed(node.get("status", {}).get("addresses") or ())}
    for kind in address_types:
        if kind in addresses:
            return str(addresses[kind])
    raise InternalError(f"no preferred addresses found; known addresses: {list(addresses.values())}")


def pod_url(pod: Object, scheme: str, port: str) -> str:
    """The pod's own address, at `port` or else the first that it declares. Raises `BadRequest`."""
    if not port:
        ports = [port for container in pod["spec"]["containers"] for port in container.get("ports") or ()]
        port = str(ports[0]["containerPort"]) if ports else ""
    address = pod.get("status", {}).get("podIP", "")
    if not is_global_unicast(address):
        raise BadRequest("address not allowed")
    return url(scheme, address, port)


def is_global_unicast(address: str) -> bool:
    """False for what reaches our own machine or link: whoever writes a pod's status could have us ask anything there."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return not (found.is_loopback or found.is_link_local or found.is_multicast or found.is_unspecified)


def url(scheme: str, address: str, port: str | int) -> str:
    host = f"[{address}]" if ":" in address else address
    return f"{scheme or 'http'}://{host}" + (f":{port}" if port else "")


def split_target(text: str) -> tuple[str, str, str]:
    """`[scheme:]name[:port]` → (scheme, name, port)."""
    parts = text.split(":")
    if len(parts) == 3:
        return parts[0], parts[1], parts[2]
    if len(parts) == 2:
        return "", parts[0], parts[1]
    return "", text, ""
