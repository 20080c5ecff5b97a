"""A cluster in one process: the real store, API server, scheduler and controllers, with hollow nodes, on one virtual clock.

    def test_my_operator():
        async def scenario(cluster):
            cluster.add("my-operator", lambda part: MyOperator(part.client, clock=part.clock).run())
            await cluster.client.create(DEPLOYMENTS, web)
            await cluster.until(lambda: cluster.get(DEPLOYMENTS, "web")["status"].get("readyReplicas") == 3)

        simulate(scenario, seed=7, nodes=3, faults=BAD)

Every part reaches the API server as the user that RBAC knows it by, over a connection of its own that can be bad, severed or
mended; every part can be killed and started again at any (virtual) time. All that happens follows from the seed: each part has
a stream of randomness of its own, so that one part more or less does not change what the others draw.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, TypeVar

from pybernetes.apiserver.config import Config as ServerConfig
from pybernetes.apiserver.registry.kinds import Kind
from pybernetes.apiserver.server import ApiServer
from pybernetes.client.rest import Client
from pybernetes.client.transport import ConnectionFailed, InProcessTransport
from pybernetes.controllers.manager import Manager
from pybernetes.controllers.options import Options as ControllerOptions
from pybernetes.machinery.entropy import SeededEntropy
from pybernetes.machinery.http.messages import Request, Response
from pybernetes.machinery.meta import Object, Resource, condition
from pybernetes.machinery.resources import NODES, SERVICE_ACCOUNTS
from pybernetes.sim import virtual_time
from pybernetes.sim.disk import Attachment, Disk
from pybernetes.sim.faults import NONE, Faults, FaultyTransport
from pybernetes.sim.history import Event, state_after
from pybernetes.sim.hollow_node import HollowNode
from pybernetes.sim.identity import certificate
from pybernetes.sim.virtual_time import VirtualClock, VirtualLoop
from pybernetes.store.embedded import EmbeddedStore

if TYPE_CHECKING:
    from pybernetes.scheduler.config import SchedulerConfig

T = TypeVar("T")

API_SERVER = "apiserver"
SCHEDULER = "scheduler"
CONTROLLER_MANAGER = "controller-manager"
GC_THRESHOLDS = (50_000, 20, 100)
READY_WITHIN_S = 600.0  # virtual, and generous: connections may be bad from the start


class NotInTime(AssertionError):
    """What was waited for did not come about."""


class PartEnded(RuntimeError):
    """A part of the cluster ended by itself, which is a bug in it; the cause is its exception, if there was one."""


@dataclass(frozen=True, slots=True)
class Part:
    """What a part is given when it starts."""

    client: Client
    clock: VirtualClock
    entropy: SeededEntropy


Run = Callable[[Part], Coroutine[Any, Any, Any]]


@dataclass(slots=True)
class _Running:
    """A part, whether it runs at the moment or not."""

    name: str
    run: Run
    user: str
    groups: tuple[str, ...]
    faults: Faults
    starts: int = 0
    task: asyncio.Task[None] | None = None
    transport: FaultyTransport | None = None
    severed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a simulated cluster is made of, besides its seed."""

    nodes: int = 1
    faults: Faults = NONE  # of every part's connection; `cluster.client` has a good one
    disk_latency_s: float = 0.0  # at most
    scheduler: bool = True
    scheduler_config: SchedulerConfig | None = None
    controllers: bool = True
    controller_options: ControllerOptions = field(default_factory=ControllerOptions)
    server: ServerConfig = field(default_factory=ServerConfig)
    detect_mutations: bool = True  # raise where a controller alters what its cache shares


