"""The scheduler as a process."""

from __future__ import annotations

import asyncio
from copy import deepcopy
from pathlib import Path

from pybernetes.client.component import run_component
from pybernetes.client.rest import Client
from pybernetes.machinery.clock import SystemClock
from pybernetes.machinery.entropy import SystemEntropy
from pybernetes.scheduler import metrics
from pybernetes.scheduler.config import SchedulerConfig, from_object
from pybernetes.scheduler.options import Options
from pybernetes.scheduler.scheduler import Scheduler


async def run(options: Options) -> None:
    """Schedule until cancelled. Raises OSError for a port in use, ValueError for bad options or a bad configuration."""
    clock, entropy = SystemClock(), SystemEntropy()
    config = read_config(options.config) if options.config else SchedulerConfig()
    leading: Scheduler | None = None

    async def lead(client: Client) -> None:
        # Made now, not before: caches are filled by whoever leads.
        nonlocal leading
        leading = Scheduler(client, clock=clock, entropy=entropy, config=config)
        await leading.run()

    async def is_synced() -> str | None:
        # A scheduler in reserve is as ready as it can be.
        return None if leading is None or leading.synced else "nodes and pods are not known yet"

    async def render() -> bytes:
        if leading is None:
            return await asyncio.to_thread(metrics.render, metrics.Metrics(), {}, {})
        return await asyncio.to_thread(metrics.render, deepcopy(leading.metrics), leading.pending, leading.cache_size)

    await run_component(
        options,
        lead,
        user_agent="kube-scheduler",
        clock=clock,
        entropy=entropy,
        metrics=render,
        readiness={"sched-handler-sync": is_synced},
    )


def read_config(path: str) -> SchedulerConfig:
    """A KubeSchedulerConfiguration file. Raises OSError, ValueError."""
    import yaml

    try:
        return from_object(yaml.safe_load(Path(path).read_bytes()))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {error}") from error
