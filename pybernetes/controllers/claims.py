"""Which objects a controller's object owns: adopt orphans that its selector picks, release what it no longer picks.

Contract: concept "Owners and Dependents"; upstream's ControllerRefManager.
"""

from __future__ import annotations

from collections.abc import Iterable

from pybernetes.controllers.actions import Action, Adopt, Patch
from pybernetes.machinery.labels import Selector
from pybernetes.machinery.meta import (
    Object,
    Resource,
    controller_of,
    controller_reference,
    is_being_deleted,
    labels_of,
    name_of,
    namespace_of,
    uid_of,
)


def claim(
    owner_resource: Resource, owner: Object, selector: Selector, resource: Resource, candidates: Iterable[Object]
) -> tuple[list[Object], list[Action]]:
    """Those that are the owner's now, and the actions that adopt or release others; they count once that is done.

    An owner that is being deleted neither adopts nor releases; nothing that is being deleted is adopted.
    """
    claimed: list[Object] = []
    actions: list[Action] = []
    for obj in candidates:
        reference = controller_of(obj)
        matches = selector.matches(labels_of(obj))
        if reference is not None:
            if reference["uid"] != uid_of(owner):
                continue
            if matches:
                claimed.append(obj)
            elif not is_being_deleted(owner):
                actions.append(release(owner, resource, obj))
        elif matches and not is_being_deleted(owner) and not is_being_deleted(obj):
            reference = controller_reference(owner, owner_resource.gvk)
            actions.append(Adopt(owner_resource, owner, resource, obj, reference))
    return claimed, actions


def release(owner: Object, resource: Resource, obj: Object) -> Patch:
    references = [reference for reference in obj["metadata"].get("ownerReferences") or () if reference["uid"] != uid_of(owner)]
    # The resourceVersion is a precondition: the list is replaced whole.
    metadata = {"ownerReferences": references, "resourceVersion": obj["metadata"]["resourceVersion"]}
    return Patch(resource, namespace_of(obj), name_of(obj), uid_of(obj), {"metadata": metadata})
