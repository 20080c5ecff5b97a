"""APIServices: which server serves which group and version."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pybernetes.apiserver.registry import checks, printing, replicas
from pybernetes.apiserver.registry.strategy import AGE, NAME, Column, Strategy
from pybernetes.machinery import validation
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object, condition, name_of
from pybernetes.machinery.resources import API_SERVICES


def default(service: Object) -> None:
    reference = service.setdefault("spec", {}).get("service")
    if reference is not None:
        reference.setdefault("port", 443)


def validate(service: Object) -> Iterator[FieldError]:
    spec = service["spec"]
    group, version = spec.get("group", ""), spec.get("version", "")
    wanted = f"{version}.{group}"
    if name_of(service) != wanted:
        sentence = f'must be `spec.version+"."+spec.group`: "{wanted}"'
        yield FieldError.invalid("metadata.name", name_of(service), sentence)
    if group:
        yield from checks.invalid_by("spec.group", group, validation.dns_1123_subdomain_errors)
    elif version != "v1":
        yield FieldError.required("spec.group", "only v1 may have an empty group and it better be legacy kube")
    yield from checks.invalid_by("spec.version", version, validation.dns_1035_label_errors)
    for field, most in (("groupPriorityMinimum", 20000), ("versionPriority", 1000)):
        number = spec.get(field, 0)
        if not 0 < number <= most:
            yield FieldError.invalid(f"spec.{field}", number, f"must be positive and less than {most}")
    reference = spec.get("service")
    if reference is None:
        for field in ("insecureSkipTLSVerify", "caBundle"):
            if spec.get(field):
                yield FieldError.invalid(f"spec.{field}", spec[field], "local APIServices may not have TLS settings")
        return
    for field in ("namespace", "name"):
        if not reference.get(field):
            yield FieldError.required(f"spec.service.{field}")
    if spec.get("insecureSkipTLSVerify") and spec.get("caBundle"):
        sentence = "may not be true if caBundle is present"
        yield FieldError.invalid("spec.insecureSkipTLSVerify", True, sentence)


def cells(service: Object, now: datetime) -> list[Any]:
    reference = service["spec"].get("service")
    shown = "Local" if reference is None else f"{reference.get('namespace', '')}/{reference.get('name', '')}"
    available = condition((service.get("status") or {}).get("conditions"), "Available")
    state = "Unknown"
    if available is not None:
        state = available.get("status", "")
        if state != "True" and available.get("reason"):
            state += f" ({available['reason']})"
    return [name_of(service), shown, state, printing.age(service, now)]


STRATEGY = Strategy(
    resource=API_SERVICES,
    storage_path="apiregistration.k8s.io/apiservices",
    default=default,
    prepare_for_create=replicas.starts_with_status(),
    validate=validate,
    has_status=True,
    columns=(NAME, Column("Service"), Column("Available"), AGE),
    cells=cells,
)
