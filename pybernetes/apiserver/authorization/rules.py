"""The algebra of RBAC rules: does a rule allow a request, does a set of rules cover another.

Source: https://kubernetes.io/docs/reference/access-authn-authz/rbac/#api-overview; all functions are pure, and take and give
`PolicyRule` objects as they are on the wire.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pybernetes.apiserver.attributes import RequestInfo
from pybernetes.machinery.meta import Object

ALL = "*"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule compiled for matching. It speaks of resources or of URLs, never of both."""

    verbs: frozenset[str]
    groups: frozenset[str]
    resources: frozenset[str]
    names: frozenset[str]
    urls: frozenset[str]
    url_prefixes: tuple[str, ...]

    def allows_kind(self, info: RequestInfo) -> bool:
        """Does it allow the request, the object's name left aside?"""
        if info.verb not in self.verbs and ALL not in self.verbs:
            return False
        if not info.is_resource:
            return info.path in self.urls or info.path.startswith(self.url_prefixes)
        if info.group not in self.groups and ALL not in self.groups:
            return False
        if ALL in self.resources:
            return True
        if not info.subresource:
            return info.resource in self.resources
        return f"{info.resource}/{info.subresource}" in self.resources or f"*/{info.subresource}" in self.resources

    def allows_name(self, name: str) -> bool:
        return not self.names or name in self.names


def compiled(rule: Object) -> Rule:
    urls: Sequence[str] = rule.get("nonResourceURLs") or ()
    return Rule(
        verbs=frozenset(rule.get("verbs") or ()),
        groups=frozenset(rule.get("apiGroups") or ()),
        resources=frozenset(rule.get("resources") or ()),
        names=frozenset(rule.get("resourceNames") or ()),
        urls=frozenset(urls),
        url_prefixes=tuple(url.rstrip(ALL) for url in urls if url.endswith(ALL)),
    )


def covers(owned: Iterable[Object], granted: Iterable[Object]) -> list[Object]:
    """Which of the `granted` permissions, broken down to single ones, no `owned` rule holds; [] if all are held."""
    mine = [compiled(rule) for rule in owned]
    return [single for rule in granted for single in broken_down(rule) if not _held(compiled(single), mine)]


def broken_down(rule: Object) -> Iterator[Object]:
    """The rule as single permissions: one group, resource, name and verb each."""
    for group in rule.get("apiGroups") or ():
        for resource in rule.get("resources") or ():
            for verb in rule.get("verbs") or ():
                single = {"apiGroups": [group], "resources": [resource], "verbs": [verb]}
                names = rule.get("resourceNames") or ()
                if not names:
                    yield single
                for name in names:
                    yield {**single, "resourceNames": [name]}
    for url in rule.get("nonResourceURLs") or ():
        for verb in rule.get("verbs") or ():
            yield {"nonResourceURLs": [url], "verbs": [verb]}


def _held(single: Rule, owned: Iterable[Rule]) -> bool:
    return any(_rule_holds(rule, single) for rule in owned)


def _rule_holds(rule: Rule, single: Rule) -> bool:
    if ALL not in rule.verbs and not single.verbs <= rule.verbs:
        return False
    if single.urls:
        return all(url in rule.urls or url.startswith(rule.url_prefixes) for url in single.urls)
    if ALL not in rule.groups and not single.groups <= rule.groups:
        return False
    if rule.names and not (single.names and single.names <= rule.names):
        return False
    return ALL in rule.resources or all(_resource_held(rule, resource) for resource in single.resources)


def _resource_held(rule: Rule, resource: str) -> bool:
    _, slash, subresource = resource.partition("/")
    return resource in rule.resources or (bool(slash) and f"*/{subresource}" in rule.resources)


def compacted(singles: Iterable[Object]) -> list[Object]:
    """Single permissions joined again where only the verb differs."""
    joined: dict[tuple[str, ...], Object] = {}
    others: list[Object] = []
    for single in singles:
        if "nonResourceURLs" in single:
            others.append(single)
            continue
        key = (single["apiGroups"][0], single["resources"][0], *single.get("resourceNames", ()))
        if key in joined:
            joined[key]["verbs"] = [*joined[key]["verbs"], *single["verbs"]]
        else:
            joined[key] = dict(single)
    return [*joined.values(), *others]


def described(rule: Object) -> str:
    """The rule in upstream's short form: `{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}`."""
    fields = (
        ("APIGroups", "apiGroups"),
        ("Resources", "resources"),
        ("NonResourceURLs", "nonResourceURLs"),
        ("ResourceNames", "resourceNames"),
        ("Verbs", "verbs"),
    )
    return "{" + ", ".join(f"{shown}:{quoted(rule[field])}" for shown, field in fields if rule.get(field)) + "}"


def quoted(texts: Iterable[str]) -> str:
    """A list as Go's %q prints it."""
    return "[" + " ".join(f'"{text}"' for text in texts) + "]"
