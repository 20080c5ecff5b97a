"""kill -9 at any instant loses no acknowledged write, and leaves a store that opens."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pybernetes.store.embedded import EmbeddedStore, SqliteLog

KILLS = 10

# Sixteen callers write, each to its own keys. Each says what it is going to write and what was acknowledged, into a file:
# "+" and "-" lines with key and value ("" is a deletion).
WRITER = """
import asyncio, os, sys
from pathlib import Path
from pybernetes.store.embedded import EmbeddedStore, SqliteLog

def say(line):
    os.write(1, line.encode() + b"\\n")

async def caller(store, name):
    number = 0
    while True:
        key = f"/registry/pods/{name}/{number % 7}"
        number += 1
        entry = await store.get(key)
        if entry is None:
            value = f"{name}-{number}-" + "x" * (number % 50 * 100)
            say(f"+ {key} {value}")
            revision = await store.create(key, value.encode())
        elif number % 3:
            value = f"{name}-{number}-" + "y" * (number % 50 * 100)
            say(f"+ {key} {value}")
            revision = await store.update(key, value.encode(), mod_revision=entry.mod_revision)
        else:
            value = ""
            say(f"+ {key} ")
            revision = await store.delete(key, mod_revision=entry.mod_revision)
        say(f"- {key} {value} {revision}")

async def main():
    store = await EmbeddedStore.open(SqliteLog(Path(sys.argv[1])))
    say("open")
    await asyncio.gather(*(caller(store, f"{sys.argv[2]}-{n}") for n in range(16)))

asyncio.run(main())
"""


async def test_killing_the_writer_at_random_instants_loses_nothing_acknowledged(tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")  # shown when the test fails
    chance = random.Random(seed)
    expected: dict[str, bytes] = {}  # the state as far as it was acknowledged
    last_revision = 0
    for round_ in range(KILLS):
        said = await asyncio.to_thread(_write_and_kill, tmp_path, str(round_), chance.uniform(0.0, 0.15))
        unknown: dict[str, bytes] = {}  # writes that were begun and not acknowledged: each may be there or not
        for line in said:
            sign, key, value, *revision = line.split(" ")
            if sign == "+":
                unknown[key] = value.encode()
            else:
                del unknown[key]
                expected[key] = value.encode()
                last_revision = max(last_revision, int(revision[0]))

        store = await EmbeddedStore.open(SqliteLog(tmp_path / "store"))
        revision_now = await store.revision()
        assert revision_now >= last_revision
        last_revision = revision_now
        page = await store.range("")
        assert all(entry.mod_revision <= revision_now for entry in page.entries)
        found = {entry.key: entry.value for entry in page.entries}
        for key in found.keys() | expected.keys():
            acknowledged = expected.get(key, b"")
            assert found.get(key, b"") in (acknowledged, unknown.get(key, acknowledged)), key
        expected = found
        assert await store.create(f"/registry/rounds/{round_}", b"open") > last_revision
        expected[f"/registry/rounds/{round_}"] = b"open"
        last_revision += 1
        await store.close()
    if not any(key.startswith("/registry/pods/") for key in expected):
        pytest.fail("the writer was always killed before it wrote")


def _write_and_kill(directory: Path, name: str, after_s: float) -> list[str]:
    """What the writer said, in full lines, until it was killed that long after its store was open."""
    saying = directory / "said"
    with saying.open("wb") as output:
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(directory / "store"), name], stdout=output)
    try:
        deadline_s = time.monotonic() + 20
        while not saying.read_bytes():
            assert writer.poll() is None and time.monotonic() < deadline_s
            time.sleep(0.005)
        time.sleep(after_s)
    finally:
        writer.kill()
        assert writer.wait() == -signal.SIGKILL
    _open, *lines, _part = saying.read_text().split("\n")
    return lines
