"""EndpointSlices: where a Service leads to."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pybernetes.apiserver.registry import checks, printing
from pybernetes.apiserver.registry.core.service_validation import PROTOCOLS, validate_routable_ip
from pybernetes.apiserver.registry.strategy import AGE, NAME, Column, Strategy
from pybernetes.machinery import validation
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object, name_of
from pybernetes.machinery.resources import ENDPOINT_SLICES

_TYPES = ("FQDN", "IPv4", "IPv6")
_ENDPOINTS_MAX, _ADDRESSES_MAX, _PORTS_MAX, _HINTS_MAX = 1000, 100, 20000, 8
SHOWN_MAX = 3


def default(endpoint_slice: Object) -> None:
    for port in endpoint_slice.get("ports") or ():
        if port.get("name") is None:
            port["name"] = ""
        if port.get("protocol") is None:
            port["protocol"] = "TCP"
    for endpoint in endpoint_slice.get("endpoints") or ():
        endpoint.setdefault("conditions", {})


def validate(endpoint_slice: Object) -> Iterator[FieldError]:
    type_ = endpoint_slice.get("addressType", "")
    yield from checks.required_one_of(type_, _TYPES, "addressType")
    endpoints = endpoint_slice.get("endpoints") or ()
    if len(endpoints) > _ENDPOINTS_MAX:
        yield FieldError.too_many("endpoints", len(endpoints), _ENDPOINTS_MAX)
        return
    for i, endpoint in enumerate(endpoints):
        yield from _validate_endpoint(endpoint, type_, f"endpoints[{i}]")
    yield from _validate_ports(endpoint_slice.get("ports") or ())


def _validate_endpoint(endpoint: Object, type_: str, path: str) -> Iterator[FieldError]:
    addresses = endpoint.get("addresses") or ()
    if not addresses:
        yield FieldError.required(path + ".addresses", "must contain at least 1 address")
    elif len(addresses) > _ADDRESSES_MAX:
        yield FieldError.too_many(path + ".addresses", len(addresses), _ADDRESSES_MAX)
    for i, address in enumerate(addresses):
        yield from _validate_address(address, type_, path + ".addresses", i)
    if endpoint.get("nodeName") is not None:
        yield from checks.invalid_by(path + ".nodeName", endpoint["nodeName"], validation.dns_1123_subdomain_errors)
    yield from checks.label_map(endpoint.get("deprecatedTopology"), path + ".deprecatedTopology")
    if endpoint.get("hostname") is not None:
        yield from checks.invalid_by(path + ".hostname", endpoint["hostname"], validation.dns_1123_label_errors)
    hints = endpoint.get("hints") or {}
    for field in ("forZones", "forNodes"):
        entries = hints.get(field) or ()
        here = f"{path}.hints.{field}"
        if len(entries) > _HINTS_MAX:
            yield FieldError.too_many(here, len(entries), _HINTS_MAX)
        yield from checks.unique([entry.get("name", "") for entry in entries], here, ".name")


def _validate_address(address: str, type_: str, path: str, i: int) -> Iterator[FieldError]:
    here = f"{path}[{i}]"
    if type_ == "FQDN":
        yield from checks.invalid_by(here, address, validation.fully_qualified_name_errors)
    elif type_ in ("IPv4", "IPv6"):
        if sentences := validation.ip_errors(address):
            yield from (FieldError.invalid(here, address, sentence) for sentence in sentences)
            return
        if f"IPv{ipaddress.ip_address(address).version}" != type_:
            # Upstream names the list, not the item.
            yield FieldError.invalid(path, address, f"must be an {type_} address")
        yield from validate_routable_ip(address, here)


def _validate_ports(ports: Any) -> Iterator[FieldError]:
    if len(ports) > _PORTS_MAX:
        yield FieldError.too_many("ports", len(ports), _PORTS_MAX)
        return
    names = set()
    for i, port in enumerate(ports):
        here, name = f"ports[{i}]", port.get("name") or ""
        if name:
            yield from checks.invalid_by(here + ".name", name, validation.dns_1123_label_errors)
        if name in names:
            yield FieldError.duplicate(here + ".name", name)
        names.add(name)
        yield from checks.required_one_of(port.get("protocol") or "", PROTOCOLS, here + ".protocol")
        if port.get("port") is not None:
            yield from checks.port_number(port["port"], here + ".port")
        if port.get("appProtocol") is not None:
            yield from checks.invalid_by(here + ".appProtocol", port["appProtocol"], validation.label_key_errors)


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    yield from checks.immutable(new.get("addressType"), old.get("addressType"), "addressType")


def cells(endpoint_slice: Object, now: datetime) -> list[Any]:
    ports = [str(port["port"]) if port.get("port") is not None else "*" for port in endpoint_slice.get("ports") or ()]
    addresses = [address for endpoint in endpoint_slice.get("endpoints") or () for address in endpoint.get("addresses") or ()]
    return [
        name_of(endpoint_slice), endpoint_slice.get("addressType", ""), _some(ports), _some(addresses),
        printing.age(endpoint_slice, now),
    ]  # fmt: skip


def _some(values: list[str]) -> str:
    if not values:
        return printing.UNSET
    more = f" + {len(values) - SHOWN_MAX} more..." if len(values) > SHOWN_MAX else ""
    return ",".join(values[:SHOWN_MAX]) + more


STRATEGY = Strategy(
    resource=ENDPOINT_SLICES,
    default=default,
    validate=validate,
    validate_update=validate_update,
    bumps_generation=True,
    columns=(NAME, Column("AddressType"), Column("Ports"), Column("Endpoints"), AGE),
    cells=cells,
)
