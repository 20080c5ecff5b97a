"""What webhooks and policies say of the requests that they are for, checked: rules and match conditions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from pybernetes.apiserver.registry import checks
from pybernetes.machinery import validation
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object

OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
CONDITIONS_MAX = 64
_SCOPES = ("*", "Cluster", "Namespaced")


def rule(given: Object, path: str) -> Iterator[FieldError]:
    for field in ("operations", "apiGroups", "apiVersions"):
        values = given.get(field) or []
        if not values:
            yield FieldError.required(f"{path}.{field}")
        elif "*" in values and len(values) > 1:
            noun = {"operations": "operations", "apiGroups": "API groups", "apiVersions": "API versions"}[field]
            sentence = f"if '*' is present, must not specify other {noun}"
            yield FieldError.invalid(f"{path}.{field}", values, sentence)
        if field == "operations":
            for i, operation in enumerate(values):
                yield from checks.one_of(operation, OPERATIONS, f"{path}.operations[{i}]")
    for i, version in enumerate(given.get("apiVersions") or ()):
        if not version:
            yield FieldError.required(f"{path}.apiVersions[{i}]")
    yield from _resources(given.get("resources") or [], path + ".resources")
    if given.get("scope") is not None:
        yield from checks.one_of(given["scope"], _SCOPES, path + ".scope")


def _resources(resources: Sequence[str], path: str) -> Iterator[FieldError]:
    """What a wildcard covers may not be named besides it."""
    if not resources:
        yield FieldError.required(path)
    all_below: set[str] = set()  # of x/*
    below_all: set[str] = set()  # of */x
    names_one = False
    for i, each in enumerate(resources):
        if not each:
            yield FieldError.required(f"{path}[{i}]")
            continue
        plural, slash, below = each.partition("/")
        if not slash:
            names_one = each != "*"
            continue
        if plural in all_below:
            yield FieldError.invalid(f"{path}[{i}]", each, f"if '{plural}/*' is present, must not specify {each}")
        if below in below_all:
            yield FieldError.invalid(f"{path}[{i}]", each, f"if '*/{below}' is present, must not specify {each}")
        if below == "*":
            all_below.add(plural)
        if plural == "*":
            below_all.add(below)
    if len(resources) > 1 and "*/*" in resources:
        yield FieldError.invalid(path, resources, "if '*/*' is present, must not specify other resources")
    if names_one and "*" in resources:
        sentence = "if '*' is present, must not specify other resources without subresources"
        yield FieldError.invalid(path, resources, sentence)


def match_conditions(conditions: Sequence[Object], path: str, why_not: Callable[[str], str]) -> Iterator[FieldError]:
    """`why_not`: why an expression is no condition; "" if it is one."""
    if len(conditions) > CONDITIONS_MAX:
        yield FieldError.too_many(path, len(conditions), CONDITIONS_MAX)
        return
    seen = set()
    for i, condition in enumerate(conditions):
        name, expression = condition.get("name", ""), condition.get("expression", "").strip()
        if not expression:
            yield FieldError.required(f"{path}[{i}].expression")
        elif why := why_not(expression):
            yield FieldError.invalid(f"{path}[{i}].expression", expression, why)
        if not name:
            yield FieldError.required(f"{path}[{i}].name")
        elif name in seen:
            yield FieldError.duplicate(f"{path}[{i}].name", name)
        else:
            yield from checks.invalid_by(f"{path}[{i}].name", name, validation.label_key_errors)
        seen.add(name)
