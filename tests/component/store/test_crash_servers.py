"""kill -9 under load: of the API server, of `pyb etcd` beneath it, of a real etcd beneath it. See `crash_rig`.

PYBERNETES_KILLS sets how often each is killed; by default it is as often as a suite can wait for.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from pathlib import Path

import pytest

from tests.component.store.crash_rig import ApiServerProcess, Rig, check_files
from tests.component.store.etcd_server import EtcdServer, PybEtcd, free_port, missing

KILLS = int(os.environ.get("PYBERNETES_KILLS", "0"))


async def survive(server: ApiServerProcess, victim: ApiServerProcess | EtcdServer, kills: int, store: Path | None) -> None:
    """`store`: the files of the victim's, if they are ours to check."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")  # shown when the test fails

    async def crash() -> None:
        victim.kill()
        if store is not None:
            check_files(store)
        await asyncio.to_thread(victim.start)

    rig = Rig(server, random.Random(seed))
    started_s = time.monotonic()
    await rig.run(kills, crash)
    seconds = time.monotonic() - started_s
    lists = sum(watcher.listed for watcher in rig.watchers)
    print(f"{kills} kills, {rig.writes} writes acknowledged, {lists} lists by {len(rig.watchers)} watchers, {seconds:.0f} s")
    assert rig.writes > kills


async def test_an_api_server_that_is_killed_has_lost_nothing(tmp_path: Path) -> None:
    server = ApiServerProcess(tmp_path / "api", free_port())
    server.start()
    try:
        await survive(server, server, KILLS or 15, tmp_path / "api/data")
    finally:
        server.kill()


@pytest.mark.parametrize("kind", [PybEtcd, EtcdServer], ids=["pyb etcd", "etcd"])
@pytest.mark.parametrize("victim", ["etcd", "api server"])
async def test_an_api_server_on_an_etcd_loses_nothing_whichever_is_killed(
    tmp_path: Path, kind: type[EtcdServer], victim: str
) -> None:
    if why := missing():
        pytest.skip(why)
    (tmp_path / "etcd").mkdir()
    with kind(tmp_path / "etcd") as etcd:
        server = ApiServerProcess(tmp_path / "api", free_port(), f"--etcd-servers={etcd.url}")
        server.start()
        try:
            files = tmp_path / "etcd/data" if kind is PybEtcd and victim == "etcd" else None
            await survive(server, etcd if victim == "etcd" else server, KILLS or 4, files)
        finally:
            server.kill()
