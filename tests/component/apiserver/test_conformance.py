"""Behaviours that the conformance suite looks for and that no other test here shows; each names the file of the suite."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.component.apiserver.conftest import Server

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
MERGE = "application/merge-patch+json"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
CONTAINERS = [{"name": "c", "image": "i"}]
TEMPLATES = "/api/v1/namespaces/default/podtemplates"


async def test_what_has_no_columns_is_not_acceptable_as_a_table(server: Server):
    """table_conversion.go: a 406 for a backend which does not implement metadata."""
    review = {"spec": {"resourceAttributes": {"resource": "pods", "verb": "list"}}}
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    assert (await server.send("POST", path, review, accept=TABLE)).status == 406
    assert (await server.send("POST", path, review, accept=f"{TABLE},application/json")).status == 201
    assert (await server.send("POST", path, review)).status == 201


async def test_pod_templates_are_read_in_chunks_that_count_what_remains(server: Server):
    """chunking.go: chunks of results for list calls."""
    for number in range(40):
        template = {"metadata": {"name": f"template-{number:04}"}, "template": {"spec": {"containers": CONTAINERS}}}
        await server.ask("POST", TEMPLATES, template)
    seen, token, revision = [], "", ""
    while True:
        page = await server.ask("GET", f"{TEMPLATES}?limit=17" + (f"&continue={token}" if token else ""))
        assert len(page["items"]) <= 17
        revision = revision or page["metadata"]["resourceVersion"]
        assert page["metadata"]["resourceVersion"] == revision  # one consistent list
        seen += [item["metadata"]["name"] for item in page["items"]]
        token = page["metadata"].get("continue", "")
        assert page["metadata"].get("remainingItemCount", 0) + len(seen) == 40
        if not token:
            break
    assert seen == sorted(seen) and len(set(seen)) == 40
    whole = await server.ask("GET", TEMPLATES)
    assert [item["metadata"]["name"] for item in whole["items"]] == seen


async def test_a_list_goes_on_after_its_revision_was_compacted(server: Server):
    """chunking.go: continue listing from the last key even if the original version has been compacted away."""
    for number in range(5):
        await server.ask("POST", CONFIG_MAPS, {"metadata": {"name": f"c{number}"}})
    first = await server.ask("GET", f"{CONFIG_MAPS}?limit=2")
    await server.ask("PATCH", f"{CONFIG_MAPS}/c4", {"data": {"a": "b"}}, content_type=MERGE)
    await server.api.image.store.compact(server.api.image.revision)
    expired = await server.ask("GET", f"{CONFIG_MAPS}?limit=2&continue={first['metadata']['continue']}")
    assert (expired["code"], expired["reason"]) == (410, "Expired")
    rest = await server.ask("GET", f"{CONFIG_MAPS}?limit=2&continue={expired['metadata']['continue']}")
    assert [item["metadata"]["name"] for item in rest["items"]] == ["c2", "c3"]
    last = await server.ask("GET", f"{CONFIG_MAPS}?limit=2&continue={rest['metadata']['continue']}")
    assert [item["metadata"]["name"] for item in last["items"]] == ["c4"] and "continue" not in last["metadata"]


async def test_every_group_has_a_preferred_version_whose_resources_can_be_listed(server: Server):
    """discovery.go: PreferredVersion for each APIGroup; the groupVersion and a resource within each."""
    groups = (await server.ask("GET", "/apis"))["groups"]
    assert len(groups) > 15
    for group in groups:
        own = await server.ask("GET", f"/apis/{group['name']}")
        assert own["preferredVersion"] in own["versions"] and own["versions"] == group["versions"]
        for version in own["versions"]:
            listed = await server.ask("GET", f"/apis/{version['groupVersion']}")
            assert listed["groupVersion"] == version["groupVersion"] and listed["resources"]


async def test_the_aggregated_document_has_every_resource_and_custom_ones_with_their_types(server: Server):
    """aggregated_discovery.go: built-in resources, and CRDs, by the interface and by raw Accept headers."""
    scale = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema, "subresources": {"status": {}, "scale": scale}}
    await server.ask("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", {
        "metadata": {"name": "foos.example.com"},
        "spec": {"group": "example.com", "scope": "Cluster", "names": {"plural": "foos", "kind": "Foo"}, "versions": [version]},
    })  # fmt: skip
    async with asyncio.timeout(5):
        while (await server.send("GET", "/apis/example.com/v1")).status != 200:
            await asyncio.sleep(0.002)
    response = await server.send("GET", "/apis", accept=f"{AGGREGATED},application/json")
    assert response.headers["Content-Type"] == AGGREGATED
    groups = {item["metadata"].get("name", ""): item for item in (await server.ask("GET", "/apis", accept=AGGREGATED))["items"]}
    assert {"deployments", "statefulsets"} <= {found["resource"] for found in groups["apps"]["versions"][0]["resources"]}
    (foo,) = groups["example.com"]["versions"][0]["resources"]
    gvk = {"group": "example.com", "version": "v1", "kind": "Foo"}
    assert (foo["resource"], foo["singularResource"], foo["scope"], foo["responseKind"]) == ("foos", "foo", "Cluster", gvk)
    assert [(below["subresource"], below["responseKind"]) for below in foo["subresources"]] == [
        ("status", gvk), ("scale", {"group": "autoscaling", "version": "v1", "kind": "Scale"}),
    ]  # fmt: skip
    assert (await server.ask("GET", "/apis", accept="application/json"))["kind"] == "APIGroupList"


async def test_a_timeout_in_the_address_must_be_one(server: Server):
    """request_timeout.go."""
    wrong = await server.ask("GET", f"{CONFIG_MAPS}?timeout=invalid")
    assert wrong["code"] == 400 and "invalid timeout specified in the request URL" in wrong["message"]
    for fine in ("0s", "1m", "5m"):  # none, and longer ones than ours
        assert (await server.send("GET", f"{CONFIG_MAPS}?timeout={fine}")).status == 200


async def test_the_version_is_two_whole_numbers(server: Server):
    """server_version.go."""
    found = await server.ask("GET", "/version")
    assert found["major"].isdecimal() and found["minor"].isdecimal()


async def test_a_namespace_carries_finalizers_and_a_status_that_is_patched_and_updated(server: Server):
    """namespace.go: apply changes to a namespace status; apply a finalizer to a Namespace."""
    made = await server.ask("POST", "/api/v1/namespaces", {"metadata": {"name": "n"}})
    assert (await server.ask("GET", "/api/v1/namespaces/n/status"))["status"]["phase"] == "Active"
    condition = {"type": "StatusPatch", "status": "True", "reason": "E2E", "message": "Patched by an e2e test"}
    patch = {"metadata": {"annotations": {"e2e-patched-ns-status": "n"}}, "status": {"conditions": [condition]}}
    patched = await server.ask("PATCH", "/api/v1/namespaces/n/status", patch, content_type=MERGE)
    assert patched["status"]["conditions"][0]["message"] == "Patched by an e2e test"
    patched["status"]["conditions"].append({**condition, "type": "StatusUpdate"})
    updated = await server.ask("PUT", "/api/v1/namespaces/n/status", patched)
    assert [found["type"] for found in updated["status"]["conditions"]] == ["StatusPatch", "StatusUpdate"]
    updated["spec"]["finalizers"] = [*made["spec"]["finalizers"], "e2e.example.com/fakeFinalizer"]
    finalized = await server.ask("PUT", "/api/v1/namespaces/n/finalize", updated)
    assert finalized["spec"]["finalizers"] == ["kubernetes", "e2e.example.com/fakeFinalizer"]
    finalized["spec"]["finalizers"] = ["kubernetes"]
    assert (await server.ask("PUT", "/api/v1/namespaces/n/finalize", finalized))["spec"]["finalizers"] == ["kubernetes"]


async def test_a_watch_goes_on_from_where_another_one_ended(server: Server):
    """watch.go: restart watching from the last resource version observed by the previous watch."""
    selected = f"{CONFIG_MAPS}?watch=true&labelSelector=watch-this%3Dyes"
    started = (await server.ask("GET", CONFIG_MAPS))["metadata"]["resourceVersion"]
    await server.ask("POST", CONFIG_MAPS, {"metadata": {"name": "c", "labels": {"watch-this": "yes"}}})
    await server.ask("PATCH", f"{CONFIG_MAPS}/c", {"data": {"mutation": "1"}}, content_type=MERGE)
    first = await server.events(f"{selected}&resourceVersion={started}", 2)
    assert [event["type"] for event in first] == ["ADDED", "MODIFIED"]
    await server.ask("PATCH", f"{CONFIG_MAPS}/c", {"data": {"mutation": "2"}}, content_type=MERGE)
    await server.ask("PATCH", f"{CONFIG_MAPS}/c", {"metadata": {"labels": {"watch-this": "no"}}}, content_type=MERGE)
    await server.ask("PATCH", f"{CONFIG_MAPS}/c", {"data": {"mutation": "3"}}, content_type=MERGE)
    await server.ask("PATCH", f"{CONFIG_MAPS}/c", {"metadata": {"labels": {"watch-this": "yes"}}}, content_type=MERGE)
    await server.ask("DELETE", f"{CONFIG_MAPS}/c")
    last = first[-1]["object"]["metadata"]["resourceVersion"]
    rest = await server.events(f"{selected}&resourceVersion={last}", 4)
    shown = [(event["type"], event["object"].get("data", {}).get("mutation")) for event in rest]
    assert shown == [("MODIFIED", "2"), ("DELETED", "2"), ("ADDED", "3"), ("DELETED", "3")]


async def test_concurrent_watches_from_any_event_on_see_the_same_order(server: Server):
    """watch.go: all concurrent watches observe the same order of events."""
    started = (await server.ask("GET", CONFIG_MAPS))["metadata"]["resourceVersion"]
    for number in range(12):
        await server.ask("POST", CONFIG_MAPS, {"metadata": {"name": f"c{number}"}})
        if number % 3 == 2:
            await server.ask("DELETE", f"{CONFIG_MAPS}/c{number - 1}")
    events = await server.events(f"{CONFIG_MAPS}?watch=true&resourceVersion={started}", 16)
    revisions = [event["object"]["metadata"]["resourceVersion"] for event in events]
    for place, revision in enumerate(revisions[:-1]):
        later = await server.events(f"{CONFIG_MAPS}?watch=true&resourceVersion={revision}", len(revisions) - place - 1)
        assert [event["object"]["metadata"]["resourceVersion"] for event in later] == revisions[place + 1 :]


async def test_the_status_of_a_quota_is_patched_by_itself(server: Server):
    """resource_quota.go: apply changes to a resourcequota status; manage the lifecycle of a ResourceQuota."""
    path = "/api/v1/namespaces/default/resourcequotas"
    hard: Any = {"cpu": "500m", "memory": "500Mi"}
    await server.ask("POST", path, {"metadata": {"name": "q", "labels": {"e2e": "q"}}, "spec": {"hard": hard}})
    patched = await server.ask("PATCH", f"{path}/q/status", {"status": {"hard": {"cpu": "1"}}}, content_type=MERGE)
    assert (patched["status"]["hard"]["cpu"], patched["spec"]["hard"]) == ("1", hard)
    changed = await server.ask("PATCH", f"{path}/q", {"spec": {"hard": {"memory": "750Mi"}}}, content_type=MERGE)
    assert (changed["spec"]["hard"]["memory"], changed["status"]["hard"]["cpu"]) == ("750Mi", "1")
    assert len((await server.ask("GET", "/api/v1/resourcequotas?labelSelector=e2e%3Dq"))["items"]) == 1
    assert (await server.send("DELETE", f"{path}?labelSelector=e2e%3Dq")).status == 200
    assert (await server.send("GET", f"{path}/q")).status == 404


async def test_a_watch_list_begins_with_what_there_is_and_says_when_that_is_all(server: Server):
    """watchlist.go: informers, dynamic and metadata clients ask for it."""
    for name in ("a", "b"):
        await server.ask("POST", CONFIG_MAPS, {"metadata": {"name": name}})
    asked = "watch=true&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan"
    partial = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io,application/json"
    for accept, kind in (("application/json", "ConfigMap"), (partial, "PartialObjectMetadata")):
        events = await server.events(f"{CONFIG_MAPS}?{asked}", 3, accept=accept)
        assert [event["type"] for event in events] == ["ADDED", "ADDED", "BOOKMARK"]
        assert events[-1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
        assert {event["object"]["kind"] for event in events} == {kind}


async def test_the_status_of_what_configures_the_server_takes_nothing_but_the_status(server: Server):
    """Upstream: `ResetObjectMetaForStatus`, which applied statuses are held against (its TestApplyResetFields)."""
    path = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas"
    await server.ask("POST", path, {"metadata": {"name": "f"}, "spec": {"priorityLevelConfiguration": {"name": "exempt"}}})
    condition = {"type": "Dangling", "status": "False", "reason": "Found", "message": "", "lastTransitionTime": None}
    patch = {"metadata": {"labels": {"a": "b"}}, "spec": {"matchingPrecedence": 7}, "status": {"conditions": [condition]}}
    patched = await server.ask("PATCH", f"{path}/f/status", patch, content_type=MERGE)
    assert patched["status"]["conditions"][0]["type"] == "Dangling"
    assert "labels" not in patched["metadata"] and patched["spec"]["matchingPrecedence"] == 1000
