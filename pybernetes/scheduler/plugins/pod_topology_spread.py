"""PodTopologySpread: spread pods evenly over zones, nodes, or any other domain (KEP-895, KEP-3022, KEP-3094).

A constraint counts the pods that it selects in each domain. A hard one (DoNotSchedule) refuses nodes in whose domain there
would be more than `maxSkew` more of them than in the emptiest; a soft one prefers the emptier domains. Pods of a set of
replicas that have no constraints of their own get soft ones by default. Which pods belong together upstream finds out by the
selectors of Services and owners; here it is their controlling owner alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pybernetes.machinery import node_affinity
from pybernetes.machinery.labels import Selector, everything
from pybernetes.machinery.meta import Object
from pybernetes.machinery.node_affinity import Wanted
from pybernetes.scheduler.framework import MOST_SCORE, SKIP, Action, ClusterEvent, Mask, Reads, Refusals, Scores, Skip
from pybernetes.scheduler.node_table import Nodes
from pybernetes.scheduler.plugins.node_affinity import selected
from pybernetes.scheduler.plugins.taint_toleration import REFUSING, untolerated
from pybernetes.scheduler.pod_traits import Traits, selecting, traits_of

REASON = "node(s) didn't match pod topology spread constraints"
REASON_NO_LABEL = f"{REASON} (missing required label)"
HARD, SOFT = "DoNotSchedule", "ScheduleAnyway"
HOSTNAME, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"
SYSTEM_DEFAULTS = (
    {"topologyKey": HOSTNAME, "whenUnsatisfiable": SOFT, "maxSkew": 3},
    {"topologyKey": ZONE, "whenUnsatisfiable": SOFT, "maxSkew": 5},
)
_IGNORED = -1  # the score of a node that lacks a label which it should have

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Constraint:
    """A topologySpreadConstraint; `raw` is as in the API. `controller`: it selects this owner's pods, instead of by labels."""

    raw: Mapping[str, Any]
    pod: Traits
    controller: str = ""

    @property
    def key(self) -> str:
        return str(self.raw["topologyKey"])

    @property
    def max_skew(self) -> int:
        return int(self.raw["maxSkew"])

    @property
    def selector(self) -> Selector:
        return everything() if self.controller else selecting(self.raw, self.pod.labels)

    def counts(self, nodes: Nodes) -> Counts:
        """How many of the selected pods are on each node."""
        selector, namespace, controller = self.selector, self.pod.namespace, self.controller

        def is_selected(other: Traits) -> int:
            if other.terminating or other.namespace != namespace or (controller and other.controller != controller):
                return 0
            return int(selector.matches(other.labels))

        found = nodes.pods.sums(("spread", namespace, controller, selector), is_selected, len(nodes))
        return np.zeros(len(nodes), dtype=np.int64) if found is None else found

    @property
    def selects_the_pod_itself(self) -> bool:
        return bool(self.controller) or selecting(self.raw, self.pod.labels).matches(self.pod.labels)

    def counting(self, wanted: Wanted, tolerations: list[Object], nodes: Nodes) -> Mask:
        """The nodes whose pods count (the node inclusion policies)."""
        counting = np.ones(len(nodes), dtype=np.bool_)
        if self.raw.get("nodeAffinityPolicy", "Honor") == "Honor" and (wanted.labels or wanted.required is not None):
            counting &= selected(wanted, nodes)
        if self.raw.get("nodeTaintsPolicy", "Ignore") == "Honor":
            counting &= untolerated(nodes, tolerations, REFUSING) == 0
        return counting


@dataclass(frozen=True, slots=True)
class _State:
    constraints: tuple[_Constraint, ...]
    wanted: Wanted
    tolerations: list[Object]
    needs_all_labels: bool  # a node that lacks one of the topology keys does not take part at all


