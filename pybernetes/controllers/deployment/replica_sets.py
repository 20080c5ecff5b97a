"""A Deployment's ReplicaSets: which one is new, what a new one looks like, and the annotations that tie them together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pybernetes.machinery.meta import (
    Object,
    annotations_of,
    controller_reference,
    is_being_deleted,
    name_of,
    namespace_of,
    uid_of,
)
from pybernetes.machinery.pods import template_hash
from pybernetes.machinery.resources import DEPLOYMENTS

HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED_REPLICAS = "deployment.kubernetes.io/desired-replicas"
MAX_REPLICAS = "deployment.kubernetes.io/max-replicas"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
ROLLBACK_TO = "deprecated.deployment.rollback.to"
REVISION_HISTORY_CHARS_MAX = 2000
INT32_MAX = 2**31 - 1

# Annotations of one object that say nothing about the other.
NOT_COPIED = frozenset({LAST_APPLIED, REVISION, REVISION_HISTORY, DESIRED_REPLICAS, MAX_REPLICAS, ROLLBACK_TO})


def replicas(obj: Object) -> int:
    """`spec.replicas`; the API server has defaulted it to 1."""
    return int(obj["spec"].get("replicas", 1))


def status_count(obj: Object, field: str) -> int:
    return int((obj.get("status") or {}).get(field) or 0)


def total_replicas(replica_sets: Iterable[Object]) -> int:
    return sum(map(replicas, replica_sets))


def total_status(replica_sets: Iterable[Object], field: str) -> int:
    return sum(status_count(each, field) for each in replica_sets)


def by_age(replica_set: Object) -> tuple[str, str]:
    """Sort key: oldest first."""
    return replica_set["metadata"].get("creationTimestamp", ""), name_of(replica_set)


def revision(obj: Object) -> int:
    """The revision annotation; 0 if absent or malformed."""
    try:
        return int(annotations_of(obj).get(REVISION, "0"))
    except ValueError:
        return 0


@dataclass(frozen=True, slots=True)
class ReplicaSets:
    """The Deployment's ReplicaSets: the one of its current template, if there is one, and the others."""

    new: Object | None
    old: Sequence[Object]

    @property
    def all(self) -> list[Object]:
        return [*self.old, *([self.new] if self.new is not None else [])]

    @property
    def active_old(self) -> list[Object]:
        return [each for each in self.old if replicas(each) > 0]


def sort_out(deployment: Object, claimed: Iterable[Object]) -> ReplicaSets:
    """The oldest one whose template is the Deployment's (but for the hash label) is the new one: so does a rollback find it."""
    wanted = normalized(deployment["spec"]["template"])
    ordered = sorted(claimed, key=by_age)
    new = next((each for each in ordered if normalized(each["spec"]["template"]) == wanted), None)
    return ReplicaSets(new, [each for each in ordered if each is not new])


def normalized(template: Object) -> Any:
    """A template without its hash label and without fields that say nothing, for comparing."""
    metadata = dict(template.get("metadata") or {})
    metadata["labels"] = {key: value for key, value in (metadata.get("labels") or {}).items() if key != HASH_LABEL}
    return _without_empty({**template, "metadata": metadata})


def _without_empty(value: Any) -> Any:
    # `labels: {}`, `creationTimestamp: null` and their absence mean the same; an empty `emptyDir: {}` means something.
    if isinstance(value, dict):
        return {
            key: _without_empty(item)
            for key, item in value.items()
            if item is not None and not (key in ("labels", "annotations", "metadata") and not item)
        }
    if isinstance(value, list):
        return [_without_empty(item) for item in value]
    return value


def equal_templates(one: Object, other: Object) -> bool:
    return bool(normalized(one) == normalized(other))


def new_replica_set(deployment: Object, size: int, old: Sequence[Object], *, max_surge: int) -> Object:
    """The ReplicaSet for the current template. Its name is the hash of the template: creating it twice is refused."""
    template = deployment["spec"]["template"]
    hash_value = template_hash(normalized(template), int((deployment.get("status") or {}).get("collisionCount") or 0))
    template_metadata = {**(template.get("metadata") or {})}
    template_metadata["labels"] = {**(template_metadata.get("labels") or {}), HASH_LABEL: hash_value}
    selector = deployment["spec"]["selector"]
    annotations = copied_annotations(deployment) | size_annotations(deployment, max_surge)
    annotations[REVISION] = str(next_revision(old))
    spec: Object = {
        "replicas": size,
        "selector": {**selector, "matchLabels": {**(selector.get("matchLabels") or {}), HASH_LABEL: hash_value}},
        "template": {**template, "metadata": template_metadata},
    }
    if deployment["spec"].get("minReadySeconds"):
        spec["minReadySeconds"] = deployment["spec"]["minReadySeconds"]
    return {
        "metadata": {
            "name": f"{name_of(deployment)}-{hash_value}",
            "namespace": namespace_of(deployment),
            "labels": template_metadata["labels"],
            "annotations": annotations,
            "ownerReferences": [controller_reference(deployment, DEPLOYMENTS.gvk)],
        },
        "spec": spec,
    }


def next_revision(old: Sequence[Object]) -> int:
    return max(map(revision, old), default=0) + 1


def copied_annotations(deployment: Object) -> dict[str, str]:
    return {key: value for key, value in annotations_of(deployment).items() if key not in NOT_COPIED}


def size_annotations(deployment: Object, max_surge: int) -> dict[str, str]:
    """What the Deployment's size was when the ReplicaSet was scaled last: how a change of size is noticed."""
    return {DESIRED_REPLICAS: str(replicas(deployment)), MAX_REPLICAS: str(replicas(deployment) + max_surge)}


def refreshed_annotations(deployment: Object, new: Object, old: Sequence[Object]) -> dict[str, str]:
    """The annotations that the existing new ReplicaSet should have: the Deployment's, and its (risen) revision."""
    annotations = annotations_of(new) | copied_annotations(deployment)
    wanted, had = next_revision(old), annotations.get(REVISION)
    if revision(new) < wanted:
        annotations[REVISION] = str(wanted)
        if had is not None:
            history = annotations.get(REVISION_HISTORY, "")
            entries = [*filter(None, history.split(",")), had]
            while len(entries) > 1 and len(",".join(entries)) > REVISION_HISTORY_CHARS_MAX:
                entries.pop(0)
            annotations[REVISION_HISTORY] = ",".join(entries)
    return annotations


def is_same_owner(deployment: Object, replica_set: Object) -> bool:
    """Whether the Deployment controls it."""
    references = replica_set["metadata"].get("ownerReferences") or ()
    return any(each.get("controller") and each["uid"] == uid_of(deployment) for each in references)


def superfluous(deployment: Object, old: Sequence[Object]) -> list[Object]:
    """Old ReplicaSets beyond `revisionHistoryLimit`, lowest revision first; only those that are empty and at rest."""
    limit = deployment["spec"].get("revisionHistoryLimit")
    if limit is None or limit == INT32_MAX:
        return []
    alive = sorted((each for each in old if not is_being_deleted(each)), key=revision)
    surplus = len(alive) - int(limit)
    return [each for each in alive[: max(surplus, 0)] if _is_at_rest(each)]


def _is_at_rest(replica_set: Object) -> bool:
    observed = status_count(replica_set, "observedGeneration")
    return (
        status_count(replica_set, "replicas") == 0
        and replicas(replica_set) == 0
        and int(replica_set["metadata"].get("generation", 0)) <= observed
    )