class SimulatedCluster:
    """`async with SimulatedCluster(seed=1) as cluster:` on a virtual loop; ready when entered. Or call `simulate`."""

    def __init__(self, *, seed: int = 0, setup: Setup | None = None) -> None:
        loop = asyncio.get_running_loop()
        if not isinstance(loop, VirtualLoop):
            raise RuntimeError("a simulated cluster needs virtual time: call simulate(), or run in virtual_time.run()")
        self.seed = seed
        self.setup = setup or Setup()
        self.clock = VirtualClock(loop)
        self.entropy = SeededEntropy(f"scenario {seed}")  # for the scenario's own choices
        self._root = SeededEntropy(seed)
        self._disk = Disk(self.clock, self._root.stream("disk"), latency_s=self.setup.disk_latency_s)
        self._server: ApiServer | None = None
        self._serving: ApiServer | None = None  # the one that was last past its start
        self._kinds: Mapping[Resource, Kind] = {}
        self._attachment: Attachment | None = None
        self._server_task: asyncio.Task[None] | None = None
        self._server_starts = 0
        self._parts: dict[str, _Running] = {}
        self._clients: list[FaultyTransport] = []  # of the scenario
        self._nodes = 0
        self._ended: BaseException | None = None
        self._scene: asyncio.Task[Any] | None = None
        self.client = self.client_as("admin", "system:masters")

    # Entering and leaving

    async def __aenter__(self) -> Self:
        self._scene = asyncio.current_task()
        try:
            await self._begin()
        except BaseException:
            await self._stop()
            raise
        return self

    async def _begin(self) -> None:
        setup = self.setup
        self.start(API_SERVER)
        if setup.controllers:
            self.add(CONTROLLER_MANAGER, self._run_controllers, "system:kube-controller-manager")
        if setup.scheduler:
            self.add(SCHEDULER, self._run_scheduler, "system:kube-scheduler")
        for _ in range(setup.nodes):
            self.add_node()
        await self.until(self._is_ready, READY_WITHIN_S)

    def _is_ready(self) -> bool:
        if not self.serves:
            return False
        if self.setup.controllers and self.get(SERVICE_ACCOUNTS, "default") is None:
            return False
        return len(self.list(NODES)) == self._nodes and all(map(_is_up, self.list(NODES)))

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        await self._stop()
        if self._ended is not None:
            if isinstance(error, asyncio.CancelledError) and self._scene is not None:
                self._scene.uncancel()
            raise self._ended

    async def _stop(self) -> None:
        for name in list(self._parts):
            self.kill(name)
        self.kill(API_SERVER)
        await asyncio.sleep(0)  # they end in this turn: nothing that they wait for is there any more

    # Parts

    def add(self, name: str, run: Run, user: str = "", *groups: str, faults: Faults | None = None) -> None:
        """Start one more part: `run(part)` is to run until cancelled. By default it may do anything (`system:masters`).

        It can be killed and started like the others; each start calls `run` anew.
        """
        if name in self._parts or name == API_SERVER:
            raise ValueError(f"there is a part {name!r} already")
        who = (user, groups) if user else (name, ("system:masters",))
        self._parts[name] = _Running(name, run, *who, faults=self.setup.faults if faults is None else faults)
        self.start(name)

    def add_node(self, name: str = "", *, labels: Mapping[str, str] | None = None, faults: Faults | None = None) -> str:
        """One more hollow node, which registers itself. Returns its name: `node-1`, `node-2` … by default."""
        self._nodes += 1
        number = self._nodes
        name = name or f"node-{number}"
        prefix = f"10.{128 + number // 256}.{number % 256}"

        async def run(part: Part) -> None:
            node = HollowNode(
                part.client, name, clock=part.clock, entropy=part.entropy, pod_prefix=prefix, labels=labels
            )  # fmt: skip
            await node.run()

        self.add(name, run, f"system:node:{name}", "system:nodes", faults=faults)
        return name

    def start(self, name: str) -> None:
        """Start what was killed."""
        if name == API_SERVER:
            self._start_server()
            return
        part = self._parts[name]
        if part.task is not None:
            raise ValueError(f"{name} runs already")
        part.starts += 1
        # By its name and how often it started: what it draws depends on nobody else.
        entropy = self._root.stream(f"{name} {part.starts}")
        part.transport = self._connect(part.user, part.groups, entropy.stream("connection"), part.faults)
        if part.severed:
            part.transport.sever("severed")
        client = Client(part.transport, user_agent=name, clock=self.clock, entropy=entropy.stream("client"))
        part.task = asyncio.create_task(part.run(Part(client, self.clock, entropy)), name=name)
        part.task.add_done_callback(lambda task: self._part_ended(name, task))

    def kill(self, name: str) -> None:
        """As kill -9: from this moment on the part does nothing that others could see."""
        if name == API_SERVER:
            self._kill_server()
            return
        part = self._parts[name]
        if part.task is not None and part.transport is not None:
            task, part.task = part.task, None
            part.transport.sever("killed")
            task.cancel()

    async def restart(self, name: str, after_s: float = 0.0) -> None:
        """Kill it, and start it again `after_s` seconds later."""
        self.kill(name)
        await self.clock.sleep(after_s)
        self.start(name)

    def runs(self, name: str) -> bool:
        return self._server is not None if name == API_SERVER else self._parts[name].task is not None

    def sever(self, name: str) -> None:
        """Cut a part off from the API server; it runs on and cannot tell why nobody answers. A node so falls silent."""
        part = self._parts[name]
        part.severed = True
        if part.transport is not None:
            part.transport.sever("severed")

    def mend(self, name: str) -> None:
        """Undo `sever`."""
        part = self._parts[name]
        part.severed = False
        if part.transport is not None and part.task is not None:
            part.transport.mend()

    def disturb(self, faults: Faults, *names: str) -> None:
        """From now on the connections of these parts (default: all of them) are so good or bad."""
        for name in names or self._parts:
            part = self._parts[name]
            part.faults = faults
            if part.transport is not None:
                part.transport.faults = faults

    @property
    def part_names(self) -> Sequence[str]:
        """All parts but the API server (`API_SERVER`), in the order in which they came."""
        return tuple(self._parts)

    def _part_ended(self, name: str, task: asyncio.Task[None]) -> None:
        current = self._server_task if name == API_SERVER else self._parts[name].task
        if task is not current:  # it was killed
            if not task.cancelled():
                task.exception()
            return
        error = PartEnded(f"{name} ended by itself")
        error.__cause__ = None if task.cancelled() else task.exception()
        self._ended = self._ended or error
        if self._scene is not None:
            self._scene.cancel()

    async def _run_controllers(self, part: Part) -> None:
        await Manager(
            part.client, clock=part.clock, entropy=part.entropy, options=self.setup.controller_options,
            detect_mutations=self.setup.detect_mutations,
        ).run()  # fmt: skip

    async def _run_scheduler(self, part: Part) -> None:
        from pybernetes.scheduler.scheduler import Scheduler  # loads numpy

        await Scheduler(part.client, clock=part.clock, entropy=part.entropy, config=self.setup.scheduler_config).run()

    # The API server, and the store in it

    def _start_server(self) -> None:
        if self._server_task is not None:
            raise ValueError("the API server runs already")
        self._server_starts += 1
        self._attachment = self._disk.attach()
        entropy = self._root.stream(f"{API_SERVER} {self._server_starts}")
        self._server_task = asyncio.create_task(self._serve(self._attachment, entropy), name=API_SERVER)
        self._server_task.add_done_callback(lambda task: self._part_ended(API_SERVER, task))

    async def _serve(self, attachment: Attachment, entropy: SeededEntropy) -> None:
        store = await EmbeddedStore.open(attachment, clock=self.clock, entropy=entropy.stream("store"))
        try:
            server = self._server = ApiServer(store, clock=self.clock, entropy=entropy, config=self.setup.server)
            self._kinds = server.kinds
            async with asyncio.TaskGroup() as group:
                group.create_task(server.run())
                await server.wait_ready()
                self._serving = server
        finally:
            await store.close()

    def _kill_server(self) -> None:
        if self._server_task is None or self._attachment is None:
            return
        task, self._server_task, self._server = self._server_task, None, None
        parts = [part.transport for part in self._parts.values() if part.transport is not None]
        for transport in (*parts, *self._clients):
            transport.break_all("the API server is gone")
        self._attachment.crash()
        task.cancel()

    async def _handle(self, request: Request) -> Response:
        if self._server is None:
            raise ConnectionFailed("connection refused")
        return await self._server.handle(request)

    def _connect(self, user: str, groups: Sequence[str], entropy: SeededEntropy, faults: Faults) -> FaultyTransport:
        return FaultyTransport(InProcessTransport(self._handle, peer_certificate=certificate(user, groups)), entropy, faults)

    # For scenarios

    def client_as(self, user: str, *groups: str, faults: Faults = NONE) -> Client:
        """A client of the API server in that user's name."""
        entropy = self._root.stream(f"client {user}")
        transport = self._connect(user, groups, entropy.stream("connection"), faults)
        self._clients.append(transport)
        return Client(transport, clock=self.clock, entropy=entropy)

    @property
    def serves(self) -> bool:
        """Whether the API server is up and past its start."""
        return self._server is not None and self._serving is self._server

    @property
    def history(self) -> Sequence[Event]:
        """Every change that was ever committed; it grows while the cluster lives, and stays readable afterwards."""
        return self._disk.history

    @property
    def kinds(self) -> Sequence[Resource]:
        """Every resource that is stored."""
        return tuple(self._kinds)

    def get(self, resource: Resource, name: str, namespace: str = "default") -> Object | None:
        """The object as it is, past every fault and without a request; a fresh copy."""
        kind = self._kinds[resource]
        entry = self._disk.entries.get(kind.key(namespace, name))
        return None if entry is None else kind.object(entry)

    def list(self, resource: Resource, namespace: str = "") -> Sequence[Object]:
        """All objects (of one namespace), by name; see `get`."""
        kind = self._kinds[resource]
        scope, entries = kind.scope(namespace), self._disk.entries
        return [kind.object(entries[key]) for key in sorted(key for key in entries if key.startswith(scope))]

    async def until(self, condition: Callable[[], T | Awaitable[T]], within_s: float = 60.0, *, every_s: float = 0.1) -> T:
        """Let time pass until `condition()` (which may be async) gives something true, and return that.

        It is asked every `every_s` virtual seconds. Raises `NotInTime`.
        """
        deadline_s = self.clock.monotonic() + within_s
        while True:
            found = condition()
            if inspect.isawaitable(found):
                found = await found
            if found:
                return found
            if self.clock.monotonic() >= deadline_s:
                recent = "".join(f"\n  {event}" for event in self.history[-10:])
                raise NotInTime(f"not within {within_s:g} s: {_described(condition)}; the last that was written:{recent}")
            await self.clock.sleep(every_s)

    async def passes(self, seconds: float) -> None:
        """Let so much time pass."""
        await self.clock.sleep(seconds)

    def check(self) -> None:
        """Raise AssertionError unless the history, the disk, the store and what the API server serves agree."""
        assert state_after(self.history) == {key: entry.value for key, entry in self._disk.entries.items()}
        if self._server is not None and self._serving is self._server:
            for kind in self._server.kinds.values():
                served = kind.table.entries
                assert served == {key: entry for key, entry in self._disk.entries.items() if key.startswith(kind.prefix)}


