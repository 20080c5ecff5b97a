"""Requests per second through TLS against an API server of its own, by `wrk` (Debian: wrk), and what each costs the server.

    python tests/bench/apiserver_load.py [--seconds 4] [--connections 1,16,64] [--only create]
    python tests/bench/apiserver_load.py --profile        # without sockets: µs of CPU a request, and where they go

The machine's speed and wrk's share of it show in the rates; the server's CPU a request does not depend on either.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop
from apiserver_scale import TOKEN, Running, server

from pybernetes.apiserver.authorization.chain import Options
from pybernetes.apiserver.authorization.configuration import of_modes
from pybernetes.apiserver.config import Config
from pybernetes.apiserver.server import ApiServer
from pybernetes.machinery.clock import SystemClock
from pybernetes.machinery.entropy import SystemEntropy
from pybernetes.machinery.http.messages import Request
from pybernetes.store.embedded import EmbeddedStore, SqliteLog

NAMESPACE = "/api/v1/namespaces/default"
DATA = {"k": "x" * 512}
CONTAINER = {
    "name": "c", "image": "busybox", "command": ["sleep", "3600"], "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}
}  # fmt: skip
APPLIED = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"k": "NUMBER"}}
SLOTS = 256  # so that two requests at a time seldom write one object


@dataclass(frozen=True)
class Case:
    """One load. NUMBER in its body is another one in each request, SLOT in its path one of SLOTS: a name that is there."""

    name: str
    method: str
    path: str
    body: Any = None
    content_type: str = "application/json"

    @property
    def text(self) -> str:
        return "" if self.body is None else json.dumps(self.body)


WIDTH = 16  # requests under way at once while profiling
LABELLED = {"labels": {"app": "bench"}}
CASES = (
    Case("get ConfigMap", "GET", f"{NAMESPACE}/configmaps/one"),
    Case("create ConfigMap", "POST", f"{NAMESPACE}/configmaps", {"metadata": {"name": "cm-NUMBER", **LABELLED}, "data": DATA}),
    Case(
        "create Pod", "POST", f"{NAMESPACE}/pods",
        {"metadata": {"name": "pod-NUMBER", **LABELLED}, "spec": {"containers": [CONTAINER]}},
    ),
    Case(
        "patch ConfigMap (merge)", "PATCH", f"{NAMESPACE}/configmaps/slot-SLOT", {"data": {"k": "NUMBER"}},
        "application/merge-patch+json",
    ),
    Case(
        "apply ConfigMap (server-side)", "PATCH", f"{NAMESPACE}/configmaps/slot-SLOT?fieldManager=bench&force=true", APPLIED,
        "application/apply-patch+yaml",
    ),
)  # fmt: skip
SCRIPT = (
    f"""
local SLOTS = {SLOTS}
"""
    + """
local thread = 0
function setup(t) t:set("id", thread); thread = thread + 1 end
local n, run = 0, string.format("%d", os.time() % 100000)
local headers = {["Authorization"] = "Bearer " .. os.getenv("TOKEN"), ["Content-Type"] = os.getenv("CONTENT_TYPE"),
                 ["Accept"] = "application/json"}
local method, path, body = os.getenv("METHOD"), os.getenv("TARGET"), os.getenv("BODY")
request = function()
  n = n + 1
  local sent = body ~= "" and body:gsub("NUMBER", string.format("%d-%d-%s-%s", id, n, run, os.getenv("RUN"))) or nil
  return wrk.format(method, (path:gsub("SLOT", string.format("%d", n % SLOTS))), headers, sent)
