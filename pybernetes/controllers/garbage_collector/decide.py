"""What to do with one object: a function of what the server says of it and of its owners."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pybernetes.controllers.actions import Action, Delete, Patch
from pybernetes.controllers.garbage_collector.graph import FOREGROUND, ORPHAN
from pybernetes.machinery.meta import Object, Resource, is_being_deleted, name_of, namespace_of, uid_of


class OwnerState(StrEnum):
    SOLID = "solid"  # there, and staying (or leaving its dependents alone)
    DANGLING = "dangling"  # not there
    WAITING = "waiting"  # being deleted in the foreground: it waits for this object


@dataclass(frozen=True, slots=True)
class Dependent:
    """A dependent of the object in question."""

    resource: Resource
    obj: Object  # its metadata as the server has it
    blocks: bool
    waits_for_dependents: bool


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a decision may depend on."""

    resource: Resource
    obj: Object  # as the server has it now
    owners: Sequence[tuple[Object, OwnerState]]  # owner references with what became of the owner
    dependents: Sequence[Dependent] = ()  # as the graph knows them


def decide(seen: Snapshot) -> list[Action]:
    obj, resource = seen.obj, seen.resource
    finalizers: Collection[str] = obj["metadata"].get("finalizers") or ()
    if is_being_deleted(obj):
        if ORPHAN in finalizers:
            freed: list[Action] = [_without_owners(each.resource, each.obj, {uid_of(obj)}) for each in seen.dependents]
            return [*freed, _without_finalizer(resource, obj, ORPHAN)]
        if FOREGROUND in finalizers and not any(each.blocks for each in seen.dependents):
            return [_without_finalizer(resource, obj, FOREGROUND)]
        return []
    if not seen.owners:
        return []
    states = {state for _, state in seen.owners}
    if OwnerState.SOLID in states:
        lost = {reference["uid"] for reference, state in seen.owners if state is not OwnerState.SOLID}
        return [_without_owners(resource, obj, lost)] if lost else []
    if OwnerState.WAITING in states and seen.dependents:
        actions: list[Action] = []
        if any(each.waits_for_dependents for each in seen.dependents):
            # A circle of foreground deletions would wait for itself.
            actions.append(_unblocking(resource, obj))
        return [*actions, _delete(resource, obj, "Foreground")]
    if ORPHAN in finalizers:
        return [_delete(resource, obj, "Orphan")]
    return [_delete(resource, obj, "Foreground" if FOREGROUND in finalizers else "Background")]


def _delete(resource: Resource, obj: Object, policy: str) -> Delete:
    return Delete(resource, namespace_of(obj), name_of(obj), uid_of(obj), propagation_policy=policy)


def _patch(resource: Resource, obj: Object, metadata: Object) -> Patch:
    # Lists are replaced whole, hence from this state only.
    change = {"metadata": {**metadata, "resourceVersion": obj["metadata"]["resourceVersion"]}}
    return Patch(resource, namespace_of(obj), name_of(obj), uid_of(obj), change)


def _without_finalizer(resource: Resource, obj: Object, finalizer: str) -> Patch:
    finalizers = [each for each in obj["metadata"].get("finalizers") or () if each != finalizer]
    return _patch(resource, obj, {"finalizers": finalizers})


def _without_owners(resource: Resource, obj: Object, uids: Collection[str]) -> Patch:
    references = [each for each in obj["metadata"].get("ownerReferences") or () if each["uid"] not in uids]
    return _patch(resource, obj, {"ownerReferences": references})


def _unblocking(resource: Resource, obj: Object) -> Patch:
    references = [{**each, "blockOwnerDeletion": False} for each in obj["metadata"].get("ownerReferences") or ()]
    return _patch(resource, obj, {"ownerReferences": references})