def _is_up(node: Object) -> bool:
    ready = condition((node.get("status") or {}).get("conditions"), "Ready")
    return ready is not None and ready["status"] == "True"


def _described(condition: Callable[..., object]) -> str:
    code = getattr(condition, "__code__", None)
    where = f" ({code.co_filename}:{code.co_firstlineno})" if code is not None else ""
    return f"{getattr(condition, '__qualname__', repr(condition))}{where}"


def simulate(scenario: Callable[[SimulatedCluster], Coroutine[Any, Any, T]], *, seed: int = 0, **setup: Any) -> T:
    """Run `scenario(cluster)` in a cluster of its own, and return what it returns. Further arguments: see `Setup`.

    The same seed and scenario give the same history, event by event. What is raised names the seed and the virtual time.
    """

    async def main(clock: VirtualClock) -> T:
        try:
            async with SimulatedCluster(seed=seed, setup=Setup(**setup)) as cluster:
                return await scenario(cluster)
        except Exception as error:
            error.add_note(f"simulated with seed {seed}, at {clock.monotonic():.3f} s")
            raise

    # The objects of a cluster are many and live long: looking through all of them for cycles takes a fifth of the time.
    thresholds = gc.get_threshold()
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        return virtual_time.run(main)
    finally:
        gc.set_threshold(*thresholds)
