"""Writes pods' statuses to the API: one writer per pod, only what changed, the latest state wins.

A worker says what the status is; how often and when it reaches the API server is decided here. Writes are patches guarded by
the pod's uid, so that a namesake born meanwhile is never touched.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from pybernetes.client.rest import Client, PatchType
from pybernetes.client.transport import ConnectionFailed
from pybernetes.kubelet.pod_status import OWN_CONDITIONS
from pybernetes.machinery import errors
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.entropy import Entropy, jittered
from pybernetes.machinery.log import logger
from pybernetes.machinery.meta import Object, key_of, name_of, namespace_of, uid_of
from pybernetes.machinery.resources import PODS

log = logger("kubelet.status")

RETRY_FIRST_S = 0.2
RETRY_MAX_S = 10.0


@dataclass(slots=True)
class _Entry:
    pod: Object
    wanted: Object
    at_server: Object  # the status as the API server last showed it
    writer: asyncio.Task[None] | None = None
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    gone: bool = False


class StatusManager:
    def __init__(self, client: Client, *, clock: Clock, entropy: Entropy) -> None:
        self._client = client
        self._clock = clock
        self._entropy = entropy
        self._entries: dict[str, _Entry] = {}

    def latest(self, uid: str) -> Object | None:
        """The status last set here, which the API server may not have yet."""
        entry = self._entries.get(uid)
        return entry.wanted if entry else None

    def set(self, pod: Object, status: Object) -> None:
        """`status` is the pod's from now on."""
        uid = uid_of(pod)
        entry = self._entries.get(uid)
        if entry is None:
            entry = self._entries[uid] = _Entry(pod, status, pod.get("status") or {})
        entry.wanted = status
        self._poke(entry)

    def saw(self, pod: Object) -> None:
        """The API server shows the pod so: if somebody else changed what is ours, it is written again."""
        entry = self._entries.get(uid_of(pod))
        if entry is not None and entry.writer is None:
            entry.pod, entry.at_server = pod, pod.get("status") or {}
            self._poke(entry)

    async def flushed(self, uid: str) -> None:
        """Until the API server has the pod's status, or the pod is gone from it."""
        entry = self._entries.get(uid)
        if entry is not None:
            await entry.settled.wait()

    def forget(self, uid: str) -> None:
        entry = self._entries.pop(uid, None)
        if entry is not None and entry.writer is not None:
            entry.writer.cancel()

    async def close(self) -> None:
        writers = [entry.writer for entry in self._entries.values() if entry.writer is not None]
        for uid in list(self._entries):
            self.forget(uid)
        await asyncio.gather(*writers, return_exceptions=True)

    def _poke(self, entry: _Entry) -> None:
        if entry.writer is not None or entry.gone:
            return
        if difference(entry.at_server, entry.wanted):
            entry.settled.clear()
            entry.writer = asyncio.create_task(self._write(entry), name=f"status {key_of(entry.pod)}")
        else:
            entry.settled.set()

    async def _write(self, entry: _Entry) -> None:
        pod, delay_s = entry.pod, RETRY_FIRST_S
        try:
            while change := difference(entry.at_server, entry.wanted):
                patch = {"metadata": {"uid": uid_of(pod)}, "status": change}
                try:
                    answer = await self._client.patch(
                        PODS, name_of(pod), namespace_of(pod), patch, PatchType.STRATEGIC, subresource="status"
                    )
                except (errors.NotFound, errors.Conflict):
                    entry.gone = True  # another pod of that name, at most
                    return
                except (errors.StatusError, ConnectionFailed) as error:
                    log.warning("Cannot write a pod's status", pod=key_of(pod), error=str(error))
                    await self._clock.sleep(jittered(delay_s, self._entropy))
                    delay_s = min(delay_s * 2, RETRY_MAX_S)
                    continue
                before, entry.at_server = entry.at_server, answer.get("status") or {}
                delay_s = RETRY_FIRST_S
                if difference(entry.at_server, entry.wanted) == change and entry.at_server == before:
                    return  # the server does not take it as it is: asking again would change nothing
        finally:
            entry.writer = None
            entry.settled.set()


def difference(at_server: Object, wanted: Object) -> Object:
    """What to patch (strategically) to get from the one to the other; empty if nothing."""
    change: Object = {}
    for key, value in wanted.items():
        if key == "conditions":
            present = {entry["type"]: entry for entry in at_server.get("conditions") or ()}
            own = [entry for entry in value if entry["type"] in OWN_CONDITIONS]
            changed = [entry for entry in own if not _same(present.get(entry["type"]), entry)]
            if changed:
                change[key] = changed
        elif not _same(at_server.get(key), value):
            change[key] = value
    for key in ("reason", "message"):
        if key in at_server and key not in wanted:
            change[key] = None
    return change


def _same(a: object, b: object) -> bool:
    """Equal but for fields that are null or empty on one side: the server drops them."""
    if isinstance(a, dict) and isinstance(b, dict):
        return all(_same(a.get(key), b.get(key)) for key in a.keys() | b.keys())
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    return a == b or (not a and not b and a is not False and b is not False)
