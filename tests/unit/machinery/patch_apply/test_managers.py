"""Who is said to manage what: the rules around entries."""

from __future__ import annotations

from typing import Any

import pytest

from pybernetes.machinery.errors import Conflict, StatusError
from pybernetes.machinery.meta import clone
from pybernetes.machinery.patch.apply import managers, typed
from tests.unit.machinery.patch_apply.kind import SHAPE, V1, Types, World, builtin


def config_map(**data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data}


def world(kind: str = "core.v1.ConfigMap") -> World:
    return World(builtin(kind), "v1")


def owners(seen: World) -> list[tuple[str, str]]:
    return [(entry["manager"], entry["operation"]) for entry in seen.entries]


# Ordinary writes


def test_creation_owns_what_was_given_but_not_what_the_server_sets() -> None:
    seen = world()
    metadata = {"name": "c", "namespace": "n", "uid": "u", "creationTimestamp": "t", "labels": {"a": "b"}, "generateName": "c-"}
    seen.create("one", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"k": "v"}})
    assert seen.entries == [
        {
            "manager": "one", "operation": "Update", "apiVersion": "v1", "time": "2026-01-01T00:00:01Z",
            "fieldsType": "FieldsV1",
            "fieldsV1": {
                "f:data": {".": {}, "f:k": {}},
                "f:metadata": {"f:generateName": {}, "f:labels": {".": {}, "f:a": {}}},
            },
        }
    ]  # fmt: skip


def test_structs_that_are_always_there_are_not_owned_themselves() -> None:
    seen = world("core.v1.Pod")
    containers = [{"name": "c", "image": "i", "resources": {}}]
    seen.create("one", {"metadata": {"name": "p"}, "spec": {"containers": containers, "securityContext": {}}})
    container: dict[str, Any] = {".": {}, "f:image": {}, "f:name": {}, "f:resources": {}}
    assert seen.fields("one") == {
        "f:spec": {"f:containers": {'k:{"name":"c"}': container}, "f:securityContext": {}},
    }


def test_objects_of_one_template_own_the_same_and_each_its_own() -> None:
    pods = [world("core.v1.Pod") for _ in range(2)]
    for number, seen in enumerate(pods):
        containers = [{"name": "c", "image": "i"}]
        seen.create("one", {"metadata": {"name": f"p{number}"}, "spec": {"containers": containers, "nodeName": "n"}})
    before = pods[1].fields("one")
    assert pods[0].fields("one") == before
    other = clone(pods[0].obj)
    del other["spec"]["nodeName"]
    other["spec"]["containers"][0]["image"] = "j"
    pods[0].update("two", other)
    assert pods[0].fields("one") != before
    assert pods[1].fields("one") == before


def test_an_update_takes_what_it_changes() -> None:
    seen = world()
    seen.create("one", config_map(a="1", b="1"))
    seen.update("two", config_map(a="2", b="1", c="1"))
    assert seen.fields("one") == {"f:data": {".": {}, "f:b": {}}}
    assert seen.fields("two") == {"f:data": {"f:a": {}, "f:c": {}}}


def test_what_is_removed_is_nobodys() -> None:
    seen = world()
    seen.create("one", config_map(a="1", b="1"))
    seen.update("two", config_map(b="1"))
    assert seen.fields("one") == {"f:data": {".": {}, "f:b": {}}}
    assert owners(seen) == [("one", "Update")]


def test_an_update_that_changes_nothing_leaves_the_entries_as_they_are() -> None:
    seen = world()
    seen.create("one", config_map(a="1"))
    before = seen.entries
    seen.update("two", config_map(a="1"))
    assert seen.entries == before


def test_managers_are_known_by_version_and_subresource_too() -> None:
    seen = world("core.v1.Pod")
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}]}, "status": {}}
    seen.create("one", pod, resets={"f:status": {}})
    seen.update("one", {**pod, "status": {"phase": "Running"}}, subresource="status", resets={"f:spec": {}})
    assert [(entry["manager"], entry.get("subresource")) for entry in seen.entries] == [("one", None), ("one", "status")]
    assert seen.entries[1]["fieldsV1"] == {"f:status": {"f:phase": {}}}


