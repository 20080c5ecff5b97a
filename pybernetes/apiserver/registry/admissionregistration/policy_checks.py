"""Admission policies and their bindings, checked when they are written: what they match, and what their expressions give.

An expression that is stored already is not judged again, so that a stricter checker does not lock a policy up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from pybernetes.apiserver.registry import checks
from pybernetes.apiserver.registry.admissionregistration import rules
from pybernetes.machinery import validation
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object, name_of

if TYPE_CHECKING:
    from pybernetes.machinery.cel.admission import Environment
    from pybernetes.machinery.cel.checker import Extension

ANNOTATIONS_MAX: Final = 20
ANNOTATION_BYTES_MAX: Final = 5 * 1024
_MUTATING_OPERATIONS: Final = ("*", "CONNECT", "CREATE", "UPDATE")  # there is nothing to mutate in a deletion
_REASONS: Final = ("Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized")
_IDENTIFIER: Final = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*", re.ASCII)
_PATCHES: Final = {"ApplyConfiguration": "applyConfiguration", "JSONPatch": "jsonPatch"}
_NO_RULES: Final = "validations or auditAnnotations must contain at least one item"
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
    yield from _Checker(policy, stored).check()


class _Checker:
    """The expressions of one policy."""

    def __init__(self, policy: Object, stored: frozenset[str]) -> None:
        from pybernetes.machinery.cel.admission import Environment, compose  # loaded by those who write policies

        self._policy = policy
        self._spec: Object = policy["spec"]
        self._stored = stored
        self._plain = Environment(has_params=self._spec.get("paramKind") is not None)
        self._environment = self._plain
        self._variables = self._spec.get("variables") or ()
        named = [each for each in self._variables if each.get("name") and each.get("expression")]
        if named or policy.get("kind") == "MutatingAdmissionPolicy":
            self._environment, self._composed = compose(named, self._plain)

    def check(self) -> Iterator[FieldError]:
        spec = self._spec
        conditions = spec.get("matchConditions") or ()
        yield from rules.match_conditions(
            conditions, "spec.matchConditions", lambda text: self._why(text, self._plain, ("bool",))
        )
        for i, variable in enumerate(self._variables):
            yield from self._variable(variable, f"spec.variables[{i}]")
        if self._policy.get("kind") == "ValidatingAdmissionPolicy":
            yield from self._validating()
        else:
            yield from self._mutating()

    def _why(self, text: str, environment: Environment, wanted: Sequence[Any], extension: Extension | None = None) -> str:
        from pybernetes.machinery.cel.admission import expression
        from pybernetes.machinery.cel.checker import PLAIN

        if text.strip() in self._stored:
            return ""
        return expression(text, environment, wanted, extension or PLAIN).why

    def _variable(self, variable: Object, path: str) -> Iterator[FieldError]:
        from pybernetes.machinery.cel.types import RESERVED

        name, text = variable.get("name", ""), variable.get("expression", "")
        if not name.strip():
            yield FieldError.required(path + ".name", "name is not specified")
        elif not _IDENTIFIER.fullmatch(name) or name in RESERVED:
            yield FieldError.invalid(path + ".name", name, "name is not a valid CEL identifier")
        if not text.strip():
            yield FieldError.required(path + ".expression", "expression is not specified")
        elif name and text.strip() not in self._stored and (why := self._composed[name].why):
            yield FieldError.invalid(path + ".expression", text, why)

    # Validations

    def _validating(self) -> Iterator[FieldError]:
        validations, annotations = self._spec.get("validations") or (), self._spec.get("auditAnnotations") or ()
        if not validations and not annotations:
            yield FieldError.required("spec.validations", _NO_RULES)
            yield FieldError.required("spec.auditAnnotations", _NO_RULES)
        for i, validation_ in enumerate(validations):
            yield from self._validation(validation_, f"spec.validations[{i}]")
        if len(annotations) > ANNOTATIONS_MAX:
            sentence = f"must not have more than {ANNOTATIONS_MAX} auditAnnotations"
            yield FieldError.invalid("spec.auditAnnotations", annotations, sentence)
        for i, annotation in enumerate(annotations):
            yield from self._annotation(annotation, f"spec.auditAnnotations[{i}]")
            if any(annotation.get("key") == other.get("key") for other in annotations[:i]):
                yield FieldError.duplicate(f"spec.auditAnnotations[{i}].key", annotation.get("key", ""))

    def _validation(self, given: Object, path: str) -> Iterator[FieldError]:
        text, message = given.get("expression", ""), given.get("message", "")
        if not text.strip():
            yield FieldError.required(path + ".expression", "expression is not specified")
        elif why := self._why(text, self._environment, ("bool",)):
            yield FieldError.invalid(path + ".expression", text, why)
        said = given.get("messageExpression", "")
        if said and not said.strip():
            yield FieldError.invalid(path + ".messageExpression", said, "must be non-empty if specified")
        elif said and (why := self._why(said, replace(self._environment, has_authorizer=False), ("string",))):
            yield FieldError.invalid(path + ".messageExpression", said, why)
        if message and not message.strip():
            yield FieldError.invalid(path + ".message", message, "message must be non-empty if specified")
        elif "\n" in message.strip() or "\r" in message.strip():
            yield FieldError.invalid(path + ".message", message, "message must not contain line breaks")
        if given.get("reason") is not None:
            yield from checks.one_of(given["reason"], _REASONS, path + ".reason")

    def _annotation(self, given: Object, path: str) -> Iterator[FieldError]:
        key, text, name = given.get("key", ""), given.get("valueExpression", ""), name_of(self._policy)
        if name:
            yield from checks.invalid_by(path + ".key", f"{name}/{key}", validation.label_key_errors)
        else:
            yield FieldError.invalid(path + ".key", key, "requires metadata.name be non-empty")
        if not text.strip():
            yield FieldError.required(path + ".valueExpression", "valueExpression is not specified")
        elif len(text.strip().encode()) > ANNOTATION_BYTES_MAX:
            sentence = f"must not exceed {ANNOTATION_BYTES_MAX} bytes in length"
            yield FieldError.required(path + ".valueExpression", sentence)
        elif why := self._why(text.strip(), self._environment, ("string", "null")):
            yield FieldError.invalid(path + ".valueExpression", text, why)

    # Mutations

    def _mutating(self) -> Iterator[FieldError]:
        mutations = self._spec.get("mutations") or ()
        if not mutations:
            yield FieldError.required("spec.mutations", "mutations must contain at least one item")
        for i, mutation in enumerate(mutations):
            yield from self._mutation(mutation, f"spec.mutations[{i}]")
        yield from checks.required_one_of(
            self._spec.get("reinvocationPolicy", ""), ("Never", "IfNeeded"), "spec.reinvocationPolicy"
        )

    def _mutation(self, mutation: Object, path: str) -> Iterator[FieldError]:
        from pybernetes.machinery.cel.admission import JSON_PATCH, OBJECT, PATCHES

        patch_type = mutation.get("patchType", "")
        if patch_type not in _PATCHES:
            yield from checks.required_one_of(patch_type, tuple(_PATCHES), path + ".patchType")
            return
        field = _PATCHES[patch_type]
        if mutation.get(field) is None:
            yield FieldError.required(f"{path}.{field}", f"must be specified when patchType is {patch_type}")
        else:
            text = mutation[field].get("expression", "").strip()
            wanted = (OBJECT,) if patch_type == "ApplyConfiguration" else (("list", JSON_PATCH),)
            if not text:
                yield FieldError.required(f"{path}.{field}.expression")
            elif why := self._why(text, self._environment, wanted, PATCHES):
                yield FieldError.invalid(f"{path}.{field}.expression", text, why)
        for other in _PATCHES.values():
            if other != field and mutation.get(other) is not None:
                sentence = f"must not be specified when patchType is {patch_type}"
                yield FieldError.invalid(f"{path}.{other}", f"{{{other}}}", sentence)


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
