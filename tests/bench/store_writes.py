"""Creations per second in a store, by concurrent callers, each waiting for the disk.

    python tests/bench/store_writes.py [--engine embedded|etcd] [--value-bytes 2048] [--busy-us 0]

`--engine etcd` starts Debian's etcd on loopback, and reads as well: a linearizable get per call.

`--busy-us` makes each caller hold the event loop for that long before each write, as an API server does: it shows what the
commit thread loses to a busy loop.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from pybernetes.store.embedded import EmbeddedStore, SqliteLog
from pybernetes.store.etcd import EtcdStore, Servers
from pybernetes.store.etcd.keys import KeySpace
from pybernetes.store.interface import Store

SECONDS = 3.0
WIDTHS = (1, 16, 64)


async def measure(store: Store, callers: int, value_bytes: int, busy_us: float) -> None:
    latencies_s: list[float] = []
    end = time.perf_counter() + SECONDS

    async def caller(number: int) -> None:
        made = 0
        while (start := time.perf_counter()) < end:
            while time.perf_counter() - start < busy_us / 1e6:
                pass
            start = time.perf_counter()
            await store.create(f"/registry/pods/ns-{callers}-{number}/pod-{made}", os.urandom(value_bytes))
            latencies_s.append(time.perf_counter() - start)
            made += 1

    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun, begun_cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(caller(number) for number in range(callers)))
    took_s, cpu_s = time.perf_counter() - begun, time.process_time() - begun_cpu
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
    print(
        f"{callers:3} callers create: {_rate(latencies_s, took_s)}  {cpu_s / took_s * 100:.0f} % CPU here"
        f"  {len(latencies_s)} rows, memory +{grown_kib >> 10} MiB"
    )


async def measure_gets(store: Store, callers: int) -> None:
    latencies_s: list[float] = []
    end = time.perf_counter() + SECONDS

    async def caller() -> None:
        while (start := time.perf_counter()) < end:
            await store.get("/registry/pods/ns-1-0/pod-0")
            latencies_s.append(time.perf_counter() - start)

    begun = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    print(f"{callers:3} callers get:    {_rate(latencies_s, time.perf_counter() - begun)}")


def _rate(latencies_s: list[float], took_s: float) -> str:
    latencies_s.sort()
    p50, p99 = (latencies_s[int(len(latencies_s) * share)] * 1e3 for share in (0.5, 0.99))
    return f"{len(latencies_s) / took_s:8.0f}/s  p50 {p50:.2f} ms  p99 {p99:.2f} ms  max {latencies_s[-1] * 1e3:.1f} ms"


async def run(engine: str, directory: Path, value_bytes: int, busy_us: float) -> None:
    if engine == "embedded":
        for callers in WIDTHS:
            store = await EmbeddedStore.open(SqliteLog(directory / f"store-{callers}"))
            await measure(store, callers, value_bytes, busy_us)
            await store.close()
        return
    from tests.component.store.etcd_server import EtcdServer

    with EtcdServer(directory) as server:
        etcd = await EtcdStore.open(Servers((server.url,)), KeySpace())
        for callers in WIDTHS:
            await measure(etcd, callers, value_bytes, busy_us)
        for callers in WIDTHS:
            await measure_gets(etcd, callers)
        await etcd.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", choices=["embedded", "etcd"], default="embedded")
    parser.add_argument("--value-bytes", type=int, default=2048)
    parser.add_argument("--busy-us", type=float, default=0)
    arguments = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parents[2]))
    with tempfile.TemporaryDirectory(prefix="pyb-store-") as directory:
        uvloop.run(run(arguments.engine, Path(directory), arguments.value_bytes, arguments.busy_us))


if __name__ == "__main__":
    main()
