"""What the cluster answers to a question: the DNS specification of Kubernetes as a pure function.

Source: https://github.com/kubernetes/dns/blob/master/docs/specification.md (version 1.1.0); pods by address as CoreDNS's
`pods insecure` has them. Names are compared in lower case, without the final dot.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from pybernetes.machinery.meta import Object, name_of, namespace_of

SPECIFICATION = "1.1.0"
TTL_S = 30  # as kubeadm's CoreDNS: how long a client may believe an endpoint
NEGATIVE_TTL_S = 5

A, NS, CNAME, SOA, PTR, TXT, AAAA, SRV, ANY = 1, 2, 5, 6, 12, 16, 28, 33, 255
NOERROR, NXDOMAIN = 0, 3


class Record(NamedTuple):
    """One resource record. `data` is an address, a name, a text, or (priority, weight, port, target) for SRV."""

    name: str
    type: int
    data: str | tuple[int, int, int, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """`rcode` with no answers is either NXDOMAIN, or NOERROR for a name that exists without records of the type."""

    rcode: int = NOERROR
    answers: Sequence[Record] = ()
    additional: Sequence[Record] = field(default=())


NO_SUCH_NAME = Answer(NXDOMAIN)
NO_DATA = Answer()


class View(Protocol):
    """What is known of the cluster."""

    def service(self, namespace: str, name: str) -> Object | None: ...

    def slices(self, namespace: str, service: str) -> Iterable[Object]:
        """The EndpointSlices of a Service."""
        ...

    def has_namespace(self, name: str) -> bool: ...

    def services_with_ip(self, address: str) -> Iterable[Object]: ...

    def slices_with_ip(self, address: str) -> Iterable[Object]: ...


def answer(view: View, domain: str, name: str, type_: int) -> Answer | None:
    """The authoritative answer; None for a name that is not the cluster's, which is to be forwarded.

    `name` is in lower case and has no final dot; `domain` is the cluster's ("cluster.local").
    """
    if name.endswith((".in-addr.arpa", ".ip6.arpa")):
        return _reverse(view, domain, name, type_)
    if name == domain:
        return _zone(domain, type_)
    if not name.endswith(f".{domain}"):
        return None
    labels = name.removesuffix(f".{domain}").split(".")
    match labels[-1]:
        case "svc":
            return _service_name(view, domain, name, labels[:-1], type_)
        case "pod":
            return _pod_name(view, name, labels[:-1], type_)
        case "dns-version" if len(labels) == 1:
            return _only([Record(name, TXT, SPECIFICATION)], type_)
    return NO_SUCH_NAME


def _zone(domain: str, type_: int) -> Answer:
    return _only([Record(domain, NS, f"ns.dns.{domain}")], type_)


def _service_name(view: View, domain: str, name: str, labels: Sequence[str], type_: int) -> Answer:
    """`labels` is what stands before "svc": [[[_port._proto | hostname].]service.]namespace."""
    if len(labels) < 2:
        return NO_DATA if not labels or view.has_namespace(labels[0]) else NO_SUCH_NAME
    *rest, service_name, namespace = labels
    service = view.service(namespace, service_name)
    if service is None:
        return NO_SUCH_NAME
    spec = service["spec"]
    if spec.get("type") == "ExternalName":
        return _answer_of([Record(name, CNAME, spec["externalName"])]) if not rest else NO_SUCH_NAME
    base = f"{service_name}.{namespace}.svc.{domain}"
    if spec.get("clusterIP") in (None, "", "None"):
        return _headless(list(_endpoints(view, namespace, service_name)), base, name, rest, type_)
    return _cluster_ip(spec, base, name, rest, type_)


def _cluster_ip(spec: Object, base: str, name: str, rest: Sequence[str], type_: int) -> Answer:
    addresses = [_address_record(base, address) for address in spec.get("clusterIPs") or [spec["clusterIP"]]]
    if not rest:
        if type_ == SRV:
            return _srv(name, [(port, base) for port in _ports(spec.get("ports"))], addresses, "", "")
        return _only(addresses, type_)
    if len(rest) == 2 and rest[0].startswith("_") and rest[1].startswith("_"):
        targets = [(port, base) for port in _ports(spec.get("ports"))]
        return _srv(name, targets, addresses, rest[0][1:], rest[1][1:], type_)
    return NO_SUCH_NAME


class _Endpoint(NamedTuple):
    hostname: str
    address: str
    ports: tuple[_Port, ...]


class _Port(NamedTuple):
    name: str
    protocol: str
    number: int


def _headless(endpoints: Sequence[_Endpoint], base: str, name: str, rest: Sequence[str], type_: int) -> Answer:
    if not rest:
        if type_ == SRV:
            return _endpoint_srv(endpoints, base, name, "", "", type_)
        return _only([_address_record(name, endpoint.address) for endpoint in endpoints], type_)
    if len(rest) == 1:
        found = [endpoint for endpoint in endpoints if endpoint.hostname == rest[0]]
        if not found:
            return NO_SUCH_NAME
        return _only([_address_record(name, endpoint.address) for endpoint in found], type_)
    if len(rest) == 2 and rest[0].startswith("_") and rest[1].startswith("_"):
        return _endpoint_srv(endpoints, base, name, rest[0][1:], rest[1][1:], type_)
    return NO_SUCH_NAME


def _endpoint_srv(endpoints: Sequence[_Endpoint], base: str, name: str, port_name: str, protocol: str, type_: int) -> Answer:
    targets = [(port, f"{endpoint.hostname}.{base}") for endpoint in endpoints for port in endpoint.ports]
    addresses = [_address_record(f"{endpoint.hostname}.{base}", endpoint.address) for endpoint in endpoints]
    return _srv(name, targets, addresses, port_name, protocol, type_)


def _srv(
    name: str,
    targets: Sequence[tuple[_Port, str]],
    addresses: Sequence[Record],
    port_name: str,
    protocol: str,
    type_: int = SRV,
) -> Answer:
    """SRV records of the ports of that name and protocol ("": of all), each target once, with the targets' addresses."""
    wanted = [
        (port, target) for port, target in targets if not protocol or (port.name == port_name and port.protocol == protocol)
    ]
    if not wanted:
        return NO_SUCH_NAME if protocol else NO_DATA
    if type_ not in (SRV, ANY):
        return NO_DATA
    weight = 100 // len(wanted) or 1
    records = dict.fromkeys(Record(name, SRV, (0, weight, port.number, target)) for port, target in wanted)
    named = {target for _, target in wanted}
    return Answer(NOERROR, list(records), [record for record in dict.fromkeys(addresses) if record.name in named])


