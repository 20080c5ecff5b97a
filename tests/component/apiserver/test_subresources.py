"""Subresources with a meaning of their own."""

from __future__ import annotations

from typing import Any

import pytest

PODS = "/api/v1/namespaces/default/pods"
MERGE = "application/merge-patch+json"


@pytest.fixture
async def pod(server: Any) -> dict[str, Any]:
    body = {"metadata": {"name": "p", "labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    made: dict[str, Any] = await server.ask("POST", PODS, body)
    return made


def binding(node: str, **metadata: str) -> dict[str, Any]:
    return {
        "kind": "Binding",
        "apiVersion": "v1",
        "metadata": {"name": "p", **metadata},
        "target": {"kind": "Node", "name": node},
    }


async def test_a_binding_assigns_a_pod_once(server: Any, pod: dict[str, Any]) -> None:
    assert (await server.send("POST", f"{PODS}/p/binding", binding("n1"))).status == 201
    bound = await server.ask("GET", f"{PODS}/p")
    assert bound["spec"]["nodeName"] == "n1"
    [scheduled] = [found for found in bound["status"]["conditions"] if found["type"] == "PodScheduled"]
    assert scheduled["status"] == "True"
    again = await server.ask("POST", f"{PODS}/p/binding", binding("n2"))
    assert (again["code"], again["message"]) == (
        409, 'Operation cannot be fulfilled on pods/binding "p": pod p is already assigned to node "n1"',
    )  # fmt: skip


async def test_a_binding_for_another_pod_of_that_name_is_refused(server: Any, pod: dict[str, Any]) -> None:
    assert (await server.send("POST", "/api/v1/namespaces/default/bindings", binding("n1", uid="other"))).status == 409
    fitting = binding("n1", uid=pod["metadata"]["uid"])
    assert (await server.send("POST", "/api/v1/namespaces/default/bindings", fitting)).status == 201


async def test_an_eviction_spends_the_budget_and_is_refused_without(server: Any, pod: dict[str, Any]) -> None:
    await server.ask("PATCH", f"{PODS}/p/status", {"status": {"phase": "Running"}}, content_type=MERGE)
    budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "a"}}}
    made = await server.ask("POST", budgets, {"metadata": {"name": "b"}, "spec": spec})
    eviction = {"kind": "Eviction", "apiVersion": "policy/v1", "metadata": {"name": "p"}}
    assert (await server.send("POST", f"{PODS}/p/eviction", eviction)).status == 429
    allowed = {
        "disruptionsAllowed": 1, "currentHealthy": 2, "desiredHealthy": 1, "expectedPods": 2,
        "observedGeneration": made["metadata"]["generation"],
    }  # fmt: skip
    await server.ask("PATCH", f"{budgets}/b/status", {"status": allowed}, content_type=MERGE)
    assert (await server.send("POST", f"{PODS}/p/eviction", eviction)).status == 201
    assert (await server.ask("GET", f"{budgets}/b"))["status"]["disruptionsAllowed"] == 0
    assert (await server.send("GET", f"{PODS}/p")).status == 404  # it was on no node: gone at once


async def test_scale_is_a_view_of_the_object(server: Any) -> None:
    template = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": "a"}}, "template": template}
    base = "/apis/apps/v1/namespaces/default/deployments"
    await server.ask("POST", base, {"metadata": {"name": "d"}, "spec": spec})
    scale = await server.ask("PATCH", f"{base}/d/scale", {"spec": {"replicas": 3}}, content_type=MERGE)
    assert (scale["kind"], scale["spec"], scale["status"]) == ("Scale", {"replicas": 3}, {"replicas": 0, "selector": "app=a"})
    deployment = await server.ask("GET", f"{base}/d")
    assert (deployment["spec"]["replicas"], deployment["metadata"]["generation"]) == (3, 2)


async def test_a_token_is_issued_and_is_good(server: Any) -> None:
    issued = await server.ask("POST", "/api/v1/namespaces/default/serviceaccounts/default/token", {"spec": {}})
    token = issued["status"]["token"]
    review = await server.ask("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, authorization=f"Bearer {token}")
    assert review["status"]["userInfo"]["username"] == "system:serviceaccount:default:default"


async def test_status_is_written_through_its_own_door_alone(server: Any, pod: dict[str, Any]) -> None:
    await server.ask("PATCH", f"{PODS}/p", {"status": {"phase": "Running"}}, content_type=MERGE)
    assert (await server.ask("GET", f"{PODS}/p"))["status"]["phase"] == "Pending"
    body = {"status": {"phase": "Running"}, "spec": {"activeDeadlineSeconds": 5}}
    changed = await server.ask("PATCH", f"{PODS}/p/status", body, content_type=MERGE)
    assert changed["status"]["phase"] == "Running"
    assert "activeDeadlineSeconds" not in changed["spec"]


async def test_server_side_apply_in_cbor_is_refused(server: Any, pod: dict[str, Any]) -> None:
    answer = await server.ask("PATCH", f"{PODS}/p?fieldManager=m", {}, content_type="application/apply-patch+cbor")
    assert (answer["code"], answer["reason"]) == (415, "UnsupportedMediaType")
