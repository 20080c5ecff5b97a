"""The access reviews: may they, asked through the API. Each returns the review with its status and raises as upstream.

Source: https://kubernetes.io/docs/reference/kubernetes-api/authorization-resources/
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pybernetes.apiserver.attributes import RequestInfo, User
from pybernetes.apiserver.authorization.interface import Authorizer, Decision, RuleResolver
from pybernetes.apiserver.authorization.selectors import evaluation_errors, field_selector, label_selector
from pybernetes.apiserver.registry import checks
from pybernetes.machinery import errors
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object

GROUP = "authorization.k8s.io"


async def subject_access_review(review: Object, authorizer: Authorizer) -> Object:
    spec = _spec(review)
    _refuse([*_access_errors(spec), *_subject_errors(spec), *_metadata_errors(review)])
    return await _answered(review, spec, _named_user(spec), authorizer)


async def local_subject_access_review(review: Object, namespace: str, authorizer: Authorizer) -> Object:
    spec = _spec(review)
    metadata = {"namespace": namespace, **(review.get("metadata") or {})}
    if metadata["namespace"] != namespace:
        raise errors.BadRequest("the namespace of the provided object does not match the namespace sent on the request")
    problems = [*_access_errors(spec), *_subject_errors(spec), *_metadata_errors(review, but_for="namespace")]
    _refuse([*problems, *_local_errors(spec, namespace)])
    return await _answered({**review, "metadata": metadata}, spec, _named_user(spec), authorizer)


async def self_subject_access_review(review: Object, user: User, authorizer: Authorizer) -> Object:
    spec = _spec(review)
    _refuse([*_access_errors(spec), *_metadata_errors(review)])
    return await _answered(review, spec, user, authorizer)


def self_subject_rules_review(review: Object, user: User, authorizer: RuleResolver) -> Object:
    """All that the caller may do in a namespace. What cannot be enumerated is said in `evaluationError`."""
    spec = _spec(review)
    namespace = spec.get("namespace", "")
    if not namespace:
        raise errors.BadRequest("no namespace on request")
    rules, incomplete, problem = authorizer.rules_for(user, namespace)
    status: Object = {
        "resourceRules": [
            {key: rule[key] for key in ("verbs", "apiGroups", "resources", "resourceNames") if rule.get(key)}
            for rule in rules
            if rule.get("resources")
        ],
        "nonResourceRules": [
            {key: rule[key] for key in ("verbs", "nonResourceURLs")} for rule in rules if rule.get("nonResourceURLs")
        ],
        "incomplete": incomplete,
    }
    if problem:
        status["evaluationError"] = problem
    return {**review, "spec": spec, "status": status}


async def _answered(review: Object, spec: Object, user: User, authorizer: Authorizer) -> Object:
    verdict = await authorizer.authorize(user, _request_info(spec))
    status: Object = {"allowed": verdict.decision is Decision.ALLOW}
    if verdict.decision is Decision.DENY:
        status["denied"] = True
    if verdict.reason:
        status["reason"] = verdict.reason
    problems = [verdict.error] if verdict.error else []
    problems += evaluation_errors(spec.get("resourceAttributes") or {})
    if problems:
        status["evaluationError"] = "; ".join(problems)
    return {**review, "spec": spec, "status": status}


def _spec(review: Object) -> Object:
    """The spec as it is answered: without empty texts."""
    spec: Object = _without_empty_texts(review.get("spec") or {})
    return spec


def _without_empty_texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_empty_texts(inner) for key, inner in value.items() if inner not in ("", None)}
    return value


def _named_user(spec: Object) -> User:
    extra = {key.lower(): tuple(values) for key, values in (spec.get("extra") or {}).items()}
    return User(spec.get("user", ""), spec.get("uid", ""), tuple(spec.get("groups") or ()), extra)


def _request_info(spec: Object) -> RequestInfo:
    if "nonResourceAttributes" in spec:
        attributes = spec["nonResourceAttributes"]
        return RequestInfo(verb=attributes.get("verb", ""), path=attributes.get("path", ""))
    attributes = spec["resourceAttributes"]
    return RequestInfo(
        verb=attributes.get("verb", ""),
        path="",
        is_resource=True,
        group=attributes.get("group", ""),
        version=attributes.get("version") or "*",  # as upstream tells webhooks
        resource=attributes.get("resource", ""),
        subresource=attributes.get("subresource", ""),
        namespace=attributes.get("namespace", ""),
        name=attributes.get("name", ""),
        label_selector=label_selector(attributes.get("labelSelector")).text,
        field_selector=field_selector(attributes.get("fieldSelector")).text,
    )


def _access_errors(spec: Object) -> Iterator[FieldError]:
    if "resourceAttributes" in spec and "nonResourceAttributes" in spec:
        given = spec["nonResourceAttributes"]
        shown = {"Path": given.get("path", ""), "Verb": given.get("verb", "")}
        yield FieldError.invalid(
            "spec.nonResourceAttributes", shown, "cannot be specified in combination with resourceAttributes"
        )
    if "resourceAttributes" not in spec and "nonResourceAttributes" not in spec:
        problem = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        yield FieldError.invalid("spec.resourceAttributes", None, problem)
    attributes = spec.get("resourceAttributes") or {}
    yield from _selector_errors(attributes.get("fieldSelector"), "spec.resourceAttributes.fieldSelector", _field_requirement)
    yield from _selector_errors(attributes.get("labelSelector"), "spec.resourceAttributes.labelSelector", _label_requirement)


def _selector_errors(
    selector: Object | None, path: str, check: Callable[[Object, str], Iterator[FieldError]]
) -> Iterator[FieldError]:
    if selector is None:
        return
    if selector.get("rawSelector") and selector.get("requirements"):
        yield FieldError.invalid(
            f"{path}.rawSelector", selector["rawSelector"], "may not specified at the same time as requirements"
        )
    if not selector.get("rawSelector") and not selector.get("requirements"):
        yield FieldError.required(f"{path}.requirements", f"when {path} is specified, requirements or rawSelector is required")
    for place, requirement in enumerate(selector.get("requirements") or ()):
        yield from check(requirement, f"{path}.requirements[{place}]")


def _field_requirement(requirement: Object, path: str) -> Iterator[FieldError]:
    if not requirement.get("key"):
        yield FieldError.required(path + ".key", "must be specified")
    yield from checks.values_fit_operator(requirement, path)


def _label_requirement(requirement: Object, path: str) -> Iterator[FieldError]:
    return checks.label_expression(requirement, path, known_operators=False)


def _subject_errors(spec: Object) -> Iterator[FieldError]:
    if not spec.get("user") and not spec.get("groups"):
        yield FieldError.invalid("spec.user", spec.get("user", ""), "at least one of user or group must be specified")


def _metadata_errors(review: Object, *, but_for: str = "") -> Iterator[FieldError]:
    given = {key: value for key, value in (review.get("metadata") or {}).items() if value and key != "managedFields"}
    if given.keys() - {but_for}:
        yield FieldError.invalid("metadata", given, "must be empty" + (f" except for {but_for}" if but_for else ""))


def _local_errors(spec: Object, namespace: str) -> Iterator[FieldError]:
    given = (spec.get("resourceAttributes") or {}).get("namespace", "")
    if "resourceAttributes" in spec and given != namespace:
        yield FieldError.invalid("spec.resourceAttributes.namespace", given, "must match metadata.namespace")
    if "nonResourceAttributes" in spec:
        shown = {"Path": spec["nonResourceAttributes"].get("path", ""), "Verb": spec["nonResourceAttributes"].get("verb", "")}
        yield FieldError.invalid("spec.nonResourceAttributes", shown, "disallowed on this kind of request")


def _refuse(problems: list[FieldError]) -> None:
    if problems:
        # The kind is empty, as upstream has it.
        raise errors.invalid(GROUP, "", "", problems)
