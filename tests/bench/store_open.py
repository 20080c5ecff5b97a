"""Opening, listing and paging an embedded store of many pods.

python tests/bench/store_open.py [--pods 150000] [--value-bytes 4096]
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

LIMIT = 500


async def fill(directory: Path, pods: int, value_bytes: int) -> None:
    store = await EmbeddedStore.open(SqliteLog(directory))
    for first in range(0, pods, 2000):
        await asyncio.gather(
            *(
                store.create(f"/registry/pods/ns-{number % 50}/pod-{number:x}", os.urandom(value_bytes))
                for number in range(first, min(first + 2000, pods))
            )
        )
    await store.close()


async def measure(directory: Path, value_bytes: int) -> None:
    begun = time.perf_counter()
    store = await EmbeddedStore.open(SqliteLog(directory))
    print(f"open: {time.perf_counter() - begun:.2f} s, {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MiB at most")

    begun = time.perf_counter()
    page = await store.range("/registry/pods/")
    print(f"list {len(page.entries)}: {(time.perf_counter() - begun) * 1e3:.1f} ms")
    begun = time.perf_counter()
    one = await store.range("/registry/pods/ns-7/")
    print(f"list {len(one.entries)} of them: {(time.perf_counter() - begun) * 1e3:.2f} ms")

    for number in range(10_000):
        if number % 100 == 0:
            await asyncio.gather(
                *(store.create(f"/registry/pods/new/{number + more}", b"v" * value_bytes) for more in range(100))
            )
    begun, pages, after = time.perf_counter(), 0, ""
    while True:
        part = await store.range("/registry/pods/", revision=page.revision, limit=LIMIT, after=after)
        pages += 1
        if not part.remaining:
            break
        after = part.entries[-1].key
    took_s = time.perf_counter() - begun
    print(f"{pages} pages of {LIMIT} as of 10,000 writes ago: {took_s:.2f} s, {took_s / pages * 1e3:.2f} ms each")

    begun = time.perf_counter()
    await store.snapshot(directory / "snapshot.db")
    print(f"snapshot: {time.perf_counter() - begun:.2f} s")
    await store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pods", type=int, default=150_000)
    parser.add_argument("--value-bytes", type=int, default=4096)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pyb-store-") as directory:
        if (filler := os.fork()) == 0:  # apart, so that its memory is not counted
            uvloop.run(fill(Path(directory), arguments.pods, arguments.value_bytes))
            os._exit(0)
        os.waitpid(filler, 0)
        uvloop.run(measure(Path(directory), arguments.value_bytes))


if __name__ == "__main__":
    main()
