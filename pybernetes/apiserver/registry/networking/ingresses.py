"""Ingresses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from pybernetes.apiserver.registry import checks, printing, replicas
from pybernetes.apiserver.registry.strategy import AGE, NAME, Column, Strategy
from pybernetes.machinery import validation
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object, annotations_of, name_of
from pybernetes.machinery.resources import INGRESSES

CLASS_ANNOTATION = "kubernetes.io/ingress.class"
_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_BAD_SEQUENCES = ("//", "/./", "/../", "%2f", "%2F")
_BAD_SUFFIXES = ("/..", "/.")
SHOWN_MAX = 3


def default(ingress: Object) -> None:
    ingress.setdefault("spec", {})


def validate(ingress: Object) -> Iterator[FieldError]:
    spec = ingress["spec"]
    rules, backend = spec.get("rules") or (), spec.get("defaultBackend")
    if not rules and backend is None:
        yield FieldError.invalid("spec", None, "either `defaultBackend` or `rules` must be specified")
    if backend is not None:
        yield from _validate_backend(backend, "spec.defaultBackend")
    for i, rule in enumerate(rules):
        yield from _validate_rule(rule, f"spec.rules[{i}]")
    for i, tls in enumerate(spec.get("tls") or ()):
        for j, host in enumerate(tls.get("hosts") or ()):
            check = validation.wildcard_dns_1123_subdomain_errors if "*" in host else validation.dns_1123_subdomain_errors
            yield from checks.invalid_by(f"spec.tls[{i}].hosts[{j}]", host, check)
    if spec.get("ingressClassName") is not None:
        yield from checks.invalid_by("spec.ingressClassName", spec["ingressClassName"], validation.dns_1123_subdomain_errors)


def validate_create(ingress: Object) -> Iterator[FieldError]:
    annotated, named = annotations_of(ingress).get(CLASS_ANNOTATION), ingress["spec"].get("ingressClassName")
    if annotated is not None and named is not None and annotated != named:
        sentence = "must match `ingressClassName` when both are specified"
        yield FieldError.invalid(f"metadata.annotations[{CLASS_ANNOTATION}]", annotated, sentence)


def _validate_rule(rule: Object, path: str) -> Iterator[FieldError]:
    host = rule.get("host", "")
    if host:
        if validation.parse_ip(host):
            yield FieldError.invalid(path + ".host", host, "must be a DNS name, not an IP address")
        else:
            check = validation.wildcard_dns_1123_subdomain_errors if "*" in host else validation.dns_1123_subdomain_errors
            yield from checks.invalid_by(path + ".host", host, check)
    http = rule.get("http")
    if http is None:
        return
    if not http.get("paths"):
        yield FieldError.required(path + ".http.paths")
    for i, one in enumerate(http.get("paths") or ()):
        yield from _validate_path(one, f"{path}.http.paths[{i}]")


def _validate_path(one: Object, path: str) -> Iterator[FieldError]:
    type_, value = one.get("pathType"), one.get("path", "")
    if not type_:
        yield FieldError.required(path + ".pathType", "pathType must be specified")
    elif type_ in ("Exact", "Prefix"):
        if not value.startswith("/"):
            yield FieldError.invalid(path + ".path", value, "must be an absolute path")
        if value:
            for bad in _BAD_SEQUENCES:
                if bad in value:
                    yield FieldError.invalid(path + ".path", value, f"must not contain '{bad}'")
            for bad in _BAD_SUFFIXES:
                if value.endswith(bad):
                    yield FieldError.invalid(path + ".path", value, f"cannot end with '{bad}'")
    elif type_ == "ImplementationSpecific":
        if value and not value.startswith("/"):
            yield FieldError.invalid(path + ".path", value, "must be an absolute path")
    else:
        yield FieldError.not_supported(path + ".pathType", type_, _PATH_TYPES)
    yield from _validate_backend(one.get("backend") or {}, path + ".backend")


def _validate_backend(backend: Object, path: str) -> Iterator[FieldError]:
    service, resource = backend.get("service"), backend.get("resource")
    if service is None and resource is None:
        yield FieldError.invalid(path, "", "resource or service backend is required")
    elif service is not None and resource is not None:
        yield FieldError.invalid(path, "", "cannot set both resource and service backends")
    elif resource is not None:
        for field in ("kind", "name"):
            if not resource.get(field):
                yield FieldError.required(f"{path}.resource.{field}")
    else:
        assert service is not None
        if not service.get("name"):
            yield FieldError.required(path + ".service.name")
        else:
            yield from checks.invalid_by(path + ".service.name", service["name"], validation.dns_1035_label_errors)
        port = service.get("port") or {}
        if port.get("name") and port.get("number"):
            yield FieldError.invalid(path, "", "cannot set both port name & port number")
        elif port.get("name"):
            yield from checks.invalid_by(path + ".service.port.name", port["name"], validation.port_name_errors)
        elif port.get("number"):
            yield from checks.port_number(port["number"], path + ".service.port.number")
        else:
            yield FieldError.required(path, "port name or number is required")


def warnings(ingress: Object, old: Object | None) -> Sequence[str]:
    if CLASS_ANNOTATION in annotations_of(ingress) and (old is None or CLASS_ANNOTATION not in annotations_of(old)):
        return [f"annotation \"{CLASS_ANNOTATION}\" is deprecated, please use 'spec.ingressClassName' instead"]
    return ()


def cells(ingress: Object, now: datetime) -> list[Any]:
    spec = ingress["spec"]
    class_ = spec.get("ingressClassName") or annotations_of(ingress).get(CLASS_ANNOTATION) or printing.NONE
    hosts = [rule["host"] for rule in spec.get("rules") or () if rule.get("host")]
    shown = ",".join(hosts[:SHOWN_MAX]) + (f" + {len(hosts) - SHOWN_MAX} more..." if len(hosts) > SHOWN_MAX else "")
    balanced = ((ingress.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    addresses = sorted({one.get("ip") or one.get("hostname") or "" for one in balanced} - {""})
    ports = "80, 443" if spec.get("tls") else "80"
    return [name_of(ingress), class_, shown or "*", ",".join(addresses), ports, printing.age(ingress, now)]


STRATEGY = Strategy(
    resource=INGRESSES,
    storage_path="ingress",
    default=default,
    prepare_for_create=replicas.starts_with_status(loadBalancer={}),
    validate=validate,
    validate_create=validate_create,
    warnings=warnings,
    bumps_generation=True,
    has_status=True,
    columns=(NAME, Column("Class"), Column("Hosts"), Column("Address"), Column("Ports"), AGE),
    cells=cells,
)
