"""The extension points of scheduling, with the names of upstream's framework (KEP-624).

A plugin is a class with a `name` and any of the methods below; which it has decides where it is called. Where upstream asks a
plugin node by node, ours is asked once for all nodes and answers with arrays, whose rows are those of the `NodeTable`.

    pre_enqueue(pod) -> str | None                  why the pod may not even be tried, or None
    sort_key(queued) -> tuple                       the queue's order (one plugin alone)
    pre_filter(pod) -> state | SKIP                 reads the pod once; SKIP: this pod is none of my business
    filter(state, nodes) -> Iterable[Refusals]      which nodes cannot take it, and why
    post_filter(pod, nodes, verdict) -> str         after all nodes refused: what could be done about it
    pre_score(pod) -> state | SKIP
    score(state, nodes) -> array                    int64, of all rows
    normalize(scores, feasible) -> array            the scores as 0 to 100 (only feasible rows count)
    reserve(pod, node_name), unreserve(pod, node_name)
    permit(pod, node_name), pre_bind(pod, node_name), bind(pod, node_name), post_bind(pod, node_name)     async
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Flag, auto
from typing import Any, ClassVar, Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from pybernetes.machinery.meta import Object

Mask = npt.NDArray[np.bool_]
Scores = npt.NDArray[np.int64]

MOST_SCORE = 100


class Skip:
    """The answer of `pre_filter` and `pre_score` for a pod that the plugin has no opinion about."""


SKIP: Final = Skip()


class Refusals(NamedTuple):
    """Nodes that cannot take the pod, for one reason. `resolvable`: evicting pods might help."""

    mask: Mask
    reason: str
    resolvable: bool = False


class Action(Flag):
    """What happened to an object, as far as a pod's chances may depend on it."""

    ADD = auto()
    DELETE = auto()
    UPDATE_LABEL = auto()
    UPDATE_TAINT = auto()
    UPDATE_ALLOCATABLE = auto()
    UPDATE_SPEC = auto()  # of the pod itself: gates, tolerations, requests
    UPDATE = UPDATE_LABEL | UPDATE_TAINT | UPDATE_ALLOCATABLE | UPDATE_SPEC


class ClusterEvent(NamedTuple):
    """Something that may make a refused pod schedulable (KEP-4247). `kind` is Node or Pod."""

    kind: str
    action: Action


class Plugin(Protocol):
    """What every plugin has; see the module's text for what it may have besides."""

    name: ClassVar[str]
    # Whether its answers depend on the pods already placed. Where they do not, one answer serves all pods of a template.
    depends_on_pods: ClassVar[bool]
    # What may undo this plugin's refusal; a pod that it refused sleeps until one of them happens.
    wakes_on: ClassVar[tuple[ClusterEvent, ...]]


@dataclass(frozen=True, slots=True)
class Weighted:
    plugin: Any
    weight: int


@dataclass(frozen=True, slots=True)
class Profile:
    """The plugins of one `schedulerName`, in the order in which they are asked."""

    scheduler_name: str
    plugins: tuple[Weighted, ...]
    _points: dict[str, tuple[Weighted, ...]] = field(default_factory=dict, repr=False)

    def at(self, point: str) -> tuple[Weighted, ...]:
        """The plugins that have this extension point."""
        found = self._points.get(point)
        if found is None:
            found = self._points[point] = tuple(each for each in self.plugins if hasattr(each.plugin, point))
        return found

    def wakes(self, plugin_names: Iterable[str], event: ClusterEvent) -> bool:
        """Whether the event may undo a refusal by one of these plugins."""
        names = set(plugin_names)
        return any(
            wanted.kind == event.kind and wanted.action & event.action
            for each in self.plugins
            if each.plugin.name in names
            for wanted in each.plugin.wakes_on
        )


def normalized(scores: Scores, feasible: Mask, *, reverse: bool = False) -> Scores:
    """Scale so that the best feasible node has 100 (`reverse`: the worst), as upstream's DefaultNormalizeScore."""
    most = int(scores[feasible].max(initial=0))
    if most == 0:
        return np.full_like(scores, MOST_SCORE if reverse else 0)
    scaled = scores * MOST_SCORE // most
    return MOST_SCORE - scaled if reverse else scaled


@dataclass(frozen=True, slots=True)
class FitError:
    """Why no node fits: how many nodes gave each reason, and which plugins refused."""

    nodes: int
    reasons: tuple[tuple[str, int], ...]
    plugins: frozenset[str]

    def message(self, after: str = "") -> str:
        """Upstream's sentence: `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable. preemption: …`."""
        if not self.nodes:
            return "no nodes available to schedule pods"
        texts: Sequence[str] = sorted(f"{count} {reason}" for reason, count in self.reasons)
        text = f"0/{self.nodes} nodes are available: {', '.join(texts)}."
        return f"{text} {after}" if after else text


class Placement(NamedTuple):
    """The node that was chosen."""

    node_name: str
    feasible_nodes: int


Verdict = Placement | FitError


class QueuedPod(NamedTuple):
    """A pod as the queue's order sees it."""

    pod: Object
    queued_s: float  # monotonic
