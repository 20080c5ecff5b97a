"""An API server under writes and watches while what keeps its objects is killed, again and again; and what must hold then.

Writers change ConfigMaps of their own and know what was acknowledged. Watchers list once, then go on from the revision that
they have reached, however often they are cut off. After each kill all that is there is compared with all that was said:

- what was acknowledged is there; a write whose answer was lost is there wholly or not at all;
- revisions rise: no list, answer or event brings one twice for different things, or an earlier one;
- a watcher is told of each change of each object once, in order, or that it has to list again (410).
"""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pybernetes.client.http import HttpTransport
from pybernetes.client.transport import ConnectionFailed
from pybernetes.machinery.http.messages import Request

TOKEN = "crash-admin"
WRITERS, KEYS_OF_A_WRITER, WATCHERS = 8, 4, 3
START_TIMEOUT_S = 60.0
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
SELECTOR = "labelSelector=app%3Dcrash"


class ApiServerProcess:
    """`pyb apiserver` as a process; its data directory outlives it."""

    def __init__(self, directory: Path, port: int, *flags: str) -> None:
        self.directory = directory
        self.url = f"https://127.0.0.1:{port}"
        directory.mkdir(exist_ok=True)
        (directory / "tokens.csv").write_text(f'{TOKEN},admin,admin,"system:masters"\n')
        self._command = [
            sys.executable, "-m", "pybernetes", "apiserver", f"--data-dir={directory}/data", "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1", f"--secure-port={port}", f"--token-auth-file={directory}/tokens.csv", *flags,
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def client(self) -> HttpTransport:
        context = ssl.create_default_context(cafile=str(self.directory / "data/pki/ca.crt"))
        return HttpTransport(self.url, ssl_context=context, token=TOKEN)

    async def wait_ready(self) -> HttpTransport:
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while True:
            if self._process is not None and self._process.poll() is not None:
                raise RuntimeError((self.directory / "log").read_text()[-3000:])
            try:
                client = self.client()
                if (await client.send(Request("GET", "/readyz", "", {}, b""))).status == 200:
                    return client
                await client.close()
            except (OSError, ConnectionFailed):  # its certificates may not be there yet
                pass
            if time.monotonic() > deadline_s:
                raise RuntimeError(f"not ready: {(self.directory / 'log').read_text()[-3000:]}")
            await asyncio.sleep(0.02)


@dataclass(repr=False)
class Object:
    """One ConfigMap through its life. `states` are the values it certainly had, None where it was not there."""

    name: str
    states: list[str | None] = field(default_factory=lambda: [None])
    revision: int = 0  # of its last state, if there
    begun: list[str | None] = field(default_factory=list)  # a write that was sent, until it is known what came of it

    def __repr__(self) -> str:
        return f"{self.name}: {shown(self.states)}, at {self.revision}, begun {shown(self.begun)}"


def shown(values: Sequence[str | None]) -> str:
    """Values by their numbers."""
    return ", ".join(value.partition("-")[0] if value else "-" for value in values)


class Rig:
    def __init__(self, server: ApiServerProcess, chance: random.Random) -> None:
        self._server = server
        self._chance = chance
        self._client: HttpTransport | None = None
        self._writing = asyncio.Event()
        self._parked = 0
        self._number = 0
        self.writes = 0
        self.objects = [[Object(f"w{writer}-{key}") for key in range(KEYS_OF_A_WRITER)] for writer in range(WRITERS)]
        self._by_revision: dict[int, tuple[str, str | None]] = {}
        self._newest = 0
        self.watchers = [Watcher(self) for _ in range(WATCHERS)]

    async def run(self, kills: int, crash: Callable[[], Awaitable[None]]) -> None:
        """`crash` kills the victim and starts it again."""
        self._client = await self._server.wait_ready()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._write(objects)) for objects in self.objects]
            tasks += [group.create_task(watcher.run()) for watcher in self.watchers]
            for _ in range(kills):
                self._writing.set()
                await asyncio.sleep(self._chance.uniform(0.0, 0.15))
                self._writing.clear()
                await crash()
                await self._settle()
            await self._let_watchers_end()
            for task in tasks:
                task.cancel()
        for watcher in self.watchers:
            watcher.check(final=True)

    # Asking

    @property
    def client(self) -> HttpTransport:
        assert self._client is not None
        return self._client

    async def send(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        path, _, query = path.partition("?")
        data = b"" if body is None else json.dumps(body).encode()
        response = await self.client.send(Request(method, path, query, {"content-type": "application/json"}, data))
        assert isinstance(response.body, bytes)
        return response.status, json.loads(response.body)

    def saw(self, revision: int, name: str, value: str | None) -> None:
        """A revision is of one change, whoever tells of it."""
        assert self._by_revision.setdefault(revision, (name, value)) == (name, value), f"revision {revision} was given twice"

    # Writing

    async def _write(self, objects: list[Object]) -> None:
        while True:
            if not self._writing.is_set():
                self._parked += 1
                await self._writing.wait()
                self._parked -= 1
            found = self._chance.choice([one for one in objects if not one.begun] or [None])
            if found is None:  # of each the last answer was lost: wait for the next look
                await asyncio.sleep(0.01)
                continue
            await self._change(found)

    async def _change(self, found: Object) -> None:
        self._number += 1
        there = found.states[-1] is not None
        value = f"{self._number}-" + "x" * self._chance.choice((10, 3000, 40_000))
        body = {"metadata": {"name": found.name, "labels": {"app": "crash"}}, "data": {"value": value}}
        if not there:
            found.begun, method, path = [value], "POST", CONFIG_MAPS
        elif self._chance.random() < 0.3:
            found.begun, method, path, body = [None], "DELETE", f"{CONFIG_MAPS}/{found.name}", {}
        else:
            body["metadata"]["resourceVersion"] = str(found.revision)  # type: ignore[index]
            found.begun, method, path = [value], "PUT", f"{CONFIG_MAPS}/{found.name}"
        try:
            status, answer = await self.send(method, path, body)
        except ConnectionFailed:
            return
        if status >= 500 or status == 429:
            return
        assert status in (200, 201), (method, found, answer)
        self.writes += 1
        revision = int(answer["metadata"].get("resourceVersion", 0))
        if revision:
            self.saw(revision, found.name, value)
        self._settled(found, found.begun[0], revision)

    def _settled(self, found: Object, value: str | None, revision: int) -> None:
        assert not revision or revision > found.revision
        found.states.append(value)
        found.revision, found.begun = revision, []
        self._newest = max(self._newest, revision)

    # Looking

    async def _settle(self) -> None:
        """Wait until it is ready and nothing is under way; then what is there must be what was said."""
        # Nobody hangs up on a server that lives: it would go on with what it was asked, and nobody know for how long.
        async with asyncio.timeout(START_TIMEOUT_S):
            while self._parked < WRITERS:
                await asyncio.sleep(0.005)
        await self.client.close()
        self._client = await self._server.wait_ready()
        status, answer = await self.send("GET", f"{CONFIG_MAPS}?{SELECTOR}")
        assert status == 200, answer
        revision = int(answer["metadata"]["resourceVersion"])
        assert revision >= self._newest, "revisions went back"
        self._newest = revision
        there = {item["metadata"]["name"]: item for item in answer["items"]}
        for found in (one for objects in self.objects for one in objects):
            item = there.pop(found.name, None)
            value = item["data"]["value"] if item else None
            own = int(item["metadata"]["resourceVersion"]) if item else 0
            assert own <= revision
            if own:
                self.saw(own, found.name, value)
            if value == found.states[-1]:
                assert own == found.revision
                found.begun = []  # it did not happen
            else:
                assert [value] == found.begun, f"{found}, is {shown([value])} at {own}"
                self._settled(found, value, own)
        assert not there

    async def _let_watchers_end(self) -> None:
        """Until each has seen a last change."""
        _, answer = await self.send(
            "POST", CONFIG_MAPS, {"metadata": {"name": "last", "labels": {"app": "crash"}}, "data": {"value": "last"}}
        )
        last = int(answer["metadata"]["resourceVersion"])
        async with asyncio.timeout(START_TIMEOUT_S):
            while any(watcher.revision < last for watcher in self.watchers):
                await asyncio.sleep(0.01)


class Watcher:
    """Knows what it was told: `begin` of the last list, and the events since, by object."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self.revision = 0
        self.listed = 0
        self._begin: dict[str, str | None] = {}
        self._events: dict[str, list[str | None]] = {}

    async def run(self) -> None:
        while True:
            try:
                if not self.revision:
                    await self._list()
                await self._watch()
            except (ConnectionFailed, Refused):
                await asyncio.sleep(0.02)

    async def _list(self) -> None:
        status, answer = await self._rig.send("GET", f"{CONFIG_MAPS}?{SELECTOR}")
        if status != 200:
            raise Refused
        self.check(final=False)
        self.listed += 1
        self._begin = {item["metadata"]["name"]: item["data"]["value"] for item in answer["items"]}
        self._events = {}
        self.revision = int(answer["metadata"]["resourceVersion"])

    async def _watch(self) -> None:
        query = f"watch=true&allowWatchBookmarks=true&{SELECTOR}&resourceVersion={self.revision}"
        response = await self._rig.client.send(Request("GET", CONFIG_MAPS, query, {}, b""), stream=True)
        rest = b""
        assert not isinstance(response.body, bytes)
        if response.status != 200:
            raise Refused
        async for chunk in response.body:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if not self._take(json.loads(line)):
                    return

    def _take(self, event: dict[str, Any]) -> bool:
        """Whether the watch goes on."""
        obj = event["object"]
        if event["type"] == "ERROR":
            assert obj["code"] == 410, obj
            self.revision = 0
            return False
        revision = int(obj["metadata"]["resourceVersion"])
        if event["type"] == "BOOKMARK":
            assert revision >= self.revision
        else:
            assert revision > self.revision, f"an event of {revision} after {self.revision}"
            name, value = obj["metadata"]["name"], None if event["type"] == "DELETED" else obj["data"]["value"]
            self._rig.saw(revision, name, value)
            self._events.setdefault(name, []).append(value)
        self.revision = revision
        return True

    def check(self, *, final: bool) -> None:
        """What it was told since its list is a part of each object's life without a gap; at the end, all of it."""
        for found in (one for objects in self._rig.objects for one in objects):
            begin, events = self._begin.get(found.name), self._events.get(found.name, [])
            told = [begin, *events]
            states = [*found.states, *found.begun]
            ends = [len(found.states)] if final else range(len(states) + 1)
            assert not self.listed or any(states[max(end - len(told), 0) : end] == told for end in ends), (
                f"{shown(told)}: {found}"
            )


class Refused(Exception):
    """The server is not ready, or says so."""


def check_files(store: Path) -> None:
    """A store as it was killed opens, and SQLite finds nothing wrong with it."""
    with tempfile.TemporaryDirectory() as directory:
        for path in store.glob("state.db*"):
            shutil.copy(path, directory)
        connection = sqlite3.connect(Path(directory) / "state.db")
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.close()
