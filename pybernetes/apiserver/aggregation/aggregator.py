"""The aggregation layer of a server: which requests go elsewhere, and the loops that keep what is known of elsewhere.

One task follows APIServices, definitions, Services and endpoints; for each APIService with a Service a task of its own checks
the server now and then, writes the Available condition, and fetches its discovery and OpenAPI index.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from pybernetes.apiserver.aggregation import availability, front_proxy, local_services, merging, proxy
from pybernetes.apiserver.aggregation.availability import Availability
from pybernetes.apiserver.aggregation.front_proxy import FrontProxy
from pybernetes.apiserver.aggregation.remote_services import Misconfigured, RemoteServices
from pybernetes.apiserver.aggregation.service_resolver import ServiceResolver, Unroutable
from pybernetes.apiserver.attributes import RequestInfo, User
from pybernetes.apiserver.discovery import AGGREGATED
from pybernetes.apiserver.image import Event, Image, Table
from pybernetes.apiserver.registry.kinds import Kind
from pybernetes.apiserver.registry.strategy import Reader, Writer
from pybernetes.client.transport import ConnectionFailed
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.http.messages import Handler, Request, Response
from pybernetes.machinery.log import logger
from pybernetes.machinery.meta import Object, Resource, name_of
from pybernetes.machinery.resources import API_SERVICES, CUSTOM_RESOURCE_DEFINITIONS, ENDPOINT_SLICES, SERVICES
from pybernetes.store.interface import Unavailable

log = logger("apiserver")

CHECK_PERIOD_S = 30.0  # of a server that is well
RETRY_S, RETRY_S_MAX = 1.0, 30.0  # of one that is not
FETCH_TIMEOUT_S = 5.0
DOCUMENT_BYTES_MAX = 16 * 1024 * 1024
PUBLISH_PERIOD_S = 60.0


class _Changes:
    """Wakes whoever waits when a table changes."""

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self.keys: list[str] = []

    def offer(self, event: Event) -> None:
        self.keys.append(event.change.key)
        self.event.set()

    def cut(self) -> None:
        self.keys.append("")  # anything may have happened
        self.event.set()


class _Remote:
    """What is known of one extension server's group version."""

    def __init__(self, spec: Object) -> None:
        self.spec = spec
        self.wake = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self.resources: Sequence[Object] | None = None  # for aggregated discovery, as last heard
        self.openapi: Object | None = None  # its entry in the index of /openapi/v3
        self.heard = 0  # changes whenever the two above do