def test_what_an_endpoint_resets_is_not_counted() -> None:
    seen = world("core.v1.Pod")
    pod = {"metadata": {"name": "p"}, "spec": {"nodeName": "n"}}
    seen.create("one", {**pod, "status": {"phase": "Running"}}, resets={"f:status": {}})
    assert seen.fields("one") == {"f:spec": {"f:nodeName": {}}}
    seen.update("two", {**pod, "status": {"phase": "Failed"}}, subresource="status", resets={"f:spec": {}})
    seen.update("three", pod, resets={"f:status": {}})  # a PUT without status, which the endpoint puts back
    assert seen.fields("two") == {"f:status": {"f:phase": {}}}


def test_without_entries_ordinary_writes_are_not_tracked_until_the_first_apply() -> None:
    seen = world()
    seen.obj = config_map(a="1")
    seen.update("one", config_map(a="2"))
    assert seen.entries == []
    seen.apply("two", config_map(b="1"))
    assert owners(seen) == [("two", "Apply"), ("before-first-apply", "Update")]
    assert seen.fields("before-first-apply") == {"f:data": {".": {}, "f:a": {}}}


def test_the_eleventh_updater_makes_the_oldest_ones_ancient() -> None:
    seen = world()
    seen.create("m00", config_map(k00="1"))
    for number in range(1, 13):
        seen.update(f"m{number:02}", {**seen.obj, "data": {**seen.obj["data"], f"k{number:02}": "1"}})
    names = [entry["manager"] for entry in seen.entries]
    assert names == ["ancient-changes", *(f"m{number:02}" for number in range(4, 13))]
    assert seen.entries[0]["fieldsV1"] == {"f:data": {".": {}, "f:k00": {}, "f:k01": {}, "f:k02": {}, "f:k03": {}}}
    assert seen.entries[0]["time"] == "2026-01-01T00:00:04Z"


def test_a_version_that_is_served_no_more_is_dropped() -> None:
    seen = World(Types(), V1)
    seen.create("one", {"spec": {"size": 1}})
    seen.entries.append({**seen.entries[0], "manager": "old", "apiVersion": "example.com/lost"})
    seen.update("two", {"spec": {"size": 2}})
    assert [entry["manager"] for entry in seen.entries] == ["one", "two"]


# What clients send along


def test_one_empty_entry_takes_all_away_and_an_empty_list_nothing() -> None:
    stored = [{"manager": "m", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"f:a": {}}}]
    assert managers.entries_in_force(stored, [{}]) == []
    assert managers.entries_in_force(stored, []) is stored
    assert managers.entries_in_force(stored, None) is stored


@pytest.mark.parametrize("change", [
    {"operation": "Delete"}, {"apiVersion": ""}, {"fieldsType": "FieldsV2"}, {"fieldsType": None},
    {"fieldsV1": {"nonsense": {}}},
])  # fmt: skip
def test_entries_that_nobody_understands_change_nothing(change: dict[str, Any]) -> None:
    stored = [{"manager": "m", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"f:a": {}}}]
    assert managers.entries_in_force(stored, [{**stored[0], **change}]) is stored


def test_names_come_from_the_parameter_or_the_user_agent() -> None:
    assert managers.manager_name("me", "kubectl/v1.36") == "me"
    assert managers.manager_name("", "kubectl/v1.36 (linux/amd64)") == "kubectl"
    assert managers.manager_name("", "a\tb/1") == "ab"
    assert len(managers.manager_name("", "ü" * 200).encode()) == 128


# Apply


def test_a_conflict_names_each_field_and_its_owners() -> None:
    seen = world()
    seen.create("one", config_map(a="1"))
    seen.apply("two", config_map(b="1"))
    with pytest.raises(Conflict) as caught:
        seen.apply("three", config_map(a="2", b="2"))
    assert str(caught.value) == (
        'Apply failed with 2 conflicts: conflicts with "one" using v1:\n- .data.a\nconflicts with "two":\n- .data.b'
    )
    causes = caught.value.status["details"]["causes"]
    assert [(cause["field"], cause["message"]) for cause in causes] == [
        (".data.a", 'conflict with "one" using v1'), (".data.b", 'conflict with "two"'),
    ]  # fmt: skip


def test_a_shared_field_gets_no_time_before_it_is_changed() -> None:
    seen = world()
    seen.apply("one", config_map(a="1"))
    assert not seen.apply("two", config_map(a="1"))
    assert [entry.get("time") for entry in seen.entries] == [None, "2026-01-01T00:00:01Z"]


