"""What pods say of themselves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from pybernetes.machinery import pods
from pybernetes.machinery.entropy import NAME_ALPHABET

NOW = datetime(2026, 1, 1, 0, 1, tzinfo=UTC)


def pod(**changes: Any) -> dict[str, Any]:
    """Ready for a minute."""
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    ports = [{"name": "http", "containerPort": 8080}]
    spec = {"containers": [{"name": "c", "ports": ports}], **changes.get("spec", {})}
    return {"metadata": {}, "spec": spec, "status": {"phase": "Running", "conditions": [ready], **changes.get("status", {})}}


def test_a_pod_is_available_once_it_has_been_ready_for_long_enough() -> None:
    assert pods.is_available(pod(), 60, NOW)
    assert not pods.is_available(pod(), 61, NOW)
    assert pods.available_in(pod(), 90, NOW) == timedelta(seconds=30)
    assert pods.available_in(pod(status={"conditions": []}), 0, NOW) is None


def test_a_named_target_port_is_looked_up_with_its_protocol() -> None:
    assert pods.find_port(pod(), {"port": 80, "targetPort": "http"}) == 8080
    assert pods.find_port(pod(), {"port": 80, "targetPort": "http", "protocol": "UDP"}) is None
    assert pods.find_port(pod(), {"port": 80, "targetPort": 81}) == 81
    assert pods.find_port(pod(), {"port": 80}) == 80


def test_only_sidecars_among_init_containers_serve_ports() -> None:
    port = [{"name": "admin", "containerPort": 9000}]
    sidecar = {"name": "s", "restartPolicy": "Always", "ports": port}
    assert pods.find_port(pod(spec={"initContainers": [sidecar]}), {"port": 1, "targetPort": "admin"}) == 9000
    assert (
        pods.find_port(pod(spec={"initContainers": [{"name": "i", "ports": port}]}), {"port": 1, "targetPort": "admin"}) is None
    )


def test_a_template_hash_is_stable_safe_and_differs_by_collision_count() -> None:
    one, same = {"a": 1, "b": [2]}, {"b": [2], "a": 1}
    assert pods.template_hash(one) == pods.template_hash(same)
    assert pods.template_hash(one) != pods.template_hash(one, 1)
    assert set(pods.template_hash(one)) <= set(NAME_ALPHABET)
