"""All pods' workers: one per pod uid, started when a pod is bound to this node (or found in the runtime), gone with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pybernetes.kubelet.pod_worker import PodWorker
from pybernetes.kubelet.shared import Shared
from pybernetes.machinery.log import logger
from pybernetes.machinery.meta import Object, key_of, uid_of

log = logger("kubelet.pods")


class PodWorkers:
    def __init__(self) -> None:
        self._shared: Shared | None = None
        self._workers: dict[str, PodWorker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        # Only what the API does not have, *after* it has told everything, is an orphan.
        self._orphans_may_end: Callable[[], bool] = lambda: False

    def attach(self, shared: Shared, orphans_may_end: Callable[[], bool]) -> None:
        """Give the workers what they share (which refers to this object, so it comes later)."""
        self._shared = shared
        self._orphans_may_end = orphans_may_end

    def active_pods(self) -> list[Object]:
        return [worker.pod for worker in self._workers.values() if worker.pod is not None and worker.active]

    def wake(self, uid: str) -> None:
        """Something about the pod changed (in the runtime, a probe, an object it refers to)."""
        worker = self._workers.get(uid)
        if worker is not None:
            worker.wake()

    def update(self, pod: Object) -> None:
        """The API shows the pod so: new to us or changed."""
        uid = uid_of(pod)
        worker = self._workers.get(uid)
        if worker is not None:
            worker.update(pod)
        else:
            self._start(uid, pod)

    def removed(self, pod: Object) -> None:
        """The pod is gone from the API."""
        worker = self._workers.get(uid_of(pod))
        if worker is not None:
            worker.removed()

    @property
    def uids(self) -> frozenset[str]:
        """Of the pods that are being looked after, those on their way out included."""
        return frozenset(self._workers)

    def found_in_runtime(self, uids: frozenset[str]) -> None:
        """Whoever is in the runtime and not in the API is ended and removed."""
        if not self._orphans_may_end():
            return
        for uid in uids - self._workers.keys():
            log.info("Removing a pod that the API does not have", uid=uid)
            self._start(uid, None)

    def _start(self, uid: str, pod: Object | None) -> None:
        assert self._shared is not None
        worker = self._workers[uid] = PodWorker(self._shared, uid, pod, self._forgotten)
        name = f"pod {key_of(pod)}" if pod is not None else f"orphan {uid}"
        self._tasks[uid] = asyncio.create_task(worker.run(), name=name)

    def _forgotten(self, uid: str) -> None:
        self._workers.pop(uid, None)
        self._tasks.pop(uid, None)

    async def close(self) -> None:
        """Stop caring; the pods run on."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
