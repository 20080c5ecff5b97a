"""The extension points of scheduling, with the names of upstream's framework (KEP-624).

A plugin is a class with a `name` and any of the methods below; which it has decides where it is called. Where upstream asks a
plugin node by node, ours is asked once for many nodes and answers with arrays, one place for each of the `Nodes`: a plugin that
reads anything always for all nodes, one that reads shape and node for any choice of them.

    pre_enqueue(pod) -> str | None                  why the pod may not even be tried, or None
    sort_key(queued) -> tuple                       the queue's order (one plugin alone)
    only_nodes(pod) -> collection of names | None   where it can go at most (upstream: PreFilterResult); None: anywhere
    pre_filter(pod) -> state | SKIP                 reads the pod once; SKIP: this pod is none of my business
    filter(state, nodes) -> Iterable[Refusals]      which nodes cannot take it, and why
    pre_score(pod) -> state | SKIP
    score(state, nodes) -> int64 array              a plugin that reads anything may answer SKIP: all are equal
    normalize(scores, feasible) -> int64 array      the scores as 0 to 100 (only feasible rows count); without it they are final
    reserve(pod, node_name), unreserve(pod, node_name)                     called at once, must not block
    permit(pod, node_name), pre_bind(…), bind(…), post_bind(…)             async; failing is raising StatusError or OSError
                                                    bind may answer SKIP, which leaves it to the next plugin

`unreserve` may be called without a `reserve` before, and more than once. `bind` is sent again where its answer was lost.
There is no postFilter (preemption) yet.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, Flag, auto
from typing import Any, ClassVar, Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from pybernetes.machinery.meta import Object

Mask = npt.NDArray[np.bool_]
Scores = npt.NDArray[np.int64]

MOST_SCORE = 100


class Skip:
    """The answer of a plugin that has no opinion about a pod."""


SKIP: Final = Skip()


class Reads(Enum):
    """What a plugin's answers depend on, hence how long they hold."""

    # The node itself, the pods on it, and of the pod what its shape is made of (`pod_shape`). Such an answer serves all pods
    # of that shape until the node changes.
    SHAPE_AND_NODE = auto()
    # Anything: other nodes, pods elsewhere, the pod's labels. Asked for every pod.
    ANYTHING = auto()


class Refusals(NamedTuple):
    """Nodes that cannot take the pod, for one reason. `resolvable` says where evicting pods might help."""

    mask: Mask
    reason: str
    resolvable: bool | Mask = False


class Action(Flag):
    """What happened to an object, as far as a pod's chances may depend on it."""

    ADD = auto()
    DELETE = auto()
    UPDATE_LABEL = auto()
    UPDATE_TAINT = auto()
    UPDATE_ALLOCATABLE = auto()
    SCALE_DOWN = auto()  # of a pod on a node: it asks for less than before
    UPDATE_TOLERATION = auto()  # this and the next: of the pod itself
    UPDATE_SPEC = auto()


class ClusterEvent(NamedTuple):
    """Something that may make a refused pod schedulable (KEP-4247). `kind`: Node, Pod (on a node), or TargetPod (itself)."""

    kind: str
    action: Action


class Plugin(Protocol):
    """What every plugin has; see the module's text for what it may have besides."""

    name: ClassVar[str]
    reads: ClassVar[Reads]
    # What may undo this plugin's refusal; a pod that it refused sleeps until one of them happens.
    wakes_on: ClassVar[tuple[ClusterEvent, ...]]


@dataclass(frozen=True, slots=True)
class Weighted:
    plugin: Any
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Profile:
    """The plugins of one `schedulerName`: for each extension point (by its method's name), in the order of asking."""

    scheduler_name: str
    points: Mapping[str, tuple[Weighted, ...]]
    _woken: dict[ClusterEvent, frozenset[str]] = field(default_factory=dict, repr=False)

    def at(self, point: str) -> tuple[Weighted, ...]:
        return self.points.get(point, ())

    def wakes(self, plugin_names: Collection[str], event: ClusterEvent) -> bool:
        """Whether the event may undo a refusal by these plugins. Where no plugin refused, anything may help."""
        if not plugin_names:
            return True
        woken = self._woken.get(event)
        if woken is None:
            woken = self._woken[event] = frozenset(self._woken_by(event))
        return not woken.isdisjoint(plugin_names)

    def _woken_by(self, event: ClusterEvent) -> Iterable[str]:
        for plugin in {each.plugin.name: each.plugin for at in self.points.values() for each in at}.values():
            if any(wanted.kind == event.kind and wanted.action & event.action for wanted in plugin.wakes_on):
                yield plugin.name


def normalized(scores: Scores, feasible: Mask, *, reverse: bool = False) -> Scores:
    """Scale so that the best feasible node has 100 (`reverse`: the worst has 0), as upstream's DefaultNormalizeScore."""
    most = int(scores[feasible].max(initial=0))
    if most == 0:
        return np.full_like(scores, MOST_SCORE if reverse else 0)
    scaled: Scores = scores * MOST_SCORE // most
    return MOST_SCORE - scaled if reverse else scaled


@dataclass(frozen=True, slots=True)
class FitError:
    """Why no node fits: how many nodes gave each reason, on how many evicting might help, and which plugins refused."""

    nodes: int
    reasons: tuple[tuple[str, int], ...] = ()
    resolvable: int = 0
    plugins: frozenset[str] = frozenset()

    def message(self, preemption_policy: str = "PreemptLowerPriority") -> str:
        """Upstream's sentence, for a cluster in which preemption finds no victims (there is no preemption yet).

        `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable. no new claims to deallocate, preemption: …`
        """
        if not self.nodes:
            return "no nodes available to schedule pods"
        if preemption_policy == "Never":
            preemption = "not eligible due to preemptionPolicy=Never."
        else:
            preemption = self._histogram(
                {
                    "No preemption victims found for incoming pod": self.resolvable,
                    "Preemption is not helpful for scheduling": self.nodes - self.resolvable,
                }
            )
        # The part about claims is what DynamicResources says of a pod that has none.
        return f"{self._histogram(dict(self.reasons))} no new claims to deallocate, preemption: {preemption}"

    def _histogram(self, reasons: Mapping[str, int]) -> str:
        texts = sorted(f"{count} {reason}" for reason, count in reasons.items() if count)
        return f"0/{self.nodes} nodes are available: {', '.join(texts)}."


class Placement(NamedTuple):
    """The node that was chosen."""

    node_name: str
    feasible_nodes: int


Verdict = Placement | FitError


class QueuedPod(NamedTuple):
    """A pod as the queue's order sees it."""

    pod: Object
    queued_s: float  # monotonic: when it was last put into the queue
