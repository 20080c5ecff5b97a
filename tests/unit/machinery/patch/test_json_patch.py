from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybernetes.machinery.errors import BadRequest, Invalid, RequestEntityTooLarge
from pybernetes.machinery.meta import Object
from pybernetes.machinery.patch import json_patch, merge

DOCUMENT: Object = {"data": {"a": "1", "b": "2"}, "list": [1, 2, 3], "a/b": {"m~n": 1}}


@pytest.mark.parametrize(
    ("operation", "changed"),
    [
        ({"op": "add", "path": "/data/c", "value": "3"}, {"data": {"a": "1", "b": "2", "c": "3"}}),
        ({"op": "replace", "path": "/data/zz", "value": "1"}, {"data": {"a": "1", "b": "2", "zz": "1"}}),
        ({"op": "remove", "path": "/data/a"}, {"data": {"b": "2"}}),
        ({"op": "add", "path": "/list/-", "value": 4}, {"list": [1, 2, 3, 4]}),
        ({"op": "add", "path": "/list/0", "value": 0}, {"list": [0, 1, 2, 3]}),
        ({"op": "add", "path": "/list/3", "value": 4}, {"list": [1, 2, 3, 4]}),
        ({"op": "add", "path": "/list/-1", "value": 4}, {"list": [1, 2, 3, 4]}),
        ({"op": "remove", "path": "/list/-1"}, {"list": [1, 2]}),
        ({"op": "replace", "path": "/list/1", "value": None}, {"list": [1, None, 3]}),
        ({"op": "replace", "path": "/a~1b/m~0n", "value": 2}, {"a/b": {"m~n": 2}}),
        ({"op": "move", "from": "/data/a", "path": "/data/c"}, {"data": {"b": "2", "c": "1"}}),
        ({"op": "copy", "from": "/data", "path": "/copy"}, {"copy": {"a": "1", "b": "2"}}),
        ({"op": "test", "path": "/list", "value": [1, 2, 3]}, {}),
        ({"op": "test", "path": "/data/none", "value": None}, {}),
    ],
)
def test_operations_do_as_the_rfc_says(operation: Object, changed: Object) -> None:
    assert json_patch.apply(DOCUMENT, [operation]) == {**DOCUMENT, **changed}


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/data/a", "value": "nope"}, {"op": "test", "path": "/list", "value": [True, 2, 3]},
        {"op": "remove", "path": "/data/zz"}, {"op": "add", "path": "/nope/x", "value": 1}, {"op": "frob", "path": "/data/a"},
        {"op": "add"}, {"op": "remove", "path": ""}, {"op": "add", "path": "/list/5", "value": 1}, {"op": "add", "path": "x"},
        {"op": "remove", "path": "/list/x"}, {"op": "move", "path": "/data/a"},
        {"op": "add", "path": "/data/a/b/c", "value": 1},
        {"op": "move", "from": "/data", "path": "/data/a"}, {"op": "add", "path": 1},
        {"op": "remove", "path": "/list/99999999999999"},
    ],
)  # fmt: skip
def test_what_cannot_be_applied_is_invalid_without_saying_why(operation: Object) -> None:
    with pytest.raises(Invalid) as error:
        json_patch.apply(DOCUMENT, [operation])
    assert error.value.message == "the server rejected our request due to an error in our request"
    assert error.value.status["details"] == {}


@pytest.mark.parametrize("index", ["3", "-", "x"])
def test_an_item_that_is_not_there_is_not_replaced(index: str) -> None:
    why = f"replace operation does not apply: doc is missing key: /list/{index}: missing value$"
    with pytest.raises(json_patch.PatchFailed, match=why):
        json_patch.patched(DOCUMENT, [{"op": "replace", "path": f"/list/{index}", "value": 1}])


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"op":"add"}', "json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp"),
        (b"[", "unexpected end of JSON input"),
        (b"[1]", "json: cannot unmarshal number into Go value of type handlers.jsonPatchOp"),
    ],
)
def test_what_is_no_patch_is_a_bad_request(body: bytes, message: str) -> None:
    with pytest.raises(BadRequest) as error:
        json_patch.parse(body)
    assert error.value.message == f"error decoding patch: {message}"


def test_the_number_of_operations_and_of_copied_values_is_bounded() -> None:
    with pytest.raises(RequestEntityTooLarge, match="is 10000, got 10001"):
        json_patch.parse(b"[" + b"{}," * 10_000 + b"{}]")
    doubling = [{"op": "copy", "from": "", "path": f"/x{number}"} for number in range(40)]
    with pytest.raises(Invalid):
        json_patch.apply({"a": 1}, doubling)


def test_the_document_is_left_alone() -> None:
    document: Object = {"a": {"b": []}}
    value: list[Any] = []
    changed = json_patch.apply(document, [{"op": "add", "path": "/a/b/-", "value": value}])
    changed["a"]["b"][0].append(1)
    assert document == {"a": {"b": []}} and value == []


values = st.recursive(
    st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=10,
)
documents = st.dictionaries(st.sampled_from("abcd"), values, max_size=4)


@pytest.mark.parametrize(
    ("document", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}), ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}), ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}), ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}), ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}), ({"a": "x"}, {"a": {"b": 1}}, {"a": {"b": 1}}),
    ],
)  # fmt: skip
def test_merge_patches_do_as_the_rfc_says(document: Object, patch: Object, result: Object) -> None:
    assert merge.apply(document, patch) == result


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"[]", "json: cannot unmarshal array into Go value of type map[string]interface {}"),
        (b"5", "json: cannot unmarshal number into Go value of type map[string]interface {}"),
        (b"x", "invalid character 'x' looking for beginning of value"),
        (b"{", "unexpected end of JSON input"),
    ],
)
def test_what_is_no_merge_patch_is_a_bad_request(body: bytes, why: str) -> None:
    with pytest.raises(BadRequest) as error:
        merge.parse(body)
    assert error.value.message == f"error decoding patch: {why}"


@given(documents, documents)
def test_a_merge_diff_leads_from_one_document_to_the_other(one: Object, other: Object) -> None:
    patch = merge.diff(one, other)
    assert merge.same(merge.apply(one, patch), other)
    assert bool(patch) is not merge.same(one, other)


@given(documents, documents, documents)
def test_a_three_way_merge_sets_what_is_wanted_and_removes_what_no_longer_is(
    before: Object, wanted: Object, live: Object
) -> None:
    result = merge.apply(live, merge.three_way(before, wanted, live))
    for key, value in wanted.items():
        assert key in result
        if not isinstance(value, dict):
            assert merge.same(result[key], value)
    for key in live:
        if key not in wanted:
            assert (key in result) is (key not in before)
    assert merge.three_way(wanted, wanted, result) == {}
