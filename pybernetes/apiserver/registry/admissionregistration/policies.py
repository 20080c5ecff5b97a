"""Admission policies in CEL and their bindings. Expressions are kept, not compiled: this server does not run them yet."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pybernetes.apiserver.registry import checks, printing, replicas
from pybernetes.apiserver.registry.admissionregistration.webhooks import validate_rule
from pybernetes.apiserver.registry.strategy import AGE, NAME, Column, Strategy
from pybernetes.machinery import validation
from pybernetes.machinery.errors import FieldError
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


def validate_policy(policy: Object) -> Iterator[FieldError]:
    spec = policy["spec"]
    yield from checks.one_of(spec.get("failurePolicy", ""), ("Fail", "Ignore"), "spec.failurePolicy")
    kind = spec.get("paramKind")
    if kind is not None:
        for field in ("apiVersion", "kind"):
            if not kind.get(field):
                yield FieldError.required(f"spec.paramKind.{field}")
    matching = spec.get("matchConstraints")
    if matching is None:
        yield FieldError.required("spec.matchConstraints")
    else:
        if not matching.get("resourceRules"):
            yield FieldError.required("spec.matchConstraints.resourceRules")
        yield from _validate_matching(matching, "spec.matchConstraints")
    if policy.get("kind") == "ValidatingAdmissionPolicy":
        if not spec.get("validations") and not spec.get("auditAnnotations"):
            sentence = "validations or auditAnnotations must contain at least one item"
            yield FieldError.required("spec.validations", f"{sentence}")
            yield FieldError.required("spec.auditAnnotations", f"{sentence}")
        for i, one in enumerate(spec.get("validations") or ()):
            if not one.get("expression", "").strip():
                yield FieldError.required(f"spec.validations[{i}].expression", "expression is not specified")
    elif not spec.get("mutations"):
        yield FieldError.required("spec.mutations", "mutations must contain at least one item")
    for i, variable in enumerate(spec.get("variables") or ()):
        for field in ("name", "expression"):
            if not variable.get(field):
                yield FieldError.required(f"spec.variables[{i}].{field}", f"{field} is not specified")


def _validate_matching(matching: Object, path: str) -> Iterator[FieldError]:
    policy = matching.get("matchPolicy")
    if policy is None:
        yield FieldError.required(path + ".matchPolicy")
    else:
        yield from checks.one_of(policy, ("Equivalent", "Exact"), path + ".matchPolicy")
    for field in ("namespaceSelector", "objectSelector"):
        yield from checks.label_selector(matching.get(field), f"{path}.{field}")
    for field in ("resourceRules", "excludeResourceRules"):
        for i, rule in enumerate(matching.get(field) or ()):
            yield from validate_rule(rule, f"{path}.{field}[{i}]")


def validate_binding(binding: Object) -> Iterator[FieldError]:
    spec = binding["spec"]
    name = spec.get("policyName", "")
    if not name:
        yield FieldError.required("spec.policyName")
    else:
        yield from checks.invalid_by("spec.policyName", name, validation.dns_1123_subdomain_errors)
    if spec.get("matchResources") is not None:
        yield from _validate_matching(spec["matchResources"], "spec.matchResources")
    reference = spec.get("paramRef")
    if reference is not None:
        if bool(reference.get("name")) == (reference.get("selector") is not None):
            sentence = (
                "one of name or selector must be specified"
                if not reference.get("name")
                else "name and selector are mutually exclusive"
            )
            yield FieldError.required("spec.paramRef.name", sentence)
        if reference.get("parameterNotFoundAction") is None:
            yield FieldError.required("spec.paramRef.parameterNotFoundAction")
    if binding.get("kind") == "ValidatingAdmissionPolicyBinding":
        actions = spec.get("validationActions") or []
        if not actions:
            yield FieldError.required("spec.validationActions", "at least one validation action is required")
        for i, action in enumerate(actions):
            yield from checks.one_of(action, ("Audit", "Deny", "Warn"), f"spec.validationActions[{i}]")
            if action in actions[:i]:
                yield FieldError.duplicate(f"spec.validationActions[{i}]", action)
        if "Deny" in actions and "Warn" in actions:
            sentence = "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)"  # noqa: E501
            yield FieldError.invalid("spec.validationActions", actions, sentence)


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
    validate=validate_policy,
    bumps_generation=True,
    has_status=True,
    columns=(NAME, Column("Validations", "integer"), Column("ParamKind"), AGE),
    cells=validating_cells,
)
MUTATING_POLICY_STRATEGY = Strategy(
    resource=MUTATING_ADMISSION_POLICIES,
    default=default_policy,
    validate=validate_policy,
    bumps_generation=True,
    columns=(NAME, Column("Mutations", "integer"), Column("ParamKind"), AGE),
    cells=mutating_cells,
)
VALIDATING_BINDING_STRATEGY = Strategy(
    resource=VALIDATING_ADMISSION_POLICY_BINDINGS,
    default=default_binding,
    validate=validate_binding,
    bumps_generation=True,
    columns=_BINDING_COLUMNS,
    cells=binding_cells,
)
MUTATING_BINDING_STRATEGY = Strategy(
    resource=MUTATING_ADMISSION_POLICY_BINDINGS,
    default=default_binding,
    validate=validate_binding,
    bumps_generation=True,
    columns=_BINDING_COLUMNS,
    cells=binding_cells,
)
