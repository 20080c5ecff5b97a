"""Server-side apply and managed fields over the API."""

from __future__ import annotations

from typing import Any

import pytest

MAPS = "/api/v1/namespaces/default/configmaps"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
SCALERS = "/apis/autoscaling/{}/namespaces/default/horizontalpodautoscalers"
APPLY, MERGE = "application/apply-patch+yaml", "application/merge-patch+json"


def config_map(**data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data}


def deployment(replicas: int | None = 1) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "selector": {"matchLabels": {"app": "a"}},
        "template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
    }
    if replicas is not None:
        spec["replicas"] = replicas
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec}


def owners(obj: dict[str, Any]) -> list[tuple[str, str, str]]:
    entries = obj["metadata"].get("managedFields", [])
    return [(entry["manager"], entry["operation"], entry.get("subresource", "")) for entry in entries]


async def apply(server: Any, path: str, config: Any, manager: str, query: str = "") -> dict[str, Any]:
    answer: dict[str, Any] = await server.ask("PATCH", f"{path}?fieldManager={manager}{query}", config, content_type=APPLY)
    return answer


async def test_yaml_is_applied(server: Any) -> None:
    body = b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c\ndata:\n  a: 'on'\n"
    assert (await apply(server, f"{MAPS}/c", body, "one"))["data"] == {"a": "on"}


async def test_an_apply_to_an_old_version_conflicts(server: Any) -> None:
    first = await apply(server, f"{MAPS}/c", config_map(a="1"), "one")
    await apply(server, f"{MAPS}/c", config_map(a="2"), "one")
    config = config_map(a="3")
    config["metadata"]["resourceVersion"] = first["metadata"]["resourceVersion"]
    answer = await apply(server, f"{MAPS}/c", config, "one")
    assert (answer["code"], answer["reason"]) == (409, "Conflict")
    assert "the object has been modified" in answer["message"]


async def test_a_uid_asks_for_an_object_that_is_there(server: Any) -> None:
    config = config_map(a="1")
    config["metadata"]["uid"] = "11111111-1111-1111-1111-111111111111"
    answer = await apply(server, f"{MAPS}/c", config, "one")
    assert "uid mismatch" in answer["message"]


async def test_a_dry_run_stores_nothing(server: Any) -> None:
    answer = await apply(server, f"{MAPS}/c", config_map(a="1"), "one", "&dryRun=All")
    assert owners(answer) == [("one", "Apply", "")] and "resourceVersion" not in answer["metadata"]
    assert (await server.ask("GET", f"{MAPS}/c"))["code"] == 404
    await apply(server, f"{MAPS}/c", config_map(a="1"), "one")
    assert (await apply(server, f"{MAPS}/c", config_map(a="2"), "one", "&dryRun=All"))["data"] == {"a": "2"}
    assert (await server.ask("GET", f"{MAPS}/c"))["data"] == {"a": "1"}


async def test_applying_to_the_status_of_what_is_not_there_creates_nothing(server: Any) -> None:
    answer = await apply(server, f"{DEPLOYMENTS}/d/status", deployment(), "one")
    assert answer["code"] == 404


