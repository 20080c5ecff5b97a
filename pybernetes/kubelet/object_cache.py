"""ConfigMaps and Secrets that this node's pods refer to: fetched when first needed, then watched, one by one.

One by one, because a kubelet may read only what its pods name (Node authorization), so a list of all is refused. A change
wakes the pods that refer to the object: their volumes follow at once instead of at the next round.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TypeAlias

from pybernetes.client.rest import Client
from pybernetes.client.transport import ConnectionFailed
from pybernetes.machinery import errors
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.entropy import Entropy, jittered
from pybernetes.machinery.log import logger
from pybernetes.machinery.meta import Object, Resource
from pybernetes.machinery.resources import CONFIG_MAPS, SECRETS

log = logger("kubelet.objects")

WATCH_S = 540
# The authorizer may learn of a pod's binding a moment after we did.
FORBIDDEN_TRIES = 5
FORBIDDEN_DELAY_S = 0.05

Key: TypeAlias = tuple[Resource, str, str]  # resource, namespace, name


@dataclass(slots=True)
class _Entry:
    users: set[str] = field(default_factory=set)  # uids of pods
    value: Object | None = None
    revision: str = ""
    fetch: asyncio.Task[None] | None = None
    watch: asyncio.Task[None] | None = None


class ObjectCache:
    """`on_change(uid)` is called for each pod that refers to a changed object."""

    def __init__(self, client: Client, on_change: Callable[[str], None], *, clock: Clock, entropy: Entropy) -> None:
        self._client = client
        self._on_change = on_change
        self._clock = clock
        self._entropy = entropy
        self._entries: dict[Key, _Entry] = {}
        self._by_pod: dict[str, set[Key]] = {}

    def use(self, uid: str, keys: set[Key]) -> None:
        """The pod refers to exactly these from now on."""
        before = self._by_pod.get(uid, set())
        for key in keys - before:
            self._entries.setdefault(key, _Entry()).users.add(uid)
        for key in before - keys:
            self._release(key, uid)
        if keys:
            self._by_pod[uid] = keys
        else:
            self._by_pod.pop(uid, None)

    def _release(self, key: Key, uid: str) -> None:
        entry = self._entries[key]
        entry.users.discard(uid)
        if not entry.users:
            del self._entries[key]
            for task in (entry.fetch, entry.watch):
                if task is not None:
                    task.cancel()

    async def config_map(self, namespace: str, name: str) -> Object | None:
        return await self._get((CONFIG_MAPS, namespace, name))

    async def secret(self, namespace: str, name: str) -> Object | None:
        return await self._get((SECRETS, namespace, name))

    async def _get(self, key: Key) -> Object | None:
        """The object, or None. Raises StatusError or ConnectionFailed if it cannot be known."""
        entry = self._entries.get(key)
        if entry is None:
            return (await self._list(key))[0]  # not announced by `use`: not worth a watch
        if entry.watch is None:
            if entry.fetch is None:
                entry.fetch = asyncio.create_task(self._fetch(key, entry), name=f"fetch {key[2]}")
            await asyncio.shield(entry.fetch)
        return entry.value

    async def _fetch(self, key: Key, entry: _Entry) -> None:
        try:
            entry.value, entry.revision = await self._list(key)
            entry.watch = asyncio.create_task(self._follow(key, entry), name=f"watch {key[2]}")
        finally:
            entry.fetch = None

    async def _list(self, key: Key) -> tuple[Object | None, str]:
        resource, namespace, name = key
        for attempt in range(FORBIDDEN_TRIES):
            try:
                found = await self._client.list(resource, namespace, field_selector=f"metadata.name={name}")
                break
            except errors.Forbidden:
                if attempt == FORBIDDEN_TRIES - 1:
                    raise
                await self._clock.sleep(jittered(FORBIDDEN_DELAY_S * 2**attempt, self._entropy))
        items = found.get("items") or []
        value = {"kind": resource.kind, "apiVersion": resource.api_version, **items[0]} if items else None
        return value, found["metadata"].get("resourceVersion", "")

    async def _follow(self, key: Key, entry: _Entry) -> None:
        resource, namespace, name = key
        delay_s = 1.0
        while True:
            try:
                if not entry.revision:
                    value, entry.revision = await self._list(key)
                    self._changed(entry, value)
                watch = self._client.watch(resource, namespace, name=name, resource_version=entry.revision, timeout_s=WATCH_S)
                async with aclosing(watch) as events:
                    async for event in events:
                        delay_s = 1.0
                        entry.revision = event.object["metadata"].get("resourceVersion", entry.revision)
                        if event.type == "DELETED":
                            self._changed(entry, None)
                        elif event.type != "BOOKMARK":
                            self._changed(entry, event.object)
                continue
            except errors.Expired:
                entry.revision = ""
            except (errors.StatusError, ConnectionFailed) as error:
                log.debug("Cannot watch an object that pods refer to", name=f"{namespace}/{name}", error=str(error))
                entry.revision = ""
                await self._clock.sleep(jittered(delay_s, self._entropy))
                delay_s = min(delay_s * 2, 30.0)

    def _changed(self, entry: _Entry, value: Object | None) -> None:
        if value == entry.value:
            return
        entry.value = value
        for uid in entry.users:
            self._on_change(uid)

    async def close(self) -> None:
        tasks = [task for entry in self._entries.values() for task in (entry.fetch, entry.watch) if task is not None]
        self._entries.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def references(pod: Object) -> set[Key]:
    """Every ConfigMap and Secret that the pod names: in volumes, environments and pull secrets."""
    namespace, spec = pod["metadata"]["namespace"], pod["spec"]
    found: set[Key] = set()

    def add(resource: Resource, name: str | None) -> None:
        if name:
            found.add((resource, namespace, name))

    for volume in spec.get("volumes") or ():
        sources = [volume, *((volume.get("projected") or {}).get("sources") or ())]
        for source in sources:
            add(CONFIG_MAPS, (source.get("configMap") or {}).get("name"))
            secret = source.get("secret") or {}
            add(SECRETS, secret.get("secretName") or secret.get("name"))
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(kind) or ():
            for entry in container.get("envFrom") or ():
                add(CONFIG_MAPS, (entry.get("configMapRef") or {}).get("name"))
                add(SECRETS, (entry.get("secretRef") or {}).get("name"))
            for entry in container.get("env") or ():
                source = entry.get("valueFrom") or {}
                add(CONFIG_MAPS, (source.get("configMapKeyRef") or {}).get("name"))
                add(SECRETS, (source.get("secretKeyRef") or {}).get("name"))
    for secret in spec.get("imagePullSecrets") or ():
        add(SECRETS, secret.get("name"))
    return found
