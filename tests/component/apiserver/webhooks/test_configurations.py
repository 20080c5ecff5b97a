"""Webhook configurations as they come, change and go; and what is only connected to.

Conformance: AdmissionWebhook (`test/e2e/apimachinery/webhook.go`).
"""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1"
MAPS = "/api/v1/namespaces/default/configmaps"
MERGE = "application/merge-patch+json"
PATCH = base64.b64encode(json.dumps([{"op": "add", "path": "/data/mutated", "value": "yes"}]).encode()).decode()
ANSWERS: dict[str, Any] = {
    "mutating": lambda _: {"allowed": True, "patch": PATCH, "patchType": "JSONPatch"},
    "validating": lambda _: {"allowed": False, "status": {"message": "no"}},
}


async def concerns(server: Any, kind: str, name: str) -> bool:
    """Whether the hooks are asked when a ConfigMap is created; it is taken away again."""
    answer = await server.ask("POST", MAPS, {"metadata": {"name": name}, "data": {"a": "b"}})
    await server.ask("DELETE", f"{MAPS}/{name}")
    if kind == "validating":
        return bool(answer["kind"] == "Status" and "denied the request: no" in answer["message"])
    return "mutated" in answer["data"]


@pytest.mark.parametrize("kind", ["mutating", "validating"])
async def test_configurations_are_listed_and_deleted_together(server: Any, hooks: Any, kind: str):
    """Listing mutating (validating) webhooks should work."""
    path = f"{CONFIGURATIONS}/{kind}webhookconfigurations"
    hooks.answers["/hook"] = ANSWERS[kind]
    for number in range(10):
        metadata = {"name": f"hook-{number}", "labels": {"e2e": "list"}}
        made = await server.ask("POST", path, {"metadata": metadata, "webhooks": [hooks.webhook("/hook")]})
        assert made["metadata"]["generation"] == 1, made
    selected = f"{path}?labelSelector=e2e%3Dlist"
    assert len((await server.ask("GET", selected))["items"]) == 10
    assert await concerns(server, kind, "before")
    assert (await server.send("DELETE", selected)).status == 200
    assert (await server.ask("GET", selected))["items"] == []
    assert not await concerns(server, kind, "after")


@pytest.mark.parametrize("kind", ["mutating", "validating"])
async def test_a_configuration_counts_as_it_was_last_written(server: Any, hooks: Any, kind: str):
    """Patching/updating a mutating (validating) webhook should work."""
    path = f"{CONFIGURATIONS}/{kind}webhookconfigurations"
    hooks.answers["/hook"] = ANSWERS[kind]
    made = await server.ask("POST", path, {"metadata": {"name": "hook"}, "webhooks": [hooks.webhook("/hook")]})
    assert await concerns(server, kind, "first")
    made["webhooks"][0]["rules"][0]["operations"] = ["UPDATE"]
    updated = await server.ask("PUT", f"{path}/hook", made)
    assert updated["metadata"]["generation"] == 2, updated
    assert not await concerns(server, kind, "second")
    updated["webhooks"][0]["rules"][0]["operations"] = ["CREATE"]
    await server.ask("PATCH", f"{path}/hook", {"webhooks": updated["webhooks"]}, content_type=MERGE)
    assert await concerns(server, kind, "third")


async def test_nobody_attaches_to_a_pod_if_a_hook_says_no(server: Any, hooks: Any, configure: Any):
    """Should be able to deny attaching pod."""
    container = {"name": "c", "image": "i"}
    await server.ask(
        "POST", "/api/v1/namespaces/default/pods", {"metadata": {"name": "p"}, "spec": {"containers": [container]}}
    )
    hooks.answers["/hook"] = lambda _: {"allowed": False, "status": {"message": "attaching to pod 'p' is not allowed"}}
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods/attach"], "operations": ["CONNECT"]}
    await configure("Validating", hooks.webhook("/hook", rules=[rule]))
    answer = await server.ask("POST", "/api/v1/namespaces/default/pods/p/attach?container=c&stdin=true")
    assert "denied the request: attaching to pod 'p' is not allowed" in answer["message"]
    (asked,) = hooks.of("/hook")
    assert (asked["operation"], asked["subResource"], asked["object"]["kind"]) == ("CONNECT", "attach", "PodAttachOptions")
