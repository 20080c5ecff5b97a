"""Whatever is written, and however it is read — lists in pages, watches from a list, from nothing, from where one was cut off,
with and without selectors — all readers come to the same objects, over every store.

A reader takes each event at its word: what is added must not have been there, what is modified or deleted must have been, and
revisions rise. So a change that comes twice, late, or not at all is found where it happens.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from pybernetes.apiserver.authentication import Options
from pybernetes.apiserver.config import Config
from pybernetes.apiserver.encryption.encryption import Encryption
from pybernetes.apiserver.encryption.store import Resources
from pybernetes.apiserver.server import ApiServer
from pybernetes.machinery.clock import SystemClock
from pybernetes.machinery.entropy import SystemEntropy
from pybernetes.store.embedded import EmbeddedStore, MemoryLog, SqliteLog
from pybernetes.store.etcd import EtcdStore, Servers
from pybernetes.store.etcd.keys import KeySpace
from pybernetes.store.interface import Store
from tests.component.apiserver.conftest import TOKEN, Server
from tests.component.store.conftest import ENCRYPT_ALL
from tests.component.store.etcd_server import EtcdServer, PybEtcd, missing

NAMESPACES = ("default", "kube-system")
NAMES = ("a", "b", "c", "d")
COLOURS = ("red", "green", "")
SELECTORS = ("", "colour=red", "colour!=red", "colour in (red,green)", "!colour")
SETTLE_TIMEOUT_S = 2.0

some_object = st.tuples(st.sampled_from(NAMESPACES), st.sampled_from(NAMES))
Key = tuple[str, str]


def config_map(key: Key, colour: str, value: int) -> dict[str, Any]:
    labels = {"agreement": "yes", **({"colour": colour} if colour else {})}
    return {"metadata": {"namespace": key[0], "name": key[1], "labels": labels}, "data": {"value": str(value)}}


def key_of(obj: dict[str, Any]) -> Key:
    return obj["metadata"]["namespace"], obj["metadata"]["name"]


def whole(listed: dict[str, Any]) -> list[dict[str, Any]]:
    """The items of a list as they are alone."""
    return [{"kind": "ConfigMap", "apiVersion": "v1", **item} for item in listed["items"]]


def revision_of(obj: dict[str, Any]) -> int:
    return int(obj["metadata"]["resourceVersion"])


class Reader:
    """What one client holds: `objects`, as of `revision`."""

    def __init__(self, server: Server, namespace: str, selector: str) -> None:
        self.server = server
        self.path = f"/api/v1/namespaces/{namespace}/configmaps" if namespace else "/api/v1/configmaps"
        self.query = f"labelSelector={quote(selector)}"
        self.objects: dict[Key, dict[str, Any]] = {}
        self.revision = 0
        # Set once its revision is one up to which it knows everything. Initial events have each their object's, and say nothing
        # of what was deleted: who began with those alone cannot go on from there.
        self.complete = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None

    async def list(self, limit: int, meanwhile: Callable[[], Awaitable[None]]) -> None:
        """In pages, with something else done between the first and the second."""
        token = ""
        while True:
            answer = await self.server.ask("GET", f"{self.path}?{self.query}&limit={limit}&continue={token}")
            assert "items" in answer, answer
            for obj in whole(answer):
                assert key_of(obj) not in self.objects
                self.objects[key_of(obj)] = obj
            assert self.revision in (0, int(answer["metadata"]["resourceVersion"]))
            self.revision = int(answer["metadata"]["resourceVersion"])
            if not token:
                await meanwhile()
            token = answer["metadata"].get("continue", "")
            if not token:
                self.complete.set()
                return

    async def watch(self, further: str = "") -> None:
        """From where it is; `further` parameters may ask for what there is first."""
        version = f"&resourceVersion={self.revision}" if self.revision else ""
        target = f"{self.path}?watch=true&allowWatchBookmarks=true&{self.query}{version}{further}"
        response = await self.server.send("GET", target)
        assert not isinstance(response.body, bytes), response.body
        self._reading = asyncio.create_task(self._read(response.body))

    async def stop(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
            self._reading = None

    async def _read(self, body: AsyncIterator[bytes]) -> None:
        try:
            async for chunk in body:
                for line in chunk.splitlines():
                    self._take(json.loads(line))
        finally:
            await body.aclose()  # type: ignore[attr-defined]

    def _take(self, event: dict[str, Any]) -> None:
        type_, obj = event["type"], event["object"]
        revision = revision_of(obj) if type_ != "ERROR" else 0
        if type_ == "BOOKMARK":
            assert revision >= self.revision
            self.complete.set()
        else:
            key = key_of(obj)
            assert (key in self.objects) == (type_ != "ADDED"), event
            if type_ == "DELETED":
                assert revision > revision_of(self.objects.pop(key))
            else:
                assert revision > revision_of(self.objects.get(key, {"metadata": {"resourceVersion": "0"}}))
                self.objects[key] = obj
            assert revision > self.revision or not self.complete.is_set()
        self.revision = max(self.revision, revision)

    def check(self) -> None:
        if self._reading is not None and self._reading.done():
            self._reading.result()
            raise AssertionError("the watch has ended")


class Agreement(RuleBasedStateMachine):
    server: ClassVar[Server]
    runner: ClassVar[asyncio.Runner]

    def __init__(self) -> None:
        super().__init__()
        self.model: dict[Key, dict[str, Any]] = {}
        self.readers: list[Reader] = []
        self.written = 0

    def run(self, call: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(call)

    def teardown(self) -> None:
        async def clear() -> None:
            for reader in self.readers:
                await reader.stop()
            for key in self.model:
                await self.server.ask("DELETE", f"/api/v1/namespaces/{key[0]}/configmaps/{key[1]}")

        self.run(clear())

    # Writing

    async def _write(self, key: Key, colour: str) -> None:
        self.written += 1
        path = f"/api/v1/namespaces/{key[0]}/configmaps"
        obj = config_map(key, colour, self.written)
        if key in self.model:
            answer = await self.server.ask("PUT", f"{path}/{key[1]}", obj)
        else:
            answer = await self.server.ask("POST", path, obj)
        assert answer["kind"] == "ConfigMap", answer
        self.model[key] = answer

    async def _delete(self, key: Key) -> None:
        if self.model.pop(key, None) is not None:
            answer = await self.server.ask("DELETE", f"/api/v1/namespaces/{key[0]}/configmaps/{key[1]}")
            assert answer["status"] == "Success", answer

    @rule(key=some_object, colour=st.sampled_from(COLOURS))
    def write(self, key: Key, colour: str) -> None:
        self.run(self._write(key, colour))

    @rule(key=some_object)
    def write_what_is_there(self, key: Key) -> None:
        async def put() -> None:
            if (obj := self.model.get(key)) is not None:
                answer = await self.server.ask("PUT", f"/api/v1/namespaces/{key[0]}/configmaps/{key[1]}", obj)
                assert answer == obj  # no change, no revision, no event

        self.run(put())

    @rule(key=some_object)
    def delete(self, key: Key) -> None:
        self.run(self._delete(key))

    @rule(colours=st.lists(st.sampled_from(COLOURS), min_size=2, max_size=8))
    def write_many_at_once(self, colours: list[str]) -> None:
        async def all_at_once() -> None:
            keys = [(namespace, name) for namespace in NAMESPACES for name in NAMES]
            await asyncio.gather(*(self._write(key, colour) for key, colour in zip(keys, colours, strict=False)))

        self.run(all_at_once())

    # Reading

    def _reader(self, namespace: str, selector: str) -> Reader:
        reader = Reader(self.server, namespace, selector)
        self.readers.append(reader)
        return reader

    @rule(
        namespace=st.sampled_from(("", *NAMESPACES)), selector=st.sampled_from(SELECTORS), limit=st.integers(0, 3),
        key=some_object, colour=st.sampled_from((*COLOURS, None)),
    )  # fmt: skip
    def list_in_pages_and_watch(self, namespace: str, selector: str, limit: int, key: Key, colour: str | None) -> None:
        reader = self._reader(namespace, selector)

        async def begin() -> None:
            await reader.list(limit, lambda: self._delete(key) if colour is None else self._write(key, colour))
            await reader.watch()

        self.run(begin())

    @rule(namespace=st.sampled_from(("", *NAMESPACES)), selector=st.sampled_from(SELECTORS))
    def watch_a_list(self, namespace: str, selector: str) -> None:
        reader = self._reader(namespace, selector)
        self.run(reader.watch("&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"))
        self.run(asyncio.wait_for(reader.complete.wait(), SETTLE_TIMEOUT_S))

    @rule(namespace=st.sampled_from(("", *NAMESPACES)), selector=st.sampled_from(SELECTORS))
    def watch_from_nothing(self, namespace: str, selector: str) -> None:
        self.run(self._reader(namespace, selector).watch())

    @rule(which=st.integers(0, 5), key=some_object, colour=st.sampled_from(COLOURS))
    def cut_off_and_go_on_from_there(self, which: int, key: Key, colour: str) -> None:
        async def resume(reader: Reader) -> None:
            await reader.stop()
            await self._write(key, colour)
            await self._delete(key)
            await self._write(key, colour)
            await reader.watch()

        found = [reader for reader in self.readers if reader.complete.is_set()]
        if found:
            self.run(resume(found[which % len(found)]))

    @invariant()
    def all_agree(self) -> None:
        async def settle() -> None:
            answer = await self.server.ask("GET", "/api/v1/configmaps?labelSelector=agreement%3Dyes")
            assert {key_of(obj): obj for obj in whole(answer)} == self.model
            for reader in self.readers:
                listed = await self.server.ask("GET", f"{reader.path}?{reader.query}")
                wanted = {key_of(obj): obj for obj in whole(listed)}
                try:
                    async with asyncio.timeout(SETTLE_TIMEOUT_S):
                        while reader.objects != wanted:
                            reader.check()
                            await asyncio.sleep(0.001)
                except TimeoutError:
                    assert reader.objects == wanted, (reader.path, reader.query)

        self.run(settle())


async def _open(kind: str, directory: Path, stack: AsyncExitStack) -> Store:
    if kind in ("etcd", "pyb etcd"):
        if why := missing():
            pytest.skip(why)
        etcd = stack.enter_context((PybEtcd if kind == "pyb etcd" else EtcdServer)(directory))
        return await EtcdStore.open(Servers((etcd.url,)), KeySpace())
    store = await EmbeddedStore.open(SqliteLog(directory / "store") if kind == "sqlite" else MemoryLog())
    if kind == "encrypted":
        (directory / "encryption.yaml").write_text(ENCRYPT_ALL)
        encryption = await Encryption.open(
            f"{directory}/encryption.yaml", reload=False, clock=SystemClock(), entropy=SystemEntropy(), server_id=""
        )
        return encryption.wrap(store, Resources({}))
    return store


@pytest.mark.parametrize("kind", ["sqlite", "encrypted", "etcd", "pyb etcd"])
def test_all_readers_agree(kind: str, tmp_path: Path) -> None:
    (tmp_path / "tokens.csv").write_text(f'{TOKEN},admin,admin,"system:masters"\n')
    clock, entropy = SystemClock(), SystemEntropy()
    config = Config(authentication=Options(token_auth_file=tmp_path / "tokens.csv"))
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        store = runner.run(_open(kind, tmp_path, stack))

        async def start() -> tuple[ApiServer, asyncio.Task[None]]:
            api = ApiServer(store, clock=clock, entropy=entropy, config=config)
            running = asyncio.create_task(api.run())
            await api.wait_ready()
            return api, running

        async def stop(api: ApiServer, running: asyncio.Task[None]) -> None:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await api.close()
            await store.close()
            await stack.aclose()

        api, running = runner.run(start())

        class OnThis(Agreement):
            pass

        OnThis.server, OnThis.runner = Server(api), runner
        try:
            run_state_machine_as_test(
                OnThis,
                settings=settings(
                    max_examples=12,
                    stateful_step_count=25,
                    deadline=None,
                    suppress_health_check=list(HealthCheck),
                    # Not made smaller: each try of a history that fails waits for what never comes.
                    phases=(Phase.explicit, Phase.reuse, Phase.generate),
                ),
            )
        finally:
            runner.run(stop(api, running))