async def test_creation_by_apply_needs_leave_to_create(server: Any) -> None:
    role = {"rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["patch", "update"]}]}
    roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
    await server.ask("POST", f"{roles}/roles", {"metadata": {"name": "r"}, **role})
    binding = {
        "metadata": {"name": "r"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
        "subjects": [{"kind": "User", "name": "nobody"}],
    }
    await server.ask("POST", f"{roles}/rolebindings", binding)
    asked = {"content_type": APPLY, "authorization": "Bearer nobody"}
    answer = await server.ask("PATCH", f"{MAPS}/c?fieldManager=m", config_map(a="1"), **asked)
    assert answer["code"] == 403 and "cannot create" in answer["message"]
    await apply(server, f"{MAPS}/c", config_map(a="1"), "one")
    answer = await server.ask("PATCH", f"{MAPS}/c?fieldManager=m", config_map(b="1"), **asked)
    assert answer["data"] == {"a": "1", "b": "1"}


async def test_ordinary_writes_are_tracked_by_user_agent(server: Any) -> None:
    created = await server.ask("POST", MAPS, config_map(a="1"), user_agent="maker/1.0 (x)")
    assert owners(created) == [("maker", "Update", "")]
    created["data"]["b"] = "1"
    put = await server.ask("PUT", f"{MAPS}/c", created, user_agent="putter")
    assert owners(put) == [("maker", "Update", ""), ("putter", "Update", "")]
    patched = await server.ask("PATCH", f"{MAPS}/c?fieldManager=given", {"data": {"c": "1"}}, content_type=MERGE)
    assert ("given", "Update", "") in owners(patched)


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_a_write_that_changes_nothing_keeps_the_version(server: Any, method: str) -> None:
    created = await server.ask("POST", MAPS, config_map(a="1", b="2"), user_agent="one")
    body = {"data": {"b": "2", "a": "1"}, "metadata": {"name": "c"}}  # in another order, by another one
    again = await server.ask(method, f"{MAPS}/c", body, content_type=MERGE if method == "PATCH" else "application/json")
    assert again == created


async def test_one_empty_entry_takes_the_managers_away(server: Any) -> None:
    await server.ask("POST", MAPS, config_map(a="1"), user_agent="one")
    for entries, left in (([], [("one", "Update", "")]), ([{}], [])):
        changed = await server.ask("PATCH", f"{MAPS}/c", {"metadata": {"managedFields": entries}}, content_type=MERGE)
        assert owners(changed) == left
    changed = await server.ask("PATCH", f"{MAPS}/c", {"data": {"a": "2"}}, content_type=MERGE)
    assert owners(changed) == []
    changed = await apply(server, f"{MAPS}/c", config_map(b="1"), "two")
    assert owners(changed) == [("two", "Apply", ""), ("before-first-apply", "Update", "")]


async def test_scaling_takes_the_replicas_and_applying_a_scale_respects_their_owner(server: Any) -> None:
    await apply(server, f"{DEPLOYMENTS}/d", deployment(1), "deployer")
    scale = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "d"}, "spec": {"replicas": 2}}
    answer = await apply(server, f"{DEPLOYMENTS}/d/scale", scale, "scaler")
    assert answer["message"] == 'Apply failed with 1 conflict: conflict with "deployer": .spec.replicas'
    assert (await apply(server, f"{DEPLOYMENTS}/d/scale", scale, "scaler", "&force=true"))["spec"] == {"replicas": 2}
    found = await server.ask("GET", f"{DEPLOYMENTS}/d")
    assert found["spec"]["replicas"] == 2
    [scaler] = [entry for entry in found["metadata"]["managedFields"] if entry["manager"] == "scaler"]
    assert scaler == {
        "manager": "scaler", "operation": "Apply", "apiVersion": "apps/v1", "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": {"f:replicas": {}}}, "subresource": "scale",
    }  # fmt: skip
    # Who deploys without saying how many leaves that to the scaler.
    assert (await apply(server, f"{DEPLOYMENTS}/d", deployment(None), "deployer"))["spec"]["replicas"] == 2
    await server.ask("PATCH", f"{DEPLOYMENTS}/d/scale", {"spec": {"replicas": 3}}, content_type=MERGE, user_agent="kubectl/1")
    found = await server.ask("GET", f"{DEPLOYMENTS}/d")
    assert owners(found) == [("deployer", "Apply", ""), ("kubectl", "Update", "scale")]


async def test_owners_are_kept_across_versions(server: Any) -> None:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
    old: dict[str, Any] = {"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"}}
    old["spec"] = {"scaleTargetRef": target, "maxReplicas": 3, "minReplicas": 1}
    await apply(server, f"{SCALERS.format('v1')}/h", old, "one")
    new: dict[str, Any] = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"}}
    new["spec"] = {"scaleTargetRef": target, "maxReplicas": 5}
    answer = await apply(server, f"{SCALERS.format('v2')}/h", new, "two")
    assert answer["message"] == 'Apply failed with 1 conflict: conflict with "one": .spec.maxReplicas'
    answer = await apply(server, f"{SCALERS.format('v2')}/h", new, "two", "&force=true")
    assert [(entry["manager"], entry["apiVersion"]) for entry in answer["metadata"]["managedFields"]] == [
        ("one", "autoscaling/v1"), ("two", "autoscaling/v2"),
    ]  # fmt: skip
    del old["spec"]["minReplicas"], old["spec"]["maxReplicas"]
    answer = await apply(server, f"{SCALERS.format('v1')}/h", old, "one")
    assert answer["spec"]["maxReplicas"] == 5


async def test_defaults_come_back_where_a_field_is_given_up(server: Any) -> None:
    config = deployment(3)
    config["spec"]["revisionHistoryLimit"] = 2
    await apply(server, f"{DEPLOYMENTS}/d", config, "one")
    answer = await apply(server, f"{DEPLOYMENTS}/d", deployment(None), "one")
    assert (answer["spec"]["replicas"], answer["spec"]["revisionHistoryLimit"]) == (1, 10)


async def test_a_configuration_may_not_say_who_manages(server: Any) -> None:
    config = config_map(a="1")
    config["metadata"]["managedFields"] = []
    assert (await apply(server, f"{MAPS}/c", config, "one"))["message"] == "metadata.managedFields must be nil"


NONSENSE = (
    b"null", b"3", b'"x"', b"[1", b"a: [", b"\xff", b'{"a":' * 400, b'{"apiVersion": 1, "kind": []}',
    b'{"apiVersion": "v1", "kind": "ConfigMap", "metadata": 3}',
    b'{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "labels": [1]}}',
)  # fmt: skip


@pytest.mark.parametrize("body", NONSENSE)
async def test_nonsense_is_refused(server: Any, body: bytes) -> None:
    for _ in range(2):
        answer = await apply(server, f"{MAPS}/c", body, "one")
        assert answer["kind"] == "Status" and answer["code"] in (400, 500), answer
        assert answer["code"] == 400 or "failed to create typed patch object" in answer["message"]
        await apply(server, f"{MAPS}/c", config_map(a="1"), "one")
