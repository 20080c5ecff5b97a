"""@kubernetes/client-node: objects, patches, errors, informers, watches, and WebSockets of versions 4 and 5."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.component.clients.cluster import Cluster
from tests.component.clients.conftest import Run
from tools import install_clients

Node = Callable[[str], Any]


@pytest.fixture
def node(cluster: Cluster, namespace: str, tmp_path: Path) -> Node:
    modules = install_clients.node_modules()
    assert modules.exists(), f"{modules} is missing: run tools/setup dev"
    # A module is looked for beside who imports it.
    (tmp_path / "node_modules").symlink_to(modules)
    program = shutil.copy(install_clients.NODE_PROJECT / "client.mjs", tmp_path)

    def run(part: str) -> Any:
        result = cluster.call(["node", str(program), part, namespace], NODE_EXTRA_CA_CERTS=str(cluster.authority))
        assert result.code == 0, result.err
        return json.loads(result.out)

    return run


def test_objects_are_made_changed_and_missed(node: Node) -> None:
    seen = node("objects")
    assert seen == {
        "created": [{"x": "1"}, True],
        "replaced": {"x": "1", "y": "2"},
        "conflict": [409, "Conflict"],
        "missing": [404, "NotFound"],
        "invalid": [422, "Invalid"],
        "patched": [
            {"x": "3", "y": "2"}, {"x": "3"}, {"x": "3", "z": "4"}, {"x": "3", "z": "4", "w": "5"},
        ],
        "listed": 1,
        "any": ["RollingUpdate", True],
    }  # fmt: skip


def test_informers_and_watches_tell_what_happens(node: Node) -> None:
    seen = node("watches")
    assert seen["informer"] == ["add", "update", "delete"]
    assert seen["watch"] == [[["MODIFIED", "one"], ["DELETED", "one"]], None]
    assert seen["broken"][1] == 422


def test_exec_attach_port_forward_and_logs(kubectl: Run, node: Node) -> None:
    kubectl("run", "p", "--image=busybox")
    kubectl("wait", "pod", "p", "--for=condition=Ready", "--timeout=20s")
    assert node("streams") == {
        "exec": ["got this\n", "oops\n", "4"],
        "attach": "echo?\n",
        "forwarded": "re: ping",
        "log": "line 4\n",
    }
