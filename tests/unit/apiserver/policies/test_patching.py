"""What mutations make of objects."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybernetes.apiserver.admission.policies.patching import PatchingFailed, applied, patched
from pybernetes.machinery.cel.admission import PATCHES, Environment, compiled
from pybernetes.machinery.cel.values import MessageValue
from pybernetes.machinery.schema.shapes import shape_of

CONFIG_MAP = shape_of("core.v1.ConfigMap")
POD = shape_of("core.v1.Pod")
NAMES = st.text("abcdef", min_size=1, max_size=3)
MAPS = st.dictionaries(NAMES, st.text(max_size=5), max_size=4)


def value(text: str) -> Any:
    return compiled(text, Environment(), extension=PATCHES).evaluate({"object": {}})[0]


def config_map(data: Any, **metadata: Any) -> dict[str, Any]:
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "c", **metadata}, "data": data}


def configuration(data: Any) -> MessageValue:
    return MessageValue("Object", {"data": MessageValue("Object.data", data)})


@given(MAPS, MAPS)
def test_what_is_applied_is_there_and_the_rest_is_as_it_was(before, given_):
    obj = config_map(before, labels={"own": "1"})
    made = applied(obj, configuration(given_), CONFIG_MAP)
    assert made == config_map({**before, **given_}, labels={"own": "1"})
    assert obj == config_map(before, labels={"own": "1"}), "the object itself is not altered"
    assert applied(made, configuration(given_), CONFIG_MAP) == made, "twice is once"


@given(MAPS, MAPS, MAPS)
def test_configurations_that_name_different_fields_may_come_in_any_order(before, one, two):
    two = {key: text for key, text in two.items() if key not in one}
    obj = config_map(before)

    def both(first: Any, second: Any) -> Any:
        return applied(applied(obj, configuration(first), CONFIG_MAP), configuration(second), CONFIG_MAP)

    assert both(one, two) == both(two, one)


@given(st.lists(NAMES, unique=True, max_size=4), st.lists(NAMES, unique=True, max_size=4))
def test_items_are_known_by_their_keys(before, given_):
    def container(name: str, **more: Any) -> dict[str, Any]:
        return {"name": name, **more}

    obj = {
        "kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p"},
        "spec": {"containers": [container(name, image="old") for name in before]},
    }  # fmt: skip
    items = [MessageValue("Object.spec.containers", container(name, tty=True)) for name in given_]
    made = applied(obj, MessageValue("Object", {"spec": MessageValue("Object.spec", {"containers": items})}), POD)
    found = {each["name"]: each for each in made["spec"]["containers"]}
    assert len(found) == len(made["spec"]["containers"]), "each is there once"
    expected = {name: container(name, image="old") for name in before}
    for name in given_:
        expected[name] = {**expected.get(name, container(name)), "tty": True}
    assert found == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            "Object{spec: Object.spec{containers: [Object.spec.containers{name: 'a'}, Object.spec.containers{name: 'a'}]}}",
            '.spec.containers: duplicate entries for key [name="a"]',
        ),
        ("Object{spec: Object.spec{containers: 'x'}}", "expected list, got"),
        ("Object{spec: Object.spec{volumes: [], nope: 1}}", ".spec.nope: field not declared in schema"),
        (
            "Object{spec: Object.spec{containers: [Object.spec.containers{name: 'a', args: ['x']}]}}",
            "may not mutate atomic arrays, maps or structs: .spec.containers[0].args",
        ),
        (
            "Object{spec: Object.spec{nodeSelector: {'a': 'b'}}}",
            "may not mutate atomic arrays, maps or structs: .spec.nodeSelector",
        ),
        ("Object{spec: Object.metadata{}}", 'unexpected type name "Object.metadata", expected "Object.spec"'),
        (
            "Object{spec: Object.spec{containers: [Object.containers{name: 'a'}]}}",
            'unexpected type name "Object.containers", expected "Object.spec.containers"',
        ),
    ],
)
def test_a_configuration_that_does_not_fit_says_why(text, why):
    obj = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p"}, "spec": {"containers": []}}
    with pytest.raises(PatchingFailed) as caught:
        applied(obj, value(text), POD)
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("operations", "expected"),
    [
        ("[]", {"a": "1"}),
        ("[JSONPatch{op: 'add', path: '/data/b', value: '2'}]", {"a": "1", "b": "2"}),
        ("[JSONPatch{op: 'add', path: '/data', value: Object.data{c: '3'}}]", {"c": "3"}),
        ("[JSONPatch{op: 'copy', from: '/data/a', path: '/data/b'}]", {"a": "1", "b": "1"}),
        ("[JSONPatch{op: 'test', path: '/data/a', value: '1'}, JSONPatch{op: 'remove', path: '/data/a'}]", {}),
        ("[JSONPatch{op: 'remove', path: '/data/a'}, JSONPatch{op: 'test', path: '/kind', value: 'Pod'}]", {"a": "1"}),
        ("[JSONPatch{op: 'add', path: '/data/a', value: null}]", {"a": None}),
    ],
)
def test_operations_are_carried_out_in_order(operations, expected):
    obj = config_map({"a": "1"})
    assert patched(obj, value(operations)) == config_map(expected)
    assert obj == config_map({"a": "1"})


@pytest.mark.parametrize(
    ("operations", "why"),
    [
        ("{'a': 1}", "type mismatch: JSONPatchType.expression should evaluate to array"),
        ("['a']", "type mismatch: JSONPatchType.expression should evaluate to array of JSONPatch, got element of str"),
        ("[JSONPatch{path: '/data/a'}]", "JSONPath: Unexpected kind: "),
        ("[JSONPatch{op: 'replace', path: '', value: 1}]", "JSONPath: the result is no object"),
        (
            "[JSONPatch{op: 'add', path: '/data/a', value: quantity('1')}]",
            "JSONPath valueExpression evaluated to a type that could not marshal to JSON",
        ),
        ("[JSONPatch{op: 'add', path: '/spec', value: Object.spec{a: Object.b{}}}]", "type mismatch: unexpected type name"),
    ],
)
def test_operations_that_cannot_be_carried_out_say_why(operations, why):
    with pytest.raises(PatchingFailed, match=f"^{why}"):
        patched(config_map({"a": "1"}), value(operations))
