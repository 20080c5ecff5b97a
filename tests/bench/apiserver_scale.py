"""What an API server with many objects costs: the time until it is ready, its memory, whole and narrow lists.

    python tests/bench/apiserver_scale.py [--kind pods|configmaps] [--objects 150000] [--bytes 4096]

The objects are put into the store's files first, each as the API server itself wrote one of them. Then `pyb apiserver` is
started on them and asked over TLS.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

import uvloop

from pybernetes.apiserver.authorization.chain import Options
from pybernetes.apiserver.authorization.configuration import of_modes
from pybernetes.apiserver.config import Config
from pybernetes.apiserver.server import ApiServer
from pybernetes.machinery.clock import SystemClock
from pybernetes.machinery.entropy import SystemEntropy
from pybernetes.machinery.http.messages import Request
from pybernetes.store.embedded import EmbeddedStore, MemoryLog, SqliteLog

TOKEN = "bench"
UNVERIFIED = ssl._create_unverified_context()
NODES = 5000
POD = {
    "metadata": {"name": "the-name", "labels": {"app": "load"}},
    "spec": {
        "nodeName": "node-name", "serviceAccountName": "default", "automountServiceAccountToken": False,
        "containers": [{"name": "c", "image": "example.com/image:1", "resources": {"requests": {"cpu": "10m"}}}],
    },
}  # fmt: skip
CONFIG_MAP = {"metadata": {"name": "the-name"}, "data": {}}


async def sample(kind: str, size: int) -> bytes:
    """An object as it is stored, of `size` bytes."""
    clock, entropy = SystemClock(), SystemEntropy()
    store = await EmbeddedStore.open(MemoryLog(), clock=clock, entropy=entropy)
    api = ApiServer(store, clock=clock, entropy=entropy, config=Config(authorization=Options(of_modes(("AlwaysAllow",)))))
    running = asyncio.create_task(api.run())
    await api.wait_ready()
    base = "/api/v1/namespaces/default"
    headers = {"content-type": "application/json"}
    await api.handle(Request("POST", f"{base}/serviceaccounts", "", headers, b'{"metadata":{"name":"default"}}'))
    body = json.dumps(POD if kind == "pods" else CONFIG_MAP).encode()
    response = await api.handle(Request("POST", f"{base}/{kind}", "", headers, body))
    assert response.status == 201, response.body
    entry = await store.get(f"/registry/{kind}/default/the-name")
    assert entry is not None
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    obj = json.loads(entry.value)
    padding = max(0, size - len(entry.value) - 40)
    if kind == "pods":
        obj["metadata"]["annotations"] = {"padding": "x" * padding}
    else:
        obj["data"] = {"padding": "x" * padding}
    return json.dumps(obj, separators=(",", ":")).encode()


async def fill(directory: Path, kind: str, count: int, size: int) -> None:
    value = await sample(kind, size)
    uid = json.loads(value)["metadata"]["uid"].encode()
    store = await EmbeddedStore.open(SqliteLog(directory))
    for first in range(0, count, 2000):
        writes = []
        for number in range(first, min(first + 2000, count)):
            mine = value.replace(b"the-name", b"obj-%06d" % number).replace(b"node-name", b"node-%d" % (number % NODES))
            mine = mine.replace(uid, b"%08x" % number + uid[8:])
            writes.append(store.create(f"/registry/{kind}/default/obj-{number:06d}", mine))
        await asyncio.gather(*writes)
    print(f"{count:,} {kind} of {len(value)} bytes")
    await store.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Running:
    def __init__(self, port: int, process: subprocess.Popen[bytes]) -> None:
        self.port = port
        self.process = process

    def get(self, target: str) -> bytes:
        return self._ask("GET", target)

    def post(self, target: str, obj: dict[str, Any]) -> bytes:
        return self._ask("POST", target, json.dumps(obj))

    def _ask(self, method: str, target: str, body: str | None = None) -> bytes:
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        connection = HTTPSConnection("127.0.0.1", self.port, context=UNVERIFIED, timeout=60)
        connection.request(method, target, body, headers)
        response = connection.getresponse()
        answer = response.read()
        assert response.status in (200, 201), answer
        connection.close()
        return answer

    def memory_mib(self) -> float:
        rollup = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        return sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) / 1024


@contextmanager
def server(directory: Path) -> Iterator[Running]:
    port = free_port()
    tokens = directory / "tokens.csv"
    tokens.write_text(f'{TOKEN},bench,bench,"system:masters"\n')
    command = [sys.executable, "-m", "pybernetes", "apiserver", "--data-dir", str(directory), "--secure-port", str(port),
               "--bind-address", "127.0.0.1", "--advertise-address", "127.0.0.1", "--token-auth-file", str(tokens)]  # fmt: skip
    process = subprocess.Popen(command)
    begun = time.monotonic()
    running = Running(port, process)
    try:
        while True:
            try:
                running.get("/readyz")
                break
            except (OSError, AssertionError):
                if process.poll() is not None or time.monotonic() - begun > 120:
                    raise
                time.sleep(0.02)
        print(f"ready after {time.monotonic() - begun:.2f} s, {running.memory_mib():,.0f} MiB")
        yield running
    finally:
        process.terminate()
        process.wait(30)


def timed(running: Running, name: str, target: str) -> None:
    begun = time.monotonic()
    body = running.get(target)
    took_s = time.monotonic() - begun
    print(f"{name}: {took_s * 1e3:,.1f} ms, {len(body) / 1e6:.1f} MB, then {running.memory_mib():,.0f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=("pods", "configmaps"), default="pods")
    parser.add_argument("--objects", type=int, default=150_000)
    parser.add_argument("--bytes", type=int, default=4096)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pyb-scale-") as name:
        directory = Path(name)
        if (filler := os.fork()) == 0:  # apart, so that its memory is not counted
            uvloop.run(fill(directory, arguments.kind, arguments.objects, arguments.bytes))
            os._exit(0)
        os.waitpid(filler, 0)
        with server(directory) as running:
            path = f"/api/v1/{arguments.kind}"
            timed(running, "a page of 500", f"{path}?limit=500")
            if arguments.kind == "pods":
                timed(
                    running, "the pods of a node, while they are being indexed", f"{path}?fieldSelector=spec.nodeName%3Dnode-7"
                )
                timed(running, "the pods of a node", f"{path}?fieldSelector=spec.nodeName%3Dnode-8")
                timed(running, "the same from the cache", f"{path}?fieldSelector=spec.nodeName%3Dnode-8&resourceVersion=0")
            timed(running, "all", path)
            timed(running, "all again", path)
            timed(running, "all that have a label", f"{path}?labelSelector=app%3Dnone")


if __name__ == "__main__":
    main()
