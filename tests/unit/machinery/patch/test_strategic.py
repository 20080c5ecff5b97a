from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybernetes.machinery.errors import BadRequest, Invalid, StatusError
from pybernetes.machinery.meta import GroupVersionKind, Object, clone
from pybernetes.machinery.patch import strategic
from pybernetes.machinery.schema import schema_for

DEPLOYMENT = schema_for(GroupVersionKind("apps", "v1", "Deployment"))


def deployment(**pod_spec: Any) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d", "finalizers": ["example.com/a", "example.com/b"]},
        "spec": {
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
            "template": {
                "metadata": {"labels": {"app": "a"}},
                "spec": {
                    "containers": [
                        {"name": "a", "image": "a:1", "args": ["x", "y"], "ports": [{"containerPort": 80, "protocol": "TCP"}]},
                        {"name": "b", "image": "b:1"},
                    ],
                    **pod_spec,
                },
            },
        },
    }


def patched(document: Object, pod_spec: Object) -> Object:
    result = strategic.apply(DEPLOYMENT, document, {"spec": {"template": {"spec": pod_spec}}})
    spec: Object = result["spec"]["template"]["spec"]
    return spec


def test_lists_with_a_merge_key_merge_by_it() -> None:
    spec = patched(deployment(), {"containers": [{"name": "b", "image": "b:2"}, {"name": "c", "image": "c:1"}]})
    assert [(container["name"], container["image"]) for container in spec["containers"]] == [
        ("a", "a:1"),
        ("b", "b:2"),
        ("c", "c:1"),
    ]
    assert spec["containers"][0]["args"] == ["x", "y"]


def test_new_elements_come_before_those_that_the_patch_does_not_name() -> None:
    spec = patched(deployment(), {"containers": [{"name": "a", "ports": [{"containerPort": 81}]}]})
    assert [port["containerPort"] for port in spec["containers"][0]["ports"]] == [81, 80]


def test_lists_without_a_merge_key_are_replaced() -> None:
    document = deployment(tolerations=[{"key": "t"}])
    spec = patched(document, {"tolerations": [{"key": "u"}], "containers": [{"name": "a", "args": ["z"]}]})
    assert spec["tolerations"] == [{"key": "u"}]
    assert spec["containers"][0]["args"] == ["z"]


def test_an_element_is_deleted_by_its_key() -> None:
    document = deployment(imagePullSecrets=[{"name": "s3"}, {"name": "s1"}, {"name": "s2"}])
    assert patched(document, {"imagePullSecrets": [{"$patch": "delete", "name": "s1"}]})["imagePullSecrets"] == [
        {"name": "s3"},
        {"name": "s2"},
    ]


def test_a_list_is_replaced_by_its_directive() -> None:
    spec = patched(deployment(), {"containers": [{"name": "z"}, {"$patch": "replace"}]})
    assert spec["containers"] == [{"name": "z"}]


def test_a_map_is_replaced_or_emptied_by_its_directive() -> None:
    patch = {"spec": {"strategy": {"$patch": "replace", "type": "Recreate"}}}
    assert strategic.apply(DEPLOYMENT, deployment(), patch)["spec"]["strategy"] == {"type": "Recreate"}
    patch = {"spec": {"strategy": {"$patch": "delete"}}}
    assert strategic.apply(DEPLOYMENT, deployment(), patch)["spec"]["strategy"] == {}


def test_retain_keys_clears_the_others() -> None:
    patch: Object = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert strategic.apply(DEPLOYMENT, deployment(), patch)["spec"]["strategy"] == {"type": "Recreate"}
    volumes = [{"name": "v", "$retainKeys": ["name", "secret"], "secret": {"secretName": "s"}}]
    spec = patched(deployment(volumes=[{"name": "v", "emptyDir": {}}]), {"volumes": volumes})
    assert spec["volumes"] == [{"name": "v", "secret": {"secretName": "s"}}]


def test_retain_keys_must_cover_the_patch() -> None:
    with pytest.raises(BadRequest, match="invalid patch format of retainKeys"):
        strategic.apply(
            DEPLOYMENT, deployment(), {"spec": {"strategy": {"$retainKeys": ["rollingUpdate"], "type": "Recreate"}}}
        )


def test_scalars_are_deleted_from_lists() -> None:
    patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["example.com/a"], "finalizers": ["example.com/c"]}}
    assert strategic.apply(DEPLOYMENT, deployment(), patch)["metadata"]["finalizers"] == ["example.com/c", "example.com/b"]


def test_the_order_of_elements_is_set_and_the_others_stay_near_their_neighbours() -> None:
    containers = [{"name": "a"}, {"name": "sidecar"}, {"name": "b"}]
    document = deployment(containers=containers)
    spec = patched(document, {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]})
    assert [container["name"] for container in spec["containers"]] == ["sidecar", "b", "a"]
    spec = patched(
        document, {"$setElementOrder/containers": [{"name": "a"}, {"name": "n"}, {"name": "b"}], "containers": [{"name": "n"}]}
    )
    assert [container["name"] for container in spec["containers"]] == ["a", "n", "sidecar", "b"]


def test_an_order_that_does_not_fit_the_patch_is_refused() -> None:
    with pytest.raises(StatusError, match="The order in patch list"):
        patched(deployment(), {"$setElementOrder/containers": [{"name": "a"}], "containers": [{"name": "n"}]})


