"""Conversion by webhook, wherever two versions of a custom resource meet."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from pybernetes.machinery.http.messages import Response

if TYPE_CHECKING:
    from tests.component.apiserver.conftest import Server
    from tests.component.apiserver.custom_resources.conftest import ConversionWebhook

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
MERGE, APPLY = "application/merge-patch+json", "application/apply-patch+yaml"
TEXT = {"type": "string"}
SCHEMAS: Any = {"v1": {"hostPort": TEXT}, "v2": {"host": TEXT, "port": TEXT}}


def path(version: str, name: str = "") -> str:
    return f"/apis/stable.example.com/{version}/namespaces/default/testcrs" + (f"/{name}" if name else "")


def version(name: str, storage: str, **more: Any) -> Any:
    open_ended = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    properties = {"spec": open_ended, "status": open_ended, **SCHEMAS[name]}
    return {
        "name": name, "served": True, "storage": name == storage,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": properties}}, **more,
    }  # fmt: skip


async def define(server: Server, webhook: ConversionWebhook, storage: str = "v1", conversion: Any = None, **more: Any) -> None:
    names = {"plural": "testcrs", "singular": "testcr", "kind": "TestCr"}
    made = await server.ask("POST", DEFINITIONS, {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "testcrs.stable.example.com"},
        "spec": {
            "group": "stable.example.com", "scope": "Namespaced", "names": names,
            "conversion": conversion or webhook.conversion,
            "versions": [version("v1", storage, **more), version("v2", storage, **more)],
        },
    })  # fmt: skip
    assert made["kind"] == "CustomResourceDefinition", made
    await served(server, "v1")


async def change(server: Server, **spec: Any) -> Any:
    return await server.ask("PATCH", f"{DEFINITIONS}/testcrs.stable.example.com", {"spec": spec}, content_type=MERGE)


async def served(server: Server, version: str) -> None:
    async with asyncio.timeout(5):
        while (await server.send("GET", path(version) + "?limit=1")).status != 200:
            await asyncio.sleep(0.002)


async def storage_hash(server: Server) -> str:
    found: str = (await server.ask("GET", "/apis/stable.example.com/v1"))["resources"][0]["storageVersionHash"]
    return found


async def store_in(server: Server, storage: str, **more: Any) -> None:
    """Change the storage version, and wait until discovery says so."""
    before = await storage_hash(server)
    changed = await change(server, versions=[version("v1", storage, **more), version("v2", storage, **more)])
    assert set(changed["status"]["storedVersions"]) == {"v1", "v2"}
    async with asyncio.timeout(5):
        while await storage_hash(server) == before:
            await asyncio.sleep(0.002)


def test_cr(name: str = "a", version: str = "v1", **fields: Any) -> Any:
    fields = fields or {"hostPort": "host:80"}
    return {"apiVersion": f"stable.example.com/{version}", "kind": "TestCr", "metadata": {"name": name}, **fields}


test_cr.__test__ = False  # type: ignore[attr-defined]


async def test_an_object_of_one_version_is_read_in_the_other(server: Server, webhook: ConversionWebhook):
    """Conformance: should be able to convert from CR v1 to CR v2."""
    await define(server, webhook)
    made = await server.ask("POST", path("v1"), test_cr())
    assert not webhook.asked  # nothing to convert
    read = await server.ask("GET", path("v2", "a"))
    assert (read["apiVersion"], read["host"], read["port"]) == ("stable.example.com/v2", "host", "80")
    assert read["metadata"] == made["metadata"]
    (review,) = webhook.asked
    assert (review["kind"], review["apiVersion"]) == ("ConversionReview", "apiextensions.k8s.io/v1")
    assert review["request"]["desiredAPIVersion"] == "stable.example.com/v2"
    assert review["request"]["objects"][0]["hostPort"] == "host:80"
    assert "resourceVersion" not in review["request"]["objects"][0]["metadata"]


async def test_a_list_of_objects_stored_in_several_versions_is_one_review(server: Server, webhook: ConversionWebhook):
    """Conformance: should be able to convert a non homogeneous list of CRs."""
    await define(server, webhook)
    for number in range(3):
        await server.ask("POST", path("v1"), test_cr(f"old{number}"))
    await store_in(server, "v2")
    made = await server.ask("POST", path("v2"), test_cr("new", "v2", host="n", port="1"))
    assert made["host"] == "n" and not webhook.asked
    listed = await server.ask("GET", path("v2"))
    assert [(item["apiVersion"][-2:], item["host"]) for item in listed["items"]] == [
        ("v2", "n"), ("v2", "host"), ("v2", "host"), ("v2", "host")
    ]  # fmt: skip
    (review,) = webhook.asked
    assert [obj["metadata"]["name"] for obj in review["request"]["objects"]] == ["old0", "old1", "old2"]
    assert (await server.ask("GET", path("v2"))) == listed and len(webhook.asked) == 1  # remembered
    old = await server.ask("GET", path("v1"))
    assert [item["hostPort"] for item in old["items"]] == ["n:1", "host:80", "host:80", "host:80"]


async def test_writes_in_another_version_are_stored_in_the_storage_version(server: Server, webhook: ConversionWebhook):
    await define(server, webhook)
    made = await server.ask("POST", path("v2"), test_cr("a", "v2", host="h", port="1"))
    assert (made["apiVersion"], made["host"], made["port"]) == ("stable.example.com/v2", "h", "1")
    stored = await server.api.image.store.get("/registry/stable.example.com/testcrs/default/a")
    assert stored is not None and json.loads(stored.value)["hostPort"] == "h:1"
    made["port"] = "2"
    assert (await server.ask("PUT", path("v2", "a"), made))["port"] == "2"
    assert (await server.ask("GET", path("v1", "a")))["hostPort"] == "h:2"
    patched = await server.ask("PATCH", path("v2", "a"), {"host": "i"}, content_type=MERGE)
    assert (patched["host"], patched["metadata"]["generation"]) == ("i", 3)
    assert (await server.ask("GET", path("v1", "a")))["hostPort"] == "i:2"
    dry = await server.ask("PATCH", path("v2", "a") + "?dryRun=All", {"host": "j"}, content_type=MERGE)
    assert dry["host"] == "j" and (await server.ask("GET", path("v2", "a")))["host"] == "i"
    tried = await server.ask("POST", path("v2") + "?dryRun=All", test_cr("b", "v2", host="h", port="1"))
    assert tried["host"] == "h" and "resourceVersion" not in tried["metadata"]
    assert (await server.send("DELETE", path("v2", "a"))).status == 200
    assert (await server.send("GET", path("v1", "a"))).status == 404


async def test_a_write_that_changes_nothing_migrates_the_object_to_the_storage_version(server: Server, webhook: Any):
    await define(server, webhook)
    made = await server.ask("POST", path("v1"), test_cr())
    await store_in(server, "v2")
    touched = await server.ask("PUT", path("v1", "a"), made)
    assert touched["metadata"]["resourceVersion"] != made["metadata"]["resourceVersion"]
    stored = await server.api.image.store.get("/registry/stable.example.com/testcrs/default/a")
    assert stored is not None and json.loads(stored.value)["apiVersion"] == "stable.example.com/v2"
    again = await server.ask("PUT", path("v1", "a"), touched)
    assert again["metadata"]["resourceVersion"] == touched["metadata"]["resourceVersion"]


async def test_managers_of_different_versions_own_the_fields_of_theirs(server: Server, webhook: ConversionWebhook):
    await define(server, webhook)
    one = test_cr("a", "v1", hostPort="h:1", spec={"a": "1"})
    await server.ask("PATCH", path("v1", "a") + "?fieldManager=one", one, content_type=APPLY)
    two = test_cr("a", "v2", host="other")
    conflict = await server.ask("PATCH", path("v2", "a") + "?fieldManager=two", two, content_type=APPLY)
    assert conflict["code"] == 409
    forced = await server.ask("PATCH", path("v2", "a") + "?fieldManager=two&force=true", two, content_type=APPLY)
    assert (forced["host"], forced["port"]) == ("other", "1")
    entries = {entry["manager"]: (entry["apiVersion"], entry["fieldsV1"]) for entry in forced["metadata"]["managedFields"]}
    assert entries["two"] == ("stable.example.com/v2", {"f:host": {}})
    version, fields = entries["one"]
    assert version == "stable.example.com/v1" and "f:hostPort" not in fields and "f:spec" in fields
    gone = test_cr("a", "v1", hostPort="h:1")
    left = await server.ask("PATCH", path("v1", "a") + "?fieldManager=one&force=true", gone, content_type=APPLY)
    assert (left["hostPort"], left.get("spec", {})) == ("h:1", {})


async def test_a_watch_shows_every_change_in_its_version_in_order(server: Server, webhook: ConversionWebhook):
    await define(server, webhook)
    first = await server.ask("POST", path("v1"), test_cr())
    for port in range(5):
        await server.ask("PATCH", path("v1", "a"), {"hostPort": f"host:{port}"}, content_type=MERGE)
    await server.ask("DELETE", path("v1", "a"))
    since = first["metadata"]["resourceVersion"]
    events = await server.events(f"{path('v2')}?watch=true&resourceVersion={since}", 6)
    assert [(event["type"], event["object"]["port"]) for event in events] == [
        ("MODIFIED", "0"), ("MODIFIED", "1"), ("MODIFIED", "2"), ("MODIFIED", "3"), ("MODIFIED", "4"), ("DELETED", "4")
    ]  # fmt: skip
    assert len(webhook.asked) == 1  # all that had been missed, at once


async def test_a_slow_webhook_holds_up_the_watch_that_needs_it_and_no_other(server: Server, webhook: ConversionWebhook):
    await define(server, webhook)
    await server.ask("POST", path("v1"), test_cr())
    webhook.gate.clear()
    waiting = [asyncio.create_task(server.events(f"{path('v2')}?watch=true", 1)) for _ in range(3)]
    async with asyncio.timeout(5):
        while not webhook.asked:
            await asyncio.sleep(0.002)
    assert (await server.events(f"{path('v1')}?watch=true", 1))[0]["object"]["hostPort"] == "host:80"
    assert (await server.ask("POST", path("v1"), test_cr("b")))["metadata"]["name"] == "b"
    assert not any(task.done() for task in waiting)
    webhook.gate.set()
    for events in await asyncio.gather(*waiting):
        assert events[0]["object"]["host"] == "host"
    assert len([review for review in webhook.asked if len(review["request"]["objects"]) == 1]) == 1  # they shared the call


async def test_selectors_look_at_what_the_webhook_made(server: Server, webhook: ConversionWebhook):
    await define(server, webhook)
    names = {"plural": "testcrs", "singular": "testcr", "kind": "TestCr"}
    versions = [
        version("v1", "v1", selectableFields=[{"jsonPath": ".hostPort"}]),
        version("v2", "v1", selectableFields=[{"jsonPath": ".host"}]),
    ]
    await server.ask(
        "PATCH",
        f"{DEFINITIONS}/testcrs.stable.example.com",
        {"spec": {"versions": versions, "names": names}},
        content_type=MERGE,
    )
    async with asyncio.timeout(5):
        while (await server.send("GET", path("v2") + "?fieldSelector=host%3Dx")).status != 200:
            await asyncio.sleep(0.002)

    def labelled(obj: Any, api_version: str) -> Any:
        made = base(obj, api_version)
        labels = {"seen-as": api_version.rpartition("/")[2]}
        return {**made, "metadata": {**made["metadata"], "labels": labels}}

    base, webhook.convert = webhook.convert, labelled
    for name, port in (("a", "one:1"), ("b", "two:2")):
        await server.ask("POST", path("v1"), test_cr(name, hostPort=port))
    chosen = await server.ask("GET", path("v2") + "?fieldSelector=host%3Dtwo")
    assert [item["metadata"]["name"] for item in chosen["items"]] == ["b"]
    assert (await server.send("GET", path("v2") + "?fieldSelector=hostPort%3Dtwo:2")).status == 400
    assert len((await server.ask("GET", path("v2") + "?labelSelector=seen-as%3Dv2&limit=1"))["items"]) == 1
    assert (await server.ask("GET", path("v1") + "?labelSelector=seen-as%3Dv2"))["items"] == []
    watching = asyncio.create_task(server.events(path("v2") + "?watch=true&fieldSelector=host%3Dtwo", 3))
    await asyncio.sleep(0.05)
    await server.ask("PATCH", path("v1", "a"), {"hostPort": "two:3"}, content_type=MERGE)
    await server.ask("PATCH", path("v1", "b"), {"hostPort": "three:3"}, content_type=MERGE)
    assert [(event["type"], event["object"]["metadata"]["name"]) for event in await watching] == [
        ("ADDED", "b"), ("ADDED", "a"), ("DELETED", "b")
    ]  # fmt: skip
    await server.ask("DELETE", path("v2") + "?fieldSelector=host%3Dtwo")
    assert [item["metadata"]["name"] for item in (await server.ask("GET", path("v1")))["items"]] == ["b"]


async def test_tables_and_metadata_alone_are_of_the_converted_object(server: Server, webhook: ConversionWebhook):
    columns = [{"name": "Host", "type": "string", "jsonPath": ".host"}]
    await define(server, webhook, additionalPrinterColumns=columns)
    await server.ask("POST", path("v1"), test_cr())
    table = await server.ask("GET", path("v2"), accept="application/json;as=Table;v=v1;g=meta.k8s.io")
    assert [row["cells"] for row in table["rows"]] == [["a", "host"]]
    partial = await server.ask("GET", path("v2"), accept="application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io")
    assert [item["metadata"]["name"] for item in partial["items"]] == ["a"]


async def test_status_and_scale_are_written_through_the_webhook(server: Server, webhook: ConversionWebhook):
    scale = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
    await define(server, webhook, subresources={"status": {}, "scale": scale})
    await server.ask("POST", path("v1"), test_cr(hostPort="h:1", spec={"replicas": 1}))
    stated = await server.ask("PATCH", path("v2", "a") + "/status", {"status": {"replicas": 1}}, content_type=MERGE)
    assert (stated["host"], stated["status"]) == ("h", {"replicas": 1})
    scaled = await server.ask("PATCH", path("v2", "a") + "/scale", {"spec": {"replicas": 4}}, content_type=MERGE)
    assert (scaled["kind"], scaled["spec"], scaled["status"]) == ("Scale", {"replicas": 4}, {"replicas": 1})
    read = await server.ask("GET", path("v1", "a"))
    assert (read["hostPort"], read["spec"]["replicas"], read["status"]) == ("h:1", 4, {"replicas": 1})


async def test_admission_webhooks_see_the_version_that_they_ask_for(server: Server, webhook: ConversionWebhook):
    """A hook for v2 of a request in v1 (`matchPolicy: Equivalent`); its patch comes back to v1."""
    await define(server, webhook)
    webhook.patch = [{"op": "replace", "path": "/host", "value": "patched"}]
    client = {**webhook.conversion["webhook"]["clientConfig"]}
    client["url"] = client["url"].replace("/convert", "/admit")
    rule = {"operations": ["*"], "apiGroups": ["stable.example.com"], "apiVersions": ["v2"], "resources": ["testcrs"]}
    await server.ask("POST", "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations", {
        "metadata": {"name": "m"}, "webhooks": [{
            "name": "m.example.com", "clientConfig": client, "rules": [rule], "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
        }],
    })  # fmt: skip
    made = await server.ask("POST", path("v1"), test_cr())
    assert made["hostPort"] == "patched:80", made
    (seen,) = webhook.admitted
    assert (seen["kind"]["version"], seen["requestKind"]["version"]) == ("v2", "v1")
    assert seen["object"]["host"] == "host"
    webhook.spoil = lambda _: Response(500, {"Content-Type": "text/plain"}, b"out of order")
    refused = await server.ask("POST", path("v1"), test_cr("b"))
    assert (refused["reason"], refused["message"].partition(" failed")[0]) == (
        "InternalError", "Internal error occurred: conversion for stable.example.com/v1, Kind=TestCr"
    )  # fmt: skip


async def test_a_webhook_that_fails_is_named_in_a_bare_500(server: Server, webhook: ConversionWebhook):
    await define(server, webhook)
    await server.ask("POST", path("v1"), test_cr())
    webhook.spoil = lambda review: {**review, "response": {**review["response"], "result": {"message": "no way"}}}
    answer = await server.ask("GET", path("v2", "a"))
    head = "conversion for stable.example.com/v1, Kind=TestCr failed: conversion webhook for /, Kind= failed: "
    assert (answer["code"], answer.get("reason"), answer["message"]) == (500, None, head + "no way")
    (event,) = await server.events(f"{path('v2')}?watch=true", 1)
    assert (event["type"], event["object"]["message"]) == ("ERROR", head + "no way")
    webhook.spoil = lambda review: Response(503, {}, b"")
    assert "the server is currently unable to handle the request" in (await server.ask("GET", path("v2")))["message"]
    assert (await server.ask("GET", path("v1", "a")))["hostPort"] == "host:80"
    metrics = (await server.send("GET", "/metrics")).body
    assert isinstance(metrics, bytes)
    name = 'apiserver_conversion_webhook_request_total{failure_type="conversion_webhook_call_failure",result="failure"}'
    assert f"{name} 3.0" in metrics.decode()
    assert b"apiserver_crd_conversion_webhook_duration_seconds_count{" in metrics


async def test_what_a_webhook_may_not_change_fails_the_request(server: Server, webhook: ConversionWebhook):
    await define(server, webhook)
    await server.ask("POST", path("v1"), test_cr())

    def renamed(obj: Any, api_version: str) -> Any:
        return {**obj, "apiVersion": api_version, "metadata": {**obj["metadata"], "name": "other"}}

    webhook.convert = renamed
    answer = await server.ask("GET", path("v2", "a"))
    assert answer["message"] == (
        "conversion for stable.example.com/v1, Kind=TestCr returned invalid converted object at index 1: "
        "must have the same name: a != other"
    )


async def test_a_webhook_that_knows_v1beta1_alone_is_asked_in_it(server: Server, webhook: ConversionWebhook):
    await define(server, webhook)
    conversion = webhook.conversion
    conversion["webhook"]["conversionReviewVersions"] = ["v7", "v1beta1"]
    await change(server, conversion=conversion)
    await server.ask("POST", path("v1"), test_cr())
    async with asyncio.timeout(5):
        while True:
            assert (await server.ask("GET", path("v2", "a")))["host"] == "host"
            if webhook.asked[-1]["apiVersion"] == "apiextensions.k8s.io/v1beta1":
                break
            await asyncio.sleep(0.005)
            await server.ask(
                "PATCH", path("v1", "a"), {"metadata": {"labels": {"n": str(len(webhook.asked))}}}, content_type=MERGE
            )


async def test_a_definition_whose_instances_cannot_be_converted_says_why_it_stays(server: Server, webhook: ConversionWebhook):
    await define(server, webhook)
    await server.ask("POST", path("v1"), test_cr())
    await store_in(server, "v2")
    webhook.spoil = lambda _: Response(500, {"Content-Type": "text/plain"}, b"out of order")
    await server.ask("DELETE", f"{DEFINITIONS}/testcrs.stable.example.com")
    async with asyncio.timeout(5):
        while True:
            found = await server.ask("GET", f"{DEFINITIONS}/testcrs.stable.example.com")
            (terminating,) = [each for each in found["status"]["conditions"] if each["type"] == "Terminating"]
            if terminating["reason"] == "InstanceDeletionFailed":
                break
            await asyncio.sleep(0.005)
    assert terminating["message"].startswith(
        "could not list instances: conversion for stable.example.com/v1, Kind=TestCr failed"
    )
    webhook.spoil = lambda review: review
    async with asyncio.timeout(10):
        while (await server.send("GET", f"{DEFINITIONS}/testcrs.stable.example.com")).status != 404:
            await asyncio.sleep(0.02)


async def test_watches_of_both_versions_see_the_same_history_of_writes_in_both(server: Server, webhook: ConversionWebhook):
    await define(server, webhook)
    made = await server.ask("POST", path("v1"), test_cr())
    since = made["metadata"]["resourceVersion"]
    watches = [
        asyncio.create_task(server.events(f"{path(version)}?watch=true&resourceVersion={since}", 20))
        for version in ("v1", "v2")
    ]

    async def write(number: int) -> None:
        change: Any = {"hostPort": f"h{number}:1"} if number % 2 else {"host": f"h{number}", "port": "1"}
        answer = await server.ask("PATCH", path("v1" if number % 2 else "v2", "a"), change, content_type=MERGE)
        assert answer["kind"] == "TestCr", answer

    for first in range(0, 20, 4):  # a few at a time: more would give up over conflicts
        await asyncio.gather(*(write(first + number) for number in range(4)))
    old, new = await asyncio.gather(*watches)
    assert [(event["object"]["metadata"], event["object"]["hostPort"]) for event in old] == [
        (event["object"]["metadata"], f"{event['object']['host']}:{event['object']['port']}") for event in new
    ]
