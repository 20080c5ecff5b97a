"""The pod lifecycle event generator: tells which pods' containers changed in the runtime.

Sources, the first that the runtime offers: CRI's event stream (KEP-3386), containerd's own, none. A relist at intervals makes
sure that nothing is missed (and is the only source, at shorter intervals, where there are no events). Workers look at their own
pod right after what they do themselves, so only what happens by itself has to be noticed here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pybernetes.kubelet.cri import runtime_pb2 as api
from pybernetes.kubelet.cri.client import Runtime, RuntimeFailed, RuntimeNotFound
from pybernetes.kubelet.observed import LABEL_POD_UID
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.log import logger

log = logger("kubelet.pleg")

RELIST_S = 1.0  # upstream's, without events
RELIST_WITH_EVENTS_S = 10.0
RECONNECT_S = 1.0
# containerd's CRI plugin marks a container as exited a moment after its event is out.
SETTLE_DELAYS_S = (0.0, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64)


class Pleg:
    """`on_change(uid)` per pod that changed; `on_relist(uids)` with all pods that the runtime knows."""

    def __init__(
        self,
        runtime: Runtime,
        *,
        clock: Clock,
        on_change: Callable[[str], None],
        on_relist: Callable[[frozenset[str]], None],
    ) -> None:
        self._runtime = runtime
        self._clock = clock
        self._on_change = on_change
        self._on_relist = on_relist
        self._states: dict[str, tuple[str, int]] = {}  # container or sandbox id -> (pod uid, state)
        self._evented = False
        self.healthy_at = clock.monotonic()  # of the last relist that worked
        self.error = ""

    @property
    def uids(self) -> frozenset[str]:
        """Pods of which the runtime had anything at the last relist."""
        return frozenset(uid for uid, _ in self._states.values())

    async def relist(self) -> None:
        """Compare with the last time. Raises RuntimeFailed."""
        sandboxes, containers = await asyncio.gather(self._runtime.list_sandboxes(), self._runtime.list_containers())
        states = {sandbox.id: (sandbox.labels.get(LABEL_POD_UID, ""), int(sandbox.state)) for sandbox in sandboxes}
        states.update((c.id, (c.labels.get(LABEL_POD_UID, ""), 2 + int(c.state))) for c in containers)
        changed = {uid for key, (uid, state) in states.items() if self._states.get(key) != (uid, state)}
        changed |= {uid for key, (uid, _) in self._states.items() if key not in states}
        self._states = states
        self.healthy_at, self.error = self._clock.monotonic(), ""
        for uid in changed:
            if uid:
                self._on_change(uid)
        self._on_relist(self.uids - {""})

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._relist_forever(), name="pleg-relist")
            tasks.create_task(self._events_forever(tasks), name="pleg-events")

    async def _relist_forever(self) -> None:
        while True:
            await self._clock.sleep(RELIST_WITH_EVENTS_S if self._evented and not self.error else RELIST_S)
            try:
                await self.relist()
            except RuntimeFailed as error:
                if not self.error:
                    log.warning("Cannot list containers", error=str(error))
                self.error = str(error)

    async def _events_forever(self, tasks: asyncio.TaskGroup) -> None:
        sources = [self._cri_events, self._containerd_events]
        while sources:
            try:
                await sources[0](tasks)
            except RuntimeFailed as error:
                if error.code == "UNIMPLEMENTED":
                    sources.pop(0)
                    continue
                log.debug("The runtime's event stream ended", error=str(error))
            self._evented = False
            await self._clock.sleep(RECONNECT_S)
        log.info("The runtime has no event stream: its containers are listed every second")

    async def _cri_events(self, tasks: asyncio.TaskGroup) -> None:
        async for event in self._runtime.events():
            self._evented = True
            uid = event.pod_sandbox_status.metadata.uid
            if uid and event.container_event_type == api.CONTAINER_STOPPED_EVENT:
                self._on_change(uid)

    async def _containerd_events(self, tasks: asyncio.TaskGroup) -> None:
        self._evented = True
        async for container_id in self._runtime.containerd_exits():
            tasks.create_task(self._exited(container_id), name=f"pleg-exit {container_id[:12]}")

    async def _exited(self, container_id: str) -> None:
        try:
            for delay_s in SETTLE_DELAYS_S:
                await self._clock.sleep(delay_s)
                status = (await self._runtime.container_status(container_id)).status
                if status.state != api.CONTAINER_RUNNING:
                    self._on_change(status.labels.get(LABEL_POD_UID, ""))
                    return
        except RuntimeNotFound:
            if container_id in self._states:  # a sandbox
                self._on_change(self._states[container_id][0])
        except RuntimeFailed as error:
            log.debug("Cannot ask for an exited container", container=container_id, error=str(error))
