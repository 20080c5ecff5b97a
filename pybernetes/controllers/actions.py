"""What a decision may ask for: plain values, carried out by `perform.Performer`.

Every action may be repeated and carries the precondition that makes it safe: a uid (never touch a namesake born since we
looked) or the resourceVersion in the object (never overwrite what we have not seen).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import Object, Resource, name_of, namespace_of, uid_of


@dataclass(frozen=True, slots=True)
class Create:
    """Create an object. That it is there already counts as done, unless `if_exists` says what then.

    `created` and `failed` give the events (and whatever else) that follow; they get the object as created, or the error.
    """

    resource: Resource
    obj: Object
    if_exists: Callable[[Object], Sequence[Action]] | None = None
    created: Callable[[Object], Sequence[Action]] | None = None
    failed: Callable[[StatusError], Sequence[Action]] | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete the object of that uid; that it is gone already counts as done."""

    resource: Resource
    namespace: str
    name: str
    uid: str
    resource_version: str = ""
    propagation_policy: str = ""
    grace_period_s: int | None = None
    deleted: Sequence[Action] = ()
    failed: Callable[[StatusError], Sequence[Action]] | None = None


@dataclass(frozen=True, slots=True)
class DeleteCollection:
    """Delete all objects of a resource in a namespace."""

    resource: Resource
    namespace: str


@dataclass(frozen=True, slots=True)
class Update:
    """Replace the object (or its subresource), from the resourceVersion that it carries."""

    resource: Resource
    obj: Object
    subresource: str = ""
    updated: Sequence[Action] = ()


@dataclass(frozen=True, slots=True)
class Patch:
    """Merge-patch the object of that uid."""

    resource: Resource
    namespace: str
    name: str
    uid: str
    patch: Object
    subresource: str = ""


@dataclass(frozen=True, slots=True)
class Adopt:
    """Make `owner` the controller of an orphan, once the server confirms that the owner still lives."""

    owner_resource: Resource
    owner: Object
    resource: Resource
    obj: Object
    reference: Object


@dataclass(frozen=True, slots=True)
class Emit:
    """An Event about the object."""

    obj: Object
    type: str  # Normal or Warning
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class LookAgain:
    """Reconcile the same key again after a time, in seconds, whatever happens until then."""

    after_s: float


@dataclass(frozen=True, slots=True)
class Retry:
    """The wanted state cannot be reached now: report why, and try again with growing delays."""

    reason: str
    message: str


Action: TypeAlias = Create | Delete | DeleteCollection | Update | Patch | Adopt | Emit | LookAgain | Retry


def delete(
    resource: Resource,
    obj: Object,
    *,
    propagation_policy: str = "",
    grace_period_s: int | None = None,
    deleted: Sequence[Action] = (),
    failed: Callable[[StatusError], Sequence[Action]] | None = None,
) -> Delete:
    """Delete this very object."""
    return Delete(
        resource, namespace_of(obj), name_of(obj), uid_of(obj),
        propagation_policy=propagation_policy, grace_period_s=grace_period_s, deleted=deleted, failed=failed,
    )  # fmt: skip


def patch(resource: Resource, obj: Object, change: Object, *, subresource: str = "") -> Patch:
    """Merge-patch this very object."""
    return Patch(resource, namespace_of(obj), name_of(obj), uid_of(obj), change, subresource)


def update_status(resource: Resource, obj: Object, status: Object) -> Update:
    """Write a new status; everything else stays as it was seen."""
    return Update(resource, {**obj, "status": status}, "status")
