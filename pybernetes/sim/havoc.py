"""Havoc: parts that die and come back, nodes that fall silent, at moments drawn from the cluster's seed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from pybernetes.sim.cluster import API_SERVER, SimulatedCluster


@dataclass(frozen=True, slots=True, kw_only=True)
class Havoc:
    """How often something happens, and for how long at most. Names are of parts (`SimulatedCluster.part_names`)."""

    kills: Sequence[str] = (API_SERVER, "scheduler", "controller-manager")  # these may be killed
    silences: Sequence[str] = ()  # these may be cut off
    every_s: float = 5.0  # on average
    down_s: float = 10.0


async def wreak(cluster: SimulatedCluster, havoc: Havoc, for_s: float) -> list[str]:
    """Strike for so many seconds; all is up and connected again when this returns, with a record of what happened.

    Several parts may be down at once, never the same one twice.
    """
    entropy = cluster.entropy.stream(f"havoc at {cluster.clock.monotonic()} s")
    record: list[str] = []
    down: set[str] = set()

    async def strike(name: str, silence: bool, down_s: float) -> None:
        down.add(name)
        record.append(f"{cluster.clock.monotonic():.3f} s: {'silence' if silence else 'kill'} {name} for {down_s:.3f} s")
        if silence:
            cluster.sever(name)
        else:
            cluster.kill(name)
        await cluster.clock.sleep(down_s)
        if silence:
            cluster.mend(name)
        else:
            cluster.start(name)
        down.discard(name)

    targets = [*((name, False) for name in havoc.kills), *((name, True) for name in havoc.silences)]
    ends_s = cluster.clock.monotonic() + for_s
    async with asyncio.TaskGroup() as group:
        while True:
            await cluster.clock.sleep(2 * havoc.every_s * entropy.random())
            name, silence = targets[int(entropy.random() * len(targets))]
            down_s = havoc.down_s * entropy.random()
            if cluster.clock.monotonic() >= ends_s:
                break
            if name not in down:
                group.create_task(strike(name, silence, down_s))
    return record
