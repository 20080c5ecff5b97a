"""A tiny API server for the client's tests: one handler over a dict, with watches from a revision and faults on request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import orjson
import pytest

from pybernetes.client.rest import Client
from pybernetes.client.transport import InProcessTransport
from pybernetes.machinery import errors
from pybernetes.machinery.entropy import SeededEntropy
from pybernetes.machinery.http.messages import Request, Response
from pybernetes.machinery.meta import Object, Resource

PODS = Resource("", "v1", "pods", "Pod", True)


class FakeClock:
    """Sleeping takes no time and moves the clock; what was slept is recorded."""

    def __init__(self) -> None:
        self.time_s = 0.0
        self.slept: list[float] = []

    def now(self) -> datetime:
        return datetime(2026, 11, 21, 10, tzinfo=UTC) + timedelta(seconds=self.time_s)

    def monotonic(self) -> float:
        return self.time_s

    async def sleep(self, delay_s: float) -> None:
        self.slept.append(delay_s)
        self.time_s += delay_s
        await asyncio.sleep(0)


class FakeApi:
    def __init__(self) -> None:
        self.revision = 0
        self.objects: dict[str, Object] = {}
        self.history: list[tuple[int, str, str, Object]] = []
        self.compacted = 0
        self.changed = asyncio.Event()
        self.requests: list[Request] = []
        self.faults: list[Response | Exception] = []  # answers given instead of the real ones, first come first served
        self.cut_watches = 0
        self.breaks: list[Exception] = []  # raised by the next watches that are cut

    async def handle(self, request: Request) -> Response:
        self.requests.append(request)
        if self.faults:
            fault = self.faults.pop(0)
            if isinstance(fault, Exception):
                raise fault
            return fault
        query = {key: values[0] for key, values in parse_qs(request.query).items()}
        try:
            if query.get("watch"):
                return Response(200, {}, self._watch(request.path, int(query["resourceVersion"])))
            return self._answer(request)
        except errors.StatusError as error:
            return Response(error.code, {}, orjson.dumps(error.status))

    def _answer(self, request: Request) -> Response:
        path, method = request.path, request.method
        if method == "GET" and path in self.objects:
            return _json(self.objects[path])
        if method == "GET" and path.rsplit("/", 1)[-1] in ("pods", "events", "leases"):
            items = [
                {key: value for key, value in obj.items() if key not in ("kind", "apiVersion")}
                for at, obj in sorted(self.objects.items())
                if _in(path, at)
            ]
            return _json(
                {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": str(self.revision)}, "items": items}
            )
        if method == "POST":
            obj = orjson.loads(request.body)
            at = f"{path}/{obj['metadata']['name']}"
            if at in self.objects:
                raise errors.already_exists("", "pods", obj["metadata"]["name"])
            return _json(self.put(at, obj), 201)
        if path not in self.objects:
            raise errors.not_found("", "pods", path.rsplit("/", 1)[-1])
        if method == "PUT":
            obj = orjson.loads(request.body)
            known = self.objects[path]["metadata"]["resourceVersion"]
            if obj["metadata"].get("resourceVersion", known) != known:
                raise errors.conflict("", "pods", "x", "the object has been modified")
            return _json(self.put(path, obj))
        if method == "PATCH":
            return _json(self.put(path, {**self.objects[path], **orjson.loads(request.body)}))
        assert method == "DELETE"
        return _json(self.remove(path))

    def put(self, path: str, obj: Object) -> Object:
        self.revision += 1
        stored = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self.revision)}}
        self.history.append((self.revision, "MODIFIED" if path in self.objects else "ADDED", path, stored))
        self.objects[path] = stored
        self.changed.set()
        return stored

    def remove(self, path: str) -> Object:
        self.revision += 1
        obj = self.objects.pop(path)
        last = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self.revision)}}
        self.history.append((self.revision, "DELETED", path, last))
        self.changed.set()
        return last

    def put_pod(self, name: str, namespace: str = "default", **fields: Any) -> Object:
        pod = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": name, "namespace": namespace}, **fields}
        return self.put(f"/api/v1/namespaces/{namespace}/pods/{name}", pod)

    def remove_pod(self, name: str, namespace: str = "default") -> Object:
        return self.remove(f"/api/v1/namespaces/{namespace}/pods/{name}")

    async def _watch(self, path: str, revision: int) -> AsyncIterator[bytes]:
        cuts = self.cut_watches
        while cuts == self.cut_watches:
            if revision < self.compacted:
                gone = errors.Expired("too old resource version")
                yield orjson.dumps({"type": "ERROR", "object": gone.status}) + b"\n"
                return
            for at, type_, key, obj in self.history:
                if at > revision and _in(path, key):
                    yield orjson.dumps({"type": type_, "object": obj}) + b"\n"
            revision = max(revision, self.revision)
            self.changed.clear()
            await self.changed.wait()
        if self.breaks:
            raise self.breaks.pop(0)

    def cut(self) -> None:
        """End every watch."""
        self.cut_watches += 1
        self.changed.set()


def _json(value: Any, status: int = 200) -> Response:
    return Response(status, {"content-type": "application/json"}, orjson.dumps(value))


def _in(path: str, key: str) -> bool:
    prefix, _, plural = path.rpartition("/")
    return key.startswith(prefix + "/") and f"/{plural}/" in key


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def entropy() -> SeededEntropy:
    return SeededEntropy(1)


@pytest.fixture
def client(api: FakeApi, clock: FakeClock, entropy: SeededEntropy) -> Client:
    return Client(InProcessTransport(api.handle), clock=clock, entropy=entropy)


@pytest.fixture
def pods() -> Resource:
    return PODS
