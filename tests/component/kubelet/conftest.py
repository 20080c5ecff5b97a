"""A containerd of our own, a network namespace of our own, the real API server in this process: and a kubelet between them."""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pybernetes.apiserver.authentication import Options as Authentication
from pybernetes.apiserver.config import Config
from pybernetes.apiserver.server import ApiServer
from pybernetes.cli import images
from pybernetes.cli.containerd import PAUSE_IMAGE, may_lower_oom_score
from pybernetes.client.rest import Client
from pybernetes.client.transport import InProcessTransport
from pybernetes.kubelet.configuration import Configuration
from pybernetes.kubelet.cri.client import Runtime
from pybernetes.kubelet.kubelet import Kubelet
from pybernetes.kubelet.volumes.mounts import mounts_below, unmount_below
from pybernetes.machinery import errors, pki
from pybernetes.machinery.clock import SystemClock
from pybernetes.machinery.entropy import SystemEntropy
from pybernetes.machinery.meta import Object, condition
from pybernetes.machinery.resources import CONFIG_MAPS, EVENTS, NAMESPACES, NODES, PODS, SERVICE_ACCOUNTS
from pybernetes.store.embedded import EmbeddedStore, MemoryLog

NODE = "node-1"
POD_CIDR = "10.244.77.0/24"
CLONE_NEWNET = 0x40000000
IMAGE = images.BUSYBOX_IMAGE

missing = [name for name in ("containerd", "runc", "nft", "busybox") if shutil.which(name) is None]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """These come last: threads that others have started before (gRPC's) are not in the namespace, and reach nothing in it."""
    here = Path(__file__).parent
    items.sort(key=lambda item: here in item.path.parents)


@pytest.fixture(scope="package")
def own_network() -> Iterator[None]:
    """Run in a network namespace: the pods' bridge must not meet another cluster's on this machine."""
    if missing or os.geteuid() != 0:
        pytest.skip(f"needs root and {', '.join(missing) or 'nothing else'}")
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/self/ns/net", os.O_RDONLY)
    if libc.unshare(CLONE_NEWNET) != 0:
        pytest.skip("cannot make a network namespace")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    yield
    libc.setns(before, CLONE_NEWNET)
    os.close(before)


@dataclass
class Containerd:
    directory: Path
    process: subprocess.Popen[bytes] | None = None
    env: dict[str, str] = field(default_factory=dict)

    @property
    def socket(self) -> Path:
        return self.directory / "containerd.sock"

    @property
    def cni_conf(self) -> Path:
        return self.directory / "cni"

    def start(self) -> None:
        log = (self.directory / "containerd.log").open("ab")
        self.process = subprocess.Popen(["containerd", "--config", str(self.directory / "config.toml")], stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        while subprocess.run(["ctr", "-a", str(self.socket), "version"], capture_output=True, check=False).returncode:
            if time.monotonic() > deadline:
                raise RuntimeError((self.directory / "containerd.log").read_text()[-2000:])
            time.sleep(0.05)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)
            self.process = None


@pytest.fixture(scope="package")
def containerd(own_network: None) -> Iterator[Containerd]:
    directory = Path(tempfile.mkdtemp(prefix="pyb-kubelet-"))
    daemon = Containerd(directory)
    daemon.cni_conf.mkdir()
    (directory / "config.toml").write_text(f"""\
version = 2
root = "{directory}/root"
state = "{directory}/state"
[grpc]
  address = "{daemon.socket}"
[ttrpc]
  address = "{daemon.socket}.ttrpc"
[plugins."io.containerd.internal.v1.opt"]
  path = "{directory}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = {str(not may_lower_oom_score()).lower()}
  netns_mounts_under_state_dir = true
  disable_apparmor = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{daemon.cni_conf}"
""")
    daemon.start()
    archive = directory / "images.tar"
    archive.write_bytes(images.archive(images.IMAGES, Path(shutil.which("busybox") or "").read_bytes()))
    subprocess.run(["ctr", "-a", str(daemon.socket), "-n", "k8s.io", "images", "import", str(archive)], check=True,
                   capture_output=True)  # fmt: skip
    yield daemon
    if daemon.process is None:
        daemon.start()
    asyncio.run(_remove_all(daemon))
    daemon.stop()
    unmount_below(directory)
    shutil.rmtree(directory, ignore_errors=True)
    shutil.rmtree("/var/lib/cni/networks/pybernetes", ignore_errors=True)
    subprocess.run(["ip", "link", "delete", "cni0"], capture_output=True, check=False)


