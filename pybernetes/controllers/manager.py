"""The controller manager: shared informers, a work queue for each controller, and the loop that joins deciding to doing.

For each key: wait until the caches show our own earlier writes, observe, decide, perform; a failure brings the key back with
growing delays. Nothing polls, nothing is resynced: work comes from changes and from times that decisions ask for.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterable, Sequence
from typing import Any

from pybernetes.client.events import EventRecorder
from pybernetes.client.informer import Informer, InformerFactory
from pybernetes.client.rest import Client
from pybernetes.client.transport import ConnectionFailed
from pybernetes.client.workqueue import WorkQueue
from pybernetes.controllers.controller import (
    AnyController,
    Caches,
    Context,
    Declared,
    Failure,
    Look,
    OwnLoop,
    Wake,
    Workshop,
)
from pybernetes.controllers.expectations import RECHECK_S, Expectations
from pybernetes.controllers.options import Options
from pybernetes.controllers.perform import Performer
from pybernetes.controllers.registry import ALL
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.entropy import Entropy
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.log import logger
from pybernetes.machinery.meta import Object, Resource
from pybernetes.machinery.resources import SECRETS

log = logger("controllers")


def enabled(declared: Declared, wanted: Sequence[str]) -> bool:
    """`--controllers`: `foo` enables, `-foo` disables, `*` enables all that are on by default; the first to match decides."""
    star = False
    for item in wanted:
        if item in (declared.name, *declared.aliases):
            return True
        if item.removeprefix("-") in (declared.name, *declared.aliases):
            return False
        star = star or item == "*"
    return star and declared.on_by_default


class Manager:
    """Runs the controllers in this process, with nothing of its own beyond caches: it may be killed and started anywhere."""

    def __init__(
        self,
        client: Client,
        *,
        clock: Clock,
        entropy: Entropy,
        options: Options | None = None,
        controllers: Iterable[Declared] = ALL,
        detect_mutations: bool = False,
    ) -> None:
        self.client = client
        self.clock = clock
        self.entropy = entropy
        self.options = options or Options()
        self._informers = InformerFactory(client, clock=clock, entropy=entropy, detect_mutations=detect_mutations)
        self._recorders: dict[str, EventRecorder] = {}
        # Those whose objects are cached whole, by (group, version, plural): discovery describes a resource in more words.
        self._full: dict[tuple[str, str, str], Resource] = {}
        context = Context(self.options, clock, entropy)
        built = [each.build(context) for each in controllers if enabled(each, self.options.controllers)]
        self._loops = [each for each in built if isinstance(each, OwnLoop)]
        # Declared first, so that whoever is content with metadata shares the whole objects of the others.
        self._workers = [_Worker(self, each) for each in built if each is not None and not isinstance(each, OwnLoop)]

    @property
    def controller_names(self) -> list[str]:
        """Those that run."""
        return [worker.controller.name for worker in self._workers] + [loop.name for loop in self._loops]

    def informer(self, resource: Resource) -> Informer:
        known = self._full.setdefault((resource.group, resource.version, resource.plural), resource)
        return self._informers.informer(known, transform=_lean_secret if resource == SECRETS else _without_managed_fields)

    def metadata_informer(self, resource: Resource) -> Informer:
        if (resource.group, resource.version, resource.plural) in self._full:
            return self.informer(resource)
        return self._informers.informer(resource, transform=_metadata_only)

    def recorder(self, source: str) -> EventRecorder:
        if source not in self._recorders:
            self._recorders[source] = EventRecorder(self.client, source, clock=self.clock, entropy=self.entropy)
        return self._recorders[source]

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._informers.run(), name="informers")
            for source, recorder in self._recorders.items():
                group.create_task(recorder.run(), name=f"events of {source}")
            for worker in self._workers:
                group.create_task(worker.run(), name=worker.controller.name)
            for loop in self._loops:
                group.create_task(_run_loop(loop, self), name=loop.name)


async def _run_loop(loop: OwnLoop, workshop: Workshop) -> None:
    await loop.run(workshop)


class _Worker:
    """One controller at work."""

    def __init__(self, manager: Manager, controller: AnyController) -> None:
        self.controller = controller
        self._client = manager.client
        self._clock = manager.clock
        self._queue: WorkQueue[str] = WorkQueue(manager.clock, manager.entropy)
        self._expectations = Expectations()
        self._failures: dict[str, Failure] = {}
        self._maybe_deleted: dict[str, frozenset[str]] = {}  # since the last pass that did all that it wanted
        resources = dict.fromkeys([*(wake.resource for wake in controller.wakes_on), *controller.reads])
        self._informers: dict[Resource, Informer] = {resource: manager.informer(resource) for resource in resources}
        self._caches: Caches = self._informers
        source = controller.source or controller.name
        recorder = manager.recorder(source)
        self._performer = Performer(
            manager.client, manager.clock, self._expectations, self._cached, recorder.event, "kube-controller-manager"
        )
        for index in controller.indexes:
            informer = self._informers[index.resource]
            if not informer.has_index(index.name):
                informer.add_index(index.name, index.keys)
        for resource, informer in self._informers.items():
            wakes = [wake for wake in controller.wakes_on if wake.resource == resource]
            handlers = _Handlers(self, wakes)
            informer.add_handler(handlers.added, handlers.updated, handlers.deleted)
        for key in controller.starts_with:
            self._queue.add(key)

    async def run(self) -> None:
        for informer in self._informers.values():
            await informer.wait_synced()
        async with asyncio.TaskGroup() as group:
            for number in range(self.controller.workers):
                group.create_task(self._work(), name=f"{self.controller.name} {number}")

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            try:
                await self._reconcile(key)
            except (StatusError, ConnectionFailed) as error:
                # Performing reports its own failures; this one met somebody who asks the server before deciding.
                log.warning("Could not look", controller=self.controller.name, key=key, err=error)
                self._queue.add_rate_limited(key)
            except Exception:
                # A bug met one key: the others must go on. It is logged whole and tried again ever more rarely.
                log.exception("Reconciling failed", controller=self.controller.name, key=key)
                self._queue.add_rate_limited(key)
            finally:
                self._queue.done(key)

    async def _reconcile(self, key: str) -> None:
        now_s = self._clock.monotonic()
        if self._expectations.blocked(key, now_s, self._reached):
            self._queue.add_after(key, RECHECK_S)
            return
        maybe_deleted = self._maybe_deleted.pop(key, frozenset())
        look = Look(self._caches, self._clock.now(), self._failures.get(key), self._client, maybe_deleted)
        seen: Any = self.controller.observe(look, key)
        if inspect.isawaitable(seen):
            seen = await seen
        if seen is None:
            self._failures.pop(key, None)
            self._queue.forget(key)
            return
        outcome = await self._performer.perform(key, self.controller.decide(seen))
        if outcome.failure is not None:
            self._failures[key] = outcome.failure
            if maybe_deleted := maybe_deleted | outcome.maybe_deleted:
                self._maybe_deleted[key] = maybe_deleted
            self._queue.add_rate_limited(key)
            return
        self._failures.pop(key, None)
        self._queue.forget(key)
        if outcome.look_again_s is not None:
            self._queue.add_after(key, outcome.look_again_s)

    def _cached(self, resource: Resource, namespace: str, name: str) -> tuple[bool, Object | None]:
        informer = self._informers.get(resource)
        return informer is not None, informer.get(namespace, name) if informer is not None else None

    def _reached(self, resource: Resource) -> int:
        text = self._informers[resource].resource_version
        return int(text) if text.isdigit() else 0

    def wake(self, wakes: Sequence[Wake], obj: Object) -> None:
        for wake in wakes:
            for key in wake.keys(self._caches, obj):
                self._queue.add(key)

    def saw(self, obj: Object, *, gone: bool = False) -> None:
        for key in self._expectations.saw(obj, gone=gone):
            self._queue.add(key)


class _Handlers:
    """From a change in one cache to the keys that it wakes."""

    def __init__(self, worker: _Worker, wakes: Sequence[Wake]) -> None:
        self._worker = worker
        self._wakes = wakes

    def added(self, obj: Object) -> None:
        self._worker.saw(obj)
        self._worker.wake(self._wakes, obj)

    def updated(self, old: Object, new: Object) -> None:
        self._worker.saw(new)
        if old["metadata"].get("uid") != new["metadata"].get("uid"):
            self._worker.saw(old, gone=True)
        wakes = [wake for wake in self._wakes if wake.when(old, new)]
        if wakes and _wakes_alike(old, new):
            self._worker.wake(wakes, new)
        elif wakes:
            self._worker.wake(wakes, old)
            self._worker.wake(wakes, new)

    def deleted(self, obj: Object) -> None:
        self._worker.saw(obj, gone=True)
        self._worker.wake(self._wakes, obj)


def _wakes_alike(old: Object, new: Object) -> bool:
    """Whether what usually leads to other objects (labels, owners) is unchanged, so that the old state wakes nobody else."""
    before, after = old["metadata"], new["metadata"]
    return all(before.get(field) == after.get(field) for field in ("labels", "ownerReferences"))


def _without_managed_fields(obj: Object) -> Object:
    # A good part of an object's bytes, which no controller reads; the API server keeps them where an update lacks them.
    if "managedFields" not in obj["metadata"]:
        return obj
    return {**obj, "metadata": {key: value for key, value in obj["metadata"].items() if key != "managedFields"}}


# Secrets that a controller reads: those of other types are large or many, and are nobody's business.
_READ_SECRETS = frozenset(("bootstrap.kubernetes.io/token", "kubernetes.io/service-account-token"))


def _lean_secret(secret: Object) -> Object:
    lean = _without_managed_fields(secret)
    if "data" not in lean or lean.get("type") in _READ_SECRETS:
        return lean
    return {key: value for key, value in lean.items() if key != "data"}


_KEPT = (
    "name", "namespace", "uid", "resourceVersion", "labels", "ownerReferences", "finalizers", "deletionTimestamp",
    "creationTimestamp", "generation",
)  # fmt: skip


def _metadata_only(obj: Object) -> Object:
    kept = {key: obj["metadata"][key] for key in _KEPT if key in obj["metadata"]}
    return {"kind": obj.get("kind", ""), "apiVersion": obj.get("apiVersion", ""), "metadata": kept}
