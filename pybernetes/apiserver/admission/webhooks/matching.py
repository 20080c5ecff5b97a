"""Which hooks a request concerns, and in which version each wants the object.

Source: API reference of MutatingWebhook (`rules`, `matchPolicy`, `namespaceSelector`, `objectSelector`, `matchConditions`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from pybernetes.apiserver.admission.interface import AdmissionRequest, Operation
from pybernetes.apiserver.admission.webhooks.hooks import Hook, Rule
from pybernetes.apiserver.registry.kinds import Kind
from pybernetes.apiserver.registry.strategy import Reader
from pybernetes.machinery.errors import StatusError, not_found
from pybernetes.machinery.labels import Selector
from pybernetes.machinery.meta import GroupVersionKind, Object, Resource, clone, labels_of
from pybernetes.machinery.resources import NAMESPACES, SUBRESOURCES

# A hook may not stand in the way of its own removal, nor may policies be held up by hooks.
_EXEMPT_GROUP = "admissionregistration.k8s.io"
_EXEMPT = frozenset((
    "mutatingwebhookconfigurations", "validatingwebhookconfigurations", "mutatingadmissionpolicies",
    "mutatingadmissionpolicybindings", "validatingadmissionpolicies", "validatingadmissionpolicybindings",
))  # fmt: skip


class Versions(Protocol):
    """What is served of one stored object."""

    def others(self, resource: Resource) -> Sequence[Resource]:
        """The other resources that serve the same stored objects (`matchPolicy: Equivalent`)."""
        ...

    def kind_of(self, resource: Resource, subresource: str) -> GroupVersionKind:
        """What is read and written there: of `deployments/scale` a Scale."""
        ...

    def convert(self, obj: Object, source: Resource, target: Resource) -> Object:
        """The object of one resource as the other serves it; a new one."""
        ...

    def settle(self, obj: Object, resource: Resource, subresource: str) -> None:
        """Check what came from outside against the schema, drop what is unknown, add defaults; in place.

        Raises `BadRequest`.
        """
        ...


class KindVersions:
    """`Versions` of the kinds that a server has."""

    def __init__(self, kinds: Mapping[Resource, Kind]) -> None:
        self._kinds = kinds

    def others(self, resource: Resource) -> Sequence[Resource]:
        kind = self._kinds.get(resource)
        if kind is None:
            return ()
        return [other.resource for other in self._kinds.values() if other.table is kind.table and other is not kind]

    def kind_of(self, resource: Resource, subresource: str) -> GroupVersionKind:
        if not subresource:
            return resource.gvk
        kind = self._kinds.get(resource)
        below = kind.subresources.get(subresource) if kind is not None else SUBRESOURCES[resource].get(subresource)
        return below.gvk if below is not None else resource.gvk

    def convert(self, obj: Object, source: Resource, target: Resource) -> Object:
        stored = self._kinds[source].to_storage(clone(obj))
        return {**self._kinds[target].from_storage(stored), "apiVersion": target.api_version}

    def settle(self, obj: Object, resource: Resource, subresource: str) -> None:
        kind = self._kinds.get(resource)
        if kind is None or self.kind_of(resource, subresource) != resource.gvk:
            return  # options of a connection, a Scale, a Binding: whoever reads it checks it
        kind.schema.conform(obj)
        kind.strategy.default(obj)


@dataclass(frozen=True, slots=True)
class Invocation:
    """A hook to be called, and as what it sees the request."""

    hook: Hook
    resource: Resource
    kind: GroupVersionKind


def is_exempt(request: AdmissionRequest) -> bool:
    """Whether no webhook is ever asked."""
    return request.resource.group == _EXEMPT_GROUP and request.resource.plural in _EXEMPT


def match(hook: Hook, request: AdmissionRequest, reader: Reader, versions: Versions) -> Invocation | None:
    """How `hook` is to be called for this request; None if it is not concerned. Its `matchConditions` are not looked at.

    Raises `NotFound` where it depends on a namespace that is not there.
    """
    missing: StatusError | None = None
    try:
        if not _selects_namespace(hook.namespace_selector, request, reader):
            return None
    except StatusError as error:
        missing = error  # matters only if the rules match
    if not _selects_object(hook.object_selector, request):
        return None
    invocation = _by_rules(hook, request, versions)
    if invocation is None:
        return None
    if missing is not None:
        raise missing
    return invocation


def _by_rules(hook: Hook, request: AdmissionRequest, versions: Versions) -> Invocation | None:
    resource = request.resource
    for rule in hook.rules:
        if matches_rule(rule, request, resource):
            return Invocation(hook, resource, versions.kind_of(resource, request.subresource))
    if hook.matches_equivalents:
        others = versions.others(resource)
        for rule in hook.rules if others else ():  # earlier rules count first
            for other in others:
                if matches_rule(rule, request, other):
                    return Invocation(hook, other, versions.kind_of(other, request.subresource))
    return None


def matches_rule(rule: Rule, request: AdmissionRequest, resource: Resource) -> bool:
    """Whether the request, as one on `resource`, is among those that the rule names."""
    if not ("*" in rule.operations or request.operation.value in rule.operations):
        return False
    if not ("*" in rule.groups or resource.group in rule.groups):
        return False
    if not ("*" in rule.versions or resource.version in rule.versions):
        return False
    if rule.scope != "*":
        # A namespace is no namespaced object, though requests for it name one.
        is_namespaced = bool(request.namespace) and not _is_namespace(resource)
        if is_namespaced != (rule.scope == "Namespaced"):
            return False
    return any(plural in ("*", resource.plural) and below in ("*", request.subresource) for plural, below in rule.resources)


def _is_namespace(resource: Resource) -> bool:
    return resource.plural == NAMESPACES.plural and not resource.group


def namespace_name(request: AdmissionRequest) -> str:
    """The namespace that a request is in: for a namespace, itself."""
    if not request.namespace and _is_namespace(request.resource):
        return request.name
    return request.namespace


def _selects_namespace(selector: Selector, request: AdmissionRequest, reader: Reader) -> bool:
    if selector.matches_everything:
        return True
    is_namespace = _is_namespace(request.resource)
    name = namespace_name(request)
    if not name and not is_namespace:
        return True  # cluster-scoped objects are never left out by namespace
    if is_namespace and not request.subresource and request.operation in (Operation.CREATE, Operation.UPDATE):
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
