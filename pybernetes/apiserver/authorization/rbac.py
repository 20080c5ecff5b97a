"""RBAC: roles and bindings compiled into an index, and asked.

The index is remade when an object of one of the four kinds changed (known by `Reader.generation`). What a subject holds is then
narrowed in two steps, each remembered until the next change: the rules that reach a user in a namespace, and the rules among
them that allow one kind of request whatever the object's name. So a usual request costs one dict lookup.

Source: https://kubernetes.io/docs/reference/access-authn-authz/rbac/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from pybernetes.apiserver.attributes import RequestInfo, User
from pybernetes.apiserver.authorization.interface import Decision, Rules, Verdict
from pybernetes.apiserver.authorization.rules import Rule, compiled
from pybernetes.apiserver.registry.strategy import Reader
from pybernetes.machinery.errors import aggregate
from pybernetes.machinery.meta import Object, name_of, namespace_of
from pybernetes.machinery.resources import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES

SERVICE_ACCOUNT_PREFIX = "system:serviceaccount:"
REMEMBERED_MAX = 16_384  # entries of each memory; it is emptied when full

K = TypeVar("K")
V = TypeVar("V")

NO_OPINION = Verdict(Decision.NO_OPINION)


@dataclass(frozen=True, slots=True)
class Grant:
    """A binding, seen from one of its subjects."""

    role: Role
    binding: str
    reason: str


@dataclass(frozen=True, slots=True)
class Role:
    """A role's rules, as they are on the wire and compiled. `missing` is the error of a binding whose role does not exist."""

    rules: tuple[Object, ...]
    compiled: tuple[Rule, ...]
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Index:
    """Who is bound where: by namespace ("" for the whole cluster), then by subject ("u:joe", "g:admins")."""

    grants: Mapping[str, Mapping[str, tuple[Grant, ...]]]
    held: dict[tuple[object, ...], tuple[Grant, ...]] = field(default_factory=dict)
    matching: dict[tuple[object, ...], tuple[tuple[Rule, str], ...]] = field(default_factory=dict)


def build_index(reader: Reader) -> Index:
    """Compile the cluster's RBAC objects. Pure but for reading."""
    cluster_roles = {name_of(role): _role(role) for role in reader.list(CLUSTER_ROLES)}
    roles = {(namespace_of(role), name_of(role)): _role(role) for role in reader.list(ROLES)}
    grants: dict[str, dict[str, list[Grant]]] = {}
    for binding in (*reader.list(CLUSTER_ROLE_BINDINGS), *reader.list(ROLE_BINDINGS)):
        namespace, reference = namespace_of(binding), binding["roleRef"]
        found = cluster_roles.get(reference["name"])
        if reference["kind"] == "Role":
            found = roles.get((namespace, reference["name"]))
        if found is None:
            kind = reference["kind"].lower()
            found = Role((), (), f'{kind}.rbac.authorization.k8s.io "{reference["name"]}" not found')
        bound = f'ClusterRoleBinding "{name_of(binding)}"'
        if namespace:
            bound = f'RoleBinding "{name_of(binding)}/{namespace}"'
        scope = grants.setdefault(namespace, {})
        for subject in binding.get("subjects") or ():
            key, shown = _subject(subject, namespace)
            reason = f'RBAC: allowed by {bound} of {reference["kind"]} "{reference["name"]}" to {shown}'
            scope.setdefault(key, []).append(Grant(found, bound, reason))
    return Index({
        namespace: {key: tuple(found) for key, found in subjects.items()} for namespace, subjects in grants.items()
    })  # fmt: skip


def _role(role: Object) -> Role:
    rules = tuple(role.get("rules") or ())
    return Role(rules, tuple(compiled(rule) for rule in rules))


def _subject(subject: Object, namespace: str) -> tuple[str, str]:
    """(key in the index, how a reason names it)"""
    kind, name = subject["kind"], subject["name"]
    if kind == "ServiceAccount":
        home = subject.get("namespace") or namespace
        return f"u:{SERVICE_ACCOUNT_PREFIX}{home}:{name}", f'ServiceAccount "{name}/{home}"'
    return f"{'g' if kind == 'Group' else 'u'}:{name}", f'{kind} "{name}"'


class RBAC:
    """The RBAC authorizer."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._index = Index({})
        self._generations: tuple[int, ...] = ()

    async def authorize(self, user: User, info: RequestInfo) -> Verdict:
        for rule, reason in self._rules_matching(user, info):
            if rule.allows_name(info.name):
                return Verdict(Decision.ALLOW, reason)
        return self._refusal(user, info.namespace)

    def rules_for(self, user: User, namespace: str) -> Rules:
        """All rules that reach the user in the namespace."""
        grants = self._held(user, namespace)
        return Rules([rule for grant in grants for rule in grant.role.rules], error=_missing(grants))

    def _refusal(self, user: User, namespace: str) -> Verdict:
        missing = _missing(self._held(user, namespace))
        return Verdict(Decision.NO_OPINION, f"RBAC: {missing}") if missing else NO_OPINION

    def _current(self) -> Index:
        generation = self._reader.generation
        generations = (
            generation(ROLES), generation(CLUSTER_ROLES), generation(ROLE_BINDINGS), generation(CLUSTER_ROLE_BINDINGS)
        )  # fmt: skip
        if generations != self._generations:
            self._index, self._generations = build_index(self._reader), generations
        return self._index

    def _held(self, user: User, namespace: str) -> tuple[Grant, ...]:
        index = self._current()
        key = (user.name, user.groups, namespace)
        held = index.held.get(key)
        if held is None:
            held = tuple(_grants(index, user, namespace))
            _remember(index.held, key, held)
        return held

    def _rules_matching(self, user: User, info: RequestInfo) -> Sequence[tuple[Rule, str]]:
        index = self._current()
        target = (info.group, info.resource, info.subresource, info.namespace) if info.is_resource else (info.path,)
        key = (user.name, user.groups, info.verb, *target)
        matching = index.matching.get(key)
        if matching is None:
            # A URL is not in a namespace: only cluster-wide bindings grant it.
            grants = self._held(user, info.namespace if info.is_resource else "")
            matching = tuple((rule, grant.reason) for grant in grants for rule in grant.role.compiled if rule.allows_kind(info))
            _remember(index.matching, key, matching)
        return matching


def _grants(index: Index, user: User, namespace: str) -> Iterator[Grant]:
    """Each binding once, however many of its subjects the user is."""
    keys = (f"u:{user.name}", *(f"g:{group}" for group in user.groups))
    for scope in ("", namespace) if namespace else ("",):
        subjects = index.grants.get(scope, {})
        found = {grant.binding: grant for key in reversed(keys) for grant in reversed(subjects.get(key, ()))}
        yield from reversed(found.values())


def _missing(grants: Sequence[Grant]) -> str:
    return aggregate(grant.role.missing for grant in grants if grant.role.missing)


def _remember(memory: dict[K, V], key: K, value: V) -> None:
    if len(memory) >= REMEMBERED_MAX:
        memory.clear()
    memory[key] = value