def test_a_configuration_that_does_not_fit_is_refused_in_upstreams_words() -> None:
    seen = world("core.v1.Service")
    ports = [{"port": 80}, {"port": 80, "protocol": "TCP"}, {"port": "x"}]
    with pytest.raises(StatusError) as caught:
        seen.apply("one", {"apiVersion": "v1", "kind": "Service", "metadata": {"name": 1}, "spec": {"ports": ports}, "x": 1})
    assert str(caught.value) == (
        "failed to create typed patch object (/1; /v1, Kind=Service): errors:\n"
        "  .metadata.name: expected string, got &value.valueUnstructured{Value:1}\n"
        '  .spec.ports: duplicate entries for key [port=80,protocol="TCP"]\n'
        '  .spec.ports[port="x",protocol="TCP"].port: expected numeric (int or float), '
        'got &value.valueUnstructured{Value:"x"}\n'
        "  .x: field not declared in schema"
    )


def test_an_item_must_say_which_one_it_is() -> None:
    found = typed.misfits(SHAPE, {"spec": {"parts": [{"image": "i"}], "tags": [None]}})
    assert [why for _, why in found] == [
        'element 0: associative list with keys has an element that omits key field "name" (and doesn\'t have default value)',
        "element 0: associative list without keys has an element that's an explicit null",
    ]


def test_items_of_the_configuration_come_in_its_order_and_others_keep_their_neighbours() -> None:
    def names(live: str, config: str) -> str:
        merged = typed.merge(SHAPE, {"spec": {"tags": list(live)}}, {"spec": {"tags": list(config)}})
        return "".join(merged["spec"]["tags"])

    assert names("ab", "c") == "abc"
    assert names("abc", "ca") == "bca"
    assert names("axb", "ba") == "xba"
    assert names("abc", "b") == "abc"
    assert names("ab", "xa") == "xab"
    assert names("aab", "a") == "ab"


def test_an_atomic_value_is_owned_and_replaced_as_a_whole() -> None:
    seen = World()
    seen.apply("one", {"spec": {"selector": {"a": "1"}, "args": ["x"]}})
    assert seen.fields("one") == {"f:spec": {"f:args": {}, "f:selector": {}}}
    seen.apply("two", {"spec": {"selector": {"b": "1"}}}, force=True)
    assert seen.obj["spec"] == {"selector": {"b": "1"}, "args": ["x"]}
    assert seen.fields("one") == {"f:spec": {"f:args": {}}}


def test_an_item_goes_with_what_nobody_owned_in_it() -> None:
    seen = World()
    seen.apply("one", {"spec": {"parts": [{"name": "a"}, {"name": "b"}]}})
    seen.obj["spec"]["parts"][0]["image"] = "defaulted"
    seen.apply("one", {"spec": {"parts": [{"name": "b"}]}})
    assert seen.obj["spec"]["parts"] == [{"name": "b"}]


def test_an_item_stays_with_what_others_own_in_it() -> None:
    seen = World()
    seen.apply("one", {"spec": {"parts": [{"name": "a", "image": "i"}]}})
    seen.apply("two", {"spec": {"parts": [{"name": "a", "ports": [{"port": 1}]}]}})
    seen.apply("one", {})
    assert seen.obj["spec"]["parts"] == [{"name": "a", "ports": [{"port": 1}]}]


def test_duplicates_of_old_lists_are_replaced_as_one() -> None:
    seen = World()
    seen.create("one", {"spec": {"tags": ["a", "a", "b"]}})
    seen.apply("two", {"spec": {"tags": ["a"]}}, force=True)
    assert seen.obj["spec"]["tags"] == ["a", "b"]


def test_kubectl_takes_over_what_its_client_side_apply_wrote() -> None:
    last = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"},"data":{"a":"1"}}'
    old = config_map(a="1", b="1")
    old["metadata"]["annotations"] = {managers.LAST_APPLIED: last}
    seen = world()
    seen.create("kubectl-client-side-apply", old)
    with pytest.raises(Conflict):
        seen.apply("other", config_map(a="2"))
    with pytest.raises(Conflict) as caught:
        seen.apply("kubectl", config_map(a="2", b="2"))
    assert str(caught.value) == 'Apply failed with 1 conflict: conflict with "kubectl-client-side-apply" using v1: .data.b'
    seen.apply("kubectl", config_map(a="2"))
    assert seen.obj["data"] == {"a": "2", "b": "1"}
    assert seen.obj["metadata"]["annotations"][managers.LAST_APPLIED] == (
        '{"apiVersion":"v1","data":{"a":"2"},"kind":"ConfigMap","metadata":{"name":"c"}}\n'
    )
