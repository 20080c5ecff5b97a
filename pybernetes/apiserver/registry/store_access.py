"""`Reader` and `Writer` over the image: what the server's own parts (hooks, admission, authorization) use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pybernetes.apiserver.image import Image
from pybernetes.apiserver.registry.kinds import Kind
from pybernetes.apiserver.registry.metadata import ordered
from pybernetes.machinery.clock import Clock, rfc3339
from pybernetes.machinery.entropy import Entropy
from pybernetes.machinery.meta import Object, Resource, name_of, namespace_of
from pybernetes.store.interface import KeyExists, Mismatch, Revision


class ImageReader:
    """See `Reader`. Objects are decoded once per revision and shared; they are in the stored version."""

    def __init__(self, kinds: Mapping[Resource, Kind]) -> None:
        self._kinds = kinds
        # What `list` gave last, per resource and namespace, with the generation it was made at.
        self._lists: dict[tuple[Resource, str], tuple[Revision, Sequence[Object]]] = {}

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        kind = self._kinds[resource]
        entry = kind.table.entries.get(kind.key(namespace, name))
        return None if entry is None else kind.table.decoded(entry)

    def list(self, resource: Resource, namespace: str = "") -> Sequence[Object]:
        kind = self._kinds[resource]
        known = self._lists.get((resource, namespace))
        if known is not None and known[0] == kind.table.generation:
            return known[1]
        table = kind.table
        found = tuple(table.decoded(table.entries[key]) for key in table.slice(kind.scope(namespace)))
        self._lists[resource, namespace] = (table.generation, found)
        return found

    def generation(self, resource: Resource) -> int:
        return self._kinds[resource].table.generation


class ImageWriter:
    """See `Writer`."""

    def __init__(self, kinds: Mapping[Resource, Kind], image: Image, clock: Clock, entropy: Entropy) -> None:
        self._kinds = kinds
        self._image = image
        self._clock = clock
        self._entropy = entropy

    async def create(self, resource: Resource, obj: Object) -> Object:
        kind = self._kinds[resource]
        meta = {
            **obj["metadata"], "uid": obj["metadata"].get("uid") or self._entropy.uid(),
            "creationTimestamp": obj["metadata"].get("creationTimestamp") or rfc3339(self._clock.now()),
        }  # fmt: skip
        made = {"kind": resource.kind, "apiVersion": resource.api_version, **obj, "metadata": meta}
        kind.strategy.default(made)
        if kind.strategy.bumps_generation:
            meta.setdefault("generation", 1)
        made["metadata"] = ordered(meta)
        try:
            revision = await self._image.store.create(kind.key(namespace_of(made), name_of(made)), await kind.stored(made))
        except KeyExists as error:
            raise kind.already_exists(name_of(made)) from error
        return await self._done(made, revision)

    async def update(self, resource: Resource, obj: Object) -> Object:
        kind = self._kinds[resource]
        made = {"kind": resource.kind, "apiVersion": resource.api_version, **obj}
        key = kind.key(namespace_of(made), name_of(made))
        current = kind.table.entries.get(key)
        if current is None:
            raise kind.not_found(name_of(made))
        version = made["metadata"].get("resourceVersion") or str(current.mod_revision)
        try:
            revision = await self._image.store.update(key, await kind.stored(made), mod_revision=Revision(int(version)))
        except Mismatch as error:
            raise (kind.conflict(name_of(made)) if error.current else kind.not_found(name_of(made))) from error
        return await self._done(made, revision)

    async def delete(self, resource: Resource, namespace: str, name: str) -> None:
        kind = self._kinds[resource]
        key = kind.key(namespace, name)
        while (entry := await self._image.store.get(key)) is not None:
            try:
                revision = await self._image.store.delete(key, mod_revision=entry.mod_revision)
            except Mismatch:
                continue
            await self._image.reached(revision)

    async def _done(self, made: Object, revision: Revision) -> Object:
        await self._image.reached(revision)
        return {**made, "metadata": {**made["metadata"], "resourceVersion": str(revision)}}
