"""TaintToleration: keep pods off nodes whose taints they do not tolerate; prefer nodes with fewer PreferNoSchedule ones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pybernetes.machinery.meta import Object
from pybernetes.machinery.tolerations import NO_EXECUTE, NO_SCHEDULE, PREFER_NO_SCHEDULE, tolerated_by
from pybernetes.scheduler.framework import Action, ClusterEvent, Mask, Refusals, Scores, normalized
from pybernetes.scheduler.node_table import NodeTable, TaintSet

_REFUSING = (NO_SCHEDULE, NO_EXECUTE)


class TaintToleration:
    name = "TaintToleration"
    depends_on_pods = False
    wakes_on = (ClusterEvent("Node", Action.ADD | Action.UPDATE_TAINT), ClusterEvent("Pod", Action.UPDATE_SPEC))

    def pre_filter(self, pod: Object) -> list[Object]:
        return pod["spec"].get("tolerations") or []

    def filter(self, tolerations: list[Object], nodes: NodeTable) -> Iterator[Refusals]:
        # A cluster has few distinct taint sets: each is judged once, the nodes only look their set up.
        refused = np.array([_untolerated(taints, tolerations, _REFUSING) > 0 for taints in nodes.taint_sets])
        yield Refusals(refused[nodes.taint_set], "node(s) had untolerated taint(s)")

    def pre_score(self, pod: Object) -> list[Object]:
        return [each for each in self.pre_filter(pod) if each.get("effect", "") in ("", PREFER_NO_SCHEDULE)]

    def score(self, tolerations: list[Object], nodes: NodeTable) -> Scores:
        counts = [_untolerated(taints, tolerations, (PREFER_NO_SCHEDULE,)) for taints in nodes.taint_sets]
        return np.array(counts, dtype=np.int64)[nodes.taint_set]

    def normalize(self, scores: Scores, feasible: Mask) -> Scores:
        return normalized(scores, feasible, reverse=True)


def _untolerated(taints: TaintSet, tolerations: list[Object], effects: tuple[str, ...]) -> int:
    return sum(
        effect in effects and not tolerated_by({"key": key, "value": value, "effect": effect}, tolerations)
        for key, value, effect in taints
    )
