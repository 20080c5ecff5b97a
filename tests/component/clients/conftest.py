"""One cluster of real processes for all tests of stock clients; each test has a namespace of its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.component.clients.cluster import Cluster, Result
from tools import install_clients

Run = Callable[..., Result]


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster")) as made:
        yield made


_numbers = itertools.count(1)


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    name = f"test-{next(_numbers)}"
    assert cluster.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})[0] == 201
    # Pods that come before it are refused.
    cluster.until(lambda: cluster.get(f"/api/v1/namespaces/{name}/serviceaccounts/default").get("kind") == "ServiceAccount")
    yield name
    cluster.request("DELETE", f"/api/v1/namespaces/{name}")


def installed(name: str, program: str) -> Path:
    path = install_clients.tool(name, program)
    assert path.exists(), f"{path} is missing: run tools/setup dev"
    return path


def runner(cluster: Cluster, namespace: str, program: Path) -> Run:
    """Runs it in `namespace`; fails the test where it fails, unless `fails` says that it should."""
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    config["contexts"][0]["context"]["namespace"] = namespace
    path = cluster.directory / f"{namespace}.kubeconfig"
    path.write_text(yaml.safe_dump(config))

    def run(*words: str, stdin: str = "", fails: bool = False, **environment: str) -> Result:
        result = cluster.call([str(program), *words], stdin=stdin, **{"KUBECONFIG": str(path), **environment})
        assert (result.code != 0) is fails, f"{' '.join(words)}: exit {result.code}\n{result.out}{result.err}"
        return result

    return run


@pytest.fixture
def kubectl(cluster: Cluster, namespace: str) -> Run:
    """kubectl of our own version."""
    return runner(cluster, namespace, installed("kubectl-1.36", "kubectl"))


@pytest.fixture
def old_kubectl(cluster: Cluster, namespace: str) -> Run:
    return runner(cluster, namespace, installed("kubectl-1.24", "kubectl"))


@pytest.fixture(params=["kubectl", "old_kubectl"])
def any_kubectl(request: pytest.FixtureRequest) -> Run:
    found: Run = request.getfixturevalue(request.param)
    return found
