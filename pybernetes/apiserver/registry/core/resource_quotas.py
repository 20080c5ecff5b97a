"""ResourceQuotas: what a namespace may use in all. Admission enforces them, a controller counts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pybernetes.apiserver.registry import printing, replicas
from pybernetes.apiserver.registry.core.pod_spec import resources as resource_checks
from pybernetes.apiserver.registry.strategy import AGE, NAME, Column, Strategy
from pybernetes.machinery import validation
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object, name_of
from pybernetes.machinery.quantity import parse
from pybernetes.machinery.resources import RESOURCE_QUOTAS

_SCOPES = ("Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "PriorityClass", "CrossNamespacePodAffinity",
           "VolumeAttributesClass")  # fmt: skip
_OPPOSITES = (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating"))
_POD_RESOURCES = ("pods", "cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory")


def validate(quota: Object) -> Iterator[FieldError]:
    spec = quota["spec"]
    yield from _validate_amounts(spec.get("hard") or {}, "spec.hard")
    scopes = spec.get("scopes") or []
    yield from _validate_scopes(scopes, list(spec.get("hard") or ()), "spec.scopes")
    selector = spec.get("scopeSelector")
    if selector is not None:
        yield from _validate_selector(selector, "spec.scopeSelector")


def _validate_amounts(amounts: Object, path: str) -> Iterator[FieldError]:
    for name, text in amounts.items():
        here = f"{path}[{name}]"
        if sentences := validation.label_key_errors(name):
            yield from (FieldError.invalid(here, name, sentence) for sentence in sentences)
        elif "/" not in name and not _is_quota_resource(name):
            yield FieldError.invalid(here, name, "must be a standard resource for quota")
        amount = parse(text)
        yield from resource_checks.validate_amount("pods" if name.startswith("count/") else name, amount, here)


def _is_quota_resource(name: str) -> bool:
    return name in resource_checks.QUOTA_RESOURCES or name.startswith(
        ("hugepages-", "requests.hugepages-", "limits.hugepages-")
    )


def _validate_scopes(scopes: list[str], hard: list[str], path: str) -> Iterator[FieldError]:
    for scope in scopes:
        if scope not in _SCOPES:
            yield FieldError.invalid(path, scopes, "unsupported scope")
        for name in hard:
            about_pods = name in _POD_RESOURCES or name.startswith(("hugepages-", "requests.hugepages-"))
            if scope == "BestEffort":
                about_pods = name == "pods"
            if _is_quota_resource(name) and not about_pods:
                yield FieldError.invalid(path, scopes, "unsupported scope applied to resource")
                break
    for one, other in _OPPOSITES:
        if one in scopes and other in scopes:
            yield FieldError.invalid(path, scopes, "conflicting scopes")


def _validate_selector(selector: Object, path: str) -> Iterator[FieldError]:
    expressions = selector.get("matchExpressions") or ()
    for expression in expressions:
        here = f"{path}.matchExpressions"
        scope, operator, values = (
            expression.get("scopeName", ""),
            expression.get("operator", ""),
            expression.get("values") or (),
        )
        if scope not in _SCOPES:
            yield FieldError.invalid(here + ".scopeName", scope, "unsupported scope")
        if operator in ("In", "NotIn"):
            if not values:
                sentence = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
                yield FieldError.required(here + ".values", sentence)
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                sentence = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
                yield FieldError.invalid(here + ".values", list(values), sentence)
        else:
            yield FieldError.invalid(here + ".operator", operator, "not a valid selector operator")
        if scope in (*_SCOPES[:4], "CrossNamespacePodAffinity") and operator in ("In", "NotIn", "DoesNotExist"):
            sentence = (
                "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
                "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or "
                "ResourceQuotaScopeCrossNamespacePodAffinity"
            )
            yield FieldError.invalid(here + ".operator", operator, sentence)


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    if sorted(new["spec"].get("scopes") or ()) != sorted(old["spec"].get("scopes") or ()):
        yield FieldError.invalid("spec.scopes", new["spec"].get("scopes"), "field is immutable")


def validate_status_update(new: Object, _: Object) -> Iterator[FieldError]:
    status = new.get("status") or {}
    for field in ("hard", "used"):
        yield from _validate_amounts(status.get(field) or {}, f"status.{field}")


def cells(quota: Object, now: datetime) -> list[Any]:
    status = quota.get("status") or {}
    used: dict[str, str] = status.get("used") or {}
    requests: list[str] = []
    limits: list[str] = []
    for name, hard in sorted((status.get("hard") or {}).items()):
        (limits if name.startswith("limits") else requests).append(f"{name}: {used.get(name, '0')}/{hard}")
    return [name_of(quota), ", ".join(requests), ", ".join(limits), printing.age(quota, now)]


STRATEGY = Strategy(
    resource=RESOURCE_QUOTAS,
    prepare_for_create=replicas.starts_with_status(),
    validate=validate,
    validate_update=validate_update,
    has_status=True,
    validate_status_update=validate_status_update,
    columns=(NAME, Column("Request"), Column("Limit"), AGE),
    cells=cells,
)
