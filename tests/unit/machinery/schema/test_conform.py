"""Decoding into the published types: what Go would have made of the same JSON, and said about it."""

from __future__ import annotations

import copy
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybernetes.machinery.errors import DecodeError
from pybernetes.machinery.meta import GroupVersionKind, Object, gvk_of
from pybernetes.machinery.resources import BUILTIN
from pybernetes.machinery.schema import field_warnings, schema_for, strict_error
from pybernetes.machinery.schema.decode import Refused, decode
from pybernetes.machinery.schema.go_time import canonical_time


def conform(obj: Object) -> list[str]:
    return schema_for(gvk_of(obj)).conform(obj)


def pod(**spec: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "c", "image": "example.com/img:1"}], **spec},
    }


def refusal(obj: Object) -> str:
    with pytest.raises(DecodeError) as error:
        conform(obj)
    prefix = f'{obj["kind"]} in version "{gvk_of(obj).version}" cannot be handled as a {obj["kind"]}: '
    assert error.value.message == prefix + error.value.why
    return error.value.why


def test_unknown_fields_go_and_are_named_in_the_order_of_the_document() -> None:
    obj = pod(bogus={"x": 1}, containers=[{"name": "c", "imagepullpolicy": "Always"}, {"name": "d", "x": 1}])
    assert conform(obj) == ["spec.containers[0].imagepullpolicy", "spec.containers[1].x", "spec.bogus"]
    assert "bogus" not in obj["spec"] and obj["spec"]["containers"][1]["name"] == "d"


def test_strict_and_warn_share_their_words() -> None:
    assert field_warnings(["a.b"], ["c"]) == ['duplicate field "a.b"', 'unknown field "c"']
    assert strict_error(["a.b"], ["c"]) == 'strict decoding error: duplicate field "a.b", unknown field "c"'
    assert strict_error([], []) == ""


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ({"a": 1}, "json: cannot unmarshal number into Go struct field ConfigMap.data of type string"),
        (5, "json: cannot unmarshal number into Go struct field ConfigMap.data of type map[string]string"),
        ("x", "json: cannot unmarshal string into Go struct field ConfigMap.data of type map[string]string"),
        ([], "json: cannot unmarshal array into Go struct field ConfigMap.data of type map[string]string"),
    ],
)
def test_wrong_types_in_maps_are_explained_in_gos_words(data: Any, why: str) -> None:
    assert refusal({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data}) == why


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        (
            {"containers": "x"},
            "json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type []v1.Container",
        ),
        (
            {"containers": [1]},
            "json: cannot unmarshal number into Go struct field PodSpec.spec.containers of type v1.Container",
        ),
        ({"hostNetwork": "yes"}, "json: cannot unmarshal string into Go struct field PodSpec.spec.hostNetwork of type bool"),
        ({"priority": 1.5}, "json: cannot unmarshal number 1.5 into Go struct field PodSpec.spec.priority of type int32"),
        (
            {"priority": 2**31},
            "json: cannot unmarshal number 2147483648 into Go struct field PodSpec.spec.priority of type int32",
        ),
        ({"priority": True}, "json: cannot unmarshal bool into Go struct field PodSpec.spec.priority of type int32"),
        (
            {"containers": [{"name": "c", "ports": [{"containerPort": "80"}]}]},
            "json: cannot unmarshal string into Go struct field ContainerPort.spec.containers.ports.containerPort "
            "of type int32",
        ),
    ],
)
def test_wrong_types_in_structs_name_the_struct_and_the_path(spec: Object, why: str) -> None:
    assert refusal(pod(**spec)) == why


def test_the_first_wrong_type_is_told() -> None:
    assert "hostNetwork" in refusal(pod(hostNetwork=1, hostPID=1))


def test_a_type_that_decodes_itself_ends_the_walk_and_wins() -> None:
    limits = {"name": "c", "resources": {"limits": {"cpu": "abc"}}}
    assert refusal(pod(hostNetwork=1, containers=[limits])).startswith("quantities must match the regular expression")
    port = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "s"},
        "spec": {"ports": [{"port": 1, "targetPort": True}]},
    }
    assert refusal(port) == ("json: cannot unmarshal bool into Go struct field ServicePort.spec.ports.targetPort of type int32")


@pytest.mark.parametrize("amount", ["abc", "", True, [], {}])
def test_what_is_no_quantity_is_refused(amount: Any) -> None:
    obj = pod(containers=[{"name": "c", "resources": {"limits": {"cpu": amount}}}])
    assert refusal(obj) == "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"