end
"""
)


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def load(running: Running, script: Path, case: Case, connections: int, seconds: int) -> None:
    environment = {
        **os.environ, "TOKEN": TOKEN, "METHOD": case.method, "TARGET": case.path, "BODY": case.text,
        "CONTENT_TYPE": case.content_type, "RUN": f"{connections}",
    }  # fmt: skip
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script)]
    before = cpu_s(running.process.pid)
    told = subprocess.run(
        [*command, f"https://127.0.0.1:{running.port}"], env=environment, capture_output=True, text=True, check=True
    ).stdout
    cpu = cpu_s(running.process.pid) - before
    figures = dict(re.findall(r"^\s*(50%|99%|Requests/sec:)\s+(\S+)", told, re.MULTILINE))
    count = int(re.search(r"(\d+) requests in", told)[1])  # type: ignore[index]
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", told)
    print(
        f"{case.name}, {connections} connections: {float(figures['Requests/sec:']):,.0f}/s, p50 {figures['50%']}, "
        f"p99 {figures['99%']}, {1e6 * cpu / count:.0f} µs of CPU each, {refused[1] if refused else 0} refused",
        flush=True,
    )


def rates(seconds: int, widths: list[int], only: str) -> None:
    with tempfile.TemporaryDirectory(prefix="pyb-load-") as directory:
        script = Path(directory) / "load.lua"
        script.write_text(SCRIPT)
        with server(Path(directory)) as running:
            running.post(f"{NAMESPACE}/serviceaccounts", {"metadata": {"name": "default"}})
            for name in ("one", *(f"slot-{number}" for number in range(SLOTS))):
                running.post(f"{NAMESPACE}/configmaps", {"metadata": {"name": name}, "data": DATA})
            for case in CASES:
                for connections in widths if only in case.name else ():
                    load(running, script, case, connections, seconds)
            begun = time.monotonic()
            body = running.get("/api/v1/pods")
            took_s, pods = time.monotonic() - begun, body.count(b"resourceVersion") - 1
            print(f"list {pods:,} pods, {len(body) / 1e6:.0f} MB: {took_s:.2f} s; "
                  f"the server has {running.memory_mib():,.0f} MiB")  # fmt: skip


async def profile() -> None:
    import cProfile
    import pstats

    clock, entropy = SystemClock(), SystemEntropy()
    with tempfile.TemporaryDirectory(prefix="pyb-load-") as directory:
        store = await EmbeddedStore.open(SqliteLog(Path(directory)), clock=clock, entropy=entropy)
        api = ApiServer(store, clock=clock, entropy=entropy, config=Config(authorization=Options(of_modes(("AlwaysAllow",)))))
        running = asyncio.create_task(api.run())
        await api.wait_ready()

        def request(case: Case, number: int) -> Request:
            path, _, query = case.path.replace("SLOT", str(number % SLOTS)).partition("?")
            headers = {"content-type": case.content_type, "accept": "application/json"}
            return Request(case.method, path, query, headers, case.text.replace("NUMBER", str(number)).encode())

        await api.handle(request(Case("", "POST", f"{NAMESPACE}/serviceaccounts", {"metadata": {"name": "default"}}), 0))
        for name in ("one", *(f"slot-{number}" for number in range(SLOTS))):
            await api.handle(request(Case("", "POST", f"{NAMESPACE}/configmaps", {"metadata": {"name": name}}), 0))
        number = 0
        for case in CASES:
            count = 20_000 if case.method == "GET" else 2000
            requests = [request(case, number + more) for more in range(count)]
            number += count

            async def ask(mine: list[Request]) -> int:
                return max([(await api.handle(each)).status for each in mine])

            async def ask_all(some: list[Request]) -> int:
                return max(await asyncio.gather(*(ask(some[first::WIDTH]) for first in range(WIDTH))))

            started = time.process_time()
            status = await ask_all(requests[: count // 2])
            print(f"{case.name}: {2e6 * (time.process_time() - started) / count:.0f} µs of CPU, answered {status}")
            profiler = cProfile.Profile()
            profiler.enable()
            await ask_all(requests[count // 2 :])
            profiler.disable()
            pstats.Stats(profiler, stream=sys.stdout).sort_stats("tottime").print_stats(18)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await api.close()
        await store.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--connections", default="1,16,64")
    parser.add_argument("--only", default="", help="cases whose name has this")
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    if arguments.profile:
        uvloop.run(profile())
    else:
        rates(arguments.seconds, [int(each) for each in arguments.connections.split(",")], arguments.only)
