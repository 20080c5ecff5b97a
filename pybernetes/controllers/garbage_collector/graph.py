"""Who owns whom: bookkeeping without I/O. Changes go in; the uids that are worth a decision come out.

A node is *virtual* while only its dependents speak of it. That is how an owner that is gone (or was never there) is noticed:
somebody must ask the server, and if it is not there, say so by `gone`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from pybernetes.machinery.meta import Object, is_being_deleted, name_of, namespace_of, uid_of

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"


class Owner(NamedTuple):
    """An owner reference."""

    uid: str
    api_version: str
    kind: str
    name: str
    blocks: bool  # blockOwnerDeletion


@dataclass(slots=True)
class Node:
    """An object, as far as ownership goes. `dependents` are uids, in the order in which they came."""

    uid: str
    api_version: str
    kind: str
    namespace: str
    name: str
    owners: tuple[Owner, ...] = ()
    dependents: dict[str, None] = field(default_factory=dict)
    virtual: bool = False
    is_deleted: bool = False  # has a deletionTimestamp
    waits_for_dependents: bool = False  # being deleted in the foreground
    orphans_dependents: bool = False  # being deleted, and its dependents are to be set free


class Graph:
    """All nodes. Every method returns uids to decide about, in a repeatable order."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}

    def saw(self, obj: Object) -> list[str]:
        """The object is there, in this state (kind and apiVersion included)."""
        uid = uid_of(obj)
        node = self.nodes.get(uid)
        questions: dict[str, None] = {}
        if node is None:
            node = self.nodes[uid] = Node(uid, obj["apiVersion"], obj["kind"], namespace_of(obj), name_of(obj))
        elif node.virtual:
            # Its dependents named it; they may have named it wrongly (another namespace): let them be asked again.
            if namespace_of(obj) != node.namespace or (obj["kind"], name_of(obj)) != (node.kind, node.name):
                questions.update(dict.fromkeys(node.dependents))
            node.api_version, node.kind = obj["apiVersion"], obj["kind"]
            node.namespace, node.name, node.virtual = namespace_of(obj), name_of(obj), False
        before, node.owners = node.owners, _owners(obj)
        kept = {owner.uid for owner in node.owners}
        for owner in before:
            if owner.uid not in kept:
                self._let_go(owner.uid, uid, questions)
        for owner in node.owners:
            known = self.nodes.get(owner.uid)
            if known is None:
                known = self.nodes[owner.uid] = Node(
                    owner.uid, owner.api_version, owner.kind, node.namespace, owner.name, virtual=True
                )
                questions[owner.uid] = None
            known.dependents[uid] = None
            if known.waits_for_dependents:
                # Born (or unblocked) too late: the owner must look again, and the object is to go as well.
                questions[owner.uid] = None
                questions[uid] = None
            elif not known.virtual and not _fits(known, node):
                questions[uid] = None
        finalizers = obj["metadata"].get("finalizers") or ()
        node.is_deleted = is_being_deleted(obj)
        waits, orphans = node.is_deleted and FOREGROUND in finalizers, node.is_deleted and ORPHAN in finalizers
        if waits and not node.waits_for_dependents:
            questions.update(dict.fromkeys(node.dependents))
            questions[uid] = None
        if orphans and not node.orphans_dependents:
            questions[uid] = None
        node.waits_for_dependents, node.orphans_dependents = waits, orphans
        return list(questions)

    def gone(self, uid: str) -> list[str]:
        """The object is not there (any more)."""
        node = self.nodes.get(uid)
        if node is None:
            return []
        questions: dict[str, None] = dict.fromkeys(node.dependents)
        for owner in node.owners:
            self._let_go(owner.uid, uid, questions)
        if node.dependents:
            # They still name it: it lives on as a mere name, until they are gone, too.
            node.virtual, node.owners = True, ()
            node.is_deleted = node.waits_for_dependents = node.orphans_dependents = False
        else:
            del self.nodes[uid]
        return list(questions)

    def _let_go(self, owner_uid: str, uid: str, questions: dict[str, None]) -> None:
        owner = self.nodes.get(owner_uid)
        if owner is None:
            return
        owner.dependents.pop(uid, None)
        if owner.waits_for_dependents:
            questions[owner_uid] = None
        if owner.virtual and not owner.dependents:
            del self.nodes[owner_uid]

    def dependents_of(self, uid: str) -> list[Node]:
        node = self.nodes.get(uid)
        return [self.nodes[each] for each in node.dependents if each in self.nodes] if node is not None else []

    def blocking(self, uid: str) -> list[Node]:
        """Dependents that a foreground deletion must wait for."""
        return [each for each in self.dependents_of(uid) if any(owner.uid == uid and owner.blocks for owner in each.owners)]

    def is_solid(self, owner: Owner, namespace: str) -> bool | None:
        """Whether the owner is certainly there for a dependent in that namespace; None if the server must be asked."""
        node = self.nodes.get(owner.uid)
        if node is None or node.virtual:
            return None
        return (node.namespace in ("", namespace)) and (node.kind, node.name) == (owner.kind, owner.name)


def _fits(owner: Node, dependent: Node) -> bool:
    """Owners are in the dependent's namespace, or in none."""
    return owner.namespace in ("", dependent.namespace)


def _owners(obj: Object) -> tuple[Owner, ...]:
    references: Iterable[Object] = obj["metadata"].get("ownerReferences") or ()
    return tuple(
        Owner(each["uid"], each["apiVersion"], each["kind"], each["name"], bool(each.get("blockOwnerDeletion")))
        for each in references
    )
