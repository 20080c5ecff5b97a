"""NetworkPolicies."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pybernetes.apiserver.registry import checks, printing
from pybernetes.apiserver.registry.core.service_validation import PROTOCOLS
from pybernetes.apiserver.registry.strategy import AGE, NAME, Column, Strategy
from pybernetes.machinery import validation
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object, name_of
from pybernetes.machinery.resources import NETWORK_POLICIES


def default(policy: Object) -> None:
    spec = policy.setdefault("spec", {})
    spec.setdefault("podSelector", {})
    for direction in ("ingress", "egress"):
        for rule in spec.get(direction) or ():
            for port in rule.get("ports") or ():
                port.setdefault("protocol", "TCP")
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]


def validate(policy: Object) -> Iterator[FieldError]:
    spec = policy["spec"]
    yield from checks.label_selector(spec.get("podSelector"), "spec.podSelector")
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for i, rule in enumerate(spec.get(direction) or ()):
            here = f"spec.{direction}[{i}]"
            for j, port in enumerate(rule.get("ports") or ()):
                yield from _validate_port(port, f"{here}.ports[{j}]")
            for j, peer in enumerate(rule.get(peers) or ()):
                yield from _validate_peer(peer, f"{here}.{peers}[{j}]")
    types = spec.get("policyTypes") or ()
    if len(types) > 2:
        yield FieldError.invalid("spec.policyTypes", list(types), "may not specify more than two policyTypes")
        return
    for i, type_ in enumerate(types):
        yield from checks.one_of(type_, ("Ingress", "Egress"), f"spec.policyTypes[{i}]")


def _validate_port(port: Object, path: str) -> Iterator[FieldError]:
    if port.get("protocol") is not None:
        yield from checks.one_of(port["protocol"], PROTOCOLS, path + ".protocol")
    number, end = port.get("port"), port.get("endPort")
    if number is None:
        if end is not None:
            yield FieldError.invalid(path + ".endPort", end, "may not be specified when `port` is not specified")
        return
    if isinstance(number, int):
        yield from checks.port_number(number, path + ".port")
        if end is not None:
            if end < number:
                yield FieldError.invalid(path + ".endPort", end, "must be greater than or equal to `port`")
            yield from checks.port_number(end, path + ".endPort")
    else:
        if end is not None:
            yield FieldError.invalid(path + ".endPort", end, "may not be specified when `port` is non-numeric")
        yield from checks.invalid_by(path + ".port", number, validation.port_name_errors)


def _validate_peer(peer: Object, path: str) -> Iterator[FieldError]:
    selectors = [field for field in ("podSelector", "namespaceSelector") if peer.get(field) is not None]
    for field in selectors:
        yield from checks.label_selector(peer[field], f"{path}.{field}")
    block = peer.get("ipBlock")
    if block is not None:
        yield from _validate_block(block, path + ".ipBlock")
        if selectors:
            sentence = "may not specify both ipBlock and another peer"
            yield FieldError.forbidden(path, sentence)
    elif not selectors:
        yield FieldError.required(path, "must specify a peer")


def _validate_block(block: Object, path: str) -> Iterator[FieldError]:
    cidr = block.get("cidr", "")
    if not cidr:
        yield FieldError.required(path + ".cidr")
        return
    sentences = validation.cidr_errors(cidr)
    yield from (FieldError.invalid(path + ".cidr", cidr, sentence) for sentence in sentences)
    whole = None if sentences else ipaddress.ip_network(cidr, strict=False)
    for i, text in enumerate(block.get("except") or ()):
        here = f"{path}.except[{i}]"
        if wrong := validation.cidr_errors(text):
            yield from (FieldError.invalid(here, text, sentence) for sentence in wrong)
            continue
        part = ipaddress.ip_network(text, strict=False)
        inside = whole is not None and part.version == whole.version and part != whole and part.network_address in whole
        if whole is not None and not (inside and part.prefixlen > whole.prefixlen):
            yield FieldError.invalid(here, text, "must be a strict subset of `cidr`")


def cells(policy: Object, now: datetime) -> list[Any]:
    return [name_of(policy), printing.selector_text(policy["spec"].get("podSelector")), printing.age(policy, now)]


STRATEGY = Strategy(
    resource=NETWORK_POLICIES,
    default=default,
    validate=validate,
    bumps_generation=True,
    columns=(NAME, Column("Pod-Selector"), AGE),
    cells=cells,
)
