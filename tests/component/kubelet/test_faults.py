"""Whichever call to the runtime fails, before or after it took effect: the pod is ready, goes when deleted, leaves nothing."""

from __future__ import annotations

from typing import Any

import pytest

from pybernetes.kubelet.cri.client import RuntimeFailed
from pybernetes.machinery.resources import PODS

STARTING = (
    "ListPodSandbox", "ListContainers", "ImageStatus", "RunPodSandbox", "PodSandboxStatus", "CreateContainer",
    "StartContainer", "ContainerStatus",
)  # fmt: skip
ENDING = ("StopContainer", "StopPodSandbox", "RemovePodSandbox", "ListContainers")


class Saboteur:
    """Makes the next call of a method fail: without effect, or after it."""

    def __init__(self, runtime: Any, *, after: bool) -> None:
        self._real = runtime._call
        self._after = after
        self.victim = ""
        runtime._call = self._call

    async def _call(self, service: str, method: str, *arguments: Any) -> Any:
        if method != self.victim:
            return await self._real(service, method, *arguments)
        self.victim = ""
        if self._after:
            await self._real(service, method, *arguments)
        raise RuntimeFailed(f"sabotage of {method}")


@pytest.mark.parametrize("after", [False, True], ids=["before it took effect", "after it took effect"])
async def test_any_failed_call_is_healed(cluster: Any, after: bool) -> None:
    saboteur = Saboteur(cluster.kubelet.runtime, after=after)
    for method in STARTING:
        saboteur.victim = method
        await cluster.create(cluster.pod(method.lower()))
        await cluster.ready(method.lower(), 15)
        await cluster.admin.delete(PODS, method.lower(), "default")
        await cluster.gone(method.lower(), 15)
    for method in ENDING:
        await cluster.create(cluster.pod(method.lower()))
        await cluster.ready(method.lower(), 15)
        saboteur.victim = method
        await cluster.admin.delete(PODS, method.lower(), "default")
        await cluster.gone(method.lower(), 15)

    async def empty() -> bool:
        return not await cluster.kubelet.runtime.list_sandboxes() and not await cluster.kubelet.runtime.list_containers()

    await cluster.until(empty, 20)
