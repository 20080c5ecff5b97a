"""Server-side apply to custom resources: the structural schema says how."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

APPLY = "application/apply-patch+yaml"
WIDGETS = "/apis/example.com/v1/namespaces/default/widgets"
SPEC = {
    "type": "object",
    "properties": {
        "size": {"type": "integer"},
        "parts": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name", "side"],
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": {"type": "string"}, "side": {"type": "string", "default": "left"}, "weight": {"type": "integer"},
                },
            },
        },
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "place": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": {"type": "string"}},
    },
}  # fmt: skip
DEFINITION = {
    "metadata": {"name": "widgets.example.com"},
    "spec": {
        "group": "example.com", "scope": "Namespaced",
        "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
        "versions": [{
            "name": "v1", "served": True, "storage": True,
            "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"}},
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                "spec": SPEC, "status": {"type": "object", "properties": {"size": {"type": "integer"}}},
            }}},
        }],
    },
}  # fmt: skip


@pytest.fixture
async def widgets(server: Any) -> Any:
    await server.ask("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", DEFINITION)
    async with asyncio.timeout(5):
        while (await server.ask("GET", WIDGETS)).get("code") == 404:
            await asyncio.sleep(0.01)

    async def apply(manager: str, spec: dict[str, Any], query: str = "", subresource: str = "") -> Any:
        widget = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": spec}
        return await server.ask("PATCH", f"{WIDGETS}/w{subresource}?fieldManager={manager}{query}", widget, content_type=APPLY)

    return apply


async def test_lists_merge_by_their_keys_and_defaulted_keys(widgets: Any) -> None:
    await widgets("one", {"parts": [{"name": "a", "weight": 1}], "free": {"x": {"y": 1}}, "place": {"p": "1"}})
    answer = await widgets("two", {"parts": [{"name": "a", "side": "right"}, {"name": "b"}], "free": {"z": [1]}})
    assert answer["spec"] == {
        "parts": [{"name": "a", "side": "left", "weight": 1}, {"name": "a", "side": "right"}, {"name": "b", "side": "left"}],
        "free": {"x": {"y": 1}, "z": [1]}, "place": {"p": "1"},
    }  # fmt: skip
    [one, two] = [entry["fieldsV1"]["f:spec"] for entry in answer["metadata"]["managedFields"]]
    assert one == {
        "f:free": {"f:x": {".": {}, "f:y": {}}},
        "f:parts": {'k:{"name":"a","side":"left"}': {".": {}, "f:name": {}, "f:weight": {}}},
        "f:place": {},
    }
    assert two["f:free"] == {"f:z": {}}
    answer = await widgets("two", {"place": {"q": "1"}})
    assert answer["message"] == 'Apply failed with 1 conflict: conflict with "one": .spec.place'


async def test_creation_owns_the_structs_too(server: Any, widgets: Any) -> None:
    widget: dict[str, Any] = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w", "labels": {"a": "b"}}}
    widget["spec"] = {"size": 1}
    created = await server.ask("POST", WIDGETS, widget, user_agent="maker")
    [entry] = created["metadata"]["managedFields"]
    assert entry["fieldsV1"] == {"f:metadata": {"f:labels": {".": {}, "f:a": {}}}, "f:spec": {".": {}, "f:size": {}}}


async def test_what_the_schema_does_not_know_is_refused(widgets: Any) -> None:
    answer = await widgets("one", {"colour": "red"})
    assert answer["message"] == (
        "failed to create typed patch object (/w; example.com/v1, Kind=Widget): .spec.colour: field not declared in schema"
    )


async def test_scale_owns_the_field_that_the_definition_names(server: Any, widgets: Any) -> None:
    await widgets("one", {"size": 1})
    scale = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "w"}, "spec": {"replicas": 2}}
    answer = await server.ask("PATCH", f"{WIDGETS}/w/scale?fieldManager=s", scale, content_type=APPLY)
    assert answer["message"] == 'Apply failed with 1 conflict: conflict with "one": .spec.replicas'
    await server.ask("PATCH", f"{WIDGETS}/w/scale?fieldManager=s&force=true", scale, content_type=APPLY)
    found = await server.ask("GET", f"{WIDGETS}/w")
    assert found["spec"]["size"] == 2
    [entry] = found["metadata"]["managedFields"]
    assert (entry["manager"], entry["fieldsV1"], entry["subresource"]) == ("s", {"f:spec": {"f:size": {}}}, "scale")


@pytest.mark.parametrize("depth", [200, 700, 5000])
async def test_deep_nesting_is_no_internal_error(server: Any, widgets: Any, depth: int) -> None:
    body = b'{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"w"},"spec":{"free":%b1%b}}' % (
        b'{"a":' * depth, b"}" * depth,
    )  # fmt: skip
    for method, path, media in (("POST", WIDGETS, "application/json"), ("PATCH", f"{WIDGETS}/w?fieldManager=m", APPLY)):
        answer = await server.ask(method, path, body, content_type=media)
        assert answer.get("code", 200) < 500, answer
