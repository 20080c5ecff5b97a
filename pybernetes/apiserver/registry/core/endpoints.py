"""Endpoints: the old form of EndpointSlices, deprecated and still written by many."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pybernetes.apiserver.registry import checks, printing
from pybernetes.apiserver.registry.core.service_validation import PROTOCOLS, validate_routable_ip
from pybernetes.apiserver.registry.strategy import AGE, NAME, Column, Strategy
from pybernetes.machinery import validation
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object, name_of
from pybernetes.machinery.resources import ENDPOINTS

SHOWN_MAX = 3


def default(endpoints: Object) -> None:
    for subset in endpoints.get("subsets") or ():
        for port in subset.get("ports") or ():
            if not port.get("protocol"):
                port["protocol"] = "TCP"


def validate(endpoints: Object) -> Iterator[FieldError]:
    for i, subset in enumerate(endpoints.get("subsets") or ()):
        here = f"subsets[{i}]"
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            yield FieldError.required(here, "must specify `addresses` or `notReadyAddresses`")
        for field in ("addresses", "notReadyAddresses"):
            for j, address in enumerate(subset.get(field) or ()):
                yield from _validate_address(address, f"{here}.{field}[{j}]")
        ports = subset.get("ports") or ()
        for j, port in enumerate(ports):
            yield from _validate_port(port, len(ports) > 1, f"{here}.ports[{j}]")


def _validate_address(address: Object, path: str) -> Iterator[FieldError]:
    ip = address.get("ip", "")
    if sentences := validation.ip_errors(ip):
        yield from (FieldError.invalid(path + ".ip", ip, sentence) for sentence in sentences)
    else:
        yield from validate_routable_ip(ip, path + ".ip")
    if address.get("hostname"):
        yield from checks.invalid_by(path + ".hostname", address["hostname"], validation.dns_1123_label_errors)
    if address.get("nodeName") is not None:
        yield from checks.invalid_by(path + ".nodeName", address["nodeName"], validation.dns_1123_subdomain_errors)


def _validate_port(port: Object, name_needed: bool, path: str) -> Iterator[FieldError]:
    if port.get("name"):
        yield from checks.invalid_by(path + ".name", port["name"], validation.dns_1123_label_errors)
    elif name_needed:
        yield FieldError.required(path + ".name")
    yield from checks.port_number(port.get("port", 0), path + ".port")
    yield from checks.required_one_of(port.get("protocol", ""), PROTOCOLS, path + ".protocol")
    if port.get("appProtocol") is not None:
        yield from checks.invalid_by(path + ".appProtocol", port["appProtocol"], validation.label_key_errors)


def cells(endpoints: Object, now: datetime) -> list[Any]:
    shown: list[str] = []
    count = 0
    for subset in endpoints.get("subsets") or ():
        ips = [address.get("ip", "") for address in subset.get("addresses") or ()]
        for port in subset.get("ports") or [None]:
            count += len(ips)
            shown += ips if port is None else [f"[{ip}]:{port['port']}" if ":" in ip else f"{ip}:{port['port']}" for ip in ips]
    text = ",".join(shown[:SHOWN_MAX])
    if count > SHOWN_MAX:
        text += f" + {count - SHOWN_MAX} more..."
    return [name_of(endpoints), text or printing.NONE, printing.age(endpoints, now)]


STRATEGY = Strategy(
    resource=ENDPOINTS,
    storage_path="services/endpoints",
    default=default,
    validate=validate,
    creates_on_update=True,
    deprecation="v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    columns=(NAME, Column("Endpoints"), AGE),
    cells=cells,
)
