"""A policy and a binding, compiled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pybernetes.apiserver.admission.matching import Criteria, compile_criteria
from pybernetes.machinery import labels
from pybernetes.machinery.cel.admission import JSON_PATCH, OBJECT, PATCHES, Environment, Expression, compose, expression
from pybernetes.machinery.labels import Selector
from pybernetes.machinery.meta import GroupVersionKind, Object, name_of, parse_api_version

APPLY_CONFIGURATION = "ApplyConfiguration"


@dataclass(frozen=True, slots=True)
class Validation:
    expression: Expression
    message: str
    message_expression: Expression | None
    reason: str


@dataclass(frozen=True, slots=True)
class AuditAnnotation:
    key: str
    value: Expression


@dataclass(frozen=True, slots=True)
class Mutation:
    """`expression` gives an apply configuration, or a list of JSON patch operations."""

    applies: bool
    expression: Expression


@dataclass(frozen=True, slots=True)
class ParamReference:
    """`name` or `selector` is given; `namespace` "": the request's own."""

    name: str
    namespace: str
    selector: Selector | None
    denies_without: bool


@dataclass(frozen=True, slots=True)
class Binding:
    name: str
    criteria: Criteria | None  # None: as the policy
    params: ParamReference | None
    actions: tuple[str, ...]  # Deny, Warn, Audit; of validations


@dataclass(frozen=True, slots=True)
class Policy:
    name: str
    criteria: Criteria
    param_kind: GroupVersionKind | None
    conditions: tuple[Expression, ...]
    variables: Mapping[str, Expression]
    ignores_failures: bool
    validations: tuple[Validation, ...] = ()
    audit_annotations: tuple[AuditAnnotation, ...] = ()
    mutations: tuple[Mutation, ...] = ()
    reinvocable: bool = False


def compile_policy(policy: Object) -> Policy:
    """Of either kind, validated and defaulted. An expression that is none says so when it is evaluated."""
    spec = policy["spec"]
    given = spec.get("paramKind")
    plain = Environment(has_params=given is not None)
    environment, variables = compose(spec.get("variables") or (), plain)
    return Policy(
        name=name_of(policy),
        criteria=_criteria(spec["matchConstraints"]),
        param_kind=None if given is None else GroupVersionKind(*parse_api_version(given["apiVersion"]), given["kind"]),
        conditions=tuple(expression(each["expression"], plain, ("bool",)) for each in spec.get("matchConditions") or ()),
        variables=variables,
        ignores_failures=spec.get("failurePolicy", "Fail") == "Ignore",
        validations=tuple(_validation(each, environment) for each in spec.get("validations") or ()),
        audit_annotations=tuple(
            AuditAnnotation(each["key"], expression(each["valueExpression"], environment, ("string", "null")))
            for each in spec.get("auditAnnotations") or ()
        ),
        mutations=tuple(_mutation(each, environment) for each in spec.get("mutations") or ()),
        reinvocable=spec.get("reinvocationPolicy") == "IfNeeded",
    )


def compile_binding(binding: Object) -> Binding:
    spec = binding["spec"]
    matching, reference = spec.get("matchResources"), spec.get("paramRef")
    return Binding(
        name=name_of(binding),
        criteria=None if matching is None else _criteria(matching),
        params=None if reference is None else _reference(reference),
        actions=tuple(spec.get("validationActions") or ()),
    )


def _criteria(matching: Object) -> Criteria:
    return compile_criteria(matching, matching.get("resourceRules") or None, matching.get("excludeResourceRules") or ())


def _reference(reference: Object) -> ParamReference:
    selector = reference.get("selector")
    return ParamReference(
        name=reference.get("name") or "",
        namespace=reference.get("namespace") or "",
        selector=None if selector is None else labels.from_label_selector(selector),
        denies_without=reference.get("parameterNotFoundAction") == "Deny",
    )


def _validation(validation: Object, environment: Environment) -> Validation:
    text = validation.get("messageExpression") or ""
    return Validation(
        expression(validation["expression"], environment, ("bool",)),
        (validation.get("message") or "").strip(),
        expression(text, environment, ("string",)) if text else None,
        validation.get("reason") or "Invalid",
    )


def _mutation(mutation: Object, environment: Environment) -> Mutation:
    if mutation["patchType"] == APPLY_CONFIGURATION:
        return Mutation(True, expression(mutation["applyConfiguration"]["expression"], environment, (OBJECT,), PATCHES))
    return Mutation(False, expression(mutation["jsonPatch"]["expression"], environment, (("list", JSON_PATCH),), PATCHES))
