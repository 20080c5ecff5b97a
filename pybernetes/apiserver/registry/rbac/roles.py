"""Roles and ClusterRoles: the same rules, in a namespace or in the cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from pybernetes.apiserver.registry import checks, printing
from pybernetes.apiserver.registry.strategy import NAME, Column, Strategy
from pybernetes.machinery import validation
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object, name_of
from pybernetes.machinery.resources import CLUSTER_ROLES, ROLES


def default(role: Object) -> None:
    """Go writes the rules even where there are none."""
    if not role.get("rules"):
        role["rules"] = None


def _validator(namespaced: bool) -> Callable[[Object], Iterator[FieldError]]:
    def validate(role: Object) -> Iterator[FieldError]:
        for i, rule in enumerate(role.get("rules") or ()):
            yield from _validate_rule(rule, namespaced, f"rules[{i}]")
        aggregation = role.get("aggregationRule")
        if aggregation is not None:
            selectors = aggregation.get("clusterRoleSelectors") or ()
            if not selectors:
                sentence = "at least one clusterRoleSelector required if aggregationRule is non-nil"
                yield FieldError.required("aggregationRule.clusterRoleSelectors", sentence)
            for i, selector in enumerate(selectors):
                here = f"aggregationRule.clusterRoleSelectors[{i}]"
                yield from checks.label_selector(selector, here)

    return validate


def _validate_rule(rule: Object, namespaced: bool, path: str) -> Iterator[FieldError]:
    if not rule.get("verbs"):
        yield FieldError.required(path + ".verbs", "verbs must contain at least one value")
    urls = rule.get("nonResourceURLs") or []
    if urls:
        if namespaced:
            sentence = "namespaced rules cannot apply to non-resource URLs"
            yield FieldError.invalid(path + ".nonResourceURLs", urls, sentence)
        if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
            sentence = "rules cannot apply to both regular resources and non-resource URLs"
            yield FieldError.invalid(path + ".nonResourceURLs", urls, sentence)
        return
    if not rule.get("apiGroups"):
        yield FieldError.required(path + ".apiGroups", "resource rules must supply at least one api group")
    if not rule.get("resources"):
        yield FieldError.required(path + ".resources", "resource rules must supply at least one resource")


def cells(role: Object, _: datetime) -> list[Any]:
    return [name_of(role), printing.created_at(role)]


_COLUMNS = (NAME, Column("Created At", "date"))

ROLE_STRATEGY = Strategy(
    resource=ROLES,
    default=default,
    validate_name=validation.path_segment_errors,
    validate=_validator(namespaced=True),
    creates_on_update=True,
    columns=_COLUMNS,
    cells=cells,
)
CLUSTER_ROLE_STRATEGY = Strategy(
    resource=CLUSTER_ROLES,
    default=default,
    validate_name=validation.path_segment_errors,
    validate=_validator(namespaced=False),
    creates_on_update=True,
    columns=_COLUMNS,
    cells=cells,
)
