"""Pods on a real containerd."""

from __future__ import annotations

from typing import Any

from pybernetes.machinery.resources import PODS


async def test_a_pod_runs_and_is_ready(cluster: Any) -> None:
    await cluster.create(cluster.pod("web"))
    ready = await cluster.ready("web")
    assert ready["status"]["phase"] == "Running"
    assert ready["status"]["podIP"].startswith("10.244.77.")


async def test_a_deleted_pod_is_gone(cluster: Any) -> None:
    await cluster.create(cluster.pod("web"))
    await cluster.ready("web")
    await cluster.admin.delete(PODS, "web", "default")
    await cluster.gone("web", 10)
