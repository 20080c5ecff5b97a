"""Creations per second in the embedded store, by concurrent callers, each waiting for the disk.

    python tests/bench/store_writes.py [--value-bytes 2048] [--busy-us 0]

`--busy-us` makes each caller hold the event loop for that long before each write, as an API server does: it shows what the
commit thread loses to a busy loop.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import tempfile
import time
from pathlib import Path

import uvloop

from pybernetes.store.embedded import EmbeddedStore, SqliteLog

SECONDS = 3.0


async def measure(callers: int, value_bytes: int, busy_us: float) -> None:
    latencies_s: list[float] = []
    with tempfile.TemporaryDirectory(prefix="pyb-store-") as directory:
        store = await EmbeddedStore.open(SqliteLog(Path(directory) / "store"))
        before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        end = time.perf_counter() + SECONDS

        async def caller(number: int) -> None:
            made = 0
            while (start := time.perf_counter()) < end:
                while time.perf_counter() - start < busy_us / 1e6:
                    pass
                start = time.perf_counter()
                await store.create(f"/registry/pods/ns-{number}/pod-{made}", os.urandom(value_bytes))
                latencies_s.append(time.perf_counter() - start)
                made += 1

        begun = time.perf_counter()
        await asyncio.gather(*(caller(number) for number in range(callers)))
        took_s = time.perf_counter() - begun
        await store.close()
        disk = sum(path.stat().st_size for path in (Path(directory) / "store").iterdir())
    latencies_s.sort()
    p50, p99 = (latencies_s[int(len(latencies_s) * share)] * 1e3 for share in (0.5, 0.99))
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
    print(
        f"{callers:3} callers: {len(latencies_s) / took_s:8.0f}/s  p50 {p50:.2f} ms  p99 {p99:.2f} ms"
        f"  max {latencies_s[-1] * 1e3:.1f} ms  {len(latencies_s)} rows: memory +{grown_kib >> 10} MiB, disk {disk >> 20} MiB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--value-bytes", type=int, default=2048)
    parser.add_argument("--busy-us", type=float, default=0)
    arguments = parser.parse_args()
    for callers in (1, 16, 64):
        uvloop.run(measure(callers, arguments.value_bytes, arguments.busy_us))


if __name__ == "__main__":
    main()
