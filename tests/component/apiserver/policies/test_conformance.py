"""What conformance suites do with policies and bindings: the clauses of test/e2e/apimachinery, release 1.36."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.component.apiserver.policies.conftest import GROUP, rules

DEPLOYMENTS = {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["deployments"]}
MATCHING = {**rules(DEPLOYMENTS), "namespaceSelector": {"matchLabels": {"unique": "true"}}}
PATH = "/apis/apps/v1/namespaces/chosen/{}"
PARAMS = {"name": "replica-limit-test.example.com", "parameterNotFoundAction": "Deny"}
SPECS: dict[str, Any] = {
    "validatingadmissionpolicies": {
        "matchConstraints": MATCHING, "validations": [{"expression": "object.spec.replicas <= 100"}],
    },
    "validatingadmissionpolicybindings": {
        "policyName": "replicalimit-policy.example.com", "validationActions": ["Deny"], "paramRef": PARAMS,
    },
    "mutatingadmissionpolicies": {
        "matchConstraints": MATCHING, "reinvocationPolicy": "Never",
        "mutations": [{
            "patchType": "ApplyConfiguration",
            "applyConfiguration": {"expression": """
                Object{
                    metadata: Object.metadata{
                        annotations: {
                            "my-foo-annotation": "myAnnotationValue"
                        }
                    }
                }"""},
        }],
    },
    "mutatingadmissionpolicybindings": {"policyName": "replicalimit-policy.example.com", "paramRef": PARAMS},
}  # fmt: skip


def workload(name: str, replicas: int) -> dict[str, Any]:
    labels = {"app": "nginx"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "nginx", "image": "nginx:latest"}]}}
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
    }


async def make(server: Any, policy: Any, kind: str = "validating") -> None:
    """A policy, bound to the namespaces that are labelled as its own; and such a namespace."""
    await server.ask("POST", "/api/v1/namespaces", {"metadata": {"name": "chosen", "labels": {"unique": "true"}}})
    actions = {"validationActions": ["Deny"]} if kind == "validating" else {}
    selected = {"namespaceSelector": {"matchLabels": {"unique": "true"}}}
    binding = {"policyName": "p.policy.example.com", "matchResources": selected, **actions}
    for plural, spec in ((f"{kind}admissionpolicies", policy), (f"{kind}admissionpolicybindings", binding)):
        answer = await server.ask("POST", f"{GROUP}/{plural}", {"metadata": {"name": "p.policy.example.com"}, "spec": spec})
        assert answer["kind"] != "Status", answer


async def create(server: Any, plural: str, name: str, replicas: int) -> Any:
    return await server.ask("POST", PATH.format(plural), workload(name, replicas))


async def test_should_validate_against_a_deployment(server: Any) -> None:
    validation = {
        "expression": "object.spec.replicas > 1",
        "messageExpression": "'wants replicas > 1, got ' + object.spec.replicas",
    }
    await make(server, {"matchConstraints": MATCHING, "validations": [validation]})
    assert (await create(server, "deployments", "marker-deployment", 1))["reason"] == "Invalid"
    assert (await create(server, "deployments", "replicated", 2))["kind"] == "Deployment"
    assert (await create(server, "replicasets", "non-replicated", 1))["kind"] == "ReplicaSet"


async def test_should_allow_expressions_to_refer_variables(server: Any) -> None:
    variables = [
        {"name": "replicas", "expression": "object.spec.replicas"},
        {"name": "oddReplicas", "expression": "variables.replicas % 2 == 1"},
    ]
    validations = [{"expression": "variables.replicas > 1"}, {"expression": "variables.oddReplicas"}]
    await make(server, {"matchConstraints": MATCHING, "variables": variables, "validations": validations})
    assert (await create(server, "deployments", "marker-deployment", 1))["reason"] == "Invalid"
    assert (await create(server, "deployments", "replicated", 3))["kind"] == "Deployment"
    assert (await create(server, "deployments", "even", 4))["reason"] == "Invalid"
    assert (await create(server, "replicasets", "non-replicated", 1))["kind"] == "ReplicaSet"


async def test_should_mutate_a_deployment(server: Any) -> None:
    expression = (
        "Object{spec: Object.spec{replicas: object.spec.replicas % 2 == 0 ? object.spec.replicas + 1 : object.spec.replicas}}"
    )
    mutation = {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}
    await make(server, {"matchConstraints": MATCHING, "mutations": [mutation], "reinvocationPolicy": "Never"}, "mutating")
    for given, made in ((2, 3), (3, 3)):
        assert (await create(server, "deployments", f"d{given}", given))["spec"]["replicas"] == made


@pytest.mark.parametrize("plural", SPECS)
async def test_should_support_api_operations(server: Any, plural: str) -> None:
    groups = await server.ask("GET", "/apis")
    assert any(group["name"] == "admissionregistration.k8s.io" for group in groups["groups"])
    served = {resource["name"]: resource for resource in (await server.ask("GET", GROUP))["resources"]}
    assert set(served[plural]["verbs"]) == {"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}

    path, chosen = f"{GROUP}/{plural}", "labelSelector=example-e2e%3Dx"
    template = {"metadata": {"generateName": "e2e-example-", "labels": {"example-e2e": "x"}}, "spec": SPECS[plural]}
    made = [await server.ask("POST", path, template) for _ in range(3)]
    own = f"{path}/{made[2]['metadata']['name']}"
    assert (await server.ask("GET", own))["metadata"]["uid"] == made[2]["metadata"]["uid"]
    listed = await server.ask("GET", f"{path}?{chosen}")
    assert len(listed["items"]) == 3
    version = listed["metadata"]["resourceVersion"]
    watching = asyncio.create_task(server.events(f"{path}?watch=1&{chosen}&resourceVersion={version}", 2))

    change: Any = {"metadata": {"annotations": {"patched": "true"}}}
    if plural.endswith("policies"):
        change["spec"] = {"failurePolicy": "Ignore"}
    patched = await server.ask("PATCH", own, change, content_type="application/merge-patch+json")
    assert patched["metadata"]["annotations"] == {"patched": "true"}
    assert patched["spec"].get("failurePolicy", "Ignore") == "Ignore"
    updated = {**patched, "metadata": {**patched["metadata"], "annotations": {"patched": "true", "updated": "true"}}}
    updated = await server.ask("PUT", own, updated)
    assert updated["metadata"]["annotations"]["updated"] == "true"
    assert [event["type"] for event in await watching] == ["MODIFIED", "MODIFIED"]
    if f"{plural}/status" in served:
        await status_is_written(server, own)

    await server.ask("DELETE", own)
    assert (await server.ask("GET", own))["code"] == 404
    assert len((await server.ask("GET", f"{path}?{chosen}"))["items"]) == 2
    await server.ask("DELETE", f"{path}?{chosen}")
    assert (await server.ask("GET", f"{path}?{chosen}"))["items"] == []


async def status_is_written(server: Any, own: str) -> None:
    condition = {"type": "PatchStatusFailed", "status": "False", "reason": "Reason", "message": "Message"}
    change = {"status": {"conditions": [{**condition, "lastTransitionTime": "2026-01-01T00:00:00Z"}]}}
    answer = await server.ask("PATCH", f"{own}/status", change, content_type="application/merge-patch+json")
    assert answer["status"]["conditions"][0]["type"] == "PatchStatusFailed"
    read = await server.ask("GET", f"{own}/status")
    read["status"]["conditions"].append({**read["status"]["conditions"][0], "type": "StatusUpdate"})
    answer = await server.ask("PUT", f"{own}/status", read)
    assert [found["type"] for found in answer["status"]["conditions"]] == ["PatchStatusFailed", "StatusUpdate"]
