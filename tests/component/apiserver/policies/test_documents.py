"""The types of custom resources, as the policies' status controller reads them out of the server's documents."""

from __future__ import annotations

from typing import Any

from pybernetes.controllers.validatingadmissionpolicy_status import Documents, check
from pybernetes.machinery.meta import GroupVersionKind

LIMIT = GroupVersionKind("example.com", "v1", "Limit")


async def test_custom_resources_have_types_as_objects_and_as_parameters(server: Any) -> None:
    spec = {
        "type": "object",
        "properties": {
            "most": {"type": "integer"}, "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            "names": {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}},
        },
    }  # fmt: skip
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}
    definition = {
        "metadata": {"name": "limits.example.com"},
        "spec": {
            "group": "example.com", "scope": "Cluster", "names": {"plural": "limits", "kind": "Limit"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }  # fmt: skip
    await server.ask("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
    await server.api._custom.settle()
    documents = Documents(server.client)
    limit = await documents.type_of(LIMIT)
    assert limit is not None
    assert await documents.type_of(LIMIT._replace(kind="Other")) is None
    assert await documents.type_of(LIMIT._replace(group="else.example.com")) is None
    expressions = {
        "object.spec.most == 'x'": "found no matching overload for '_==_' applied to '(int, string)'",
        "params.spec.least == 1": "undefined field 'least'",
        "object.spec.names['a'].all(n, n > 1)": "found no matching overload for '_>_' applied to '(string, int)'",
        "object.spec.any.whatever == 1": "",
        "object.metadata.name.startsWith('a') && object.kind == 'Limit'": "",
    }
    policy = {"validations": [{"expression": text} for text in expressions]}
    found = {warning["fieldRef"]: warning["warning"] for warning in check(policy, [(LIMIT, limit)], limit)}
    for i, why in enumerate(expressions.values()):
        assert why in found.pop(f"spec.validations[{i}].expression", ""), why
    assert not any(found.values())


async def test_built_in_kinds_need_no_document(server: Any) -> None:
    assert await Documents(None).type_of(GroupVersionKind("apps", "v1", "Deployment")) is not None  # type: ignore[arg-type]