def test_null_removes_and_directives_never_stay() -> None:
    spec = patched(deployment(nodeSelector={"a": "b"}), {"nodeSelector": {"a": None, "c": "d"}, "hostNetwork": None})
    assert spec["nodeSelector"] == {"c": "d"} and "hostNetwork" not in spec
    new = {"name": "n", "$retainKeys": ["name", "emptyDir"], "emptyDir": {"sizeLimit": None}}
    assert patched(deployment(), {"volumes": [new]})["volumes"] == [{"name": "n", "emptyDir": {}}]


@pytest.mark.parametrize(
    ("pod_spec", "error"),
    [
        ({"containers": [{"image": "x"}]}, StatusError),
        ({"containers": [["x"]]}, Invalid),
        ({"$setElementOrder/containers": 1}, BadRequest),
        ({"$deleteFromPrimitiveList/x": 1}, BadRequest),
        ({"nodeSelector": {"$patch": "bogus"}}, StatusError),
    ],
)
def test_malformed_patches_are_refused(pod_spec: Object, error: type[StatusError]) -> None:
    with pytest.raises(error):
        patched(deployment(nodeSelector={"a": "b"}), pod_spec)


def test_neither_document_nor_patch_is_altered() -> None:
    document, patch = deployment(), {"spec": {"template": {"spec": {"containers": [{"name": "a", "$patch": "delete"}]}}}}
    before = clone(document), clone(patch)
    strategic.apply(DEPLOYMENT, document, patch)
    assert (document, patch) == before


names = st.sampled_from(["a", "b", "c", "d"])


def by_key(key: str, keys: st.SearchStrategy[Any], **others: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Object]]:
    element = st.fixed_dictionaries({key: keys}, optional=others)
    return st.lists(element, max_size=4, unique_by=lambda item: item[key])


containers = by_key(
    "name",
    names,
    image=st.sampled_from(["x:1", "x:2"]),
    args=st.lists(names, max_size=2),
    env=by_key("name", names, value=names),
    ports=by_key("containerPort", st.integers(1, 3), protocol=st.sampled_from(["TCP", "UDP"])),
    volumeMounts=by_key("mountPath", names, name=names, readOnly=st.booleans()),
)
volumes = by_key(
    "name",
    names,
    emptyDir=st.fixed_dictionaries({}, optional={"medium": names}),
    configMap=st.fixed_dictionaries({"name": names}),
)
labels = st.dictionaries(names, names, max_size=3)
strategy = st.fixed_dictionaries(
    {}, optional={"type": names, "rollingUpdate": st.fixed_dictionaries({}, optional={"maxSurge": st.integers(0, 2)})}
)
documents = st.fixed_dictionaries(
    {},
    optional={
        "metadata": st.fixed_dictionaries(
            {}, optional={"labels": labels, "finalizers": st.lists(names, max_size=4, unique=True)}
        ),
        "spec": st.fixed_dictionaries(
            {},
            optional={
                "replicas": st.integers(0, 2),
                "strategy": strategy,
                "template": st.fixed_dictionaries(
                    {},
                    optional={
                        "spec": st.fixed_dictionaries(
                            {},
                            optional={
                                "containers": containers,
                                "volumes": volumes,
                                "nodeSelector": labels,
                                "tolerations": st.lists(st.fixed_dictionaries({"key": names}), max_size=2),
                            },
                        )
                    },
                ),
            },
        ),
    },
)


@given(documents, documents)
def test_a_diff_leads_from_one_document_to_the_other(one: Object, other: Object) -> None:
    patch = strategic.diff(DEPLOYMENT, one, other)
    assert strategic.apply(DEPLOYMENT, one, patch) == other
    assert bool(patch) is (one != other)


@given(documents, documents, documents)
def test_an_apply_is_settled_after_one_round(before: Object, wanted: Object, live: Object) -> None:
    result = strategic.apply(DEPLOYMENT, live, strategic.three_way(DEPLOYMENT, before, wanted, live))
    assert strategic.three_way(DEPLOYMENT, wanted, wanted, result) == {}
    assert strategic.three_way(DEPLOYMENT, before, wanted, result) == {}


@given(documents, documents)
def test_an_apply_keeps_what_others_added(before: Object, wanted: Object) -> None:
    live = strategic.apply(DEPLOYMENT, before, {"metadata": {"annotations": {"other": "1"}, "finalizers": ["other"]}})
    pod_spec = live.setdefault("spec", {}).setdefault("template", {}).setdefault("spec", {})
    pod_spec.setdefault("containers", []).insert(0, {"name": "sidecar"})
    result = strategic.apply(DEPLOYMENT, live, strategic.three_way(DEPLOYMENT, before, wanted, live))
    # What an outer removal takes with it (the whole metadata, the whole spec) is the user's choice.
    if "metadata" in wanted or "metadata" not in before:
        assert result["metadata"]["annotations"] == {"other": "1"}
        if "finalizers" in wanted.get("metadata", {}):
            assert "other" in result["metadata"]["finalizers"]
    wanted_containers = wanted.get("spec", {}).get("template", {}).get("spec", {}).get("containers")
    if wanted_containers is not None:
        found = [container["name"] for container in result["spec"]["template"]["spec"]["containers"]]
        assert "sidecar" in found
        assert [name for name in found if name != "sidecar"] == [container["name"] for container in wanted_containers]


def test_ports_that_share_a_number_are_replaced_as_one_list() -> None:
    both = [{"containerPort": 53, "protocol": "UDP"}, {"containerPort": 53, "protocol": "TCP"}]
    one = deployment(containers=[{"name": "a", "ports": both[:1]}])
    two = deployment(containers=[{"name": "a", "ports": both}])
    for before, after in ((one, two), (two, one)):
        assert strategic.apply(DEPLOYMENT, before, strategic.diff(DEPLOYMENT, before, after)) == after
