"""Writing Kubernetes' protobuf: what is written reads back as it was, for every built-in type."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybernetes.machinery import protobuf, protobuf_encoding
from pybernetes.machinery.meta import GroupVersionKind
from pybernetes.machinery.resources import BUILTIN
from pybernetes.machinery.schema import Field, Kind, Node, schema_for, struct

# What a whole object within another (StatefulSet's claim templates) has in JSON alone.
NO_FIELDS_INSIDE = {"kind", "apiVersion"}
KINDS = sorted({resource.gvk for resource in BUILTIN}, key=str)
SAMPLES: dict[str, Any] = {
    Kind.STRING: "text é", Kind.BOOLEAN: True, Kind.INT32: -7, Kind.INT64: 1 << 60, Kind.DOUBLE: 0.25, Kind.BYTES: "AAH/",
    Kind.TIME: "2026-01-02T03:04:05Z", Kind.MICRO_TIME: "2026-01-02T03:04:05.000006Z", Kind.QUANTITY: "100m",
    Kind.INT_OR_STRING: "80%", Kind.ANY: {"any": ["json", 1, None, {"x": 2.5}]},
}  # fmt: skip


def fields_of(node: Node, *, inside: bool) -> dict[str, Field]:
    fields = dict(struct(node.struct_name).fields)
    if inside and fields.keys() >= {"metadata", *NO_FIELDS_INSIDE}:
        fields = {name: field for name, field in fields.items() if name not in NO_FIELDS_INSIDE}
    return fields


def fullest(node: Node, depth: int = 0, seen: tuple[str, ...] = ()) -> Any:
    """A value with every field that its type has; a type within itself once."""
    if node.kind == Kind.LIST:
        assert node.item is not None
        item = fullest(node.item, depth, seen)
        return None if item is None else [item, item]
    if node.kind == Kind.MAP:
        assert node.item is not None
        item = fullest(node.item, depth, seen)
        return None if item is None else {"a": item, "b/c": item}
    if node.kind != Kind.STRUCT:
        return SAMPLES[node.kind]
    if seen.count(node.struct_name) > 1:
        return None
    fields = fields_of(node, inside=bool(seen))
    found = {name: fullest(field.node, depth + 1, (*seen, node.struct_name)) for name, field in fields.items()}
    return {name: value for name, value in found.items() if value is not None}


@pytest.mark.parametrize("gvk", KINDS, ids=str)
def test_every_field_of_every_kind_reads_back(gvk: GroupVersionKind) -> None:
    obj = fullest(schema_for(gvk).node) | {"kind": gvk.kind, "apiVersion": gvk.api_version}
    encoded = protobuf_encoding.encode(obj)
    assert protobuf.decode(encoded, GroupVersionKind("", "v1", "Other")) == obj


def values(node: Node, depth: int = 0) -> st.SearchStrategy[Any]:
    """Some value of a type, zeros included."""
    if node.kind == Kind.LIST:
        assert node.item is not None
        return st.lists(values(node.item, depth + 1), min_size=1, max_size=2)
    if node.kind == Kind.MAP:
        assert node.item is not None
        return st.dictionaries(st.text(max_size=5), values(node.item, depth + 1), min_size=1, max_size=2)
    if node.kind == Kind.STRUCT:
        fields = fields_of(node, inside=depth > 0) if depth < 5 else {}
        chosen = st.lists(st.sampled_from(sorted(fields)), max_size=4, unique=True) if fields else st.just([])
        return chosen.flatmap(
            lambda names: st.fixed_dictionaries({name: values(fields[name].node, depth + 1) for name in names})
        )
    return {
        Kind.STRING: st.text(max_size=200),
        Kind.BOOLEAN: st.booleans(),
        Kind.INT32: st.integers(-(2**31), 2**31 - 1),
        Kind.INT64: st.integers(-(2**63), 2**63 - 1),
        Kind.DOUBLE: st.floats(allow_nan=False),
        Kind.INT_OR_STRING: st.one_of(st.integers(-(2**31), 2**31 - 1), st.text(max_size=9)),
    }.get(node.kind, st.just(SAMPLES[node.kind]))


@given(st.data())
def test_some_object_of_some_kind_reads_back(data: st.DataObject) -> None:
    gvk = data.draw(st.sampled_from(KINDS))
    obj = data.draw(values(schema_for(gvk).node)) | {"kind": gvk.kind, "apiVersion": gvk.api_version}
    assert protobuf.decode(protobuf_encoding.encode(obj), gvk) == obj


@pytest.mark.parametrize(
    "schema",
    [
        {"items": {"type": "string"}, "additionalProperties": {"type": "integer"}},
        {"items": [{"type": "string"}, {}], "additionalProperties": False},
        {"dependencies": {"a": ["b", "c"], "d": {"type": "object"}}, "default": None, "enum": [1, "two", None]},
        {"$ref": "x", "x-kubernetes-list-map-keys": ["a"], "maximum": 3, "example": {"nested": [1]}},
    ],
)
def test_schemas_with_alternatives_read_back(schema: Any) -> None:
    gvk = GroupVersionKind("apiextensions.k8s.io", "v1", "CustomResourceDefinition")
    spec = {"versions": [{"name": "v1", "schema": {"openAPIV3Schema": {"properties": {"p": schema}}}}]}
    obj = {"kind": gvk.kind, "apiVersion": gvk.api_version, "spec": spec}
    found = protobuf.decode(protobuf_encoding.encode(obj), gvk)
    wanted = {key: value for key, value in schema.items() if value is not None}
    assert found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["p"] == wanted


def test_the_bytes_are_those_of_go() -> None:
    """Of a ConfigMap with a name and one entry, as Go's encoder lays it out."""
    obj = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "n"}, "data": {"k": "v"}}
    assert protobuf_encoding.encode(obj) == (
        b"k8s\0\x0a\x0f\x0a\x02v1\x12\x09ConfigMap\x12\x0d\x0a\x03\x0a\x01n\x12\x06\x0a\x01k\x12\x01v\x1a\x00\x22\x00"
    )


def test_a_status_and_metadata_alone() -> None:
    status = {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "no", "reason": "NotFound",
        "details": {"name": "x", "causes": [{"reason": "r", "message": "m", "field": "f"}], "retryAfterSeconds": 1},
        "code": 404,
    }  # fmt: skip
    assert protobuf.decode(protobuf_encoding.encode(status), KINDS[0]) == status
    partial = {
        "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
        "metadata": {"managedFields": [{"manager": "m", "fieldsV1": {"f:data": {}}, "time": "2026-01-01T00:00:00Z"}]},
    }  # fmt: skip
    assert protobuf.decode(protobuf_encoding.encode(partial), KINDS[0]) == partial


def test_kinds_without_a_message_are_told_apart() -> None:
    assert protobuf_encoding.can_encode(GroupVersionKind("", "v1", "Pod"))
    assert not protobuf_encoding.can_encode(GroupVersionKind("example.com", "v1", "Widget"))
