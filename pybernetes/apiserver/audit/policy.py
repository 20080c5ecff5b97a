"""The audit policy: the first rule that matches a request says how much of it is recorded. Pure but for `load`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, Final

from pybernetes.apiserver.attributes import RequestInfo, User

API_VERSION: Final = "audit.k8s.io/v1"
REQUEST_RECEIVED: Final = "RequestReceived"
RESPONSE_STARTED: Final = "ResponseStarted"
RESPONSE_COMPLETE: Final = "ResponseComplete"
PANIC: Final = "Panic"
STAGES: Final = (REQUEST_RECEIVED, RESPONSE_STARTED, RESPONSE_COMPLETE, PANIC)
_FIELDS: Final = frozenset((
    "level", "users", "userGroups", "verbs", "resources", "namespaces", "nonResourceURLs", "omitStages", "omitManagedFields",
))  # fmt: skip


class Level(IntEnum):
    NONE = 0
    METADATA = 1
    REQUEST = 2
    REQUEST_RESPONSE = 3


LEVELS: Final = {
    "None": Level.NONE, "Metadata": Level.METADATA, "Request": Level.REQUEST, "RequestResponse": Level.REQUEST_RESPONSE,
}  # fmt: skip
LEVEL_NAMES: Final = {level: name for name, level in LEVELS.items()}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is recorded of a request."""

    level: Level
    omitted_stages: frozenset[str] = frozenset()
    omits_managed_fields: bool = False


@dataclass(frozen=True, slots=True)
class GroupResources:
    group: str
    resources: tuple[str, ...]
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    verdict: Verdict
    users: frozenset[str]
    groups: frozenset[str]
    verbs: frozenset[str]
    resources: tuple[GroupResources, ...]
    namespaces: frozenset[str]
    paths: tuple[str, ...]

    def matches(self, user: User, info: RequestInfo) -> bool:
        if self.users and user.name not in self.users:
            return False
        if self.groups and self.groups.isdisjoint(user.groups):
            return False
        if self.verbs and info.verb not in self.verbs:
            return False
        if self.namespaces or self.resources:
            return info.is_resource and self._matches_resource(info)
        if self.paths:
            return not info.is_resource and any(_path_matches(path, info.path) for path in self.paths)
        return True

    def _matches_resource(self, info: RequestInfo) -> bool:
        if self.namespaces and info.namespace not in self.namespaces:
            return False
        if not self.resources:
            return True
        whole = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
        for wanted in self.resources:
            if wanted.group != info.group:
                continue
            if not wanted.resources:
                return True
            if wanted.names and info.name not in wanted.names:
                continue
            for pattern in wanted.resources:
                if pattern in ("*", whole):
                    return True
                if pattern.startswith("*/") and info.subresource == pattern[2:]:
                    return True
                if pattern.endswith("/*") and info.resource == pattern[:-2]:
                    return True
        return False


@dataclass(frozen=True, slots=True)
class Policy:
    rules: tuple[Rule, ...]

    def evaluate(self, user: User, info: RequestInfo) -> Verdict:
        """What to record; nothing where no rule matches."""
        for rule in self.rules:
            if rule.matches(user, info):
                return rule.verdict
        return Verdict(Level.NONE)


def load(path: Path) -> Policy:
    """The policy of a file (YAML or JSON). Raises OSError, and ValueError saying what is wrong."""
    import yaml

    try:
        return parse(yaml.safe_load(path.read_text()))
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: {error}") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def parse(document: Any) -> Policy:
    """Raises ValueError."""
    if not isinstance(document, dict) or document.get("kind") != "Policy" or document.get("apiVersion") != API_VERSION:
        raise ValueError(f"not a Policy of {API_VERSION}")
    rules = document.get("rules") or []
    if not rules:
        raise ValueError("loaded illegal policy with 0 rules")
    common = frozenset(_stages(document.get("omitStages")))
    without_fields = bool(document.get("omitManagedFields"))
    return Policy(tuple(_rule(rule, common, without_fields) for rule in rules))


def _rule(rule: Any, common_stages: frozenset[str], without_fields: bool) -> Rule:
    if not isinstance(rule, dict) or not rule.keys() <= _FIELDS:
        raise ValueError(f"unknown fields in a rule: {rule}")
    if rule.get("level") not in LEVELS:
        raise ValueError(f'level: Unsupported value: "{rule.get("level")}": supported values: {", ".join(LEVELS)}')
    if rule.get("nonResourceURLs") and (rule.get("resources") or rule.get("namespaces")):
        raise ValueError("nonResourceURLs: rules cannot apply to both regular resources and non-resource URLs")
    omits = rule.get("omitManagedFields")
    verdict = Verdict(
        LEVELS[rule["level"]], common_stages | frozenset(_stages(rule.get("omitStages"))),
        without_fields if omits is None else bool(omits),
    )  # fmt: skip
    resources = tuple(
        GroupResources(found.get("group", ""), tuple(found.get("resources") or ()), tuple(found.get("resourceNames") or ()))
        for found in rule.get("resources") or ()
    )
    return Rule(
        verdict, frozenset(rule.get("users") or ()), frozenset(rule.get("userGroups") or ()),
        frozenset(rule.get("verbs") or ()), resources, frozenset(rule.get("namespaces") or ()),
        tuple(rule.get("nonResourceURLs") or ()),
    )  # fmt: skip


def _stages(names: Any) -> list[str]:
    for name in names or ():
        if name not in STAGES:
            raise ValueError(f'omitStages: Unsupported value: "{name}"')
    return list(names or ())


def _path_matches(pattern: str, path: str) -> bool:
    return pattern in ("*", path) or (pattern.endswith("*") and path.startswith(pattern[:-1].rstrip("*")))
