"""Structural schemas: pruning, defaulting, validation."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybernetes.machinery.errors import DecodeError
from pybernetes.machinery.meta import GroupVersionKind, clone
from pybernetes.machinery.schema.structural import Structural

GVK = GroupVersionKind("example.com", "v1", "Widget")


def structural(**properties: Any) -> Structural:
    return Structural(GVK, {"type": "object", "properties": {"spec": {"type": "object", "properties": properties}}})


def conformed(schema: Structural, spec: Any) -> tuple[Any, list[str]]:
    obj = {"metadata": {"name": "w"}, "spec": spec}
    schema.default(obj)
    unknown = schema.conform(obj)
    return obj.get("spec"), unknown


def errors(schema: Structural, spec: Any, old: Any = None) -> list[str]:
    before = None if old is None else {"metadata": {}, "spec": old}
    return [str(error) for error in schema.validate({"metadata": {}, "spec": spec}, before)]


def test_fields_that_the_schema_does_not_name_are_dropped_and_reported_in_order():
    schema = structural(a={"type": "string"}, l={"type": "array", "items": {"type": "object", "properties": {"k": {}}}})
    assert conformed(schema, {"zz": 1, "b": 2, "a": "x", "l": [{"k": 1, "q": 2}]}) == (
        {"a": "x", "l": [{"k": 1}]},
        ["spec.b", "spec.l[0].q", "spec.zz"],
    )


def test_unknown_fields_may_be_preserved_down_to_where_the_schema_names_fields_again():
    keeps = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = structural(a={**keeps, "properties": {"b": {"type": "object", "properties": {"c": {"type": "string"}}}}})
    spec, unknown = conformed(schema, {"a": {"x": {"y": 1}, "b": {"c": "1", "d": 2}}})
    assert spec == {"a": {"x": {"y": 1}, "b": {"c": "1"}}}
    assert unknown == ["spec.a.b.d"]


def test_metadata_is_object_meta_whatever_the_schema_says():
    obj = {"metadata": {"name": "w", "bogus": 1}, "spec": {}}
    assert structural().conform(obj) == ["metadata.bogus"]
    with pytest.raises(DecodeError, match=r"cannot unmarshal number into Go struct field ObjectMeta.labels of type string"):
        structural().conform({"metadata": {"labels": {"a": 1}}})


def test_embedded_resources_keep_their_kind_and_have_object_meta():
    fields = {"spec": {"type": "object"}}
    schema = structural(pod={"type": "object", "x-kubernetes-embedded-resource": True, "properties": fields})
    pod = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p", "bogus": 1}, "spec": {}, "status": {}}
    spec, unknown = conformed(schema, {"pod": pod})
    assert spec["pod"] == {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p"}, "spec": {}}
    assert unknown == ["spec.pod.metadata.bogus", "spec.pod.status"]


def test_defaults_fill_in_where_nothing_is_and_for_nulls_that_may_not_be():
    schema = structural(
        a={"type": "string", "default": "x"},
        n={"type": "string", "nullable": True, "default": "y"},
        o={"type": "object", "default": {}, "properties": {"p": {"type": "integer", "default": 7}}},
        z={"type": "string"},
    )
    assert conformed(schema, {"a": None, "n": None, "z": None})[0] == {"a": "x", "n": None, "o": {"p": 7}}
    assert conformed(schema, {})[0] == {"a": "x", "n": "y", "o": {"p": 7}}


def test_defaults_are_not_shared_between_objects():
    schema = structural(o={"type": "object", "default": {"l": []}, "x-kubernetes-preserve-unknown-fields": True})
    first, _ = conformed(schema, {})
    first["o"]["l"].append(1)
    assert conformed(schema, {})[0] == {"o": {"l": []}}


@pytest.mark.parametrize(
    ("property_", "value", "expected"),
    [
        ({"type": "integer"}, "1", 'spec.p: Invalid value: "string": spec.p in body must be of type integer: "string"'),
        ({"type": "boolean"}, None, 'spec.p: Invalid value: "null": spec.p in body must be of type boolean: "null"'),
        ({"type": "string", "format": "ipv4"}, "x", 'spec.p: Invalid value: "x": spec.p in body must be of type ipv4: "x"'),
        ({"type": "string", "enum": ["a", "b"]}, "c", 'spec.p: Unsupported value: "c": supported values: "a", "b"'),
        ({"type": "object", "required": ["q"]}, {}, "spec.p.q: Required value"),
        ({"type": "string", "pattern": "^a$"}, "b", "spec.p: Invalid value: \"b\": spec.p in body should match '^a$'"),
        ({"type": "array", "maxItems": 1, "items": {}}, [1, 2], "spec.p: Too many: 2: must have at most 1 item"),
        ({"type": "string", "not": {"enum": ["a"]}}, "a",
         '<nil>: Invalid value: "": "spec.p" must not validate the schema (not)'),
        (
            {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"}, ["a", "a"],
            'spec.p[1]: Duplicate value: "a"',
        ),
        (
            {"x-kubernetes-int-or-string": True}, 1.5,
            'spec.p: Invalid value: "number": spec.p in body must be of type integer,string: "number"',
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_upstreams_words(property_: Any, value: Any, expected: str):
    assert errors(structural(p=property_), {"p": value}) == [expected]


def test_a_list_that_is_a_map_holds_no_key_twice():
    items = {"type": "object", "properties": {"k": {"type": "string"}}}
    keyed = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]}
    schema = structural(l={"type": "array", "items": items, **keyed})
    assert errors(schema, {"l": [{"k": "a"}, {"k": "b"}]}) == []
    assert errors(schema, {"l": [{"k": "a"}, {"k": "a", "v": 1}]}) == ['spec.l[1]: Duplicate value: {"k":"a"}']


def test_an_update_is_not_blamed_for_what_it_left_as_it_was():
    """KEP-4008: a schema that became stricter does not freeze the objects that were there before."""
    schema = structural(a={"type": "string", "maxLength": 1}, b={"type": "string"})
    assert errors(schema, {"a": "long", "b": "new"}, old={"a": "long", "b": "old"}) == []
    assert errors(schema, {"a": "longer"}, old={"a": "long"}) == ["spec.a: Too long: may not be more than 1 bytes"]


TEXT = {"type": "string"}


@pytest.mark.parametrize(
    ("property_", "value"),
    [
        ({**TEXT, "maxLength": 1}, "abc"),
        ({**TEXT, "pattern": "^x"}, "abc"),
        ({**TEXT, "enum": ["x"]}, "abc"),
        ({**TEXT, "format": "date-time"}, "abc"),
        ({"type": "integer"}, "abc"),
        ({"type": "integer", "minimum": 5}, 1),
        ({"type": "integer", "multipleOf": 5}, 1),
        ({"type": "array", "items": TEXT, "maxItems": 1}, ["a", "b"]),
        ({"type": "object", "required": ["x"], "properties": {"x": TEXT}}, {}),
        ({"type": "object", "maxProperties": 1, "additionalProperties": TEXT}, {"a": "b", "c": "d"}),
        ({**TEXT, "anyOf": [{"pattern": "^x"}, {"pattern": "^y"}]}, "abc"),
        ({**TEXT, "oneOf": [{"pattern": "^x"}, {"pattern": "^y"}]}, "abc"),
        ({**TEXT, "allOf": [{"pattern": "^x"}]}, "abc"),
        ({**TEXT, "not": {"pattern": "^a"}}, "abc"),
    ],
)
def test_every_keyword_lets_be_what_an_update_left_as_it_was(property_: Any, value: Any):
    schema = structural(p=property_, other=TEXT)
    assert errors(schema, {"p": value, "other": "b"}, old={"p": value, "other": "a"}) == []
    assert errors(schema, {"p": value, "other": "b"}, old={"other": "a"})


def test_items_are_told_from_each_other_in_maps_alone():
    keyed = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]}
    items = {"type": "object", "required": ["k"], "properties": {"k": TEXT, "v": {**TEXT, "maxLength": 1}}}
    schema = structural(m={"type": "array", "items": items, **keyed}, a={"type": "array", "items": {**TEXT, "maxLength": 1}})
    old = {"m": [{"k": "a", "v": "long"}], "a": ["long"]}
    assert errors(schema, {"m": [{"k": "b", "v": "x"}, {"k": "a", "v": "long"}], "a": ["long"]}, old=old) == []
    changed = errors(schema, {"m": [], "a": ["long", "x"]}, old=old)
    assert changed == ["spec.a[0]: Too long: may not be more than 1 bytes"]


def test_a_duplicate_that_was_there_excuses_those_that_come():
    """As upstream: lists are compared as a whole object's, not one by one."""
    sets = {"type": "array", "items": TEXT, "x-kubernetes-list-type": "set"}
    schema = structural(a=sets, b={"type": "object", "additionalProperties": sets})
    assert errors(schema, {"b": {"x": ["q", "q"]}}) == ['spec.b[x][1]: Duplicate value: "q"']
    assert errors(schema, {"a": ["q", "q"]}, old={"a": ["q"]}) == ['spec.a[1]: Duplicate value: "q"']
    assert errors(schema, {"a": ["q", "q"], "b": {"x": ["r", "r"]}}, old={"a": ["q", "q"]}) == []


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcde"), inner, max_size=4),
    max_leaves=12,
)


@given(ANYTHING)
def test_conforming_twice_changes_nothing_and_reports_nothing(spec: Any):
    schema = structural(
        a={"type": "object", "properties": {"b": {"type": "array", "items": {"type": "object", "properties": {"c": {}}}}}},
        b={"type": "object", "additionalProperties": {"type": "string", "default": "x"}},
        c={"type": "string", "default": "d"},
    )
    once, _ = conformed(schema, spec)
    again, unknown = conformed(schema, clone(once))
    assert again == once
    assert unknown == []
