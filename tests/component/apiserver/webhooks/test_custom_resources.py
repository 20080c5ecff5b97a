"""Admission webhooks and custom resources.

Conformance: AdmissionWebhook (`test/e2e/apimachinery/webhook.go`), its tests of custom resources and their definitions.
"""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
WIDGETS = "/apis/example.com/{}/namespaces/default/widgets"
MERGE = "application/merge-patch+json"
DATA: Any = {"type": "object", "properties": {"data": {"type": "object", "additionalProperties": {"type": "string"}}}}


def version(name: str, *, storage: bool, schema: Any = DATA) -> Any:
    return {"name": name, "served": True, "storage": storage, "schema": {"openAPIV3Schema": schema}}


def definition(*versions: Any) -> Any:
    return {
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
            "versions": list(versions or (version("v1", storage=True),)),
        },
    }  # fmt: skip


async def define(server: Any, *versions: Any) -> None:
    await server.ask("POST", DEFINITIONS, definition(*versions))
    async with asyncio.timeout(5):
        while (await server.send("GET", WIDGETS.format("v1"))).status != 200:
            await asyncio.sleep(0.002)


def wants(resource: str, *versions: str, group: str = "example.com", operations: Any = ("CREATE", "UPDATE")) -> Any:
    rule = {"apiGroups": [group], "apiVersions": list(versions), "resources": [resource], "operations": list(operations)}
    return {"rules": [rule], "namespaceSelector": {}}


def patching(*operations: Any) -> Any:
    patch = base64.b64encode(json.dumps(operations).encode()).decode()
    return lambda _: {"allowed": True, "patch": patch, "patchType": "JSONPatch"}


def adds(key: str) -> Any:
    return {"op": "add", "path": f"/data/{key}", "value": "yes"}


async def test_a_hook_that_adds_what_the_schema_does_not_know_adds_nothing(server: Any, hooks: Any, configure: Any):
    """Should mutate custom resource with pruning."""
    known = {"type": "object", "properties": {"data": {"type": "object", "properties": {
        "start": {"type": "string"}, "stage-1": {"type": "string"},
    }}}}  # fmt: skip
    await define(server, version("v1", storage=True, schema=known))
    hooks.answers["/one"], hooks.answers["/two"] = patching(adds("stage-1")), patching(adds("stage-2"))
    await configure(
        "Mutating", hooks.webhook("/one", **wants("widgets", "v1")), hooks.webhook("/two", **wants("widgets", "v1"))
    )
    made = await server.ask("POST", WIDGETS.format("v1"), {"metadata": {"name": "w"}, "data": {"start": "yes"}})
    assert made["data"] == {"start": "yes", "stage-1": "yes"}


async def test_objects_are_patched_by_hooks_though_they_are_stored_in_an_older_version(server: Any, hooks: Any, configure: Any):
    """Should mutate custom resource with different stored version."""
    await define(server, version("v1", storage=True), version("v2", storage=False))
    hooks.answers["/one"] = patching(adds("stage-1"))
    await configure("Mutating", hooks.webhook("/one", **wants("widgets", "v1", "v2")))
    await server.ask("POST", WIDGETS.format("v1"), {"metadata": {"name": "w"}, "data": {"start": "yes"}})
    versions = [version("v1", storage=False), version("v2", storage=True)]
    path = f"{DEFINITIONS}/widgets.example.com"
    assert (await server.ask("PATCH", path, {"spec": {"versions": versions}}, content_type=MERGE))["status"]["storedVersions"]
    patched = await server.ask("PATCH", f"{WIDGETS.format('v1')}/w", {"dummy": "test", "data": {"a": "b"}}, content_type=MERGE)
    assert patched["data"] == {"start": "yes", "stage-1": "yes", "a": "b"}
    assert (await server.ask("GET", f"{WIDGETS.format('v2')}/w"))["data"] == patched["data"]


async def test_a_hook_denies_creation_update_and_deletion_of_custom_resources(server: Any, hooks: Any, configure: Any):
    """Should be able to deny custom resource creation, update and deletion."""
    await define(server)
    await server.ask("POST", WIDGETS.format("v1"), {"metadata": {"name": "w"}, "data": {"a": "b"}})
    reason = {"message": "the custom resource contains unwanted data"}
    hooks.answers["/no"] = lambda _: {"allowed": False, "status": reason}
    operations = ("CREATE", "UPDATE", "DELETE")
    await configure("Validating", hooks.webhook("/no", **wants("widgets", "v1", operations=operations)))
    for method, path, body in (
        ("POST", WIDGETS.format("v1"), {"metadata": {"name": "x"}, "data": {}}),
        ("PATCH", f"{WIDGETS.format('v1')}/w", {"data": {"a": "c"}}),
        ("DELETE", f"{WIDGETS.format('v1')}/w", None),
    ):
        answer = await server.ask(method, path, body, content_type=MERGE if method == "PATCH" else "application/json")
        assert "denied the request: the custom resource contains unwanted data" in answer["message"], method


async def test_a_hook_denies_a_definition(server: Any, hooks: Any, configure: Any):
    """Should deny crd creation."""
    hooks.answers["/no"] = lambda _: {"allowed": False, "status": {"message": "the crd contains unwanted label"}}
    wanted = wants("customresourcedefinitions", "*", group="apiextensions.k8s.io", operations=["CREATE"])
    await configure("Validating", hooks.webhook("/no", **wanted))
    refused = await server.ask("POST", DEFINITIONS, definition())
    assert "denied the request: the crd contains unwanted label" in refused["message"]
