"""Decisions: who is chosen, and what a pod is told that fits nowhere."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pybernetes.machinery.entropy import SeededEntropy
from pybernetes.scheduler.cycle import Cycle
from pybernetes.scheduler.framework import FitError, Placement, Profile, Reads, Refusals, Weighted
from pybernetes.scheduler.node_table import NodeTable
from pybernetes.scheduler.pod_shape import usage_of
from tests.unit.scheduler.builders import node, pod, profile, schedule, table

PREEMPTION = "no new claims to deallocate, preemption: "


def test_the_only_node_that_fits_is_chosen():
    nodes = table(node("small", cpu="1"), node("large"))
    assert schedule(pod(requests={"cpu": "2"}), nodes) == Placement("large", 1)


def test_the_best_score_wins():
    nodes = table(node("busy"), node("idle"), placed={"busy": [pod("other", requests={"cpu": "2", "memory": "4Gi"})]})
    for seed in range(5):
        assert schedule(pod(), nodes, seed) == Placement("idle", 2)


def test_chance_decides_between_equals():
    nodes = table(*(node(name) for name in "abc"))
    chosen = Counter(schedule(pod(), nodes, seed).node_name for seed in range(60))
    assert set(chosen) == {"a", "b", "c"}


def test_weights_count():
    prefer = {"preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": 1, "preference": {"matchExpressions": [{"key": "nice", "operator": "Exists"}]}}]}  # fmt: skip
    nodes = table(
        node("idle"), node("nice", labels={"nice": ""}), placed={"nice": [pod("other", requests={"cpu": "2", "memory": "4Gi"})]}
    )
    wanted = pod(affinity={"nodeAffinity": prefer})
    assert schedule(wanted, nodes).node_name == "nice"  # 2 * 100 by affinity beat 50 of the resources
    lighter = {"multiPoint": {"enabled": [{"name": "NodeAffinity", "weight": 1}, {"name": "NodeResourcesFit", "weight": 3}]}}
    assert schedule(wanted, nodes, plugins=lighter).node_name == "idle"


def test_without_nodes_that_is_the_reason():
    verdict = schedule(pod(), table())
    assert verdict == FitError(0)
    assert verdict.message() == "no nodes available to schedule pods"


def test_each_node_gives_the_reason_of_the_first_plugin_that_refused_it():
    nodes = table(
        node("tainted", cpu="1", taints=[{"key": "k", "effect": "NoSchedule"}]),
        node("wrong", cpu="1"),
        node("small", cpu="1", labels={"disk": "ssd"}),
        node("full", labels={"disk": "ssd"}),
        placed={"full": [pod("other", requests={"cpu": "3"})]},
    )
    verdict = schedule(pod(requests={"cpu": "2"}, nodeSelector={"disk": "ssd"}), nodes)
    assert verdict.plugins == {"TaintToleration", "NodeAffinity", "NodeResourcesFit"}
    assert verdict.message() == (
        "0/4 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 1 node(s) had untolerated taint(s), "
        f"2 Insufficient cpu. {PREEMPTION}0/4 nodes are available: 1 No preemption victims found for incoming pod, "
        "3 Preemption is not helpful for scheduling."
    )


def test_a_node_may_give_several_reasons_of_one_plugin():
    verdict = schedule(pod(requests={"cpu": "9", "memory": "9Gi"}), table(node()))
    assert verdict.message() == (
        f"0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory. {PREEMPTION}"
        "0/1 nodes are available: 1 Preemption is not helpful for scheduling."
    )


def test_a_pod_that_may_not_preempt_is_told_so():
    verdict = schedule(pod(requests={"cpu": "9"}), table(node()))
    assert verdict.message("Never") == (
        f"0/1 nodes are available: 1 Insufficient cpu. {PREEMPTION}not eligible due to preemptionPolicy=Never."
    )


def test_a_daemons_pod_is_told_of_its_own_node_only():
    by_name = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["mine"]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [by_name]}}}
    nodes = table(node("mine", cpu="1"), node("a"), node("b", taints=[{"key": "k", "effect": "NoSchedule"}]))
    verdict = schedule(pod(requests={"cpu": "2"}, affinity=affinity), nodes)
    assert verdict.reasons == (("node(s) didn't satisfy plugin(s) [NodeAffinity]", 2), ("Insufficient cpu", 1))
    assert schedule(pod(affinity=affinity), nodes) == Placement("mine", 1)


def test_pods_of_one_shape_see_what_the_ones_before_took():
    cycle, nodes = Cycle(profile(), SeededEntropy(1)), table(node("a", cpu="1"), node("b", cpu="1"))
    placed = []
    for number in range(3):
        wanted = pod(f"p{number}", requests={"cpu": "800m"})
        verdict = cycle.schedule(wanted, nodes)
        placed.append(getattr(verdict, "node_name", None))
        if isinstance(verdict, Placement):
            nodes.set_pod(wanted["metadata"]["uid"], usage_of(wanted), verdict.node_name)
    assert sorted(placed[:2]) == ["a", "b"]
    assert placed[2] is None


class Odd:
    """A user's plugin: pods like nodes whose name has their own name's length."""

    name = "Odd"
    reads = Reads.ANYTHING
    wakes_on = ()

    def pre_filter(self, wanted):
        return len(wanted["metadata"]["name"])

    def filter(self, length, nodes):
        yield Refusals(np.array([len(name) != length for name in nodes.names]), "odd")


def test_a_plugin_of_the_users_own_is_asked_for_every_pod():
    cycle = Cycle(Profile("mine", {"filter": (Weighted(Odd()),)}), SeededEntropy(1))
    nodes = table(node("a"), node("bb"))
    assert cycle.schedule(pod("p"), nodes).node_name == "a"
    assert cycle.schedule(pod("pp"), nodes).node_name == "bb"
    assert cycle.schedule(pod("ppp"), nodes).reasons == (("odd", 2),)


shapes = st.builds(
    pod,
    st.just("p"),
    requests=st.fixed_dictionaries(
        {"cpu": st.sampled_from(["100m", "900m", "2"]), "memory": st.sampled_from(["1Gi", "3Gi"])},
        optional={"nvidia.com/gpu": st.just("1")},
    ),
    nodeSelector=st.one_of(st.just({}), st.just({"disk": "ssd"})),
    tolerations=st.one_of(st.just([]), st.just([{"operator": "Exists"}])),
)
clusters = st.lists(
    st.builds(
        dict,
        cpu=st.sampled_from(["1", "2", "4"]),
        memory=st.sampled_from(["2Gi", "8Gi"]),
        pods=st.sampled_from(["1", "3", "110"]),
        nvidia_com__gpu=st.sampled_from(["0", "1"]),
        labels=st.one_of(st.just({}), st.just({"disk": "ssd"})),
        taints=st.one_of(st.just([]), st.just([{"key": "k", "effect": "NoSchedule"}])),
    ),
    min_size=1,
    max_size=6,
)
happenings = st.lists(st.one_of(shapes, st.integers(0, 30), st.tuples(st.integers(0, 5), clusters)), max_size=30)


class FirstOfEquals(SeededEntropy):
    def random(self):
        return 0.0


@given(clusters, happenings)
@settings(deadline=None)
def test_no_node_is_ever_overcommitted_and_the_memo_decides_as_if_it_knew_nothing(cluster, happened):
    """Pods come, pods go (a number), nodes change (a pair), in any order."""
    nodes = NodeTable()
    for number, facts in enumerate(cluster):
        nodes.set_node(node(f"n{number}", **facts))
    cycle, placed = Cycle(profile(), FirstOfEquals(1)), []
    for number, event in enumerate(happened):
        if isinstance(event, int):
            if placed:
                nodes.remove_pod(placed.pop(event % len(placed)))
            continue
        if isinstance(event, tuple):
            # Never smaller than it was: a node may not lose what its pods have.
            facts = {**cluster[event[0] % len(cluster)], "labels": event[1][0]["labels"], "taints": event[1][0]["taints"]}
            nodes.set_node(node(f"n{event[0] % len(cluster)}", **facts))
            continue
        verdict = cycle.schedule(event, nodes)
        fresh = Cycle(profile(), FirstOfEquals(1)).schedule(event, nodes)
        assert verdict == fresh
        if isinstance(verdict, FitError):
            assert sum(count for _, count in verdict.reasons) >= len(nodes)
            continue
        uid = f"uid-{number}"
        nodes.set_pod(uid, usage_of(event), verdict.node_name)
        placed.append(uid)
    for resource in ("cpu", "memory", "pods", "nvidia.com/gpu"):
        requested, allocatable = nodes.all.requested(resource), nodes.all.allocatable(resource)
        if requested is not None:
            assert (requested <= allocatable).all(), resource
