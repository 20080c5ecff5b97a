"""ClusterRole aggregation: a ClusterRole with an `aggregationRule` has the rules of all that its selectors pick.

Contract: https://kubernetes.io/docs/reference/access-authn-authz/rbac/#aggregated-clusterroles
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pybernetes.controllers.actions import Action, Update
from pybernetes.controllers.controller import Caches, Context, Controller, Look, Wake
from pybernetes.machinery import labels
from pybernetes.machinery.meta import Object, key_of, labels_of, name_of
from pybernetes.machinery.resources import CLUSTER_ROLES


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a decision may depend on."""

    cluster_role: Object
    picked: Sequence[Object]  # in the order of their names


def reconcile(seen: Snapshot) -> list[Action]:
    rules: list[Object] = []
    for cluster_role in seen.picked:
        rules += [rule for rule in cluster_role.get("rules") or () if rule not in rules]
    if rules == (seen.cluster_role.get("rules") or []):
        return []
    return [Update(CLUSTER_ROLES, {**seen.cluster_role, "rules": rules})]


def observe(look: Look, key: str) -> Snapshot | None:
    cluster_role = look.caches[CLUSTER_ROLES].get("", key)
    if cluster_role is None or not cluster_role.get("aggregationRule"):
        return None
    selectors = [labels.from_label_selector(each) for each in cluster_role["aggregationRule"].get("clusterRoleSelectors") or ()]
    picked: list[Object] = []
    everyone = sorted(look.caches[CLUSTER_ROLES].list(), key=name_of)
    for selector in selectors:
        for candidate in everyone:
            if name_of(candidate) != key and selector.matches(labels_of(candidate)) and candidate not in picked:
                picked.append(candidate)
    return Snapshot(cluster_role, picked)


def _aggregating(caches: Caches, changed: Object) -> Iterable[str]:
    return (key_of(each) for each in caches[CLUSTER_ROLES].list() if each.get("aggregationRule"))


def controller(context: Context) -> Controller[Snapshot]:
    return Controller(
        name="clusterrole-aggregation-controller",
        wakes_on=(Wake(CLUSTER_ROLES, _aggregating),),
        observe=observe,
        decide=reconcile,
        workers=1,
    )