def _pod_name(view: View, name: str, labels: Sequence[str], type_: int) -> Answer:
    """`labels` is what stands before "pod": [address-with-dashes.]namespace."""
    if not labels:
        return NO_DATA
    if not view.has_namespace(labels[-1]):
        return NO_SUCH_NAME
    if len(labels) == 1:
        return NO_DATA
    if len(labels) > 2:
        return NO_SUCH_NAME
    address = _parse_dashed(labels[0])
    return _only([_address_record(name, address)], type_) if address else NO_SUCH_NAME


def _parse_dashed(text: str) -> str:
    """10-1-2-3 -> 10.1.2.3, fd00--1 -> fd00::1; "" for anything else."""
    for separator in (".", ":"):
        try:
            return str(ipaddress.ip_address(text.replace("-", separator)))
        except ValueError:
            continue
    return ""


def _reverse(view: View, domain: str, name: str, type_: int) -> Answer | None:
    """PTR of Service and endpoint addresses; None for other addresses: somebody else may know them."""
    address = _reverse_address(name)
    if not address:
        return None
    names = [f"{name_of(service)}.{namespace_of(service)}.svc.{domain}" for service in view.services_with_ip(address)]
    for slice_ in view.slices_with_ip(address):
        base = f"{_service_of(slice_)}.{namespace_of(slice_)}.svc.{domain}"
        names += [f"{endpoint.hostname}.{base}" for endpoint in _slice_endpoints(slice_) if endpoint.address == address]
    if not names:
        return None
    return _only([Record(name, PTR, target) for target in dict.fromkeys(names)], type_)


def _reverse_address(name: str) -> str:
    try:
        if name.endswith(".in-addr.arpa"):
            parts = name.removesuffix(".in-addr.arpa").split(".")
            return str(ipaddress.IPv4Address(".".join(reversed(parts))))
        nibbles = "".join(reversed(name.removesuffix(".ip6.arpa").split(".")))
        return str(ipaddress.IPv6Address(int(nibbles, 16))) if len(nibbles) == 32 else ""
    except ValueError:
        return ""


def _endpoints(view: View, namespace: str, service: str) -> Iterator[_Endpoint]:
    for slice_ in view.slices(namespace, service):
        yield from _slice_endpoints(slice_)


def _slice_endpoints(slice_: Object) -> Iterator[_Endpoint]:
    """Those that are ready (publishNotReadyAddresses is in the condition already: EndpointSlice API, "ready")."""
    ports = tuple(_ports(slice_.get("ports")))
    for endpoint in slice_.get("endpoints") or ():
        if (endpoint.get("conditions") or {}).get("ready", True) is False:
            continue
        for address in endpoint["addresses"]:
            yield _Endpoint(endpoint.get("hostname") or _dashed(address), address, ports)


def _dashed(address: str) -> str:
    return address.replace(".", "-").replace(":", "-")


def _ports(ports: Iterable[Object] | None) -> Iterator[_Port]:
    for port in ports or ():
        yield _Port(port.get("name") or "", (port.get("protocol") or "TCP").lower(), port["port"])


def _service_of(slice_: Object) -> str:
    name: str = slice_["metadata"].get("labels", {}).get("kubernetes.io/service-name", "")
    return name


def _address_record(name: str, address: str) -> Record:
    return Record(name, AAAA if ":" in address else A, address)


def _only(records: Sequence[Record], type_: int) -> Answer:
    return _answer_of([record for record in records if type_ in (record.type, ANY)])


def _answer_of(records: Sequence[Record]) -> Answer:
    return Answer(NOERROR, records) if records else NO_DATA
