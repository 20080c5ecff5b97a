"""Dynamic resource allocation (KEP-4381): claims, their templates, device classes, slices."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pybernetes.apiserver.registry import checks, printing, replicas
from pybernetes.apiserver.registry.core.pod_spec.scheduling import validate_node_selector
from pybernetes.apiserver.registry.strategy import AGE, NAME, Column, Strategy
from pybernetes.machinery import validation
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object, is_being_deleted, name_of
from pybernetes.machinery.resources import DEVICE_CLASSES, RESOURCE_CLAIM_TEMPLATES, RESOURCE_CLAIMS, RESOURCE_SLICES

_MODES = ("All", "ExactCount")
_REQUESTS_MAX = 32


def _default_claim_spec(spec: Object) -> None:
    for request in (spec.setdefault("devices", {})).get("requests") or ():
        for one in (request.get("exactly"), *(request.get("firstAvailable") or ())):
            if one is not None:
                if not one.get("allocationMode"):
                    one["allocationMode"] = "ExactCount"
                if one["allocationMode"] == "ExactCount" and not one.get("count"):
                    one["count"] = 1
                for toleration in one.get("tolerations") or ():
                    if not toleration.get("operator"):
                        toleration["operator"] = "Equal"


def default_claim(claim: Object) -> None:
    _default_claim_spec(claim.setdefault("spec", {}))


def default_template(template: Object) -> None:
    inner = template.setdefault("spec", {})
    inner.setdefault("metadata", {})
    _default_claim_spec(inner.setdefault("spec", {}))


def _validate_claim_spec(spec: Object, path: str) -> Iterator[FieldError]:
    requests = (spec.get("devices") or {}).get("requests") or []
    if len(requests) > _REQUESTS_MAX:
        yield FieldError.too_many(path + ".devices.requests", len(requests), _REQUESTS_MAX)
    seen = set()
    for i, request in enumerate(requests):
        here, name = f"{path}.devices.requests[{i}]", request.get("name", "")
        if not name:
            yield FieldError.required(here + ".name")
        else:
            yield from checks.invalid_by(here + ".name", name, validation.dns_1123_label_errors)
        if name in seen:
            yield FieldError.duplicate(here + ".name", name)
        seen.add(name)
        exactly, alternatives = request.get("exactly"), request.get("firstAvailable") or ()
        if exactly is None and not alternatives:
            yield FieldError.required(here, "exactly one of `exactly` or `firstAvailable` is required")
        elif exactly is not None and alternatives:
            sentence = "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set"
            yield FieldError.invalid(here, None, sentence)
        elif exactly is not None:
            yield from _validate_request(exactly, here + ".exactly")
        for j, one in enumerate(alternatives):
            yield from _validate_request(one, f"{here}.firstAvailable[{j}]")


def _validate_request(request: Object, path: str) -> Iterator[FieldError]:
    class_ = request.get("deviceClassName", "")
    if not class_:
        yield FieldError.required(path + ".deviceClassName")
    else:
        yield from checks.invalid_by(path + ".deviceClassName", class_, validation.dns_1123_subdomain_errors)
    mode, count = request.get("allocationMode", ""), request.get("count", 0)
    if mode == "All" and count:
        yield FieldError.invalid(path + ".count", count, f"must not be specified when allocationMode is '{mode}'")
    elif mode == "ExactCount" and count <= 0:
        yield FieldError.invalid(path + ".count", count, "must be greater than zero")
    elif mode not in _MODES:
        yield FieldError.not_supported(path + ".allocationMode", mode, _MODES)


def validate_claim(claim: Object) -> Iterator[FieldError]:
    yield from _validate_claim_spec(claim["spec"], "spec")


def validate_claim_update(new: Object, old: Object) -> Iterator[FieldError]:
    yield from checks.immutable(new["spec"], old["spec"], "spec")


def validate_template(template: Object) -> Iterator[FieldError]:
    yield from _validate_claim_spec(template["spec"]["spec"], "spec.spec")


def claim_cells(claim: Object, now: datetime) -> list[Any]:
    status, states = claim.get("status") or {}, []
    if is_being_deleted(claim):
        states.append("deleted")
    states += [] if status.get("allocation") is None and not status.get("reservedFor") else ["allocated"]
    if status.get("reservedFor"):
        states.append("reserved")
    return [name_of(claim), ",".join(states) or "pending", printing.age(claim, now)]


def plain_cells(obj: Object, now: datetime) -> list[Any]:
    return [name_of(obj), printing.age(obj, now)]


def slice_cells(resource_slice: Object, now: datetime) -> list[Any]:
    spec = resource_slice["spec"]
    pool = (spec.get("pool") or {}).get("name", "")
    node = spec.get("nodeName") or ""
    return [name_of(resource_slice), node, spec.get("driver", ""), pool, printing.age(resource_slice, now)]


def validate_slice(resource_slice: Object) -> Iterator[FieldError]:
    spec = resource_slice["spec"]
    chosen = [field for field in ("nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection") if spec.get(field)]
    choices = "`nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection`"
    if not chosen:
        yield FieldError.required("spec", f"exactly one of {choices} is required")
    elif len(chosen) > 1:
        sentence = f"exactly one of {choices} is required, but multiple fields are set"
        yield FieldError.invalid("spec", "{" + ", ".join(chosen) + "}", sentence)
    if spec.get("nodeSelector"):
        yield from validate_node_selector(spec["nodeSelector"], "spec.nodeSelector")
    driver = spec.get("driver", "")
    if not driver:
        yield FieldError.required("spec.driver")
    else:
        yield from checks.invalid_by("spec.driver", driver, validation.dns_1123_subdomain_errors)
    pool = spec.get("pool") or {}
    if not pool.get("name"):
        yield FieldError.required("spec.pool.name")
    if pool.get("resourceSliceCount", 0) <= 0:
        count = pool.get("resourceSliceCount", 0)
        yield FieldError.invalid("spec.pool.resourceSliceCount", count, "must be greater than zero")
    names = [device.get("name", "") for device in spec.get("devices") or ()]
    for i, name in enumerate(names):
        yield from checks.invalid_by(f"spec.devices[{i}].name", name, validation.dns_1123_label_errors)
    yield from checks.unique(names, "spec.devices", ".name")


def default_class(device_class: Object) -> None:
    device_class.setdefault("spec", {})


RESOURCE_CLAIM_STRATEGY = Strategy(
    resource=RESOURCE_CLAIMS,
    default=default_claim,
    prepare_for_create=replicas.starts_with_status(),
    validate=validate_claim,
    validate_update=validate_claim_update,
    has_status=True,
    columns=(NAME, Column("State"), AGE),
    cells=claim_cells,
)
RESOURCE_CLAIM_TEMPLATE_STRATEGY = Strategy(
    resource=RESOURCE_CLAIM_TEMPLATES,
    default=default_template,
    validate=validate_template,
    validate_update=validate_claim_update,
    columns=(NAME, AGE),
    cells=plain_cells,
)
DEVICE_CLASS_STRATEGY = Strategy(
    resource=DEVICE_CLASSES,
    default=default_class,
    bumps_generation=True,
    columns=(NAME, AGE),
    cells=plain_cells,
)
RESOURCE_SLICE_STRATEGY = Strategy(
    resource=RESOURCE_SLICES,
    validate=validate_slice,
    bumps_generation=True,
    selectable_fields={
        "spec.nodeName": lambda resource_slice: resource_slice["spec"].get("nodeName", ""),
        "spec.driver": lambda resource_slice: resource_slice["spec"].get("driver", ""),
    },
    columns=(NAME, Column("Node"), Column("Driver"), Column("Pool"), AGE),
    cells=slice_cells,
)
