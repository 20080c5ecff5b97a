"""IPAddresses and ServiceCIDRs (KEP-1880)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pybernetes.apiserver.registry import checks, printing, replicas
from pybernetes.apiserver.registry.strategy import AGE, NAME, Column, Strategy
from pybernetes.machinery import validation
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object, name_of
from pybernetes.machinery.resources import IP_ADDRESSES, SERVICE_CIDRS


def validate_ip_name(name: str) -> list[str]:
    ip = validation.parse_ip(name)
    if ip is None:
        return validation.ip_errors(name)
    return [] if str(ip) == name else [f'must be in canonical form ("{ip}")']


def validate_address(address: Object) -> Iterator[FieldError]:
    parent = address.setdefault("spec", {}).get("parentRef")
    if parent is None:
        yield FieldError.required("spec.parentRef")
        return
    if parent.get("group"):
        yield from checks.invalid_by("spec.parentRef.group", parent["group"], validation.dns_1123_subdomain_errors)
    for field in ("resource", "name"):
        if not parent.get(field):
            yield FieldError.required(f"spec.parentRef.{field}")
        else:
            yield from checks.invalid_by(f"spec.parentRef.{field}", parent[field], validation.path_segment_errors)
    if parent.get("namespace"):
        yield from checks.invalid_by("spec.parentRef.namespace", parent["namespace"], validation.path_segment_errors)


def validate_address_update(new: Object, old: Object) -> Iterator[FieldError]:
    yield from checks.immutable(new["spec"].get("parentRef"), old["spec"].get("parentRef"), "spec.parentRef")


def address_cells(address: Object, _: datetime) -> list[Any]:
    parent = (address.get("spec") or {}).get("parentRef") or {}
    group = f".{parent['group']}" if parent.get("group") else ""
    shown = [f"{parent.get('resource', '')}{group}".lower(), parent.get("namespace"), parent.get("name")]
    return [name_of(address), "/".join(part for part in shown if part)]


IP_ADDRESS_STRATEGY = Strategy(
    resource=IP_ADDRESSES,
    validate_name=validate_ip_name,
    validate=validate_address,
    validate_update=validate_address_update,
    selectable_fields={},
    columns=(NAME, Column("ParentRef")),
    cells=address_cells,
)


def validate_cidr(service_cidr: Object) -> Iterator[FieldError]:
    cidrs = service_cidr.setdefault("spec", {}).get("cidrs") or []
    if not cidrs:
        yield FieldError.required("spec.cidrs", "at least one CIDR required")
    elif len(cidrs) > 2:
        sentence = "may only hold up to 2 values"
        yield FieldError.invalid("spec.cidrs", cidrs, sentence)
    networks = []
    for i, cidr in enumerate(cidrs):
        sentences = validation.cidr_errors(cidr)
        yield from (FieldError.invalid(f"spec.cidrs[{i}]", cidr, sentence) for sentence in sentences)
        network = validation.parse_cidr(cidr)
        if network is not None:
            networks.append(network)
            if str(network) != cidr:
                sentence = f'must be in canonical form ("{network}")'
                yield FieldError.invalid(f"spec.cidrs[{i}]", cidr, sentence)
    if len(networks) == 2 and networks[0].version == networks[1].version:
        sentence = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/96"
        yield FieldError.invalid("spec.cidrs", cidrs, sentence)


def validate_cidr_update(new: Object, old: Object) -> Iterator[FieldError]:
    now, before = new["spec"].get("cidrs") or [], old["spec"].get("cidrs") or []
    if now[: len(before)] != before:  # a second family may be added
        yield FieldError.invalid("spec.cidrs", now, checks.IMMUTABLE)


def cidr_cells(service_cidr: Object, now: datetime) -> list[Any]:
    cidrs = (service_cidr.get("spec") or {}).get("cidrs") or ()
    return [name_of(service_cidr), ",".join(cidrs), printing.age(service_cidr, now)]


SERVICE_CIDR_STRATEGY = Strategy(
    resource=SERVICE_CIDRS,
    prepare_for_create=replicas.starts_with_status(),
    validate=validate_cidr,
    validate_update=validate_cidr_update,
    has_status=True,
    columns=(NAME, Column("CIDRs"), AGE),
    cells=cidr_cells,
)
