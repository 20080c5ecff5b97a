"""kopf, a framework for operators, run as its users run it: handlers, daemons, timers, finalizers, peering, webhooks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pybernetes.machinery import pki
from pybernetes.machinery.clock import SystemClock
from tests.component.clients.cluster import Cluster
from tests.component.store.etcd_server import free_port

OPERATOR = Path(__file__).with_name("bakery.py")
ANYTHING = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def definition(group: str, plural: str, kind: str, *, status: bool) -> dict[str, Any]:
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": ANYTHING}}
    return {
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group, "scope": "Namespaced", "names": {"plural": plural, "singular": kind.lower(), "kind": kind},
            "versions": [{**version, **({"subresources": {"status": {}}} if status else {})}],
        },
    }  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def kinds(cluster: Cluster) -> Iterator[None]:
    made = [
        definition("bakeries.example.com", "bakeries", "Bakery", status=False),
        definition("kopf.dev", "kopfpeerings", "KopfPeering", status=False),
    ]
    for body in made:
        assert cluster.request("POST", DEFINITIONS, body)[0] == 201
        group, plural = body["spec"]["group"], body["spec"]["names"]["plural"]
        cluster.until(lambda path=f"/apis/{group}/v1/{plural}": cluster.request("GET", path)[0] == 200)
    yield
    for body in made:
        cluster.request("DELETE", f"{DEFINITIONS}/{body['metadata']['name']}")


@contextmanager
def operator(cluster: Cluster, namespace: str, *flags: str, **environment: str) -> Iterator[None]:
    command = [sys.executable, "-m", "kopf", "run", "-n", namespace, *flags, str(OPERATOR)]
    log = cluster.directory / f"kopf-{namespace}.log"
    with log.open("ab") as file:
        process = subprocess.Popen(command, env=cluster.environment(**environment), stdout=file, stderr=file)
    try:
        yield
        assert process.poll() is None, log.read_text()
    finally:
        process.terminate()
        process.wait(20)


class Bakery:
    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster = cluster
        self.collection = f"/apis/bakeries.example.com/v1/namespaces/{namespace}/bakeries"
        self.path = f"{self.collection}/b"
        self._events = f"/api/v1/namespaces/{namespace}/events"

    def create(self, loaves: int) -> tuple[int, bytes, dict[str, str]]:
        body = {
            "apiVersion": "bakeries.example.com/v1", "kind": "Bakery", "metadata": {"name": "b"}, "spec": {"loaves": loaves},
        }  # fmt: skip
        return self._cluster.request("POST", self.collection, body)

    def patch(self, change: Any) -> int:
        headers = {"Content-Type": "application/merge-patch+json"}
        return self._cluster.request("PATCH", self.path, change, **headers)[0]

    def get(self) -> Any:
        return self._cluster.get(self.path)

    def until_status(self, **wanted: Any) -> None:
        self._cluster.until(lambda: wanted.items() <= (self.get().get("status") or {}).items())

    def reasons(self) -> set[str]:
        return {event["reason"] for event in self._cluster.get(self._events)["items"]}


def test_an_operator_keeps_its_objects_through_their_lives(cluster: Cluster, namespace: str) -> None:
    bakery = Bakery(cluster, namespace)
    assert bakery.create(3)[0] == 201  # before the operator is there
    with operator(cluster, namespace, "--standalone"):
        bakery.until_status(create={"oven": f"{namespace}/b"}, oven="hot", ticks=2)
        assert bakery.get()["metadata"]["finalizers"] == ["bakeries.example.com/kopf"]
        assert bakery.patch({"spec": {"loaves": 5}}) == 200
        bakery.until_status(baked={"before": 3, "now": 5, "tries": 2})
        assert cluster.request("DELETE", bakery.path)[0] == 200
        cluster.until(lambda: cluster.request("GET", bakery.path)[0] == 404)
        cluster.until(lambda: {"Baking", "Closed"} <= bakery.reasons())


def test_operators_tell_each_other_by_peering_who_is_to_work(cluster: Cluster, namespace: str) -> None:
    peering = f"/apis/kopf.dev/v1/namespaces/{namespace}/kopfpeerings"
    body = {"apiVersion": "kopf.dev/v1", "kind": "KopfPeering", "metadata": {"name": "bakers"}}
    assert cluster.request("POST", peering, body)[0] == 201
    bakery = Bakery(cluster, namespace)
    with operator(cluster, namespace, "--peering=bakers", "--priority=1"):
        cluster.until(lambda: len(cluster.get(f"{peering}/bakers").get("status") or {}) == 1)
        assert bakery.create(3)[0] == 201
        bakery.until_status(oven="hot")
    cluster.until(lambda: not cluster.get(f"{peering}/bakers").get("status"))  # it says goodbye
    bakery.patch({"metadata": {"finalizers": None}})


def test_an_operators_webhooks_are_asked(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    authority = pki.Authority(cluster.authority.read_bytes(), (cluster.pki / "ca.key").read_bytes())
    serving = authority.issue("kopf", (), [], ["127.0.0.1"], usages=pki.SERVER, now=SystemClock().now())
    serving.save(tmp_path / "tls.crt", tmp_path / "tls.key")
    bakery = Bakery(cluster, namespace)
    environment = {
        "WEBHOOK_PORT": str(free_port()), "WEBHOOK_CERTIFICATE": str(tmp_path / "tls.crt"),
        "WEBHOOK_KEY": str(tmp_path / "tls.key"), "WEBHOOK_AUTHORITY": str(cluster.authority),
    }  # fmt: skip
    configurations = "/apis/admissionregistration.k8s.io/v1"
    try:
        with operator(cluster, namespace, "--standalone", **environment):
            for kind in ("validatingwebhookconfigurations", "mutatingwebhookconfigurations"):
                path = f"{configurations}/{kind}/bakeries.example.com"
                cluster.until(lambda path=path: bool(cluster.get(path).get("webhooks")))
            status, answer, _ = bakery.create(101)
            assert (status, b"too many loaves" in answer) == (422, True)
            status, _, headers = bakery.create(3)
            assert (status, headers.get("Warning")) == (201, '299 - "bread is heavy"')
            assert bakery.get()["spec"] == {"loaves": 3, "flour": "rye"}
            bakery.until_status(oven="hot")
    finally:
        for kind in ("validatingwebhookconfigurations", "mutatingwebhookconfigurations"):
            cluster.request("DELETE", f"{configurations}/{kind}/bakeries.example.com")
        bakery.patch({"metadata": {"finalizers": None}})
