"""What is said of fields that a custom resource does not have, or has twice.

Conformance: FieldValidation (`test/e2e/apimachinery/field_validation.go`).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.component.apiserver.conftest import Server

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
THINGS = "/apis/example.com/v1beta1/things"
STRICT = "fieldManager=m&fieldValidation=Strict"
PORTS = {
    "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["containerPort", "protocol"],
    "items": {
        "type": "object", "required": ["containerPort", "protocol"],
        "properties": {
            "containerPort": {"type": "integer", "format": "int32"}, "name": {"type": "string"}, "protocol": {"type": "string"},
        },
    },
}  # fmt: skip
SPEC = {"type": "object", "properties": {"foo": {"type": "string"}, "ports": PORTS}}
EMBEDDED = {
    "type": "object", "x-kubernetes-embedded-resource": True,
    "properties": {
        "metadata": {"type": "object", "properties": {"name": {"type": "string"}}}, "spec": {"type": "object"},
    },
}  # fmt: skip


async def define(server: Server, spec: Any) -> None:
    """Cluster-scoped, in two versions."""
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec} if spec else {}}}
    if not spec:
        schema["openAPIV3Schema"]["x-kubernetes-preserve-unknown-fields"] = True
    made = await server.ask("POST", DEFINITIONS, {
        "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com", "scope": "Cluster", "names": {"plural": "things", "kind": "Thing"},
            "versions": [{"name": name, "served": True, "storage": name == "v1beta1", "schema": schema}
                         for name in ("v1beta1", "v1beta2")],
        },
    })  # fmt: skip
    assert "status" in made and made["kind"] == "CustomResourceDefinition", made
    async with asyncio.timeout(5):
        while (await server.send("GET", THINGS)).status != 200:
            await asyncio.sleep(0.002)


async def apply(server: Server, more: str) -> Any:
    body = f"\napiVersion: example.com/v1beta1\nkind: Thing\nmetadata:\n  name: t\n{more}"
    return await server.ask("PATCH", f"{THINGS}/t?{STRICT}", body.encode(), content_type="application/apply-patch+yaml")


KNOWN = "spec:\n  foo: foo1\n  ports:\n  - name: x\n    containerPort: 80\n    protocol: TCP\n"


async def test_what_the_schema_declares_is_applied(server: Server):
    await define(server, SPEC)
    made = await apply(server, f"  finalizers:\n  - example.com/f\n{KNOWN}")
    assert made["spec"]["ports"] == [{"containerPort": 80, "name": "x", "protocol": "TCP"}]


async def test_without_a_schema_anything_is(server: Server):
    await define(server, None)
    assert (await apply(server, "spec:\n  unknown: uk1\n"))["spec"] == {"unknown": "uk1"}


async def test_a_field_that_is_not_declared_is_refused_wherever_it_is(server: Server):
    await define(server, {**SPEC, "properties": {**SPEC["properties"], "template": EMBEDDED}})
    assert ".unknownField: field not declared in schema" in (await apply(server, f"unknownField: u\n{KNOWN}"))["message"]
    template = "  template:\n    apiVersion: foo/v1\n    kind: Sub\n    metadata:\n      unknownSubMeta: u\n      name: s\n"
    answer = await apply(server, f"  unknownMeta: u\n{KNOWN}{template}")
    assert ".metadata.unknownMeta: field not declared in schema" in answer["message"]
    assert ".spec.template.metadata.unknownSubMeta: field not declared in schema" in answer["message"]
    made = await server.ask("POST", f"{THINGS}?{STRICT}", {
        "metadata": {"name": "t", "unknownMeta": 1}, "spec": {"template": {
            "apiVersion": "foo/v1", "kind": "Sub", "metadata": {"unknownSubMeta": 1},
        }},
    })  # fmt: skip
    assert made["message"].endswith(
        'strict decoding error: unknown field "metadata.unknownMeta", unknown field "spec.template.metadata.unknownSubMeta"'
    )


async def test_a_key_that_is_given_twice_is_refused_even_where_unknown_fields_are_kept(server: Server):
    await define(server, {**SPEC, "x-kubernetes-preserve-unknown-fields": True})
    answer = await apply(server, "  finalizers:\n  - example.com/f\nspec:\n  unknown: uk1\n  foo: foo1\n  foo: foo2\n")
    assert (answer["code"], answer["message"]) == (
        400, "error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n"
        '  line 11: key "foo" already set in map',
    )  # fmt: skip


async def test_an_embedded_object_needs_a_type_and_metadata_that_could_be_an_objects(server: Server):
    await define(server, {**SPEC, "properties": {**SPEC["properties"], "template": EMBEDDED}})
    thing = {"apiVersion": "example.com/v1beta1", "kind": "Thing", "metadata": {"name": "t"}}
    refused = await server.ask(
        "POST", THINGS, {**thing, "spec": {"template": {"kind": "%", "metadata": {"labels": {"-": ""}}}}}
    )
    assert refused["code"] == 422
    causes = [(cause["reason"], cause["field"]) for cause in refused["details"]["causes"]]
    assert causes == [
        ("FieldValueRequired", "spec.template.apiVersion"), ("FieldValueInvalid", "spec.template.kind"),
        ("FieldValueInvalid", "spec.template.metadata.labels"),
    ]  # fmt: skip
    typed = {"apiVersion": "v1", "kind": "Pod"}
    made = await server.ask("POST", THINGS, {**thing, "spec": {"template": typed}})
    assert made["spec"]["template"] == typed
    refused = await server.ask("PUT", f"{THINGS}/t", {**made, "spec": {"template": {**typed, "apiVersion": "a/b/c"}}})
    assert 'spec.template.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c' in refused["message"]
