"""Admission policies in CEL and their bindings."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pybernetes.apiserver.registry import printing, replicas
from pybernetes.apiserver.registry.admissionregistration import policy_checks
from pybernetes.apiserver.registry.strategy import AGE, NAME, Column, Strategy
from pybernetes.machinery.meta import Object, name_of
from pybernetes.machinery.resources import (
    MUTATING_ADMISSION_POLICIES,
    MUTATING_ADMISSION_POLICY_BINDINGS,
    VALIDATING_ADMISSION_POLICIES,
    VALIDATING_ADMISSION_POLICY_BINDINGS,
)


def _default_matching(matching: Object | None) -> None:
    if matching is None:
        return
    matching.setdefault("matchPolicy", "Equivalent")
    matching.setdefault("namespaceSelector", {})
    matching.setdefault("objectSelector", {})
    for field in ("resourceRules", "excludeResourceRules"):
        for rule in matching.get(field) or ():
            rule.setdefault("scope", "*")


def default_policy(policy: Object) -> None:
    spec = policy.setdefault("spec", {})
    spec.setdefault("failurePolicy", "Fail")
    _default_matching(spec.get("matchConstraints"))


def default_binding(binding: Object) -> None:
    _default_matching(binding.setdefault("spec", {}).get("matchResources"))


def _kind_cells(policy: Object, now: datetime, count: int) -> list[Any]:
    kind = policy["spec"].get("paramKind")
    shown = printing.UNSET if kind is None else f"{kind.get('apiVersion', '')}/{kind.get('kind', '')}"
    return [name_of(policy), count, shown, printing.age(policy, now)]


def validating_cells(policy: Object, now: datetime) -> list[Any]:
    return _kind_cells(policy, now, len(policy["spec"].get("validations") or ()))


def mutating_cells(policy: Object, now: datetime) -> list[Any]:
    return _kind_cells(policy, now, len(policy["spec"].get("mutations") or ()))


def binding_cells(binding: Object, now: datetime) -> list[Any]:
    reference, shown = binding["spec"].get("paramRef"), printing.UNSET
    if reference is not None:
        name, namespace = reference.get("name") or "*", reference.get("namespace") or "*"
        shown = f"{namespace}/{name}" if reference.get("namespace") else name
    return [name_of(binding), binding["spec"].get("policyName", ""), shown, printing.age(binding, now)]


_BINDING_COLUMNS = (NAME, Column("PolicyName"), Column("ParamRef"), AGE)

VALIDATING_POLICY_STRATEGY = Strategy(
    resource=VALIDATING_ADMISSION_POLICIES,
    default=default_policy,
    prepare_for_create=replicas.starts_with_status(),
    validate_create=policy_checks.validate_policy,
    validate_update=policy_checks.validate_policy_update,
    validates_by_turns=True,
    validate_status_update=policy_checks.validate_status,
    bumps_generation=True,
    needs_resource_version_on_update=True,
    has_status=True,
    columns=(NAME, Column("Validations", "integer"), Column("ParamKind"), AGE),
    cells=validating_cells,
)
MUTATING_POLICY_STRATEGY = Strategy(
    resource=MUTATING_ADMISSION_POLICIES,
    default=default_policy,
    validate_create=policy_checks.validate_policy,
    validate_update=policy_checks.validate_policy_update,
    validates_by_turns=True,
    bumps_generation=True,
    needs_resource_version_on_update=True,
    columns=(NAME, Column("Mutations", "integer"), Column("ParamKind"), AGE),
    cells=mutating_cells,
)
VALIDATING_BINDING_STRATEGY = Strategy(
    resource=VALIDATING_ADMISSION_POLICY_BINDINGS,
    default=default_binding,
    validate=policy_checks.validate_binding,
    bumps_generation=True,
    needs_resource_version_on_update=True,
    columns=_BINDING_COLUMNS,
    cells=binding_cells,
)
MUTATING_BINDING_STRATEGY = Strategy(
    resource=MUTATING_ADMISSION_POLICY_BINDINGS,
    default=default_binding,
    validate=policy_checks.validate_binding,
    bumps_generation=True,
    needs_resource_version_on_update=True,
    columns=_BINDING_COLUMNS,
    cells=binding_cells,
)