async def _remove_all(daemon: Containerd) -> None:
    runtime = Runtime(str(daemon.socket))
    for sandbox in await runtime.list_sandboxes():
        await runtime.stop_sandbox(sandbox.id)
        await runtime.remove_sandbox(sandbox.id)
    await runtime.close()


def is_ready(pod: Object) -> bool:
    found = condition((pod.get("status") or {}).get("conditions"), "Ready")
    return found is not None and found["status"] == "True"


def pod(name: str, *containers: Object, **spec: Any) -> Object:
    """A pod bound to our node; by default one container that sleeps and ends quickly when asked to."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"nodeName": NODE, "terminationGracePeriodSeconds": 1, "containers": list(containers) or [container()], **spec},
    }


def container(script: str = "trap 'exit 0' TERM; while :; do sleep 0.1; done", name: str = "main", **fields: Any) -> Object:
    return {"name": name, "image": IMAGE, "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", script], **fields}


class Cluster:
    """The API server and what a scenario does with it."""

    pod = staticmethod(pod)
    container = staticmethod(container)

    def __init__(self, server: ApiServer, directory: Path) -> None:
        self.server = server
        self.directory = directory
        self.containerd: Containerd | None = None
        self.clock = SystemClock()
        self.entropy = SystemEntropy()
        self.admin = self.client("admin")
        self.kubelet: Kubelet | None = None
        self._task: asyncio.Task[None] | None = None
        self._runtime: Runtime | None = None

    def client(self, token: str) -> Client:
        transport = InProcessTransport(self.server.handle, headers={"authorization": f"Bearer {token}"})
        return Client(transport, clock=self.clock, entropy=self.entropy)

    @property
    def kubelet_runs(self) -> bool:
        return self._task is not None

    async def start_kubelet(self, **changes: Any) -> Kubelet:
        assert self.containerd is not None
        settings = {
            "root_dir": str(self.directory / "kubelet"),
            "cert_dir": str(self.directory / "kubelet/pki"),
            "pod_logs_dir": str(self.directory / "logs"),
            "cgroup_root": f"/pyb-test-{os.getpid()}",
            "cni_conf_dir": str(self.containerd.cni_conf),
            "cluster_dns": ("10.96.0.10",),
            "cluster_domain": "cluster.local",
            "host_name": NODE,
            "node_ip": "127.0.0.1",
        }
        configuration = Configuration(**{**settings, **changes})
        self._runtime = Runtime(str(self.containerd.socket))
        self.kubelet = Kubelet(self.client("node"), self._runtime, configuration, clock=self.clock, entropy=self.entropy)
        self._task = asyncio.create_task(self.kubelet.run())
        return self.kubelet

    async def stop_kubelet(self) -> None:
        if self._task is not None and self._runtime is not None:
            self._task.cancel()
            try:
                await self._task
            except asyncio.CancelledError:
                pass
            await self._runtime.close()
            self._task = None

    async def node_ready(self) -> None:
        async def node() -> Object | None:
            try:
                return await self.admin.get(NODES, NODE)
            except errors.NotFound:
                return None

        found = await self.until(node)
        if not found["spec"].get("podCIDR"):
            await self.admin.patch(NODES, NODE, "", {"spec": {"podCIDR": POD_CIDR, "podCIDRs": [POD_CIDR]}})

        async def ready() -> bool:
            found = await node()
            return found is not None and (condition(found["status"]["conditions"], "Ready") or {}).get("status") == "True"

        await self.until(ready)

    async def until(self, check: Callable[[], Awaitable[Any]], within_s: float = 30, what: str = "") -> Any:
        """Poll quickly; gives what the check gave."""
        deadline = self.clock.monotonic() + within_s
        while self.clock.monotonic() < deadline:
            if self._task is not None and self._task.done():
                self._task.result()
            found = await check()
            if found:
                return found
            await asyncio.sleep(0.01)
        raise AssertionError(f"not within {within_s} s: {what or check.__name__}")

    async def create(self, pod: Object) -> Object:
        return await self.admin.create(PODS, pod)

    async def get(self, name: str) -> Object | None:
        try:
            return await self.admin.get(PODS, name, "default")
        except errors.NotFound:
            return None

    async def pod_until(self, name: str, check: Callable[[Object], Any], within_s: float = 30) -> Object:
        pod: Object | None = None

        async def matches() -> Object | None:
            nonlocal pod
            pod = await self.get(name)
            return pod if pod is not None and check(pod) else None

        try:
            found: Object = await self.until(matches, within_s)
        except AssertionError:
            events = [f"{event['reason']}: {event['message']}" for event in await self.events(name)]
            raise AssertionError(f"pod {name} is {(pod or {}).get('status')}\n{events}") from None
        return found

    async def ready(self, name: str, within_s: float = 30) -> Object:
        return await self.pod_until(name, is_ready, within_s)

    async def gone(self, name: str, within_s: float = 40) -> None:
        async def absent() -> bool:
            return await self.get(name) is None

        await self.until(absent, within_s, f"{name} gone")

    async def events(self, name: str) -> list[Object]:
        found = await self.admin.list(EVENTS, "default", field_selector=f"involvedObject.name={name}")
        return list(found["items"])

    async def logs(self, name: str, container: str = "main") -> str:
        from pybernetes.kubelet.server.logs import text_of

        pod = await self.get(name)
        assert pod is not None
        directory = self.directory / "logs" / f"default_{name}_{pod['metadata']['uid']}" / container
        newest = max(directory.iterdir(), key=lambda path: int(path.stem))
        return b"".join(text_of(line) for line in newest.read_bytes().splitlines()).decode()


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Cluster]:
    """The API server alone."""
    tokens = tmp_path / "tokens.csv"
    tokens.write_text(f'admin,admin,1,"system:masters"\nnode,system:node:{NODE},2,"system:nodes"\n')
    key = tmp_path / "sa.key"
    pki.write_private(key, pki.new_key_pem())
    clock, entropy = SystemClock(), SystemEntropy()
    store = await EmbeddedStore.open(MemoryLog(), clock=clock, entropy=entropy)
    authentication = Authentication(
        token_auth_file=tokens,
        service_account_issuer=("https://kubernetes.default.svc.cluster.local",),
        service_account_key_file=(key,),
        service_account_signing_key_file=key,
    )
    server = ApiServer(store, clock=clock, entropy=entropy, config=Config(authentication=authentication))
    running = asyncio.create_task(server.run())
    found = Cluster(server, tmp_path)

    async def prepared() -> bool:
        try:
            await found.admin.get(NAMESPACES, "default")
        except (errors.NotFound, errors.ServiceUnavailable):
            return False
        return True

    await found.until(prepared)
    yield found
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await server.close()
    await store.close()


@pytest.fixture
async def cluster(api: Cluster, containerd: Containerd, tmp_path: Path) -> AsyncIterator[Cluster]:
    """A node that is ready; whatever a test leaves on it is removed, and must be removable."""
    api.containerd = containerd
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "default"}}
    await api.admin.create(SERVICE_ACCOUNTS, account)
    roots = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kube-root-ca.crt", "namespace": "default"},
             "data": {"ca.crt": "a root"}}  # fmt: skip
    await api.admin.create(CONFIG_MAPS, roots)
    await api.start_kubelet()
    await api.node_ready()
    yield api
    for item in (await api.admin.list(PODS))["items"]:
        await api.admin.delete(PODS, item["metadata"]["name"], item["metadata"]["namespace"], grace_period_s=0)
    if not api.kubelet_runs:
        await api.start_kubelet()

    async def empty() -> bool:
        assert api.kubelet is not None
        left = api.kubelet.workers.active_pods() or api.kubelet.shared.cgroups.pod_uids()
        return not left and not await api.kubelet.runtime.list_sandboxes()

    await api.until(empty, 20)
    assert api.kubelet is not None
    assert not mounts_below(tmp_path), "volumes of removed pods are still mounted"
    await api.stop_kubelet()
    api.kubelet.shared.cgroups.tear_down()
