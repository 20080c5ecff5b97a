"""NodeResourcesFit and NodeResourcesBalancedAllocation: who has room, and who is the better choice.

Scores were worked out by hand from the formulas in the documentation of the scheduler's plugins.
"""

from __future__ import annotations

import pytest

from pybernetes.scheduler.plugins.node_resources_balanced_allocation import NodeResourcesBalancedAllocation
from pybernetes.scheduler.plugins.node_resources_fit import NodeResourcesFit
from tests.unit.scheduler.builders import node, pod, refused, scores, table


def test_a_pod_fits_where_its_requests_fit():
    nodes = table(node(), placed={"n1": [pod("other", requests={"cpu": "3900m"})]})
    assert refused(NodeResourcesFit(), pod(requests={"cpu": "100m"}), nodes) == {}


@pytest.mark.parametrize(
    ("requests", "reason"),
    [
        ({"cpu": "101m"}, "Insufficient cpu"),
        ({"memory": "8193Mi"}, "Insufficient memory"),
        ({"ephemeral-storage": "1"}, "Insufficient ephemeral-storage"),
        ({"nvidia.com/gpu": "1"}, "Insufficient nvidia.com/gpu"),
    ],
)
def test_a_pod_fits_not_where_one_request_is_too_large(requests, reason):
    nodes = table(node(), placed={"n1": [pod("other", requests={"cpu": "3900m"})]})
    assert refused(NodeResourcesFit(), pod(requests=requests), nodes) == {reason: ["n1"]}


def test_all_reasons_are_told():
    nodes = table(node(pods="0"))
    wanted = pod(requests={"cpu": "5", "memory": "9Gi"})
    assert [*refused(NodeResourcesFit(), wanted, nodes)] == ["Too many pods", "Insufficient cpu", "Insufficient memory"]


def test_a_full_node_takes_not_even_a_pod_that_asks_for_nothing():
    nodes = table(node(pods="1"), placed={"n1": [pod("other")]})
    assert refused(NodeResourcesFit(), pod(requests={}), nodes) == {"Too many pods": ["n1"]}


def test_a_pod_that_asks_for_nothing_fits_on_an_overcommitted_node():
    nodes = table(node(cpu="1"), placed={"n1": [pod("other", requests={"cpu": "2"})]})
    assert refused(NodeResourcesFit(), pod(requests={}), nodes) == {}


def test_evicting_helps_only_where_the_empty_node_would_do():
    nodes = table(node("small", cpu="1"), node("full", cpu="4"), placed={"full": [pod("other", requests={"cpu": "4"})]})
    fit = NodeResourcesFit()
    refusals = [
        each for each in fit.filter(fit.pre_filter(pod(requests={"cpu": "2"})), nodes.all) if each.reason == "Insufficient cpu"
    ]
    assert refusals[0].resolvable.tolist() == [False, True]


def test_ignored_resources_are_left_to_others():
    wanted = pod(requests={"example.com/a": "1", "example.org/b": "1"})
    arguments = {"ignoredResources": ["example.com/a"], "ignoredResourceGroups": ["example.org"]}
    assert refused(NodeResourcesFit(arguments), wanted, table(node())) == {}


def test_init_containers_count_with_their_peak_and_sidecars_beside_the_rest():
    wanted = pod(
        requests={"cpu": "1"},
        initContainers=[
            {"name": "sidecar", "restartPolicy": "Always", "resources": {"requests": {"cpu": "1"}}},
            {"name": "init", "resources": {"requests": {"cpu": "2500m"}}},
        ],
    )
    assert refused(NodeResourcesFit(), wanted, table(node(cpu="3500m"))) == {}
    assert refused(NodeResourcesFit(), wanted, table(node(cpu="3400m"))) == {"Insufficient cpu": ["n1"]}


def test_the_least_allocated_node_is_preferred():
    nodes = table(
        node("a", memory="4Gi"), node("b", memory="4Gi"), placed={"b": [pod("other", requests={"cpu": "1", "memory": "1Gi"})]}
    )
    # a: cpu (4000-1000)/4000 = 75, memory 75; b: cpu 50, memory 50
    assert scores(NodeResourcesFit(), pod(requests={"cpu": "1", "memory": "1Gi"}), nodes) == {"a": 75, "b": 50}


def test_scores_are_cut_to_whole_numbers_at_each_step():
    # cpu: 2999/3000 = 99 (99.96), memory: (3 GiB - 200 MiB) / 3 GiB = 93 (93.48); together 96, not 96.7
    assert scores(NodeResourcesFit(), pod(requests={"cpu": "1m"}), table(node(cpu="3", memory="3Gi"))) == {"n1": 96}