class PodTopologySpread:
    """Plugin arguments: `defaultingType` (System or List) and `defaultConstraints`. Raises ValueError."""

    name = "PodTopologySpread"
    reads = Reads.ANYTHING
    wakes_on = (
        ClusterEvent("Pod", Action.ADD | Action.DELETE | Action.UPDATE_LABEL),
        ClusterEvent("Node", Action.ADD | Action.DELETE | Action.UPDATE_LABEL | Action.UPDATE_TAINT),
        ClusterEvent("TargetPod", Action.UPDATE_LABEL),
    )

    def __init__(self, arguments: Mapping[str, Any] | None = None) -> None:
        arguments = arguments or {}
        self._is_system = (arguments.get("defaultingType") or "System") == "System"
        given = tuple(arguments.get("defaultConstraints") or ())
        if self._is_system and given:
            raise ValueError("PodTopologySpread: defaultConstraints need defaultingType List")
        self._defaults: tuple[Mapping[str, Any], ...] = SYSTEM_DEFAULTS if self._is_system else given

    def pre_filter(self, pod: Object) -> _State | Skip:
        return self._state(pod, HARD)

    def filter(self, state: _State, nodes: Nodes) -> Iterator[Refusals]:
        columns = [nodes.label(constraint.key)[0] for constraint in state.constraints]
        labelled = np.logical_and.reduce([column != 0 for column in columns])
        left = np.ones(len(nodes), dtype=np.bool_)
        lacking, skewed = np.zeros_like(left), np.zeros_like(left)
        for constraint, column in zip(state.constraints, columns, strict=True):
            counting = labelled & constraint.counting(state.wanted, state.tolerations, nodes)
            sums = _by_domain(column, constraint.counts(nodes), counting)
            domains = np.unique(column[counting])
            least = int(sums[domains].min()) if len(domains) else 2**31 - 1
            if len(domains) < (constraint.raw.get("minDomains") or 1):
                least = 0
            too_many = sums[column] + constraint.selects_the_pod_itself - least > constraint.max_skew
            lacking |= left & (column == 0)
            skewed |= left & (column != 0) & too_many
            left &= ~(lacking | skewed)
        yield Refusals(lacking, REASON_NO_LABEL)
        yield Refusals(skewed, REASON, resolvable=True)

    def pre_score(self, pod: Object) -> _State | Skip:
        return self._state(pod, SOFT)

    def score(self, state: _State, nodes: Nodes) -> Scores:
        """The lower the better (`normalize` turns it round)."""
        columns = [nodes.label(constraint.key)[0] for constraint in state.constraints]
        labelled = np.logical_and.reduce([column != 0 for column in columns])
        taking_part = labelled if state.needs_all_labels else np.ones_like(labelled)
        scored = nodes.feasible & taking_part
        total = np.zeros(len(nodes))
        counted: dict[Selector, Counts] = {}  # most constraints of a pod select the same pods
        for constraint, column in zip(state.constraints, columns, strict=True):
            counts = counted.get(constraint.selector)
            if counts is None:
                counts = counted[constraint.selector] = constraint.counts(nodes)
            if constraint.key == HOSTNAME:
                domains = int(np.count_nonzero(scored))
            else:
                domains = int(np.count_nonzero(np.bincount(column[scored])))
                counting = taking_part & constraint.counting(state.wanted, state.tolerations, nodes)
                counts = _by_domain(column, counts, counting)[column]
            # Few domains have many pods each: that must not outweigh the constraints on many domains.
            weight = math.log(domains + 2)
            total += np.where(column != 0, counts * weight + (constraint.max_skew - 1), 0.0)
        rounded = np.floor(total + 0.5).astype(np.int64)
        return np.where(taking_part, rounded, _IGNORED)

    def normalize(self, scores: Scores, feasible: Mask) -> Scores:
        counted = scores[feasible & (scores != _IGNORED)]
        if not len(counted):
            return np.zeros_like(scores)
        least, most = int(counted.min()), int(counted.max())
        turned = MOST_SCORE * (most + least - scores) // most if most else np.full_like(scores, MOST_SCORE)
        return np.where(scores == _IGNORED, 0, turned)

    def _state(self, pod: Object, when_unsatisfiable: str) -> _State | Skip:
        own = pod["spec"].get("topologySpreadConstraints") or ()
        traits = traits_of(pod)
        controller = "" if own else traits.controller
        if not own and not controller:
            return SKIP
        constraints = tuple(
            _Constraint(each, traits, controller)
            for each in (own or self._defaults)
            if each["whenUnsatisfiable"] == when_unsatisfiable
        )
        if not constraints:
            return SKIP
        tolerations = pod["spec"].get("tolerations") or []
        return _State(constraints, node_affinity.wanted(pod), tolerations, bool(own) or not self._is_system)


def _by_domain(column: npt.NDArray[np.int32], counts: Counts, counting: Mask) -> Counts:
    """The sum of the counts for each value of the label, on the nodes that count."""
    most = int(column.max(initial=0)) + 1
    return np.bincount(column[counting], weights=counts[counting], minlength=most).astype(np.int64)
