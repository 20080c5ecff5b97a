"""ValidatingAdmissionPolicy status: what a policy's expressions get wrong about the types that it matches.

The server takes any expression that could be right for some object; this controller holds it against the types of the resources
that the policy names, and warns in the status. A warning changes nothing of what the policy does.

Contract: https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/#type-checking
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, Final

import orjson

from pybernetes.client.rest import Client
from pybernetes.controllers.actions import Action, update_status
from pybernetes.controllers.controller import Context, Controller, Look, itself
from pybernetes.machinery import errors
from pybernetes.machinery.meta import GroupVersionKind, Object, Resource, parse_api_version
from pybernetes.machinery.resources import VALIDATING_ADMISSION_POLICIES

if TYPE_CHECKING:
    from pybernetes.machinery.cel.types import Type

TYPES_MAX: Final = 10  # of one rule; upstream's bound


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a decision may depend on."""

    policy: Object
    types: Sequence[tuple[GroupVersionKind, Type]]  # of what the policy matches, as far as it says so by name
    params: Type | None  # of its parameters, if it takes any


def reconcile(seen: Snapshot) -> list[Action]:
    policy = seen.policy
    warnings = list(check(policy["spec"], seen.types, seen.params))
    checking: Object = {"expressionWarnings": warnings} if warnings else {}
    status = {**(policy.get("status") or {}), "observedGeneration": _generation(policy), "typeChecking": checking}
    return [update_status(VALIDATING_ADMISSION_POLICIES, policy, status)]


def _generation(policy: Object) -> int:
    return int(policy["metadata"].get("generation") or 0)


def is_checked(policy: Object) -> bool:
    return _generation(policy) <= int((policy.get("status") or {}).get("observedGeneration") or 0)


# Checking


def check(spec: Object, types: Sequence[tuple[GroupVersionKind, Type]], params: Type | None) -> Iterator[Object]:
    """An ExpressionWarning for each expression that is wrong for one of the types."""
    for i, validation in enumerate(spec.get("validations") or ()):
        for field in ("expression", "messageExpression"):
            text = validation.get(field) or ""
            problems = [(gvk, _problem(text, spec, of, params)) for gvk, of in types] if text else []
            lines = [f"{gvk.group}/{gvk.version}, Kind={gvk.kind}: {problem}\n" for gvk, problem in problems if problem]
            if lines:
                yield {"fieldRef": f"spec.validations[{i}].{field}", "warning": "\n".join(lines)}


def _problem(text: str, spec: Object, of: Type, params: Type | None) -> str:
    """Why the expression is wrong for objects of a type; "" if it is not."""
    from pybernetes.machinery.cel import CompileError, compile_expression  # loaded with the first policy
    from pybernetes.machinery.cel.admission import Environment, compose
    from pybernetes.machinery.cel.types import DYN

    plain = Environment(has_params=params is not None, object=of, params=DYN if params is None else params)
    environment, _ = compose(spec.get("variables") or (), plain)
    try:
        compile_expression(text, environment.types())
    except CompileError as error:
        return str(error)
    return ""


# Looking


async def observe(look: Look, key: str) -> Snapshot | None:
    policy = look.caches[VALIDATING_ADMISSION_POLICIES].get("", key)
    if policy is None or is_checked(policy):
        return None
    spec = policy["spec"]
    documents = Documents(look.client)
    rules = (spec.get("matchConstraints") or {}).get("resourceRules") or ()
    discovered = (await look.client.discover()).resources if rules else ()
    types = []
    for gvk in matched_kinds(rules, discovered):
        of = await documents.type_of(gvk)
        if of is not None:
            types.append((gvk, of))
    kind = spec.get("paramKind")
    params = None
    if kind:
        params = await documents.type_of(GroupVersionKind(*parse_api_version(kind["apiVersion"]), kind["kind"]))
    return Snapshot(policy, types, params)


def matched_kinds(rules: Iterable[Object], served: Sequence[Resource]) -> Sequence[GroupVersionKind]:
    """The kinds of what the rules name, sorted; wildcards name nothing, and subresources are not looked at."""
    found: set[GroupVersionKind] = set()
    by_name = {(resource.group, resource.version, resource.plural): resource.gvk for resource in served}
    for rule in rules:
        groups, versions = rule.get("apiGroups") or (), rule.get("apiVersions") or ()
        if any("*" in name for name in (*groups, *versions)):
            continue
        plurals = [name for name in rule.get("resources") or () if "*" not in name and "/" not in name]
        names = product(sorted(groups), sorted(versions), sorted(plurals))
        kinds = [by_name[name] for name in names if name in by_name]
        found.update(kinds[:TYPES_MAX])
        if len(kinds) >= TYPES_MAX:
            break
    return sorted(found)


class Documents:
    """The server's OpenAPI documents, each read once."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._read: dict[str, Mapping[str, Any]] = {}

    async def type_of(self, gvk: GroupVersionKind) -> Type | None:
        """None for what no document describes. Built-in kinds need none."""
        from pybernetes.machinery.cel.kinds import Definitions, of_builtin  # loaded with the first policy

        builtin = of_builtin(gvk)
        if builtin is not None:
            return builtin
        path = f"/openapi/v3/apis/{gvk.api_version}" if gvk.group else f"/openapi/v3/api/{gvk.version}"
        if path not in self._read:
            try:
                answer = await self._client.raw("GET", path)
            except errors.NotFound:
                return None
            assert isinstance(answer.body, bytes)
            self._read[path] = (orjson.loads(answer.body).get("components") or {}).get("schemas") or {}
        return Definitions(self._read[path]).of_kind(gvk)


def controller(context: Context) -> Controller[Snapshot]:
    return Controller(
        name="validatingadmissionpolicy-status-controller",
        wakes_on=(itself(VALIDATING_ADMISSION_POLICIES, lambda old, new: not is_checked(new)),),
        observe=observe,
        decide=reconcile,
        workers=1,
    )
