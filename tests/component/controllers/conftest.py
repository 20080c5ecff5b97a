"""A control plane in one process, on virtual time: the real API server over a store in memory, and the controllers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from pybernetes.apiserver.authentication import Options as Authentication
from pybernetes.apiserver.server import ApiServer, Config
from pybernetes.client.rest import Client
from pybernetes.client.transport import ConnectionFailed, InProcessTransport, close_stream
from pybernetes.controllers.manager import Manager
from pybernetes.controllers.options import Options
from pybernetes.machinery import errors
from pybernetes.machinery.entropy import SeededEntropy
from pybernetes.machinery.http.messages import Handler, Request, Response
from pybernetes.machinery.meta import Object, Resource, name_of
from pybernetes.machinery.resources import NODES, PODS, SERVICE_ACCOUNTS
from pybernetes.sim import virtual_time
from pybernetes.store.embedded import EmbeddedStore, MemoryLog

CONTROLLER_MANAGER = "system:kube-controller-manager"  # what it may do is what RBAC gives this user


class LossyTransport(InProcessTransport):
    """Loses one request in ten before the server gets it, and one answer in ten after it acted; watches break now and then."""

    def __init__(self, handler: Handler, entropy: Any, **kwargs: Any) -> None:
        super().__init__(handler, **kwargs)
        self._entropy = entropy

    async def send(self, request: Request, *, stream: bool = False, timeout_s: float | None = 60) -> Response:
        luck = self._entropy.random()
        if luck < 0.1:
            raise ConnectionFailed("lost before it arrived")
        response = await super().send(request, stream=stream, timeout_s=timeout_s)
        if luck > 0.9:
            await close_stream(response.body)
            raise ConnectionFailed("the answer was lost")
        return response


class ControlPlane:
    """What a scenario works with: `admin` may do anything."""

    def __init__(self, server: ApiServer, clock: Any, entropy: Any) -> None:
        self.clock = clock
        self.entropy = entropy
        self.server = server
        self.admin = self.client("admin")

    def client(self, token: str, *, lossy: bool = False) -> Client:
        headers = {"authorization": f"Bearer {token}"}
        transport = InProcessTransport(self.server.handle, headers=headers)
        if lossy:
            transport = LossyTransport(self.server.handle, SeededEntropy(2), headers=headers)
        return Client(transport, clock=self.clock, entropy=self.entropy)

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
        for _ in range(int(within_s * 10)):
            found = await condition()
            if found:
                return found
            await self.clock.sleep(0.1)
        raise AssertionError(f"not within {within_s} s")

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
def control_plane(tmp_path: Path) -> Callable[..., None]:
    """Runs a scenario: `control_plane(scenario, controllers=(…), **options)`."""
    tokens = tmp_path / "tokens.csv"
    bootstrap = 'kubelet,system:bootstrap:abcdef,3,"system:bootstrappers"'
    tokens.write_text(f'admin,admin,1,"system:masters"\nmanager,{CONTROLLER_MANAGER},2\n{bootstrap}\n')

    def run(scenario: Callable[[ControlPlane], Awaitable[None]], *, lossy: bool = False, **options: Any) -> None:
        async def main(clock: Any) -> None:
            entropy = SeededEntropy(1)
            store = await EmbeddedStore.open(MemoryLog(), clock=clock, entropy=entropy)
            config = Config(authentication=Authentication(token_auth_file=tokens))
            server = ApiServer(store, clock=clock, entropy=entropy, config=config)
            plane = ControlPlane(server, clock, entropy)
            tasks = [asyncio.ensure_future(server.run())]
            try:
                await server.wait_ready()
                client = plane.client("manager", lossy=lossy)
                manager = Manager(client, clock=clock, entropy=entropy, options=Options(**options), detect_mutations=True)
                tasks.append(asyncio.ensure_future(manager.run()))
                scene = asyncio.ensure_future(scenario(plane))
                tasks.append(scene)
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
                assert scene in done, "a component ended before the scenario"
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                await server.close()
                await store.close()

        virtual_time.run(main)

    return run


@pytest.fixture
def node() -> Object:
    return {"kind": NODES.kind, "apiVersion": "v1", "metadata": {"name": "n1"}, "spec": {}}
