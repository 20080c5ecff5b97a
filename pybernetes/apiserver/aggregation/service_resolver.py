"""Where a Service is reached from the API server itself: its cluster IP, or one of its endpoints.

Through the cluster IP a connection goes as any pod's would (so a kube-proxy must run on this machine); with
`--enable-aggregator-routing` it goes to an endpoint directly.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pybernetes.apiserver.registry.strategy import Reader
from pybernetes.machinery.entropy import Entropy
from pybernetes.machinery.errors import ServiceUnavailable, not_found
from pybernetes.machinery.meta import Object
from pybernetes.machinery.resources import ENDPOINT_SLICES, PODS, SERVICES

SERVICE_NAME = "kubernetes.io/service-name"


class Address(NamedTuple):
    host: str  # an IP address, or a DNS name
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Unroutable(Exception):
    """There is no way to the Service; the message says why, as upstream's."""


class ServiceResolver:
    def __init__(self, reader: Reader, entropy: Entropy, *, to_endpoints: bool = False) -> None:
        self._reader = reader
        self._entropy = entropy
        self._to_endpoints = to_endpoints

    def resolve(self, namespace: str, name: str, port: int) -> Address:
        """Raises `Unroutable`."""
        service = self._reader.get(SERVICES, namespace, name)
        if service is None:
            raise Unroutable(f'service "{name}" not found')
        if service.get("spec", {}).get("type") == "ExternalName":
            return Address(service["spec"]["externalName"], port)
        found = service_port(service, port)
        if found is None:
            raise Unroutable(f'no service port {port} found for service "{name}"')
        if not self._to_endpoints:
            address = service["spec"].get("clusterIP") or ""
            if address in ("", "None"):
                raise Unroutable(f'cannot route to service with ClusterIP "{address or "None"}"')
            return Address(address, port)
        ready = ready_addresses(self._reader, namespace, name, found.get("name", ""))
        if not ready:
            raise Unroutable(f'no endpoints available for service "{name}"')
        return ready[int(self._entropy.random() * len(ready))]


def service_port(service: Object, number: int) -> Object | None:
    """The entry of `spec.ports` with that number."""
    ports: list[Object] = service.get("spec", {}).get("ports") or []
    return next((port for port in ports if port["port"] == number), None)


def slices_of(reader: Reader, namespace: str, name: str) -> list[Object]:
    """The EndpointSlices of a Service."""
    return [
        found
        for found in reader.list(ENDPOINT_SLICES, namespace)
        if (found["metadata"].get("labels") or {}).get(SERVICE_NAME) == name
    ]


def ready_addresses(reader: Reader, namespace: str, name: str, port_name: str) -> list[Address]:
    """The ready endpoints of a Service behind its port of that name ("" where it has one without a name)."""
    return [address for address, _ in _ready_endpoints(reader, namespace, name, port_name)]


def _ready_endpoints(reader: Reader, namespace: str, name: str, port_name: str) -> Iterator[tuple[Address, Object]]:
    for endpoint_slice in slices_of(reader, namespace, name):
        numbers = [port for port in endpoint_slice.get("ports") or () if (port.get("name") or "") == port_name]
        if not numbers or not numbers[0].get("port"):
            continue
        for endpoint in endpoint_slice.get("endpoints") or ():
            if (endpoint.get("conditions") or {}).get("ready", True):
                yield Address(endpoint["addresses"][0], numbers[0]["port"]), endpoint


def _is_pods(reader: Reader, namespace: str, address: Address, endpoint: Object) -> bool:
    """Whether the endpoint is the address of the pod that it names.

    Who may write EndpointSlices could otherwise have the API server connect to anything for them.
    """
    target = endpoint.get("targetRef") or {}
    if target.get("kind") != "Pod" or target.get("namespace") != namespace:
        return False
    pod = reader.get(PODS, namespace, target.get("name", ""))
    return pod is not None and address.host in {found.get("ip") for found in pod.get("status", {}).get("podIPs") or ()}


def proxied_address(reader: Reader, entropy: Entropy, namespace: str, name: str, wanted: str) -> Address:
    """A pod's endpoint for `services/proxy`, whose port is named or numbered ("": the one without a name).

    Raises `NotFound`, `ServiceUnavailable`.
    """
    service = reader.get(SERVICES, namespace, name)
    if service is None:
        raise not_found("", "services", name)
    port_name = wanted
    if wanted.isdecimal():
        found = service_port(service, int(wanted))
        if found is None:
            raise ServiceUnavailable(f'no service port {wanted} found for service "{name}"')
        port_name = found.get("name", "")
    ready = [
        address
        for address, endpoint in _ready_endpoints(reader, namespace, name, port_name)
        if _is_pods(reader, namespace, address, endpoint)
    ]
    if not ready:
        raise ServiceUnavailable(f'no endpoints available for service "{name}"')
    return ready[int(entropy.random() * len(ready))]
