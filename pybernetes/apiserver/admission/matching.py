"""Which requests a webhook or a policy concerns, and as which resource it sees them.

Source: API reference of MutatingWebhook (`rules`, `matchPolicy`, `namespaceSelector`, `objectSelector`) and of MatchResources.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pybernetes.apiserver.admission.interface import AdmissionRequest, Operation
from pybernetes.apiserver.admission.versions import Versions
from pybernetes.apiserver.registry.strategy import Reader
from pybernetes.machinery import labels
from pybernetes.machinery.errors import StatusError, not_found
from pybernetes.machinery.labels import Selector
from pybernetes.machinery.meta import GroupVersionKind, Object, Resource, labels_of
from pybernetes.machinery.resources import NAMESPACES


@dataclass(frozen=True, slots=True)
class Rule:
    """Operations on resources; "*" stands for all."""

    operations: frozenset[str]
    groups: frozenset[str]
    versions: frozenset[str]
    resources: tuple[tuple[str, str], ...]  # (resource, subresource)
    scope: str  # Cluster, Namespaced, *
    names: frozenset[str] = frozenset()  # of objects; empty: all


@dataclass(frozen=True, slots=True)
class Criteria:
    rules: tuple[Rule, ...] | None  # None: every request
    namespace_selector: Selector
    object_selector: Selector
    matches_equivalents: bool
    excluded: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True)
class Match:
    """As what a request that matches is seen: its own resource, or an equivalent one."""

    resource: Resource
    kind: GroupVersionKind


def compile_rule(rule: Object) -> Rule:
    parts = [text.partition("/") for text in rule.get("resources") or ()]
    return Rule(
        frozenset(rule.get("operations") or ()),
        frozenset(rule.get("apiGroups") or ()),
        frozenset(rule.get("apiVersions") or ()),
        tuple((resource, subresource) for resource, _, subresource in parts),
        rule.get("scope") or "*",
        frozenset(rule.get("resourceNames") or ()),
    )


def compile_criteria(given: Object, rules: Iterable[Object] | None, excluded: Iterable[Object] = ()) -> Criteria:
    """`given` holds the selectors and `matchPolicy`, validated and defaulted: an absent selector was made {}, for all."""
    return Criteria(
        rules=None if rules is None else tuple(map(compile_rule, rules)),
        namespace_selector=labels.from_label_selector(given.get("namespaceSelector") or {}),
        object_selector=labels.from_label_selector(given.get("objectSelector") or {}),
        matches_equivalents=given.get("matchPolicy", "Equivalent") == "Equivalent",
        excluded=tuple(map(compile_rule, excluded)),
    )


def match(criteria: Criteria, request: AdmissionRequest, reader: Reader, versions: Versions) -> Match | None:
    """As what the request is seen; None if it is not concerned.

    Raises `NotFound` where that depends on a namespace that is not there.
    """
    missing: StatusError | None = None
    try:
        if not _selects_namespace(criteria.namespace_selector, request, reader):
            return None
    except StatusError as error:
        missing = error  # matters only if the rules match
    if not _selects_object(criteria.object_selector, request):
        return None
    if criteria.excluded and _by_rules(criteria.excluded, criteria, request, versions) is not None:
        return None
    if criteria.rules is None:
        found: Match | None = Match(request.resource, versions.kind_of(request.resource, request.subresource))
    else:
        found = _by_rules(criteria.rules, criteria, request, versions)
    if found is not None and missing is not None:
        raise missing
    return found


def _by_rules(rules: Sequence[Rule], criteria: Criteria, request: AdmissionRequest, versions: Versions) -> Match | None:
    resource = request.resource
    for rule in rules:
        if matches_rule(rule, request, resource):
            return Match(resource, versions.kind_of(resource, request.subresource))
    if criteria.matches_equivalents:
        others = versions.others(resource)
        for rule in rules if others else ():  # earlier rules count first
            for other in others:
                if matches_rule(rule, request, other):
                    return Match(other, versions.kind_of(other, request.subresource))
    return None


def may_concern(criteria: Criteria, request: AdmissionRequest, versions: Versions) -> bool:
    """Whether a request with such an operation on such a resource may match: names and labels are not looked at."""
    if criteria.rules is None:
        return True
    others = versions.others(request.resource) if criteria.matches_equivalents else ()
    return any(_covers(rule, request, resource) for rule in criteria.rules for resource in (request.resource, *others))


def _covers(rule: Rule, request: AdmissionRequest, resource: Resource) -> bool:
    if not ("*" in rule.operations or request.operation.value in rule.operations):
        return False
    if not ("*" in rule.groups or resource.group in rule.groups):
        return False
    if not ("*" in rule.versions or resource.version in rule.versions):
        return False
    return any(plural in ("*", resource.plural) and below in ("*", request.subresource) for plural, below in rule.resources)


def matches_rule(rule: Rule, request: AdmissionRequest, resource: Resource) -> bool:
    """Whether the request, as one on `resource`, is among those that the rule names."""
    if not _covers(rule, request, resource):
        return False
    if rule.names and request.name not in rule.names:
        return False
    if rule.scope != "*":
        # A namespace is no namespaced object, though requests for it name one.
        is_namespaced = bool(request.namespace) and not is_namespace(resource)
        return is_namespaced == (rule.scope == "Namespaced")
    return True


def is_namespace(resource: Resource) -> bool:
    return resource.plural == NAMESPACES.plural and not resource.group


def namespace_name(request: AdmissionRequest) -> str:
    """The namespace that a request is in: for a namespace, itself."""
    if not request.namespace and is_namespace(request.resource):
        return request.name
    return request.namespace


def _selects_namespace(selector: Selector, request: AdmissionRequest, reader: Reader) -> bool:
    if selector.matches_everything:
        return True
    written = is_namespace(request.resource)
    name = namespace_name(request)
    if not name and not written:
        return True  # cluster-scoped objects are never left out by namespace
    if written and not request.subresource and request.operation in (Operation.CREATE, Operation.UPDATE):
        return selector.matches(labels_of(request.object or {"metadata": {}}))  # as it is going to be
    namespace = reader.get(NAMESPACES, "", name)
    if namespace is None:
        raise not_found("", NAMESPACES.plural, name)
    return selector.matches(labels_of(namespace))


def _selects_object(selector: Selector, request: AdmissionRequest) -> bool:
    if selector.matches_everything:
        return True
    return any(
        obj is not None and "metadata" in obj and selector.matches(labels_of(obj))
        for obj in (request.object, request.old_object)
    )
