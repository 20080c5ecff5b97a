"""Admission policies and their bindings, checked when they are written: what they match, and whose parameters they take.

The expressions are looked at by `policy_expressions`, which loads CEL.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from pybernetes.apiserver.registry import checks
from pybernetes.apiserver.registry.admissionregistration import rules
from pybernetes.machinery import validation
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object

_MUTATING_OPERATIONS: Final = ("*", "CONNECT", "CREATE", "UPDATE")  # there is nothing to mutate in a deletion
_EXCLUSIVE: Final = "name and selector are mutually exclusive"


def validate_policy(policy: Object) -> Iterator[FieldError]:
    return _policy(policy, frozenset())


def validate_policy_update(new: Object, old: Object) -> Iterator[FieldError]:
    if new["spec"] == old["spec"]:
        return iter(())
    return _policy(new, frozenset(_expressions(old["spec"])))


def _expressions(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _expressions(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            if isinstance(item, str) and name in ("expression", "messageExpression", "valueExpression"):
                yield item.strip()
            else:
                yield from _expressions(item)


def _policy(policy: Object, stored: frozenset[str]) -> Iterator[FieldError]:
    spec, validates = policy["spec"], policy.get("kind") == "ValidatingAdmissionPolicy"
    yield from checks.one_of(spec.get("failurePolicy", ""), ("Fail", "Ignore"), "spec.failurePolicy")
    if spec.get("paramKind") is not None:
        yield from _param_kind(spec["paramKind"], "spec.paramKind")
    matching = spec.get("matchConstraints")
    if matching is None:
        yield FieldError.required("spec.matchConstraints")
    else:
        yield from _matching(matching, "spec.matchConstraints")
        if not matching.get("resourceRules"):
            yield FieldError.required("spec.matchConstraints.resourceRules")
        if not validates:
            yield from _operations(matching, "spec.matchConstraints.resourceRules.operations")
    from pybernetes.apiserver.registry.admissionregistration.policy_expressions import Expressions  # loads CEL

    yield from Expressions(policy, stored).check()


# What is matched


def _param_kind(kind: Object, path: str) -> Iterator[FieldError]:
    api_version, name = kind.get("apiVersion", ""), kind.get("kind", "")
    if not api_version:
        yield FieldError.required(path + ".apiVersion")
    elif api_version.count("/") > 1:
        yield FieldError.invalid(path + ".apiVersion", api_version, f"unexpected GroupVersion string: {api_version}")
    else:
        group, _, version = api_version.rpartition("/")
        if group and (errors := validation.dns_1123_subdomain_errors(group)):
            yield FieldError.invalid(path + ".apiVersion", group, ",".join(errors))
        if not version:
            yield FieldError.invalid(path + ".apiVersion", api_version, "version must be specified")
        elif errors := validation.dns_1035_label_errors(version):
            yield FieldError.invalid(path + ".apiVersion", version, ",".join(errors))
    if not name:
        yield FieldError.required(path + ".kind")
    elif errors := validation.dns_1035_label_errors(name.lower()):
        sentence = "may have mixed case, but should otherwise match: " + ",".join(errors)
        yield FieldError.invalid(path + ".kind", name, sentence)


def _matching(matching: Object, path: str) -> Iterator[FieldError]:
    policy = matching.get("matchPolicy")
    if policy is None:
        yield FieldError.required(path + ".matchPolicy")
    else:
        yield from checks.one_of(policy, ("Equivalent", "Exact"), path + ".matchPolicy")
    for field in ("namespaceSelector", "objectSelector"):
        yield from checks.label_selector(matching.get(field), f"{path}.{field}")
    for field in ("resourceRules", "excludeResourceRules"):
        for i, rule in enumerate(matching.get(field) or ()):
            yield from _named_rule(rule, f"{path}.{field}[{i}]")


def _named_rule(rule: Object, path: str) -> Iterator[FieldError]:
    names = rule.get("resourceNames") or ()
    for i, name in enumerate(names):
        yield from checks.invalid_by(f"{path}.resourceNames[{i}]", name, validation.path_segment_errors)
        if name in names[:i]:
            yield FieldError.duplicate(f"{path}.resourceNames[{i}]", name)
    yield from rules.rule(rule, path)


def _operations(matching: Object, path: str) -> Iterator[FieldError]:
    for rule in matching.get("resourceRules") or ():
        for operation in rule.get("operations") or ():
            yield from checks.one_of(operation, _MUTATING_OPERATIONS, path)


# Bindings


def validate_binding(binding: Object) -> Iterator[FieldError]:
    spec, validates = binding["spec"], binding.get("kind") == "ValidatingAdmissionPolicyBinding"
    name = spec.get("policyName", "")
    if not name:
        yield FieldError.required("spec.policyName")
    else:
        yield from checks.invalid_by("spec.policyName", name, validation.dns_1123_subdomain_errors)
    if spec.get("paramRef") is not None:
        yield from _param_reference(spec["paramRef"], "spec.paramRef")
    if spec.get("matchResources") is not None:
        yield from _matching(spec["matchResources"], "spec.matchResources")
        if not validates:
            yield from _operations(spec["matchResources"], "spec.matchResources.resourceRules.operations")
    if validates:
        yield from _actions(spec.get("validationActions") or [], "spec.validationActions")


def _param_reference(reference: Object, path: str) -> Iterator[FieldError]:
    name, selector = reference.get("name"), reference.get("selector")
    if name:
        yield from checks.invalid_by(path + ".name", name, validation.path_segment_errors)
        if selector is not None:
            yield FieldError.forbidden(path + ".name", _EXCLUSIVE)
    if selector is not None:
        yield from checks.label_selector(selector, path + ".selector")
        if name:
            yield FieldError.forbidden(path + ".selector", _EXCLUSIVE)
    elif not name:
        yield FieldError.required(path, "one of name or selector must be specified")
    action = reference.get("parameterNotFoundAction") or ""
    yield from checks.required_one_of(action, ("Deny", "Allow"), path + ".parameterNotFoundAction")


def _actions(actions: list[str], path: str) -> Iterator[FieldError]:
    for i, action in enumerate(actions):
        yield from checks.one_of(action, ("Audit", "Deny", "Warn"), f"{path}[{i}]")
        if action in actions[:i]:
            yield FieldError.duplicate(f"{path}[{i}]", action)
    if "Deny" in actions and "Warn" in actions:
        sentence = "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)"  # noqa: E501
        yield FieldError.invalid(path, actions, sentence)
    if not actions:
        yield FieldError.required(path, "at least one validation action is required")


# Status


def validate_status(new: Object, old: Object) -> Iterator[FieldError]:
    checking = (new.get("status") or {}).get("typeChecking") or {}
    for i, warning in enumerate(checking.get("expressionWarnings") or ()):
        for field in ("warning", "fieldRef"):
            if not (warning.get(field) or "").strip():
                yield FieldError.required(f"status.typeChecking.expressionWarnings[{i}].{field}")
