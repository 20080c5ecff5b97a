"""TaintToleration: keep pods off nodes whose taints they do not tolerate; prefer nodes with fewer PreferNoSchedule ones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pybernetes.machinery.meta import Object
from pybernetes.machinery.tolerations import NO_EXECUTE, NO_SCHEDULE, PREFER_NO_SCHEDULE, tolerated_by
from pybernetes.scheduler.framework import Action, ClusterEvent, Mask, Reads, Refusals, Scores, normalized
from pybernetes.scheduler.node_table import Nodes, TaintSet

REFUSING = (NO_SCHEDULE, NO_EXECUTE)


class TaintToleration:
    name = "TaintToleration"
    reads = Reads.SHAPE_AND_NODE
    wakes_on = (
        ClusterEvent("Node", Action.ADD | Action.UPDATE_TAINT),
        ClusterEvent("TargetPod", Action.UPDATE_TOLERATION),
    )

    def pre_filter(self, pod: Object) -> list[Object]:
        return pod["spec"].get("tolerations") or []

    def filter(self, tolerations: list[Object], nodes: Nodes) -> Iterator[Refusals]:
        yield Refusals(untolerated(nodes, tolerations, REFUSING) > 0, "node(s) had untolerated taint(s)")

    def pre_score(self, pod: Object) -> list[Object]:
        return self.pre_filter(pod)

    def score(self, tolerations: list[Object], nodes: Nodes) -> Scores:
        return untolerated(nodes, tolerations, (PREFER_NO_SCHEDULE,))

    def normalize(self, scores: Scores, feasible: Mask) -> Scores:
        return normalized(scores, feasible, reverse=True)


def untolerated(nodes: Nodes, tolerations: list[Object], effects: tuple[str, ...]) -> Scores:
    """How many taints of these effects each node has which the pod does not tolerate."""
    numbers, sets = nodes.taint_set, nodes.taint_sets
    if len(nodes) < len(sets):
        return np.array([_count(sets[number], tolerations, effects) for number in numbers], dtype=np.int64)
    # A cluster has few distinct taint sets: each is judged once, the nodes only look theirs up.
    return np.array([_count(each, tolerations, effects) for each in sets], dtype=np.int64)[numbers]


def _count(taints: TaintSet, tolerations: list[Object], effects: tuple[str, ...]) -> int:
    return sum(
        effect in effects and not tolerated_by({"key": key, "value": value, "effect": effect}, tolerations)
        for key, value, effect in taints
    )
