"""A whole control plane on virtual time: a Deployment rolls out in no real time, the same event by event for a seed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pybernetes.sim.cluster import SimulatedCluster, simulate
from pybernetes.sim.faults import BAD
from pybernetes.sim.havoc import Havoc, wreak
from pybernetes.sim.history import Event, difference
from tests.component.sim import workloads
from tests.component.sim.workloads import broken_promises, digest, rollout


def test_a_deployment_rolls_out_and_over_to_a_new_image() -> None:
    history = simulate(rollout, nodes=3)
    assert broken_promises(history, max_surge=1, max_unavailable=0) == []
    assert history[-1].at_s > 60


def test_the_same_seed_gives_the_same_history_and_another_seed_another() -> None:
    first, second, other = (simulate(rollout, seed=seed, nodes=3) for seed in (1, 1, 2))
    assert difference(first, second) == ""
    assert difference(first, other) != ""


@pytest.mark.parametrize("hash_seed", ["0", "4711"])
def test_the_same_seed_gives_the_same_history_in_another_process(hash_seed: str) -> None:
    root = Path(__file__).parents[3]
    command = [sys.executable, "-m", workloads.__name__, "1"]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(root)}
    out = subprocess.run(command, cwd=root, env=environment, check=True, capture_output=True, text=True).stdout
    assert out.strip() == digest(simulate(rollout, seed=1, nodes=3))


def test_the_same_seed_gives_the_same_faults() -> None:
    async def scenario(cluster: SimulatedCluster) -> tuple[list[Event], list[str]]:
        await cluster.client.create(workloads.DEPLOYMENTS, workloads.deployment(5))
        record = await wreak(cluster, Havoc(silences=("node-1",)), for_s=60)
        return [*cluster.history], record

    (first, record), (second, record_again) = (
        simulate(scenario, seed=3, nodes=3, faults=BAD, disk_latency_s=0.005) for _ in range(2)
    )
    assert record == record_again and record
    assert difference(first, second) == ""


def test_one_node_more_does_not_change_what_the_others_draw() -> None:
    async def scenario(cluster: SimulatedCluster) -> dict[str, list[float]]:
        await cluster.passes(60)
        beats: dict[str, list[float]] = {}
        for event in cluster.history:
            if event.key.startswith("/registry/leases/kube-node-lease/"):
                beats.setdefault(event.key.rpartition("/")[2], []).append(event.at_s)
        return beats

    two, three = (simulate(scenario, seed=1, nodes=nodes) for nodes in (2, 3))
    assert {name: three[name] for name in two} == two