def test_containers_that_ask_for_nothing_count_with_a_default_when_nodes_are_compared():
    nodes = table(node("a"), node("b"), placed={"b": [pod("other", requests={})]})
    # a: cpu 3900/4000 = 97, memory 7992/8192 = 97; b: cpu 3800/4000 = 95, memory 7792/8192 = 95
    assert scores(NodeResourcesFit(), pod(requests={}), nodes) == {"a": 97, "b": 95}


def test_defaults_do_not_add_to_a_pod_that_says_what_it_needs_as_a_whole():
    nodes = table(node("a"))
    # cpu: 2000 of 4000; memory, of which the pod says nothing: 200 of 8192 MiB
    assert scores(NodeResourcesFit(), pod(requests={}, resources={"requests": {"cpu": "2"}}), nodes) == {"a": (50 + 97) // 2}


def test_the_most_allocated_node_is_preferred_if_the_profile_says_so():
    nodes = table(node("a"), node("b"), placed={"b": [pod("other", requests={"cpu": "2", "memory": "4Gi"})]})
    fit = NodeResourcesFit({"scoringStrategy": {"type": "MostAllocated"}})
    assert scores(fit, pod(requests={"cpu": "1", "memory": "2Gi"}), nodes) == {"a": 25, "b": 75}


def test_defaults_beyond_the_capacity_count_as_a_full_node():
    fit = NodeResourcesFit({"scoringStrategy": {"type": "MostAllocated", "resources": [{"name": "cpu"}]}})
    assert scores(fit, pod(requests={}), table(node(cpu="50m"))) == {"n1": 100}
    assert scores(NodeResourcesFit(), pod(requests={}), table(node(cpu="50m", memory="100Mi"))) == {"n1": 0}


def test_a_shape_says_what_a_utilization_is_worth():
    shape = [{"utilization": 0, "score": 0}, {"utilization": 50, "score": 10}, {"utilization": 100, "score": 5}]
    strategy = {
        "type": "RequestedToCapacityRatio",
        "requestedToCapacityRatio": {"shape": shape},
        "resources": [{"name": "cpu"}],
    }
    fit = NodeResourcesFit({"scoringStrategy": strategy})
    nodes = table(node("a", cpu="4"), node("b", cpu="2"), node("c", cpu="1"))
    assert scores(fit, pod(requests={"cpu": "1"}), nodes) == {"a": 50, "b": 100, "c": 50}


def test_an_extended_resource_that_the_pod_does_not_want_is_not_compared():
    strategy = {"resources": [{"name": "cpu"}, {"name": "nvidia.com/gpu", "weight": 3}]}
    nodes = table(node("a", nvidia_com__gpu="2"), node("b"))
    assert scores(NodeResourcesFit({"scoringStrategy": strategy}), pod(requests={"cpu": "1"}), nodes) == {"a": 75, "b": 75}
    # Wanted: (75 + 3 * 50) / 4; a node without any is compared by its CPU alone.
    wanted = pod(requests={"cpu": "1", "nvidia.com/gpu": "1"})
    assert scores(NodeResourcesFit({"scoringStrategy": strategy}), wanted, nodes) == {"a": 56, "b": 75}


def test_an_unknown_strategy_is_refused():
    with pytest.raises(ValueError, match="'Best'"):
        NodeResourcesFit({"scoringStrategy": {"type": "Best"}})


def test_a_node_whose_resources_would_be_used_evenly_is_preferred():
    nodes = table(node("even", cpu="4", memory="4Gi"), node("odd", cpu="4", memory="16Gi"))
    # even: 1/4 and 1/4; odd: 1/4 and 1/16, half of whose distance is 0.09375
    wanted = pod(requests={"cpu": "1", "memory": "1Gi"})
    assert scores(NodeResourcesBalancedAllocation(), wanted, nodes) == {"even": 100, "odd": 90}


def test_three_resources_are_balanced_by_their_standard_deviation():
    balanced = NodeResourcesBalancedAllocation(
        {"resources": [{"name": "cpu"}, {"name": "memory"}, {"name": "ephemeral-storage"}]}
    )
    nodes = table(node("a", memory="4Gi", ephemeral_storage="10"), node("b", memory="4Gi"))
    nodes.set_node(
        node("a", memory="4Gi")
        | {"status": {"allocatable": {"cpu": "4", "memory": "4Gi", "pods": "9", "ephemeral-storage": "4"}}}
    )
    wanted = pod(requests={"cpu": "1", "memory": "2Gi", "ephemeral-storage": "3"})
    # a: 0.25, 0.5, 0.75: sqrt(0.125 / 3) = 0.204; b has no such storage: half of 0.25
    assert scores(balanced, wanted, nodes) == {"a": 79, "b": 87}


def test_a_pod_that_asks_for_nothing_has_no_balance():
    assert scores(NodeResourcesBalancedAllocation(), pod(requests={}), table(node())) is None
