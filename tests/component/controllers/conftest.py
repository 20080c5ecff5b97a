"""A control plane in one process, on virtual time: the simulator without scheduler and nodes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pybernetes.client.rest import Client
from pybernetes.controllers.options import Options
from pybernetes.machinery import errors
from pybernetes.machinery.meta import Object, Resource, name_of
from pybernetes.machinery.resources import NODES, PODS, SERVICE_ACCOUNTS
from pybernetes.sim.cluster import SimulatedCluster, simulate
from pybernetes.sim.faults import NONE, Faults

# One request in ten is lost before the server gets it, one answer in ten after it acted; watches break now and then.
LOSSY = Faults(lost_before=0.1, lost_after=0.1, stream_s=60)


class ControlPlane:
    """What a scenario works with: `admin` may do anything."""

    def __init__(self, cluster: SimulatedCluster) -> None:
        self._cluster = cluster
        self.clock = cluster.clock
        self.admin = cluster.client

    def bootstrapping_kubelet(self) -> Client:
        return self._cluster.client_as("system:bootstrap:abcdef", "system:bootstrappers")

    async def items(self, resource: Resource, namespace: str = "default") -> list[Object]:
        found: list[Object] = (await self.admin.list(resource, namespace))["items"]
        return found

    async def names(self, resource: Resource, namespace: str = "default") -> list[str]:
        return sorted(map(name_of, await self.items(resource, namespace)))

    async def get(self, resource: Resource, name: str, namespace: str = "default") -> Object | None:
        try:
            return await self.admin.get(resource, name, namespace)
        except errors.NotFound:
            return None

    async def until(self, condition: Callable[[], Awaitable[Any]], within_s: float = 60) -> Any:
        """Wait, in virtual time; gives what the condition gave."""
        return await self._cluster.until(condition, within_s)

    async def namespace_ready(self, name: str = "default") -> None:
        async def has_account() -> bool:
            return await self.get(SERVICE_ACCOUNTS, "default", name) is not None

        await self.until(has_account)

    async def run_pods(self) -> None:
        """Does what scheduler and kubelet would: every pod runs at once, and goes when asked to."""
        given = 1
        while True:
            for pod in (await self.admin.list(PODS))["items"]:
                namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
                try:
                    if "deletionTimestamp" in pod["metadata"]:
                        await self.admin.delete(PODS, name, namespace, grace_period_s=0)
                    elif not pod["spec"].get("nodeName"):
                        binding = {"metadata": {"name": name, "namespace": namespace}, "target": {"kind": "Node", "name": "n1"}}
                        binding |= {"kind": "Binding", "apiVersion": "v1"}
                        await self.admin.create(PODS, binding, namespace, name=name, subresource="binding")
                    elif pod["status"].get("phase") == "Pending":
                        given += 1
                        ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
                        address = f"10.244.0.{given}"
                        status = {"phase": "Running", "conditions": [ready], "podIP": address, "podIPs": [{"ip": address}]}
                        await self.admin.patch(PODS, name, namespace, {"status": status}, subresource="status")
                except (errors.NotFound, errors.Conflict):
                    pass
            await self.clock.sleep(0.05)


@pytest.fixture
def control_plane() -> Callable[..., None]:
    """Runs a scenario: `control_plane(scenario, lossy=…, **options of the controllers)`."""

    def run(scenario: Callable[[ControlPlane], Awaitable[None]], *, lossy: bool = False, **options: Any) -> None:
        async def scene(cluster: SimulatedCluster) -> None:
            await scenario(ControlPlane(cluster))

        faults = LOSSY if lossy else NONE
        simulate(scene, seed=1, nodes=0, scheduler=False, faults=faults, controller_options=Options(**options))

    return run


@pytest.fixture
def node() -> Object:
    return {"kind": NODES.kind, "apiVersion": "v1", "metadata": {"name": "n1"}, "spec": {}}
