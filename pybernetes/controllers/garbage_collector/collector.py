"""The collector's loop: watches everything, asks the server about what the graph puts in question, and does what is decided."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from pybernetes.client.events import EventRecorder
from pybernetes.client.informer import Informer
from pybernetes.client.transport import ConnectionFailed
from pybernetes.client.workqueue import WorkQueue
from pybernetes.controllers.controller import Context, OwnLoop, Workshop
from pybernetes.controllers.expectations import Expectations
from pybernetes.controllers.garbage_collector.decide import Dependent, OwnerState, Snapshot, decide
from pybernetes.controllers.garbage_collector.graph import Graph, Node, Owner
from pybernetes.controllers.perform import Performer
from pybernetes.machinery import errors
from pybernetes.machinery.log import logger
from pybernetes.machinery.meta import Object, Resource, is_being_deleted, name_of, namespace_of, parse_api_version, uid_of
from pybernetes.machinery.resources import API_SERVICES, CUSTOM_RESOURCE_DEFINITIONS

log = logger("garbage-collector")

NEEDED = frozenset({"list", "watch", "delete"})
# Nothing depends on these, and they come and go in masses (upstream: ignored resources).
IGNORED = frozenset({("", "events"), ("events.k8s.io", "events")})
DISCOVERY_FIRST_RETRY_S = 0.25
DISCOVERY_RETRY_S = 30.0
SYNC_MAX_S = 30.0
ABSENT_MAX = 500
SETTLE_S = 1.0  # a group that is being installed announces several resources at once


class Collector:
    """Keeps the graph, and works off what it puts in question."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._client = workshop.client
        self._clock = workshop.clock
        self._graph = Graph()
        self._queue: WorkQueue[str] = WorkQueue(workshop.clock, workshop.entropy)
        self._watched: dict[tuple[str, str], Informer] = {}  # (group, plural)
        self._resources: Mapping[tuple[str, str], Resource] = {}  # (group, kind)
        self._served_changed = asyncio.Event()
        # Owners known to be gone, by uid (which never comes back), and the namespace in which they were looked for: spares
        # asking for the same one for each of its dependents. The newest last.
        self._absent: dict[tuple[str, str], None] = {}
        self._recorder = EventRecorder(
            workshop.client, "garbage-collector-controller", clock=workshop.clock, entropy=workshop.entropy
        )
        self._performer = Performer(
            workshop.client, workshop.clock, Expectations(), lambda *_: (False, None), self._recorder.event
        )

    async def run(self) -> None:
        for resource in (CUSTOM_RESOURCE_DEFINITIONS, API_SERVICES):
            self._workshop.metadata_informer(resource).add_handler(
                self._served_differ, lambda _old, new: self._served_differ(new), self._served_differ
            )
        delay_s = DISCOVERY_FIRST_RETRY_S  # a server that starts beside us will be there in a moment
        while not await self._discover():
            await self._clock.sleep(delay_s)
            delay_s = min(2 * delay_s, DISCOVERY_RETRY_S)
        try:
            # A resource that cannot be listed must not stop the rest for ever; the server confirms each deletion anyway.
            async with asyncio.timeout(SYNC_MAX_S):
                for informer in list(self._watched.values()):
                    await informer.wait_synced()
        except TimeoutError:
            log.warning("Not all resources could be listed, proceeding anyway")
        async with asyncio.TaskGroup() as group:
            group.create_task(self._recorder.run(), name="garbage collector events")
            group.create_task(self._follow_discovery(), name="garbage collector discovery")
            for number in range(self._workshop.options.concurrent_gc_syncs):
                group.create_task(self._work(), name=f"garbage collector {number}")

    def _served_differ(self, _definition: Object) -> None:
        self._served_changed.set()

    async def _follow_discovery(self) -> None:
        while True:
            await self._served_changed.wait()
            await self._clock.sleep(SETTLE_S)
            self._served_changed.clear()
            if not await self._discover():
                await self._clock.sleep(DISCOVERY_RETRY_S)
                self._served_changed.set()

    async def _discover(self) -> bool:
        """Watch what is served and not watched yet. False if the server did not say everything."""
        try:
            found = await self._client.discover()
        except (errors.StatusError, ConnectionFailed) as error:
            log.warning("Discovery failed", err=error)
            return False
        # Reversed: of several versions the preferred one, which comes first, stays.
        self._resources = {(each.group, each.kind): each for each in reversed(found.resources)}
        for resource in found.preferred:
            at = (resource.group, resource.plural)
            if at in self._watched or at in IGNORED or not resource.verbs >= NEEDED:
                continue
            informer = self._watched[at] = self._workshop.metadata_informer(resource)
            informer.add_handler(self._saw, self._updated, self._gone)
        return not found.failed

    def _saw(self, obj: Object) -> None:
        self._ask(self._graph.saw(obj))

    def _updated(self, old: Object, new: Object) -> None:
        if uid_of(old) != uid_of(new):
            self._gone(old)
        elif _ownership(old) == _ownership(new):
            return  # most updates
        self._saw(new)

    def _gone(self, obj: Object) -> None:
        self._ask(self._graph.gone(uid_of(obj)))

    def _ask(self, uids: Sequence[str]) -> None:
        for uid in uids:
            self._queue.add(uid)

    async def _work(self) -> None:
        while True:
            uid = await self._queue.get()
            try:
                if await self._examine(uid):
                    self._queue.forget(uid)
                else:
                    self._queue.add_rate_limited(uid)
            except (errors.StatusError, ConnectionFailed) as error:
                log.debug("Could not examine", uid=uid, err=error)
                self._queue.add_rate_limited(uid)
            except Exception:
                log.exception("Examining failed", uid=uid)
                self._queue.add_rate_limited(uid)
            finally:
                self._queue.done(uid)

    async def _examine(self, uid: str) -> bool:
        """Settle one question; False to try again."""
        node = self._graph.nodes.get(uid)
        if node is None:
            return True
        if node.is_deleted and not node.waits_for_dependents and not node.orphans_dependents:
            return True  # on its way already
        resource = self._resource_of(node.api_version, node.kind)
        if resource is None:
            # A kind that is not served may be so for a moment only: what names it is left alone.
            return not node.virtual
        live = await self._get(resource, node.namespace if resource.namespaced else "", node.name)
        if live is None or uid_of(live) != uid:
            if not node.virtual:
                # The watch will tell in a moment; saying it twice is harmless.
                log.debug("Already gone", object=f"{node.namespace}/{node.name}")
            self._ask(self._graph.gone(uid))
            return True
        if node.virtual:
            return True  # there after all: the watch will tell
        owners = [(each, await self._state_of(each, live)) for each in live["metadata"].get("ownerReferences") or ()]
        if any(state is None for _, state in owners):
            return False
        known = [(reference, state) for reference, state in owners if state is not None]
        snapshot = Snapshot(resource, live, known, await self._dependents(node, live))
        outcome = await self._performer.perform(uid, decide(snapshot))
        if node.waits_for_dependents:
            self._ask([each.uid for each in self._graph.blocking(uid) if not each.is_deleted])
        return outcome.failure is None

    async def _state_of(self, reference: Object, dependent: Object) -> OwnerState | None:
        """What became of an owner; None if that cannot be told now."""
        owner = Owner(reference["uid"], reference["apiVersion"], reference["kind"], reference["name"], False)
        solid = self._graph.is_solid(owner, namespace_of(dependent))
        if solid is not None:
            if not solid:
                self._recorder.event(
                    dependent, "Warning", "OwnerRefInvalidNamespace",
                    f"ownerRef [{owner.api_version}/{owner.kind}, namespace: {namespace_of(dependent)}, name: {owner.name}, "
                    f'uid: {owner.uid}] does not exist in namespace "{namespace_of(dependent)}"',
                )  # fmt: skip
                return OwnerState.DANGLING
            waits = self._graph.nodes[owner.uid].waits_for_dependents
            return OwnerState.WAITING if waits else OwnerState.SOLID
        absent = (owner.uid, namespace_of(dependent))
        if absent in self._absent:
            return OwnerState.DANGLING
        resource = self._resource_of(owner.api_version, owner.kind)
        if resource is None:
            return None
        live = await self._get(resource, namespace_of(dependent) if resource.namespaced else "", owner.name)
        if live is None or uid_of(live) != owner.uid:
            self._absent[absent] = None
            if len(self._absent) > ABSENT_MAX:
                del self._absent[next(iter(self._absent))]
            return OwnerState.DANGLING
        waits = is_being_deleted(live) and "foregroundDeletion" in (live["metadata"].get("finalizers") or ())
        return OwnerState.WAITING if waits else OwnerState.SOLID

    async def _dependents(self, node: Node, live: Object) -> list[Dependent]:
        found: list[Dependent] = []
        blocking = {each.uid for each in self._graph.blocking(node.uid)}
        for each in self._graph.dependents_of(node.uid):
            resource = self._resource_of(each.api_version, each.kind)
            if resource is None:
                continue
            obj: Object | None = {
                "metadata": {"name": each.name, "namespace": each.namespace, "uid": each.uid, "resourceVersion": ""}
            }
            if node.orphans_dependents:
                # Its list of owners will be replaced: that takes its current state.
                obj = await self._get(resource, each.namespace, each.name)
            if obj is not None and uid_of(obj) == each.uid:
                found.append(Dependent(resource, obj, each.uid in blocking, each.waits_for_dependents))
        return found

    def _resource_of(self, api_version: str, kind: str) -> Resource | None:
        return self._resources.get((parse_api_version(api_version)[0], kind))

    async def _get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        try:
            return await self._client.get(resource, name, namespace)
        except errors.NotFound:
            return None


def _ownership(obj: Object) -> tuple[object, ...]:
    """Everything that the graph reads."""
    metadata = obj["metadata"]
    return (
        metadata.get("ownerReferences"),
        metadata.get("finalizers"),
        "deletionTimestamp" in metadata,
        name_of(obj),
    )


def controller(context: Context) -> OwnLoop | None:
    if not context.options.enable_garbage_collector:
        return None
    return OwnLoop(name="garbage-collector-controller", run=lambda workshop: Collector(workshop).run())
