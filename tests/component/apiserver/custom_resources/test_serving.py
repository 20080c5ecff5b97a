"""Custom resources through the whole server, in this process."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.component.apiserver.conftest import Server

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
WIDGETS = "/apis/example.com/v1/namespaces/default/widgets"
MERGE = "application/merge-patch+json"
SPEC = {"type": "object", "properties": {"replicas": {"type": "integer", "default": 1}, "color": {"type": "string"}}}
STATUS = {
    "type": "object",
    "properties": {"replicas": {"type": "integer"}, "selector": {"type": "string"}, "phase": {"type": "string"}},
}


def version(name: str = "v1", *, storage: bool = True, **more: Any) -> Any:
    schema = {"type": "object", "properties": {"spec": SPEC, "status": STATUS}}
    return {"name": name, "served": True, "storage": storage, "schema": {"openAPIV3Schema": schema}, **more}


def definition(*versions: Any, **spec: Any) -> Any:
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget", "shortNames": ["wd"]}
    return {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": names, "versions": list(versions or (version(),)), **spec,
        },
    }  # fmt: skip


def widget(name: str = "w", api_version: str = "example.com/v1", **more: Any) -> Any:
    return {"apiVersion": api_version, "kind": "Widget", "metadata": {"name": name}, **more}


async def define(server: Server, wanted: Any = None) -> float:
    """Create the definition; the seconds until its resource answers."""
    started = time.perf_counter()
    made = await server.ask("POST", DEFINITIONS, wanted or definition())
    assert made["kind"] == "CustomResourceDefinition", made
    path = f"/apis/example.com/{made['spec']['versions'][0]['name']}/namespaces/default/widgets"
    async with asyncio.timeout(5):
        while (await server.send("GET", path)).status != 200:
            await asyncio.sleep(0.001)
    return time.perf_counter() - started


async def test_a_resource_is_served_and_discovered_as_soon_as_it_is_defined(server: Server):
    elapsed = await define(server)
    print(f"served after {elapsed * 1000:.1f} ms")
    assert elapsed < 1  # 0.1 is the goal; a busy machine must not fail the test
    listed = await server.ask("GET", "/apis/example.com/v1")
    assert [found["name"] for found in listed["resources"]] == ["widgets"]
    aggregated = await server.ask("GET", "/apis", accept="application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")
    assert aggregated["items"][-1]["metadata"]["name"] == "example.com"
    index = await server.ask("GET", "/openapi/v3")
    document = await server.ask("GET", index["paths"]["apis/example.com/v1"]["serverRelativeURL"])
    schema = document["components"]["schemas"]["com.example.v1.Widget"]
    assert schema["x-kubernetes-group-version-kind"] == [{"group": "example.com", "version": "v1", "kind": "Widget"}]
    assert schema["properties"]["spec"]["properties"]["replicas"]["default"] == 1
    assert "com.example.v1.Widget" in (await server.ask("GET", "/openapi/v2"))["definitions"]


async def test_objects_are_pruned_defaulted_and_listed_with_their_kind(server: Server):
    await define(server)
    made = await server.ask("POST", WIDGETS, widget(spec={"nope": 1}))
    assert made["spec"] == {"replicas": 1}
    listed = await server.ask("GET", WIDGETS)
    assert listed["kind"] == "WidgetList"
    assert listed["items"][0]["kind"] == "Widget"
    assert listed["items"][0]["apiVersion"] == "example.com/v1"


async def test_the_generation_counts_changes_of_the_spec_and_status_is_written_by_itself(server: Server):
    await define(server, definition(version(subresources={"status": {}})))
    made = await server.ask("POST", WIDGETS, widget(spec={}, status={"phase": "Made up"}))
    assert "status" not in made
    ready = {"status": {"phase": "Ready"}, "metadata": {"labels": {"a": "b"}}, "spec": {"color": "red"}}
    stated = await server.ask("PATCH", f"{WIDGETS}/w/status", ready, content_type=MERGE)
    assert (stated["status"], stated["metadata"]["generation"]) == ({"phase": "Ready"}, 1)
    assert "labels" not in stated["metadata"] and "color" not in stated["spec"]
    changed = await server.ask("PATCH", f"{WIDGETS}/w", {"spec": {"color": "red"}, "status": None}, content_type=MERGE)
    assert (changed["status"], changed["metadata"]["generation"]) == ({"phase": "Ready"}, 2)


async def test_without_a_status_subresource_the_status_is_a_field_like_any_other(server: Server):
    await define(server)
    await server.ask("POST", WIDGETS, widget(status={"phase": "A"}))
    changed = await server.ask("PATCH", f"{WIDGETS}/w", {"status": {"phase": "B"}}, content_type=MERGE)
    assert (changed["status"], changed["metadata"]["generation"]) == ({"phase": "B"}, 2)


async def test_scale_reads_and_writes_by_the_paths_of_the_definition(server: Server):
    scale = {
        "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas", "labelSelectorPath": ".status.selector",
    }  # fmt: skip
    await define(server, definition(version(subresources={"scale": scale})))
    await server.ask("POST", WIDGETS, widget(spec={"replicas": 2}, status={"replicas": 1, "selector": "a=b"}))
    found = await server.ask("GET", f"{WIDGETS}/w/scale")
    assert (found["spec"], found["status"]) == ({"replicas": 2}, {"replicas": 1, "selector": "a=b"})
    found["spec"]["replicas"] = 5
    assert (await server.ask("PUT", f"{WIDGETS}/w/scale", found))["spec"] == {"replicas": 5}
    assert (await server.ask("GET", f"{WIDGETS}/w"))["spec"]["replicas"] == 5


async def test_versions_without_a_converter_differ_in_their_api_version_alone(server: Server):
    await define(server, definition(version("v1", storage=False), version("v2")))
    await server.ask("POST", WIDGETS, widget(spec={"color": "red"}))
    other = await server.ask("GET", WIDGETS.replace("/v1/", "/v2/") + "/w")
    assert (other["apiVersion"], other["spec"]) == ("example.com/v2", {"replicas": 1, "color": "red"})
    events = await server.events(f"{WIDGETS}?watch=true", 1)
    assert events[0]["object"]["apiVersion"] == "example.com/v1"


async def test_what_only_one_version_knows_is_dropped_where_the_other_is_stored_or_served(server: Server):
    """Upstream prunes when it encodes for storage and again after conversion; defaults are those of the stored version."""
    text = {"type": "string"}
    one, two = version("v1", storage=False), version("v2")
    for given, fields in (
        (one, {"both": text, "old": text}), (two, {"both": text, "new": {**text, "default": "n"}}),
    ):  # fmt: skip
        given["schema"] = {
            "openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object", "properties": fields}}}
        }
    await define(server, definition(one, two))
    made = await server.ask("POST", WIDGETS, widget(spec={"both": "b", "old": "o"}))
    assert made["spec"] == {"both": "b"}
    assert (await server.ask("GET", WIDGETS + "/w"))["spec"] == {"both": "b"}
    assert (await server.ask("GET", WIDGETS.replace("/v1/", "/v2/") + "/w"))["spec"] == {"both": "b", "new": "n"}


async def test_columns_and_selectable_fields_are_those_of_the_definition(server: Server):
    columns = [{"name": "Color", "type": "string", "jsonPath": ".spec.color"}]
    await define(server, definition(version(additionalPrinterColumns=columns, selectableFields=[{"jsonPath": ".spec.color"}])))
    for name, color in (("a", "red"), ("b", "blue")):
        await server.ask("POST", WIDGETS, widget(name, spec={"color": color}))
    table = await server.ask("GET", WIDGETS, accept="application/json;as=Table;v=v1;g=meta.k8s.io")
    assert [row["cells"] for row in table["rows"]] == [["a", "red"], ["b", "blue"]]
    chosen = await server.ask("GET", f"{WIDGETS}?fieldSelector=spec.color%3Dblue")
    assert [item["metadata"]["name"] for item in chosen["items"]] == ["b"]
    assert (await server.send("GET", f"{WIDGETS}?fieldSelector=spec.replicas%3D1")).status == 400


async def test_a_strategic_merge_patch_is_refused_and_the_others_are_not(server: Server):
    await define(server)
    await server.ask("POST", WIDGETS, widget(spec={}))
    strategic = await server.send("PATCH", f"{WIDGETS}/w", {}, content_type="application/strategic-merge-patch+json")
    assert strategic.status == 415
    operations = [{"op": "add", "path": "/spec/color", "value": "red"}]
    patched = await server.ask("PATCH", f"{WIDGETS}/w", operations, content_type="application/json-patch+json")
    assert patched["spec"]["color"] == "red"
    applied = await server.ask(
        "PATCH", f"{WIDGETS}/w?fieldManager=me&force=true", widget(spec={"color": "blue"}),
        content_type="application/apply-patch+yaml",
    )  # fmt: skip
    assert applied["spec"]["color"] == "blue"


async def test_a_stricter_definition_prunes_what_was_stored_before_it(server: Server):
    """Stored bytes go out as they are only while the definition they were written under is the one in force."""
    await define(server)
    await server.ask("POST", WIDGETS, widget(spec={"color": "red"}))
    strict = version()
    strict["schema"] = {
        "openAPIV3Schema": {
            "type": "object",
            "properties": {"spec": {"type": "object", "properties": {"size": {"type": "string", "default": "L"}}}},
        }
    }
    await server.ask("PATCH", f"{DEFINITIONS}/widgets.example.com", {"spec": {"versions": [strict]}}, content_type=MERGE)
    async with asyncio.timeout(5):
        while (await server.ask("GET", f"{WIDGETS}/w"))["spec"] != {"size": "L"}:
            await asyncio.sleep(0.005)
    assert (await server.ask("GET", WIDGETS))["items"][0]["spec"] == {"size": "L"}


async def test_a_finalizer_without_a_domain_is_warned_of_when_it_comes(server: Server):
    await define(server)
    made = widget()
    made["metadata"]["finalizers"] = ["mine", "example.com/fine", "orphan"]
    first = await server.send("POST", WIDGETS, made)
    assert first.headers["Warning"] == (
        '299 - "metadata.finalizers: \\"mine\\": prefer a domain-qualified finalizer name including a path (/) to avoid '
        'accidental conflicts with other finalizer writers"'
    )
    changed = await server.send("PATCH", f"{WIDGETS}/w", {"metadata": {"labels": {"a": "b"}}}, content_type=MERGE)
    assert "Warning" not in changed.headers


async def test_deleting_a_definition_deletes_its_objects_and_waits_for_their_finalizers(server: Server):
    await define(server)
    held = widget("held")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    await server.ask("POST", WIDGETS, held)
    await server.ask("POST", WIDGETS, widget("free"))
    deleted = await server.ask("DELETE", f"{DEFINITIONS}/widgets.example.com")
    assert deleted["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
    async with asyncio.timeout(5):
        while len((await server.ask("GET", WIDGETS))["items"]) > 1:
            await asyncio.sleep(0.005)
    assert (await server.send("POST", WIDGETS, widget("late"))).status == 403
    await server.ask("PATCH", f"{WIDGETS}/held", {"metadata": {"finalizers": None}}, content_type=MERGE)
    async with asyncio.timeout(5):
        while (await server.send("GET", f"{DEFINITIONS}/widgets.example.com")).status != 404:
            await asyncio.sleep(0.005)
        while (await server.send("GET", WIDGETS)).status != 404:
            await asyncio.sleep(0.005)
    assert (await server.send("GET", "/apis/example.com")).status == 404


async def test_a_definition_may_come_back_after_it_was_deleted(server: Server):
    await define(server)
    await server.ask("POST", WIDGETS, widget())
    await server.ask("DELETE", f"{DEFINITIONS}/widgets.example.com")
    async with asyncio.timeout(5):
        while (await server.send("GET", f"{DEFINITIONS}/widgets.example.com")).status != 404:
            await asyncio.sleep(0.005)
    await define(server)
    assert (await server.ask("GET", WIDGETS))["items"] == []
    assert (await server.ask("POST", WIDGETS, widget()))["metadata"]["name"] == "w"


async def test_rules_that_do_not_fit_the_schema_are_refused_with_the_place(server: Server):
    wanted = definition()
    schema = wanted["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["x-kubernetes-validations"] = [{"rule": "self.spec.nope > 1"}]
    answer = await server.ask("POST", DEFINITIONS, wanted)
    assert answer["code"] == 422
    assert "compilation failed: ERROR: <input>:1:10: undefined field 'nope'" in answer["message"]


async def test_what_a_new_rule_says_of_what_is_stored_is_a_warning(server: Server):
    await define(server)
    await server.ask("POST", WIDGETS, widget(spec={"replicas": 20}))
    color = {"type": "string", "x-kubernetes-validations": [{"rule": "self != 'red'"}]}
    replicas = {"type": "integer", "x-kubernetes-validations": [{"rule": "self < 10", "message": "few"}]}
    patch = {"spec": {"versions": [version()]}}
    patch["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"] = {
        "type": "object", "properties": {"replicas": replicas, "color": color},
    }  # fmt: skip
    await server.ask("PATCH", f"{DEFINITIONS}/widgets.example.com", patch, content_type=MERGE)
    path, red, blue = f"{WIDGETS}/w", {"spec": {"color": "red"}}, {"spec": {"color": "blue"}}
    async with asyncio.timeout(5):
        while (await server.send("PATCH", f"{path}?dryRun=All", red, content_type=MERGE)).status != 422:
            await asyncio.sleep(0.005)
    answer = await server.send("PATCH", path, blue, content_type=MERGE)
    assert (answer.status, answer.headers["Warning"]) == (200, '299 - "spec.replicas: Invalid value: 20: few"')
    refused = await server.send("PATCH", path, {"spec": {"replicas": 21}}, content_type=MERGE)
    assert refused.status == 422
