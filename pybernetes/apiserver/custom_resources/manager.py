"""Follows the definitions: accepts names, serves versions, disposes of instances.

Upstream spreads this over several controllers inside its API server (naming, establishing, finalizing, discovery, OpenAPI);
here one loop looks at a definition whenever it changed, and does the next thing that it needs, until nothing is left to do. The
life of a definition:

    created ──names accepted──> established, served ──deleted──> terminating ──no instance left──> gone
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from pybernetes.apiserver.attributes import MASTERS, RequestInfo, User
from pybernetes.apiserver.calls import Call
from pybernetes.apiserver.custom_resources import definitions
from pybernetes.apiserver.custom_resources.converter import Conversions, Converter
from pybernetes.apiserver.custom_resources.kinds import CustomKind
from pybernetes.apiserver.image import Event, Image
from pybernetes.apiserver.registry.apiextensions.custom_resource_definitions import CLEANUP_FINALIZER
from pybernetes.apiserver.registry.conversion import ConversionFailed
from pybernetes.apiserver.registry.deleting import Deletes
from pybernetes.apiserver.registry.kinds import Kind
from pybernetes.apiserver.registry.strategy import Writer
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.entropy import Entropy
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.http.messages import Request
from pybernetes.machinery.log import logger
from pybernetes.machinery.meta import Object, Resource, is_being_deleted, name_of
from pybernetes.machinery.resources import CUSTOM_RESOURCE_DEFINITIONS
from pybernetes.store.interface import Entry, Unavailable

log = logger("apiserver")

_USER = User("system:apiserver", groups=(MASTERS,))
RETRY_S = 1.0  # up to twice that, after a failure


class _Dirty:
    """The names that changed since they were last looked at; tells of changes as a watcher of tables."""

    def __init__(self) -> None:
        self.names: dict[str, None] = {}
        self.lost = True  # the image began anew: everything has to be looked at
        self.woken = asyncio.Event()

    def add(self, name: str) -> None:
        self.names[name] = None
        self.woken.set()

    def offer(self, event: Event) -> None:
        self.add(event.change.key.rpartition("/")[2])

    def cut(self) -> None:
        self.lost = True
        self.woken.set()


class _Instances:
    """Watches the instances of a terminating definition: each that goes may be the last."""

    def __init__(self, name: str, dirty: _Dirty) -> None:
        self._name = name
        self._dirty = dirty

    def offer(self, event: Event) -> None:
        if event.change.entry is None:
            self._dirty.add(self._name)

    def cut(self) -> None:
        self._dirty.add(self._name)


class _Served:
    """One definition being served: its kinds, and what they were made from."""

    def __init__(self, spec: Object, names: Object) -> None:
        self.spec = spec
        self.names = names
        self.kinds: list[CustomKind] = []
        self.stored: CustomKind | None = None  # the version that is stored, served or not
        self.watcher: _Instances | None = None

    def made_from(self, definition: Object) -> bool:
        return bool(self.spec == definition["spec"] and self.names == definition["status"]["acceptedNames"])


class CustomResources:
    """`publish` and `withdraw` put a kind where requests find it, and take it away; `announce` is called after such changes."""

    def __init__(
        self,
        image: Image,
        definitions_kind: Kind,
        writer: Writer,
        deletes: Deletes,
        conversions: Conversions,
        *,
        clock: Clock,
        entropy: Entropy,
        publish: Callable[[CustomKind], None],
        withdraw: Callable[[Resource], None],
        announce: Callable[[Sequence[CustomKind]], None],
    ) -> None:
        self._image = image
        self._kind = definitions_kind
        self._writer = writer
        self._deletes = deletes
        self._conversions = conversions
        self._clock = clock
        self._entropy = entropy
        self._publish = publish
        self._withdraw = withdraw
        self._announce = announce
        self._served: dict[str, _Served] = {}
        self._dirty = _Dirty()

    @property
    def kinds(self) -> Sequence[CustomKind]:
        """All that is served, by definition."""
        return [kind for name in sorted(self._served) for kind in self._served[name].kinds]

    async def settle(self) -> None:
        """Serve what is established already: to be done before the server says that it is ready."""
        await self._look_at_all()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._dirty.woken.wait()
            self._dirty.woken.clear()
            await self._look_at_all()

    async def _look_at_all(self) -> None:
        dirty, table = self._dirty, self._kind.table
        if dirty.lost:
            dirty.lost = False
            table.unwatch(dirty, None)
            table.watch(dirty, None)
            for name in (*self._served, *(key.rpartition("/")[2] for key in table.slice(table.prefix))):
                dirty.add(name)
        while dirty.names:
            name = next(iter(dirty.names))
            del dirty.names[name]
            try:
                await self._look_at(name)
            except (StatusError, Unavailable) as error:  # somebody else wrote, or the store is away for a moment
                log.info("Definition is looked at again", name=name, reason=str(error))
                self._again(name)
            except Exception:
                log.exception("Definition cannot be served", name=name)

    def _again(self, name: str) -> None:
        asyncio.get_running_loop().call_later(RETRY_S * (1 + self._entropy.random()), self._dirty.add, name)

    async def _look_at(self, name: str) -> None:
        entry = self._kind.table.entries.get(self._kind.key("", name))
        if entry is None:
            self._stop(name)
            self._look_at_refused(name)
            return
        definition = self._kind.object(entry)
        if is_being_deleted(definition):
            await self._serve(definition, entry)
            if CLEANUP_FINALIZER in (definition["metadata"].get("finalizers") or ()):
                await self._clean_up(definition)
            return
        status = definitions.next_status(definition, self._every(), self._clock.now())
        if status != definition.get("status"):
            # Looked at again when the image has seen it: what is served is what is stored.
            await self._writer.update(CUSTOM_RESOURCE_DEFINITIONS, {**definition, "status": status})
            self._look_at_refused(name)
        elif definitions.is_true(definition, "Established"):
            await self._serve(definition, entry)

    def _every(self) -> list[Object]:
        return [self._kind.table.decoded(found) for found in self._kind.table.entries.values()]

    def _look_at_refused(self, name: str) -> None:
        """Names that `name` held may be free now, for others of its group."""
        group = name.partition(".")[2]
        for other in self._every():
            if other["spec"]["group"] == group and name_of(other) != name and not definitions.is_true(other, "NamesAccepted"):
                self._dirty.add(name_of(other))

    # Serving

    async def _serve(self, definition: Object, entry: Entry) -> None:
        name = name_of(definition)
        known = self._served.get(name)
        if known is not None and known.made_from(definition):
            for kind in known.kinds:
                kind.terminating = is_being_deleted(definition)
            return
        if not definitions.is_true(definition, "Established"):
            return
        spec = definition["spec"]
        prefix = f"/registry/{spec['group']}/{spec['names']['plural']}/"
        table = await self._image.add(prefix)
        made = _Served(spec, definition["status"]["acceptedNames"])
        stored = next(version for version in spec["versions"] if version.get("storage"))
        valid_since = entry.mod_revision
        if known is not None and known.stored is not None and known.stored.version == stored:
            valid_since = known.stored.valid_since  # what is stored is what it was
        converter = None
        if (spec.get("conversion") or {}).get("strategy") == "Webhook":
            converter = Converter(definition, self._conversions)
        versions: dict[str, Kind] = {}
        for version in spec["versions"]:
            kind = CustomKind(definition, version, self._image, valid_since, converter)
            kind.versions = versions  # those that are not served, too: objects are stored in them, and managers speak of them
            versions[kind.resource.api_version] = kind
            if version.get("served"):
                made.kinds.append(kind)
            if version is stored:
                made.stored = kind
        if known is not None:
            now = {kind.resource for kind in made.kinds}
            for kind in known.kinds:
                if kind.resource not in now:
                    self._withdraw(kind.resource)
            table.cut_all()  # the watchers would go on in the old version's terms
        self._served[name] = made
        for kind in made.kinds:
            self._publish(kind)
        self._announce(self.kinds)

    def _stop(self, name: str) -> None:
        known = self._served.pop(name, None)
        if known is None:
            return
        for kind in known.kinds:
            self._withdraw(kind.resource)
        if known.stored is not None:
            self._image.drop(known.stored.prefix)
        self._announce(self.kinds)

    # Cleaning up

    async def _clean_up(self, definition: Object) -> None:
        name = name_of(definition)
        known = self._served.get(name)
        if known is not None and known.stored is not None:
            kind = known.stored
            if kind.table.entries and not definitions.is_cleaning_up(definition):
                # Goes on when the image has seen it.
                await self._tell(definition, definitions.CLEANING_UP, "CustomResource deletion is in progress")
                return
            if known.watcher is None:
                known.watcher = _Instances(name, self._dirty)
                kind.table.watch(known.watcher, None)
            try:
                await self._mark_instances(kind)
            except ConversionFailed as error:
                await self._tell(definition, definitions.CLEANUP_FAILED, f"could not list instances: {error}")
                raise
            if kind.table.entries:
                return  # until their finalizers are gone
        left = [found for found in definition["metadata"]["finalizers"] if found != CLEANUP_FINALIZER]
        if not left:
            await self._writer.delete(CUSTOM_RESOURCE_DEFINITIONS, "", name)
            return
        status = definitions.cleanup_status(
            definition, "InstanceDeletionCompleted", "removed all instances", self._clock.now(), status="False"
        )
        metadata = {**definition["metadata"], "finalizers": left}
        await self._writer.update(CUSTOM_RESOURCE_DEFINITIONS, {**definition, "metadata": metadata, "status": status})

    async def _tell(self, definition: Object, reason: str, message: str) -> None:
        status = definitions.cleanup_status(definition, reason, message, self._clock.now())
        if status != definition["status"]:
            await self._writer.update(CUSTOM_RESOURCE_DEFINITIONS, {**definition, "status": status})

    async def _mark_instances(self, kind: CustomKind) -> None:
        resource = kind.resource
        for key in list(kind.table.slice(kind.prefix)):
            entry = kind.table.entries.get(key)
            if entry is None or is_being_deleted(kind.table.decoded(entry)):
                continue
            namespace, name = kind.names(key)
            path = resource.path(namespace, name)
            info = RequestInfo("delete", path, True, resource.group, resource.version, resource.plural, "", namespace, name)
            call = Call(Request("DELETE", path, "", {}, b""), info, {}, _USER, self._clock, self._entropy)
            try:
                await self._deletes.delete_key(call, kind, key, {})
            except type(kind.not_found("")):
                continue
