"""How the sizes of a Deployment's ReplicaSets move: pure arithmetic, in upstream's steps.

Every function gives new sizes as `{replica set name: replicas}` and leaves out those that stay.
"""

from __future__ import annotations

from collections.abc import Sequence

from pybernetes.controllers.deployment.replica_sets import (
    DESIRED_REPLICAS,
    MAX_REPLICAS,
    ReplicaSets,
    by_age,
    replicas,
    status_count,
    total_replicas,
)
from pybernetes.machinery.meta import Object, annotations_of, name_of

Sizes = dict[str, int]


def is_rolling(deployment: Object) -> bool:
    return bool((deployment["spec"].get("strategy") or {}).get("type", "RollingUpdate") == "RollingUpdate")


def fenceposts(deployment: Object) -> tuple[int, int]:
    """(maxSurge, maxUnavailable) as numbers of pods: a percentage rounds up for surge, down for unavailability.

    Both 0 would let nothing move, so then one pod may be unavailable. `Recreate` has neither.
    """
    if not is_rolling(deployment):
        return 0, 0
    rolling = (deployment["spec"].get("strategy") or {}).get("rollingUpdate") or {}
    wanted = replicas(deployment)
    surge = _scaled(rolling.get("maxSurge", "25%"), wanted, round_up=True)
    unavailable = _scaled(rolling.get("maxUnavailable", "25%"), wanted, round_up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return surge, min(unavailable, wanted)


def _scaled(value: int | str, total: int, *, round_up: bool) -> int:
    if isinstance(value, int):
        return value
    # Integers throughout: 7 % of 100 is 7, not 7.000000000000001.
    hundredfold = int(value.removesuffix("%")) * total
    return -(-hundredfold // 100) if round_up else hundredfold // 100


def is_scaling_event(deployment: Object, sets: ReplicaSets) -> bool:
    """Whether the Deployment's size changed since the ReplicaSets were sized."""
    for each in sets.all:
        desired = annotations_of(each).get(DESIRED_REPLICAS, "")
        if replicas(each) > 0 and desired.isdigit() and int(desired) != replicas(deployment):
            return True
    return False


def scale_proportionally(deployment: Object, sets: ReplicaSets) -> Sizes:
    """Meet a changed size: of several ReplicaSets in the middle of a rollout each takes its share, to spread the risk."""
    active = [each for each in sets.all if replicas(each) > 0]
    wanted = replicas(deployment)
    if len(active) <= 1:
        only = active[0] if active else sets.new if sets.new is not None else _newest(sets.old)
        return {} if only is None or replicas(only) == wanted else {name_of(only): wanted}
    if sets.new is not None and _is_saturated(deployment, sets.new):
        return {name_of(each): 0 for each in sets.active_old}
    if not is_rolling(deployment):
        return {}
    surge, _ = fenceposts(deployment)
    allowed = wanted + surge if wanted > 0 else 0
    to_add = allowed - total_replicas(active)
    if to_add > 0:
        # Of equally large ones the newest grows first.
        ordered = sorted(sorted(active, key=by_age, reverse=True), key=replicas, reverse=True)
    else:
        ordered = sorted(sorted(active, key=by_age), key=replicas, reverse=True)
    sizes: Sizes = {}
    added = 0
    for each in ordered:
        share = _proportion(each, deployment, surge, to_add, added) if to_add else 0
        sizes[name_of(each)] = replicas(each) + share
        added += share
    if to_add:
        largest = name_of(ordered[0])
        sizes[largest] = max(sizes[largest] + to_add - added, 0)
    return {name_of(each): sizes[name_of(each)] for each in ordered if sizes[name_of(each)] != replicas(each)}


def _newest(old: Sequence[Object]) -> Object | None:
    return max(old, key=by_age, default=None)


def _is_saturated(deployment: Object, new: Object) -> bool:
    """Whether the new ReplicaSet alone is all that is wanted, and available."""
    desired = annotations_of(new).get(DESIRED_REPLICAS, "")
    if not desired.isdigit():
        return False
    wanted = replicas(deployment)
    return replicas(new) == wanted == int(desired) == status_count(new, "availableReplicas")


def _proportion(replica_set: Object, deployment: Object, surge: int, to_add: int, added: int) -> int:
    if replicas(replica_set) == 0 or to_add == added:
        return 0
    fraction = _fraction(replica_set, deployment, surge)
    allowed = to_add - added
    return min(fraction, allowed) if to_add > 0 else max(fraction, allowed)


def _fraction(replica_set: Object, deployment: Object, surge: int) -> int:
    size = replicas(replica_set)
    if replicas(deployment) == 0:
        return -size
    text = annotations_of(replica_set).get(MAX_REPLICAS, "")
    before = int(text) if text.isdigit() and int(text) else status_count(deployment, "replicas")
    if before == 0:
        return 0
    grown = size * (replicas(deployment) + surge)
    return (2 * grown + before) // (2 * before) - size  # rounded half up


def next_sizes(deployment: Object, sets: ReplicaSets) -> Sizes:
    """The next step of a rolling update: first the new ReplicaSet grows, else the old ones shrink."""
    assert sets.new is not None
    wanted = new_size(deployment, sets)
    if wanted != replicas(sets.new):
        return {name_of(sets.new): wanted}
    return _shrink_old(deployment, sets)


def new_size(deployment: Object, sets: ReplicaSets) -> int:
    """How large the new ReplicaSet may be now (also one that is still to be made)."""
    wanted = replicas(deployment)
    current = replicas(sets.new) if sets.new is not None else 0
    if not is_rolling(deployment) or current >= wanted:
        return wanted
    # Not via fenceposts(): the surge counts as configured, also where unavailability is forced to 1.
    surge, _ = fenceposts(deployment)
    room = wanted + surge - total_replicas(sets.all)
    return current + max(0, min(room, wanted - current))


def _shrink_old(deployment: Object, sets: ReplicaSets) -> Sizes:
    assert sets.new is not None
    if total_replicas(sets.old) == 0:
        return {}
    _, max_unavailable = fenceposts(deployment)
    min_available = replicas(deployment) - max_unavailable
    new_unavailable = replicas(sets.new) - status_count(sets.new, "availableReplicas")
    may_go = total_replicas(sets.all) - min_available - new_unavailable
    if may_go <= 0:
        return {}
    sizes = {name_of(each): replicas(each) for each in sets.active_old}
    ordered = sorted(sets.active_old, key=by_age)
    # Unhealthy pods first: they serve nobody, and could block the rollout for ever.
    for each in ordered:
        unhealthy = replicas(each) - status_count(each, "availableReplicas")
        gone = max(0, min(may_go, unhealthy))
        sizes[name_of(each)] -= gone
        may_go -= gone
    # A status may be older than the size: what is beyond the size is on its way out already and counts for nothing.
    available = sum(min(replicas(each), status_count(each, "availableReplicas")) for each in sets.all)
    surplus = available - min_available
    for each in ordered:
        gone = max(0, min(surplus, sizes[name_of(each)]))
        sizes[name_of(each)] -= gone
        surplus -= gone
    return {name_of(each): sizes[name_of(each)] for each in ordered if sizes[name_of(each)] != replicas(each)}
