"""Spreading: against the text of KEP-895 by example, and against a slow and plain counting of pods."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pybernetes.scheduler.plugins.pod_topology_spread import HARD, REASON, REASON_NO_LABEL, SOFT, PodTopologySpread
from pybernetes.scheduler.pod_shape import usage_of
from pybernetes.scheduler.pod_traits import traits_of
from tests.unit.scheduler.builders import node, pod, refused, scores, table

ZONE = "topology.kubernetes.io/zone"


def labelled(name="p", app="web", **spec):
    made = pod(name, **spec)
    made["metadata"]["labels"] = {"app": app}
    return made


def spread(key=ZONE, when=HARD, max_skew=1, **more):
    return {
        "topologyKey": key,
        "whenUnsatisfiable": when,
        "maxSkew": max_skew,
        "labelSelector": {"matchLabels": {"app": "web"}},
        **more,
    }


def zoned(**zones):
    return [node(name, labels={ZONE: zone}) for name, zone in zones.items()]


def many(count, prefix, **facts):
    return [labelled(f"{prefix}{number}", **facts) for number in range(count)]


def test_a_domain_may_have_max_skew_pods_more_than_the_emptiest():
    nodes = table(*zoned(a="z1", b="z2"), placed={"a": many(2, "x"), "b": many(1, "y")})
    assert refused(PodTopologySpread(), labelled(topologySpreadConstraints=[spread()]), nodes) == {REASON: ["a"]}
    assert refused(PodTopologySpread(), labelled(topologySpreadConstraints=[spread(max_skew=2)]), nodes) == {}


def test_a_pod_that_its_own_constraint_does_not_select_adds_nothing():
    nodes = table(*zoned(a="z1", b="z2"), placed={"a": many(1, "x")})
    wanted = labelled(app="other", topologySpreadConstraints=[spread()])
    assert refused(PodTopologySpread(), wanted, nodes) == {}


def test_a_node_without_the_label_is_no_place():
    nodes = table(*zoned(a="z1"), node("bare"))
    assert refused(PodTopologySpread(), labelled(topologySpreadConstraints=[spread()]), nodes) == {REASON_NO_LABEL: ["bare"]}


def test_pods_on_their_way_out_and_those_of_other_namespaces_do_not_count():
    leaving = many(3, "x")
    for each in leaving:
        each["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    foreign = many(3, "y")
    for each in foreign:
        each["metadata"]["namespace"] = "other"
    nodes = table(*zoned(a="z1", b="z2"), placed={"a": leaving + foreign})
    assert refused(PodTopologySpread(), labelled(topologySpreadConstraints=[spread()]), nodes) == {}


def test_with_fewer_domains_than_wanted_the_emptiest_counts_as_empty():
    nodes = table(*zoned(a="z1", b="z2"), placed={"a": many(1, "x"), "b": many(1, "y")})
    assert refused(PodTopologySpread(), labelled(topologySpreadConstraints=[spread(minDomains=3)]), nodes) == {
        REASON: ["a", "b"]
    }
    assert refused(PodTopologySpread(), labelled(topologySpreadConstraints=[spread(minDomains=2)]), nodes) == {}


def test_nodes_that_the_pod_may_not_use_do_not_count_unless_it_says_so():
    nodes = table(*zoned(a="z1", b="z2"), placed={"a": many(1, "x")})
    nodes.set_node(node("a", labels={ZONE: "z1", "disk": "ssd"}))
    wanted = labelled(nodeSelector={"disk": "ssd"}, topologySpreadConstraints=[spread()])
    assert "a" not in refused(PodTopologySpread(), wanted, nodes).get(REASON, [])
    wanted["spec"]["topologySpreadConstraints"] = [spread(nodeAffinityPolicy="Ignore")]
    assert refused(PodTopologySpread(), wanted, nodes) == {REASON: ["a"]}


def test_tainted_nodes_count_unless_the_pod_says_no():
    tainted = node("b", labels={ZONE: "z2"}, taints=[{"key": "k", "effect": "NoSchedule"}])
    nodes = table(*zoned(a="z1"), tainted, placed={"a": many(1, "x")})
    assert refused(PodTopologySpread(), labelled(topologySpreadConstraints=[spread()]), nodes) == {REASON: ["a"]}
    assert refused(PodTopologySpread(), labelled(topologySpreadConstraints=[spread(nodeTaintsPolicy="Honor")]), nodes) == {}


def test_match_label_keys_tell_revisions_apart():
    old = many(2, "x")
    for each in old:
        each["metadata"]["labels"]["rev"] = "1"
    new = labelled(topologySpreadConstraints=[spread(matchLabelKeys=["rev"])])
    new["metadata"]["labels"]["rev"] = "2"
    assert refused(PodTopologySpread(), new, table(*zoned(a="z1", b="z2"), placed={"a": old})) == {}


def test_soft_constraints_prefer_the_emptier_domain():
    nodes = table(*zoned(a="z1", b="z2"), placed={"a": many(3, "x"), "b": many(1, "y")})
    wanted = labelled(topologySpreadConstraints=[spread(when=SOFT)])
    # a: 3 ln 4 = 4.16 -> 4, b: 1.39 -> 1; 100 (4 + 1 - s) / 4
    assert scores(PodTopologySpread(), wanted, nodes) == {"a": 25, "b": 100}
    assert refused(PodTopologySpread(), wanted, nodes) == {}


def test_a_node_without_the_label_is_the_worst_for_a_soft_constraint():
    nodes = table(*zoned(a="z1"), node("bare"), placed={"a": many(3, "x")})
    assert scores(PodTopologySpread(), labelled(topologySpreadConstraints=[spread(when=SOFT)]), nodes) == {"a": 100, "bare": 0}


def owned(name, uid="rs1", kind="ReplicaSet"):
    made = labelled(name)
    made["metadata"]["ownerReferences"] = [{"kind": kind, "uid": uid, "controller": True}]
    return made


def test_pods_of_a_replica_set_spread_over_nodes_by_default():
    nodes = table(node("a"), node("b"), placed={"a": [owned("x"), owned("y")], "b": [owned("z", uid="other")]})
    # no zones: a: 2 ln 4 + 2 = 4.77 -> 5; b: 2
    assert scores(PodTopologySpread(), owned("new"), nodes) == {"a": 40, "b": 100}


@pytest.mark.parametrize("made", [labelled(), owned("d", kind="DaemonSet"), owned("j", kind="Job")])
def test_other_pods_are_not_spread_by_default(made):
    assert scores(PodTopologySpread(), made, table(node("a"), node("b"))) is None


def test_a_profile_may_have_defaults_of_its_own():
    plugin = PodTopologySpread(
        {"defaultingType": "List", "defaultConstraints": [{"topologyKey": ZONE, "whenUnsatisfiable": HARD, "maxSkew": 1}]}
    )
    nodes = table(*zoned(a="z1", b="z2"), placed={"a": [owned("x")]})
    assert refused(plugin, owned("new"), nodes) == {REASON: ["a"]}
    with pytest.raises(ValueError, match="defaultingType List"):
        PodTopologySpread({"defaultConstraints": [{}]})


placements = st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["web", "other"])), max_size=14)
zones = st.lists(st.sampled_from(["", "z1", "z2", "z3"]), min_size=1, max_size=6)


@given(zones, placements, st.integers(1, 3), st.integers(1, 4))
@settings(deadline=None)
def test_hard_constraints_agree_with_counting_pod_by_pod(zone_of, placed, max_skew, min_domains):
    names = [f"n{number}" for number in range(len(zone_of))]
    nodes = table(*(node(name, labels={ZONE: zone} if zone else {}) for name, zone in zip(names, zone_of, strict=True)))
    counts: Counter[str] = Counter({zone: 0 for zone in zone_of if zone})
    for number, (at, app) in enumerate(placed):
        index = at % len(names)
        made = labelled(f"p{number}", app=app)
        nodes.set_pod(made["metadata"]["uid"], usage_of(made), names[index], traits_of(made))
        if zone_of[index] and app == "web":
            counts[zone_of[index]] += 1
    least = 0 if len(counts) < min_domains else min(counts.values(), default=0)
    unfit = {name for name, zone in zip(names, zone_of, strict=True) if not zone or counts[zone] + 1 - least > max_skew}
    wanted = labelled("new", topologySpreadConstraints=[spread(max_skew=max_skew, minDomains=min_domains)])
    assert {name for some in refused(PodTopologySpread(), wanted, nodes).values() for name in some} == unfit