def test_resource_lists_become_canonical() -> None:
    resources = {"limits": {"cpu": "0.5", "memory": "1024Mi"}, "requests": {"cpu": 1, "memory": None}}
    obj = pod(containers=[{"name": "c", "resources": resources}])
    assert conform(obj) == []
    assert obj["spec"]["containers"][0]["resources"] == {
        "limits": {"cpu": "500m", "memory": "1Gi"},
        "requests": {"cpu": "1", "memory": "0"},
    }


def test_a_quantity_outside_a_resource_list_is_kept_as_it_was_written() -> None:
    obj = pod(volumes=[{"name": "v", "emptyDir": {"sizeLimit": "1024Mi"}}])
    conform(obj)
    assert obj["spec"]["volumes"][0]["emptyDir"]["sizeLimit"] == "1024Mi"


def lease(**spec: Any) -> Object:
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"}, "spec": spec}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            "yesterday",
            'parsing time "yesterday" as "2006-01-02T15:04:05.000000Z07:00": cannot parse "yesterday" as "2006"',
        ),
        (
            "2020-01-01T00:00:00Z",
            'parsing time "2020-01-01T00:00:00Z" as "2006-01-02T15:04:05.000000Z07:00": cannot parse "Z" as ".000000"',
        ),
        ("2020-13-01T00:00:00.000000Z", 'parsing time "2020-13-01T00:00:00.000000Z": month out of range'),
        ("2021-02-29T00:00:00.000000Z", 'parsing time "2021-02-29T00:00:00.000000Z": day out of range'),
        ("2020-01-01T00:00:00.000000Zx", 'parsing time "2020-01-01T00:00:00.000000Zx": extra text: "x"'),
    ],
)
def test_times_that_do_not_parse_are_explained_in_gos_words(text: str, why: str) -> None:
    assert refusal(lease(renewTime=text)) == why


def test_times_are_written_in_utc_to_their_precision() -> None:
    assert canonical_time("2020-01-01T02:00:00.987+02:00", micro=False) == "2020-01-01T00:00:00Z"
    assert canonical_time("2020-01-01T00:00:00.123456-01:00", micro=True) == "2020-01-01T01:00:00.123456Z"
    obj = pod()
    obj["metadata"]["creationTimestamp"] = "2020-01-01T02:00:00+02:00"
    conform(obj)
    assert obj["metadata"]["creationTimestamp"] == "2020-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("text", "position"),
    [("not base64!", 3), ("1", 0), ("YQ", 0), ("YQ=", 3), ("=AAA", 0), ("Y===", 1), ("YWJj!", 4), ("YWI=YWI=", 4)],
)
def test_base64_errors_name_the_byte(text: str, position: int) -> None:
    secret: Object = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"a": text}}
    assert refusal(secret) == f"illegal base64 data at input byte {position}"


def test_base64_is_brought_into_one_form() -> None:
    secret: Object = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s"},
        "data": {"a": "YWJj\nYWJj", "b": "", "c": None},
    }
    conform(secret)
    assert secret["data"] == {"a": "YWJjYWJj", "b": "", "c": ""}


def test_nulls_are_as_if_they_were_not_there() -> None:
    obj = pod(nodeSelector=None, containers=[{"name": "c", "image": None, "args": ["a", None], "env": [None]}])
    obj["metadata"].update(labels=None, creationTimestamp=None, annotations={"a": None})
    assert conform(obj) == []
    container = obj["spec"]["containers"][0]
    assert container == {"name": "c", "args": ["a", ""], "env": [{"name": ""}], "resources": {}}
    assert obj["metadata"] == {"name": "p", "annotations": {"a": ""}}


def test_empty_optional_values_go_and_empty_values_that_mean_something_stay() -> None:
    obj = pod(hostNetwork=False, nodeName="", automountServiceAccountToken=False, priority=0, nodeSelector={}, tolerations=[])
    obj["spec"]["volumes"] = [{"name": "v", "emptyDir": {}}]
    conform(obj)
    assert obj["spec"].keys() == {"containers", "automountServiceAccountToken", "priority", "volumes"}
    assert obj["spec"]["volumes"] == [{"name": "v", "emptyDir": {}}]
    claim: Object = {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c"}, "spec": {"storageClassName": ""},
    }  # fmt: skip
    conform(claim)
    assert claim["spec"]["storageClassName"] == ""


def test_structs_that_are_no_pointers_are_always_written() -> None:
    obj: Object = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d"},
        "spec": {"selector": {}, "template": {"spec": {"containers": [{"name": "c"}]}}},
    }
    conform(obj)
    assert obj["status"] == {} and obj["spec"]["strategy"] == {}
    assert obj["spec"]["template"] == {"metadata": {}, "spec": {"containers": [{"name": "c", "resources": {}}]}}
    replica_set: Object = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "d"}, "spec": {"selector": {}}}
    conform(replica_set)
    assert replica_set["status"] == {"replicas": 0} == schema_for(gvk_of(replica_set)).zero("status")
    assert schema_for(GroupVersionKind("", "v1", "ConfigMap")).zero("data") is None


