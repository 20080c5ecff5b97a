"""What is left out of the caches must not change a decision."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pybernetes.scheduler.pod_shape import usage_of
from pybernetes.scheduler.pod_traits import traits_of
from pybernetes.scheduler.trimmed import trimmed_node, trimmed_pod
from tests.unit.scheduler.builders import node, pod, table

containers = st.lists(
    st.fixed_dictionaries(
        {"name": st.just("c"), "image": st.just("i")},
        optional={
            "resources": st.sampled_from([{}, {"requests": {"cpu": "1"}, "limits": {"cpu": "2"}}]),
            "ports": st.lists(st.sampled_from([{"containerPort": 1}, {"containerPort": 1, "hostPort": 2, "protocol": "UDP"}])),
            "restartPolicy": st.just("Always"),
            "env": st.just([{"name": "a", "value": "b"}]),
        },
    ),
    min_size=1,
    max_size=3,
)
term = {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "db"}}}
affinities = st.sampled_from(
    [{}, {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}, "nodeAffinity": {}}]
)


@given(containers, containers, affinities, st.booleans(), st.booleans())
def test_a_placed_pod_counts_for_others_as_the_whole_one_would(inits, mains, affinity, owned, leaving):
    whole = pod(nodeName="n1", initContainers=inits, containers=mains, affinity=affinity, overhead={"cpu": "5m"})
    whole["metadata"] |= {"labels": {"app": "web"}, "managedFields": [{"manager": "m"}]}
    if owned:
        whole["metadata"]["ownerReferences"] = [{"kind": "ReplicaSet", "uid": "u", "name": "r", "controller": True}]
    if leaving:
        whole["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    kept = trimmed_pod(whole)
    assert usage_of(kept) == usage_of(whole)
    assert traits_of(kept) == traits_of(whole)
    assert "managedFields" not in kept["metadata"]


def test_a_pod_that_waits_is_kept_but_for_its_history():
    whole = pod()
    assert trimmed_pod({**whole, "metadata": {**whole["metadata"], "managedFields": []}}) == whole


def test_a_node_is_to_the_table_what_the_whole_one_is():
    whole = node(labels={"zone": "z"}, taints=[{"key": "k", "effect": "NoSchedule"}], images=[{"names": ["i"], "sizeBytes": 1}])
    whole["status"]["nodeInfo"] = {"kubeletVersion": "v1"}
    kept = trimmed_node(whole)
    assert "nodeInfo" not in kept["status"]
    for what in ("allocatable", "requested"):
        assert getattr(table(kept).all, what)("cpu").tolist() == getattr(table(whole).all, what)("cpu").tolist()
    assert kept["metadata"]["labels"] == whole["metadata"]["labels"]
    assert kept["spec"] == whole["spec"]
    assert kept["status"]["images"] == whole["status"]["images"]
