"""Carries out actions through the API, and tells expectations what it wrote."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from pybernetes.client.rest import Client, PatchType
from pybernetes.client.transport import ConnectionFailed
from pybernetes.controllers.actions import (
    Action,
    Adopt,
    Create,
    Delete,
    DeleteCollection,
    Emit,
    LookAgain,
    Patch,
    Retry,
    Update,
)
from pybernetes.controllers.controller import Failure
from pybernetes.controllers.expectations import Expectations
from pybernetes.machinery import errors
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.log import logger
from pybernetes.machinery.meta import Object, Resource, name_of, namespace_of, uid_of

log = logger("controllers")

# Creations and deletions of one pass run together, in batches that double while all goes well: an API server that
# refuses the first one (a quota, say) is not asked hundreds of times (upstream: slowStartBatch).
BATCH_INITIAL = 1
BATCH_MAX = 32


@dataclass(slots=True)
class Outcome:
    """What a pass came to."""

    failure: Failure | None = None
    look_again_s: float | None = None
    maybe_deleted: set[str] = field(default_factory=set)  # uids: nobody answered whether they were


class Performer:
    """Performs the actions of one controller."""

    def __init__(
        self,
        client: Client,
        clock: Clock,
        expectations: Expectations,
        cached: Callable[[Resource, str, str], tuple[bool, Object | None]],
        emit: Callable[[Object, str, str, str], None],
        field_manager: str = "",
    ) -> None:
        """`cached` says whether there is a cache of the resource, and what it has under a namespace and name."""
        self._client = client
        self._clock = clock
        self._expectations = expectations
        self._cached = cached
        self._emit = emit
        self._field_manager = field_manager

    async def perform(self, key: str, actions: Sequence[Action]) -> Outcome:
        """Carry them out in order. After a failure only events and statuses (which report it) are still written."""
        outcome = Outcome()
        position = 0
        while position < len(actions):
            group = _batch(actions, position)
            position += len(group)
            if outcome.failure is not None and not isinstance(group[0], Emit | LookAgain | Retry) and not _reports(group[0]):
                continue
            for follow_up in await self._group(key, group, outcome):
                then = await self.perform(key, [follow_up])
                outcome.failure = outcome.failure or then.failure
                outcome.look_again_s = outcome.look_again_s if then.look_again_s is None else then.look_again_s
                outcome.maybe_deleted |= then.maybe_deleted
        return outcome

    async def _group(self, key: str, group: Sequence[Action], outcome: Outcome) -> list[Action]:
        follow_ups: list[Action] = []
        size = BATCH_INITIAL
        position = 0
        while position < len(group):
            batch = group[position : position + size]
            position += len(batch)
            size = min(size * 2, BATCH_MAX)
            results = await asyncio.gather(*(self._one(key, action, outcome) for action in batch))
            for result in results:
                follow_ups += result
            if outcome.failure is not None:
                break
        return follow_ups

    async def _one(self, key: str, action: Action, outcome: Outcome) -> Sequence[Action]:
        """Perform one action; returns what is to follow. Failures go to `outcome`."""
        failed = getattr(action, "failed", None)
        try:
            return await self._do(key, action, outcome)
        except errors.StatusError as error:
            if isinstance(action, Create) and _namespace_is_terminating(error):
                return ()  # nothing can be created there any more: our object will be deleted as well
            if isinstance(action, Update | Patch | Adopt) and isinstance(error, errors.NotFound):
                return ()
            if isinstance(error, errors.Conflict):
                log.debug("Lost a race, looking again", key=key, err=error.message)
            else:
                log.warning("Could not carry out a decision", key=key, action=type(action).__name__, err=error.message)
            if isinstance(action, Delete) and error.code >= 500:
                outcome.maybe_deleted.add(action.uid)
            outcome.failure = outcome.failure or Failure(action, error.reason or "Unknown", error.message)
            return failed(error) if failed is not None else ()
        except ConnectionFailed as error:
            if isinstance(action, Delete):
                outcome.maybe_deleted.add(action.uid)
            outcome.failure = outcome.failure or Failure(action, "ConnectionFailed", str(error))
            return ()

    async def _do(self, key: str, action: Action, outcome: Outcome) -> Sequence[Action]:
        match action:
            case Create():
                return await self._create(key, action)
            case Delete():
                try:
                    await self._client.delete(
                        action.resource, action.name, action.namespace,
                        uid=action.uid, resource_version=action.resource_version,
                        grace_period_s=action.grace_period_s, propagation_policy=action.propagation_policy,
                    )  # fmt: skip
                    done = action.deleted
                except errors.NotFound:
                    done = ()
                exists, cached = self._cached(action.resource, action.namespace, action.name)
                if exists:
                    self._expectations.deleted(key, action.resource, action.uid, cached, self._clock.monotonic())
                return done
            case DeleteCollection():
                try:
                    await self._client.delete_collection(action.resource, action.namespace)
                except (errors.NotFound, errors.MethodNotAllowed) as error:
                    log.debug("Nothing to delete there", resource=action.resource.group_resource, err=error.message)
            case Update():
                updated = await self._client.update(
                    action.resource, _identified(action.resource, action.obj),
                    subresource=action.subresource, field_manager=self._field_manager,
                )  # fmt: skip
                self._wrote(key, action.resource, updated)
                return action.updated
            case Patch():
                # The uid in the patch makes the server refuse a namesake.
                change = {**action.patch, "metadata": {**action.patch.get("metadata", {}), "uid": action.uid}}
                patched = await self._client.patch(
                    action.resource, action.name, action.namespace, change, PatchType.MERGE,
                    subresource=action.subresource, field_manager=self._field_manager,
                )  # fmt: skip
                self._wrote(key, action.resource, patched)
            case Adopt():
                await self._adopt(key, action)
            case Emit():
                self._emit(action.obj, action.type, action.reason, action.message)
            case LookAgain():
                outcome.look_again_s = min(action.after_s, outcome.look_again_s or action.after_s)
            case Retry():
                outcome.failure = outcome.failure or Failure(action, action.reason, action.message)
            case _:
                assert_never(action)
        return ()

    async def _create(self, key: str, action: Create) -> Sequence[Action]:
        obj = _identified(action.resource, action.obj)
        try:
            created = await self._client.create(action.resource, obj, field_manager=self._field_manager)
        except errors.AlreadyExists:
            if action.if_exists is None or not name_of(action.obj):
                return ()
            return action.if_exists(await self._client.get(action.resource, name_of(action.obj), namespace_of(action.obj)))
        self._wrote(key, action.resource, created)
        return action.created(created) if action.created is not None else ()

    async def _adopt(self, key: str, action: Adopt) -> None:
        owner, obj = action.owner, action.obj
        fresh = await self._client.get(action.owner_resource, name_of(owner), namespace_of(owner))
        if uid_of(fresh) != uid_of(owner) or "deletionTimestamp" in fresh["metadata"]:
            return
        references = [*(obj["metadata"].get("ownerReferences") or ()), action.reference]
        change = {"metadata": {"ownerReferences": references, "uid": uid_of(obj)}}
        change["metadata"]["resourceVersion"] = obj["metadata"]["resourceVersion"]
        adopted = await self._client.patch(action.resource, name_of(obj), namespace_of(obj), change, PatchType.MERGE)
        self._wrote(key, action.resource, adopted)

    def _wrote(self, key: str, resource: Resource, obj: Object) -> None:
        metadata = obj.get("metadata") or {}
        if not metadata.get("uid"):
            return  # the answer of a subresource that is no object of the cache (a Binding, a Scale)
        exists, cached = self._cached(resource, metadata.get("namespace", ""), metadata["name"])
        if exists:
            self._expectations.wrote(key, resource, obj, cached, self._clock.monotonic())


def _batch(actions: Sequence[Action], start: int) -> Sequence[Action]:
    """The next actions that may run at once: creations, or deletions, of one resource; else a single one."""
    first = actions[start]
    if not isinstance(first, Create | Delete):
        return [first]
    end = start + 1
    while end < len(actions):
        candidate = actions[end]
        if type(candidate) is not type(first) or getattr(candidate, "resource", None) != first.resource:
            break
        end += 1
    return actions[start:end]


def _reports(action: Action) -> bool:
    return isinstance(action, Update | Patch) and action.subresource == "status"


def _identified(resource: Resource, obj: Object) -> Object:
    """With kind and apiVersion, which decisions need not repeat."""
    return {"kind": resource.kind, "apiVersion": resource.api_version, **obj}


def _namespace_is_terminating(error: errors.StatusError) -> bool:
    return any(cause.get("reason") == "NamespaceTerminating" for cause in error.details.get("causes") or ())