class Aggregator:
    """One per server; `run` must be running for conditions and discovery to follow. `close` when it ends."""

    def __init__(
        self,
        image: Image,
        kinds: Mapping[Resource, Kind],
        reader: Reader,
        writer: Writer,
        resolver: ServiceResolver,
        options: FrontProxy,
        clock: Clock,
    ) -> None:
        self._image = image
        self._tables: Sequence[Table] = [
            kinds[resource].table for resource in (API_SERVICES, CUSTOM_RESOURCE_DEFINITIONS, SERVICES, ENDPOINT_SLICES)
        ]
        self._reader = reader
        self._writer = writer
        self._options = options
        self._clock = clock
        self._services = RemoteServices(reader, resolver, options, clock)
        self._known: dict[tuple[str, str], _Remote] = {}
        self._changes = _Changes()
        self._merged: dict[str, tuple[object, bytes]] = {}

    async def close(self) -> None:
        await self._services.close()

    # Requests

    def service_for(self, info: RequestInfo) -> Object | None:
        """The APIService of a server elsewhere that is to answer; None if it is for this one."""
        remote = self._services.all()
        if not remote:
            return None
        if info.is_resource:
            return remote.get((info.group, info.version))
        parts = info.path.split("/")
        return remote.get((parts[2], parts[3])) if len(parts) > 3 and parts[1] == "apis" else None

    async def serve(self, service: Object, request: Request, user: User) -> Response:
        return await proxy.serve(service, request, user, self._services)

    # Discovery and OpenAPI

    def discovery(self, path: str, own: bytes | None, *, aggregated: bool) -> bytes | None:
        """The document at `/apis` or `/apis/<group>` with what is served elsewhere; `own` without."""
        remote = self._services.all()
        parts = path.strip("/").split("/")
        if not remote or parts[0] != "apis" or len(parts) > 2:
            return own
        key = f"{path}?{aggregated}"
        stamp = (
            own, self._reader.generation(API_SERVICES), tuple(found.heard for found in self._known.values()),
        )  # fmt: skip
        known = self._merged.get(key)
        if known is not None and known[0] == stamp:
            return known[1]
        made = self._merge(parts, own, remote, aggregated=aggregated)
        if made is None:
            return own
        self._merged[key] = (stamp, encoded := orjson.dumps(made))
        return encoded

    def _merge(
        self, parts: Sequence[str], own: bytes | None, remote: Mapping[tuple[str, str], Object], *, aggregated: bool
    ) -> Object | None:
        priorities = merging.Priorities(self._reader.list(API_SERVICES))
        if len(parts) == 2:
            versions = [version for group, version in remote if group == parts[1]]
            if not versions:
                return None
            if own is not None:
                versions += [version["version"] for version in orjson.loads(own)["versions"]]
            return {"kind": "APIGroup", "apiVersion": "v1", **merging.group_of(parts[1], versions, priorities)}
        assert own is not None
        if not aggregated:
            return merging.groups(orjson.loads(own), remote, priorities)
        found = {}
        for (group, version), service in remote.items():
            known = self._known.get((group, version))
            resources = known.resources if known is not None else None
            current = resources is not None and proxy.is_available(service)
            found[group, version] = merging.version_discovery(version, resources, current=current)
        return merging.aggregated(orjson.loads(own), found, priorities)

    async def openapi(self, request: Request, user: User, own: Handler) -> Response:
        """The answer below /openapi/: of the server elsewhere whose group version it is, else `own`, the index with both."""
        parts = request.path.rstrip("/").split("/")
        if len(parts) == 6 and parts[:4] == ["", "openapi", "v3", "apis"]:
            service = self._services.all().get((parts[4], parts[5]))
            if service is not None:
                return await self.serve(service, request, user)
        remote = {
            f"apis/{group}/{version}": known.openapi
            for (group, version), known in self._known.items()
            if known.openapi is not None
        }
        if parts != ["", "openapi", "v3"] or not remote:
            return await own(request)
        headers = {name: value for name, value in request.headers.items() if name != "if-none-match"}
        response = await own(replace(request, headers=headers))
        if response.status != 200 or not isinstance(response.body, bytes):
            return response
        body = orjson.dumps(merging.openapi_paths(orjson.loads(response.body), remote))
        etag = f'"{hashlib.sha256(body).hexdigest().upper()}"'
        if request.headers.get("if-none-match") == etag:
            return Response(304, {"Etag": etag}, b"")
        return Response(200, {**response.headers, "Etag": etag}, body)

    # Following

    async def settle(self) -> None:
        """Register what is served here: to be done before the server says that it is ready."""
        present = {name_of(found) for found in self._reader.list(API_SERVICES)}
        made = [found for found in local_services.builtin() if name_of(found) not in present]
        await asyncio.gather(*(self._create(found) for found in made))
        await self._follow_local()

    async def run(self) -> None:
        """Until cancelled."""
        for table in self._tables:
            table.watch(self._changes, None)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._publish(), name="extension authentication")
                while True:
                    try:
                        await self._follow_local()
                        self._follow_remote(group)
                    except (StatusError, Unavailable) as error:
                        log.info("APIServices are looked at again", err=str(error))
                        await self._clock.sleep(RETRY_S)
                        self._changes.event.set()
                    await self._changes.event.wait()
                    self._changes.event.clear()
        finally:
            for table in self._tables:
                table.unwatch(self._changes, None)

    async def _publish(self) -> None:
        while True:
            try:
                await front_proxy.publish(self._options, self._reader, self._writer)
            except (OSError, StatusError, Unavailable) as error:
                log.warning("Cannot publish how extension servers recognise this one", err=str(error))
            await self._clock.sleep(PUBLISH_PERIOD_S)

    async def _create(self, service: Object) -> None:
        made = local_services.with_condition(service, *availability.LOCAL, self._clock.now())
        try:
            await self._writer.create(API_SERVICES, made or service)
        except StatusError as error:
            log.info("APIService is there already", name=name_of(service), err=error.message)

    async def _follow_local(self) -> None:
        definitions = self._reader.list(CUSTOM_RESOURCE_DEFINITIONS)
        present = list(self._reader.list(API_SERVICES))
        for change in local_services.changes(present, local_services.custom(definitions)):
            match change:
                case local_services.Create(obj):
                    await self._create(obj)
                case local_services.Update(obj):
                    await self._writer.update(API_SERVICES, obj)
                case local_services.Delete(name):
                    await self._writer.delete(API_SERVICES, "", name)
        for service in self._reader.list(API_SERVICES):
            if service["spec"].get("service") is None:
                await self._report(service, availability.LOCAL)

    async def _report(self, service: Object, found: Availability) -> None:
        changed = local_services.with_condition(service, *found, self._clock.now())
        if changed is not None:
            await self._writer.update(API_SERVICES, changed)
            log.info("APIService", name=name_of(service), available=found.status, reason=found.reason)

    def _follow_remote(self, group: asyncio.TaskGroup) -> None:
        """Start and stop the tasks; wake those whose Service changed."""
        keys, self._changes.keys = self._changes.keys, []
        remote = self._services.all()
        for version in [version for version in self._known if version not in remote]:
            task = self._known.pop(version).task
            if task is not None:
                task.cancel()
        for version, service in remote.items():
            known = self._known.get(version)
            if known is None or known.task is None or known.task.done():
                known = self._known[version] = _Remote(service["spec"])
                known.task = group.create_task(self._check(version, known), name=f"apiservice {name_of(service)}")
            elif known.spec != service["spec"] or any(_concerns(key, service) for key in keys):
                known.spec = service["spec"]
                known.wake.set()

    # One server

    async def _check(self, version: tuple[str, str], known: _Remote) -> None:
        """Until the APIService is gone."""
        pause_s = RETRY_S
        while (service := self._services.all().get(version)) is not None:
            known.wake.clear()
            try:
                is_well = await self._check_once(version, service, known)
            except (StatusError, Unavailable) as error:
                log.info("APIService is looked at again", name=name_of(service), err=str(error))
                is_well = False
            except Exception:
                log.exception("APIService cannot be checked", name=name_of(service))
                is_well = False
            if is_well:
                pause_s = RETRY_S
            try:
                async with asyncio.timeout(CHECK_PERIOD_S if is_well else pause_s):
                    await known.wake.wait()
            except TimeoutError:
                pause_s = min(pause_s * 2, RETRY_S_MAX)

    async def _check_once(self, version: tuple[str, str], service: Object, known: _Remote) -> bool:
        found = await availability.check(service, self._reader, self._services)
        if found.status == "True":
            await self._fetch(version, service, known)
        # As it is by now: it may have been written, or deleted, while we were asking.
        service = self._services.all().get(version) or {}
        if service:
            await self._report(service, found)
        return found.status == "True"

    async def _fetch(self, version: tuple[str, str], service: Object, known: _Remote) -> None:
        """Its discovery and OpenAPI index; what cannot be had stays as it was."""
        resources = await self._resources(version, service)
        index = await self._document(service, "/openapi/v3", "application/json")
        entry = None
        if index is not None:
            paths = index[1].get("paths")
            entry = paths.get(f"apis/{version[0]}/{version[1]}") if isinstance(paths, dict) else None
        if resources is not None and resources != known.resources:
            known.resources, known.heard = resources, known.heard + 1
        known.openapi = entry if isinstance(entry, dict) else known.openapi

    async def _resources(self, version: tuple[str, str], service: Object) -> Sequence[Object] | None:
        found = await self._document(service, "/apis", f"{AGGREGATED},application/json;q=0.9")
        if found is not None and "apidiscovery.k8s.io" in found[0]:
            for item in found[1].get("items") or ():
                if (item.get("metadata") or {}).get("name") == version[0]:
                    for one in item.get("versions") or ():
                        if one.get("version") == version[1]:
                            return list(one.get("resources") or ())
        found = await self._document(service, f"/apis/{version[0]}/{version[1]}", "application/json")
        return None if found is None else merging.resources_of(found[1], *version)

    async def _document(self, service: Object, path: str, accept: str) -> tuple[str, dict[str, Any]] | None:
        """(media type, a document of the server); None if there is none."""
        try:
            transport = self._services.transport(service)
            identity = tuple(front_proxy.identity_headers(availability.CHECKER))
            request = Request("GET", path, "", {"accept": accept}, more_headers=identity)
            response = await transport.send(request, timeout_s=FETCH_TIMEOUT_S)
            if response.status != 200 or len(response.body) > DOCUMENT_BYTES_MAX:  # type: ignore[arg-type]
                return None
            document = orjson.loads(response.body)  # type: ignore[arg-type]
        except (Unroutable, Misconfigured, ConnectionFailed, orjson.JSONDecodeError) as error:
            log.info("No document of the extension server", apiservice=name_of(service), path=path, err=str(error))
            return None
        return (response.headers.get("content-type", ""), document) if isinstance(document, dict) else None


def _concerns(key: str, service: Object) -> bool:
    """Whether a change at `key` may say something new of that APIService's server."""
    if not key:
        return True
    reference = service["spec"]["service"]
    # A slice is named after its Service, or nearly so.
    return f"/{reference['namespace']}/{reference['name']}" in key
