"""Custom resources in the OpenAPI documents.

Conformance: CustomResourcePublishOpenAPI (`test/e2e/apimachinery/crd_publish_openapi.go`).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.component.apiserver.conftest import Server

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
FOO: Any = {
    "type": "object", "description": "Foo CRD for Testing",
    "properties": {
        "spec": {
            "type": "object", "description": "Specification of Foo",
            "properties": {"bars": {
                "type": "array", "description": "List of Bars and their specs.",
                "items": {
                    "type": "object", "required": ["name"],
                    "properties": {
                        "name": {"type": "string", "description": "Name of Bar."},
                        "bazs": {"type": "array", "items": {"type": "string"}},
                        "feeling": {"type": "string", "enum": ["Great", "Down"]},
                    },
                },
            }},
        },
        "status": {"type": "object", "properties": {"bars": {"type": "integer"}}},
    },
}  # fmt: skip
OURS = ("metadata", "apiVersion", "kind")


def definition(schema: Any, *versions: str, group: str = "foo.example.com", kind: str = "Foo") -> Any:
    plural = f"{kind.lower()}s"
    return {
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group, "scope": "Namespaced", "names": {"plural": plural, "kind": kind},
            "versions": [{"name": name, "served": True, "storage": place == 0, "schema": {"openAPIV3Schema": schema}}
                         for place, name in enumerate(versions)],
        },
    }  # fmt: skip


async def published(server: Server, name: str) -> Any:
    """A definition of the version 2 document, without what we add to it; None if it is not there."""
    found = (await server.ask("GET", "/openapi/v2"))["definitions"].get(name)
    if found is None:
        return None
    properties = {field: inner for field, inner in (found.pop("properties", None) or {}).items() if field not in OURS}
    if properties:
        found["properties"] = properties
    assert found.pop("x-kubernetes-group-version-kind")
    return found


async def until(server: Server, name: str, wanted: Any) -> None:
    async with asyncio.timeout(10):
        while (found := await published(server, name)) != wanted:
            assert found is None or wanted is None, found
            await asyncio.sleep(0.01)


async def test_a_schema_is_published_as_it_is(server: Server):
    await server.ask("POST", DEFINITIONS, definition(FOO, "v1"))
    await until(server, "com.example.foo.v1.Foo", FOO)
    document = await server.ask("GET", "/openapi/v3/apis/foo.example.com/v1")
    schema = document["components"]["schemas"]["com.example.foo.v1.Foo"]
    assert schema["properties"]["spec"] == FOO["properties"]["spec"]
    assert set(OURS) <= schema["properties"].keys()


async def test_a_schema_that_keeps_unknown_fields_says_nothing_that_would_rule_them_out(server: Server):
    keeps = {"x-kubernetes-preserve-unknown-fields": True}
    await server.ask("POST", DEFINITIONS, definition({"type": "object", **keeps}, "v1"))
    await until(server, "com.example.foo.v1.Foo", {"type": "object"})
    nested = {"type": "object", "description": "Waldo", "properties": {
        "spec": {"type": "object", **keeps, "properties": {"dummy": {"type": "string"}}},
    }}  # fmt: skip
    await server.ask("POST", DEFINITIONS, definition(nested, "v1", kind="Waldo"))
    await until(server, "com.example.foo.v1.Waldo", {**nested, "properties": {"spec": {"type": "object", **keeps}}})
    third = (await server.ask("GET", "/openapi/v3/apis/foo.example.com/v1"))["components"]["schemas"]
    assert third["com.example.foo.v1.Waldo"]["properties"]["spec"] == nested["properties"]["spec"]


async def test_what_version_2_has_no_words_for_is_left_out_there(server: Server):
    schema = {"type": "object", "properties": {"spec": {
        "type": "object", "required": ["a", "b"], "allOf": [{"required": ["a"]}], "properties": {
            "a": {"type": "string"}, "b": {"type": "string", "nullable": True}, "c": {"x-kubernetes-int-or-string": True},
        },
    }}}  # fmt: skip
    await server.ask("POST", DEFINITIONS, definition(schema, "v1"))
    spec = {"type": "object", "required": ["a"], "properties": {
        "a": {"type": "string"}, "b": {}, "c": {"x-kubernetes-int-or-string": True},
    }}  # fmt: skip
    await until(server, "com.example.foo.v1.Foo", {"type": "object", "properties": {"spec": spec}})


async def test_versions_groups_and_kinds_stand_side_by_side(server: Server):
    await server.ask("POST", DEFINITIONS, definition(FOO, "v2", "v3"))
    await server.ask("POST", DEFINITIONS, definition(FOO, "v3", kind="Waldo"))
    await server.ask("POST", DEFINITIONS, definition(FOO, "v1beta1", group="waldo.example.com"))
    for name in ("foo.v2.Foo", "foo.v3.Foo", "foo.v3.Waldo", "waldo.v1beta1.Foo"):
        await until(server, f"com.example.{name}", FOO)
    await server.ask("DELETE", f"{DEFINITIONS}/foos.foo.example.com")
    await until(server, "com.example.foo.v3.Foo", None)
    await until(server, "com.example.foo.v3.Waldo", FOO)
    assert (await server.send("GET", "/openapi/v3/apis/foo.example.com/v2")).status == 404


async def test_a_version_that_gets_another_name_or_is_not_served_any_more_goes(server: Server):
    await server.ask("POST", DEFINITIONS, definition(FOO, "v2", "v3"))
    await until(server, "com.example.foo.v3.Foo", FOO)
    path = f"{DEFINITIONS}/foos.foo.example.com"
    renamed = [
        {"op": "test", "path": "/spec/versions/1/name", "value": "v3"},
        {"op": "replace", "path": "/spec/versions/1/name", "value": "v4"},
    ]
    await server.ask("PATCH", path, renamed, content_type="application/json-patch+json")
    await until(server, "com.example.foo.v4.Foo", FOO)
    await until(server, "com.example.foo.v3.Foo", None)
    unserved = [{"op": "replace", "path": "/spec/versions/1/served", "value": False}]
    await server.ask("PATCH", path, unserved, content_type="application/json-patch+json")
    await until(server, "com.example.foo.v4.Foo", None)
    await until(server, "com.example.foo.v2.Foo", FOO)


async def test_a_document_under_way_when_a_definition_comes_is_not_kept(server: Server):
    """It was made without the new resource, and would have been served until the next change."""
    asked = [asyncio.create_task(server.ask("GET", "/openapi/v2")) for _ in range(2)]
    await server.ask("POST", DEFINITIONS, definition(FOO, "v1"))
    await asyncio.gather(*asked)
    await until(server, "com.example.foo.v1.Foo", FOO)