def test_added_structs_are_not_shared_between_objects() -> None:
    one, other = pod(), pod()
    conform(one)
    conform(other)
    assert one["status"] is not other["status"]
    one["spec"]["containers"][0]["resources"]["limits"] = {}
    assert other["spec"]["containers"][0]["resources"] == {}


def test_schemas_may_stand_for_booleans_and_lists() -> None:
    properties = {
        "a": {"additionalProperties": True},
        "b": {"items": {"type": "string", "bogus": 1}},
        "c": {"default": [1, None]},
    }
    crd: Object = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "x"},
        "spec": {
            "group": "g", "scope": "Namespaced", "names": {"kind": "K", "plural": "ks"},
            "versions": [
                {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"properties": properties}}},
            ],
        },
    }  # fmt: skip
    assert conform(crd) == ["spec.versions[0].schema.openAPIV3Schema.properties.b.items.bogus"]
    assert properties["c"] == {"default": [1, None]}


def test_the_expected_kind_is_named_if_it_is_another() -> None:
    secret: Object = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "c1"}, "data": {"a": "1"}}
    with pytest.raises(DecodeError) as error:
        schema_for(gvk_of(secret)).conform(secret, expected_kind="ConfigMap")
    assert error.value.message == (
        'Secret in version "v1" cannot be handled as a ConfigMap: illegal base64 data at input byte 0'
    )


def test_nesting_without_end_is_refused() -> None:
    schema: Object = {}
    for _ in range(5000):
        schema = {"not": schema}
    crd: Object = {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "x"},
        "spec": {"versions": [{"name": "v1", "schema": {"openAPIV3Schema": schema}}]},
    }  # fmt: skip
    assert refusal(crd) == "exceeded max depth"


def test_fields_are_found_by_path() -> None:
    deployment = schema_for(GroupVersionKind("apps", "v1", "Deployment"))
    ports = deployment.field("spec", "template", "spec", "containers", "ports")
    assert ports is not None
    assert (ports.list_type, ports.list_keys, ports.merge_key) == ("map", ("containerPort", "protocol"), "containerPort")
    assert deployment.field("spec", "nope") is None
    volumes = deployment.field("spec", "template", "spec", "volumes")
    assert volumes is not None and volumes.patch_strategies == {"merge", "retainKeys"}


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 5), st.just(1.5), st.sampled_from(["", "a", "1", "2020-01-01T00:00:00Z", "YQ=="])
)


@st.composite
def objects(draw: st.DrawFn) -> Object:
    """Objects of any kind, whose fields hold values that may or may not fit."""
    schema = schema_for(draw(st.sampled_from(BUILTIN)).gvk)

    def struct(structure: Any, depth: int) -> Object:
        names = draw(st.lists(st.sampled_from(sorted(structure.fields)), max_size=4, unique=True)) if structure.fields else []
        return {name: value(structure.fields[name].node, depth) for name in names}

    def value(node: Any, depth: int) -> Any:
        if depth > 4 or draw(st.integers(0, 9)) == 0:
            return draw(scalars)
        match str(node.kind):
            case "@":
                return struct(node.struct, depth + 1)
            case "[":
                return [value(node.item, depth + 1) for _ in range(draw(st.integers(0, 2)))]
            case "{":
                return {str(index): value(node.item, depth + 1) for index in range(draw(st.integers(0, 2)))}
            case "b":
                return draw(st.booleans())
            case "i" | "l":
                return draw(st.integers(-3, 3))
            case "y":
                return "YQ=="
            case "t":
                return "2020-01-01T00:00:00Z"
            case "u":
                return "2020-01-01T00:00:00.000000Z"
            case _:
                return draw(st.sampled_from(["", "1", "2Mi"]))

    obj = struct(schema.struct, 0)
    obj.update(apiVersion=schema.gvk.api_version, kind=schema.gvk.kind)
    return obj


@given(objects())
def test_the_fast_and_the_slow_path_agree_and_conforming_is_idempotent(obj: Object) -> None:
    schema = schema_for(gvk_of(obj))
    fast, slow = copy.deepcopy(obj), copy.deepcopy(obj)
    try:
        unknown = schema.conform(fast)
    except DecodeError:
        with pytest.raises(Refused):
            decode(schema.struct, slow)
        return
    assert decode(schema.struct, slow) == unknown
    assert fast == slow
    again = orjson.loads(orjson.dumps(fast))
    assert schema.conform(again) == []
    assert again == fast
