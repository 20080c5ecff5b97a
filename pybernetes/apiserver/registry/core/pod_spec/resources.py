"""Validation of resource names, amounts, requests and limits (API reference, "ResourceRequirements")."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from pybernetes.apiserver.registry import checks
from pybernetes.machinery import validation
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object
from pybernetes.machinery.quantity import Quantity, parse

HUGE_PAGES = "hugepages-"
CONTAINER_RESOURCES = frozenset(("cpu", "memory", "ephemeral-storage"))
_OBJECT_COUNTS = frozenset((
    "pods", "services", "replicationcontrollers", "resourcequotas", "secrets", "configmaps", "persistentvolumeclaims",
    "services.nodeports", "services.loadbalancers",
))  # fmt: skip
QUOTA_RESOURCES = _OBJECT_COUNTS | {
    "cpu", "memory", "ephemeral-storage", "requests.cpu", "requests.memory", "requests.storage", "requests.ephemeral-storage",
    "limits.cpu", "limits.memory", "limits.ephemeral-storage",
}  # fmt: skip
_STANDARD = QUOTA_RESOURCES | {"storage"}


def is_native(name: str) -> bool:
    return "/" not in name or "kubernetes.io/" in name


def is_extended(name: str) -> bool:
    """A resource of a device plugin: `example.com/gpu`."""
    return not is_native(name) and not name.startswith("requests.") and not validation.label_key_errors(f"requests.{name}")


def is_huge_page(name: str) -> bool:
    return name.startswith(HUGE_PAGES)


def is_integer(name: str) -> bool:
    """Resources of which there is no half."""
    return name in _OBJECT_COUNTS or is_extended(name)


def may_overcommit(name: str) -> bool:
    return is_native(name) and not is_huge_page(name)


def validate_resource_name(name: str, path: str) -> Iterator[FieldError]:
    """Any resource: standard, or fully qualified."""
    found = list(checks.invalid_by(path, name, validation.label_key_errors))
    yield from found
    if not found and "/" not in name and name not in _STANDARD and not name.startswith((HUGE_PAGES, "requests.hugepages-")):
        yield FieldError.invalid(path, name, "must be a standard resource type or fully qualified")


def validate_container_resource_name(name: str, path: str) -> Iterator[FieldError]:
    if name in CONTAINER_RESOURCES:
        return
    yield from validate_resource_name(name, path)
    if "/" not in name:
        if not is_huge_page(name):
            yield FieldError.invalid(path, name, "must be a standard resource for containers")
    elif not is_native(name) and not is_extended(name):
        yield FieldError.invalid(path, name, "doesn't follow extended resource name standard")


def validate_amount(name: str, amount: Quantity, path: str) -> Iterator[FieldError]:
    if amount.nanos < 0:
        yield FieldError.invalid(path, amount.canonical(), checks.NOT_NEGATIVE)
    if amount.milli % 1000 and is_integer(name):
        yield FieldError.invalid(path, amount.canonical(), "must be an integer")


def _validate_huge_page(name: str, amount: Quantity, path: str) -> Iterator[FieldError]:
    try:
        size = parse(name.removeprefix(HUGE_PAGES)).value
    except ValueError:
        size = 0
    if size <= 0 or amount.nanos <= 0 or amount.value % size:
        text = amount.canonical()
        yield FieldError.invalid(path, text, f"{text} is not positive integer multiple of {name}")


def _validate_list(found: Mapping[str, str], path: str) -> Iterator[FieldError]:
    for name, text in found.items():
        amount = parse(text)
        if name not in CONTAINER_RESOURCES or amount.nanos < 0:
            here = f"{path}[{name}]"
            yield from validate_container_resource_name(name, here)
            yield from validate_amount(name, amount, here)
            if is_huge_page(name):
                yield from _validate_huge_page(name, amount, here)


def validate_requirements(resources: Object, path: str, claims: Collection[str] = ()) -> Iterator[FieldError]:
    """A container's `resources`; `claims` are the names in `spec.resourceClaims`."""
    limits: Mapping[str, str] = resources.get("limits") or {}
    requests: Mapping[str, str] = resources.get("requests") or {}
    yield from _validate_list(limits, path + ".limits")
    yield from _validate_list(requests, path + ".requests")
    for name, text in requests.items():
        limit_text = limits.get(name)
        if limit_text is None:
            if not may_overcommit(name):
                yield FieldError.required(path + ".limits", "Limit must be set for non overcommitable resources")
        elif limit_text != text:
            amount, limit = parse(text), parse(limit_text)
            if amount != limit and not may_overcommit(name):
                sentence = f"must be equal to {name} limit of {limit.canonical()}"
                yield FieldError.invalid(path + ".requests", amount.canonical(), sentence)
            elif amount > limit:
                sentence = f"must be less than or equal to {name} limit of {limit.canonical()}"
                yield FieldError.invalid(path + ".requests", amount.canonical(), sentence)
    names = limits.keys() | requests.keys()
    if any(map(is_huge_page, names)) and not names & {"cpu", "memory"}:
        yield FieldError.forbidden(path, "HugePages require cpu or memory")
    if resources.get("claims"):
        yield from _validate_claims(resources["claims"], claims, path + ".claims")


def _validate_claims(used: list[Object], claims: Collection[str], path: str) -> Iterator[FieldError]:
    seen = set()
    for i, claim in enumerate(used):
        here, name, request = f"{path}[{i}]", claim.get("name", ""), claim.get("request", "")
        if not name:
            yield FieldError.required(here)
            continue
        full_name = f"{name}/{request}" if request else name
        if full_name in seen:
            yield FieldError.duplicate(here, full_name)
        seen.add(full_name)
        if name not in claims:
            where = ": " + ", ".join(sorted(claims)) if claims else " which is empty"
            body = f'Not found: "{name}": must be one of the names in pod.spec.resourceClaims{where}'
            yield FieldError("FieldValueNotFound", here, body)
