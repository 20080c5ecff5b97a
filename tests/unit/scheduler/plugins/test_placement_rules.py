"""Names, cordons, taints, affinity, ports, images: where a pod may go by what it and the nodes say."""

from __future__ import annotations

import pytest

from pybernetes.scheduler.framework import SKIP
from pybernetes.scheduler.plugins.image_locality import ImageLocality
from pybernetes.scheduler.plugins.node_affinity import REASON, REASON_ENFORCED, NodeAffinity
from pybernetes.scheduler.plugins.node_name import NodeName
from pybernetes.scheduler.plugins.node_ports import NodePorts
from pybernetes.scheduler.plugins.node_unschedulable import NodeUnschedulable
from pybernetes.scheduler.plugins.scheduling_gates import SchedulingGates
from pybernetes.scheduler.plugins.taint_toleration import TaintToleration
from tests.unit.scheduler.builders import node, pod, refused, scores, table

MI = 2**20


def cordoned(name="n1"):
    return node(name) | {"spec": {"unschedulable": True}}


def taint(effect, key="k", value="v"):
    return {"key": key, "value": value, "effect": effect}


def affinity(*expressions, fields=()):
    term = {"matchExpressions": [*expressions], "matchFields": [*fields]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}


def on_port(port, name="p1", **more):
    wanted = pod(name)
    wanted["spec"]["containers"][0]["ports"] = [{"containerPort": 80, "hostPort": port, "protocol": "TCP", **more}]
    return wanted


def test_a_pod_with_a_node_name_goes_there_or_nowhere():
    nodes = table(node("a"), node("b"))
    assert refused(NodeName(), pod(nodeName="b"), nodes) == {"node(s) didn't match the requested node name": ["a"]}
    assert NodeName().pre_filter(pod()) is SKIP


def test_a_cordoned_node_takes_no_pods():
    assert refused(NodeUnschedulable(), pod(), table(cordoned("a"), node("b"))) == {"node(s) were unschedulable": ["a"]}


def test_a_cordoned_node_takes_pods_that_tolerate_it():
    tolerations = [{"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}]
    assert refused(NodeUnschedulable(), pod(tolerations=tolerations), table(cordoned())) == {}


@pytest.mark.parametrize("effect", ["NoSchedule", "NoExecute"])
def test_a_tainted_node_takes_no_pods(effect):
    nodes = table(node("a", taints=[taint(effect)]), node("b"))
    assert refused(TaintToleration(), pod(), nodes) == {"node(s) had untolerated taint(s)": ["a"]}


def test_a_tainted_node_takes_pods_that_tolerate_the_taint():
    tolerations = [{"key": "k", "operator": "Equal", "value": "v", "effect": "NoSchedule"}]
    assert refused(TaintToleration(), pod(tolerations=tolerations), table(node(taints=[taint("NoSchedule")]))) == {}


def test_a_taint_that_only_discourages_refuses_nobody():
    assert refused(TaintToleration(), pod(), table(node(taints=[taint("PreferNoSchedule")]))) == {}


def test_the_fewer_discouraging_taints_the_better():
    both = [taint("PreferNoSchedule", "a"), taint("PreferNoSchedule", "b")]
    nodes = table(node("none"), node("one", taints=both[:1]), node("two", taints=both))
    assert scores(TaintToleration(), pod(), nodes) == {"none": 100, "one": 50, "two": 0}


def test_a_node_that_lost_its_taint_is_as_good_as_any():
    nodes = table(node(taints=[taint("NoSchedule")]))
    nodes.set_node(node())
    assert refused(TaintToleration(), pod(), nodes) == {}


def test_a_node_selector_wants_all_its_labels():
    nodes = table(node("a", labels={"disk": "ssd", "zone": "z1"}), node("b", labels={"disk": "ssd"}), node("c"))
    assert refused(NodeAffinity(), pod(nodeSelector={"disk": "ssd", "zone": "z1"}), nodes) == {REASON: ["b", "c"]}


@pytest.mark.parametrize(
    ("operator", "values", "fitting"),
    [
        ("In", ["1", "3"], ["one", "three"]),
        ("NotIn", ["1"], ["none", "text", "three"]),
        ("Exists", [], ["one", "text", "three"]),
        ("DoesNotExist", [], ["none"]),
        ("Gt", ["1"], ["three"]),
        ("Lt", ["3"], ["one"]),
        ("Gt", ["1_0"], []),  # no number, though Python would read it as one
    ],
)
def test_each_operator_of_node_affinity(operator, values, fitting):
    labels = {"one": "1", "three": "3", "text": "4_0"}
    nodes = table(node("none"), *(node(name, labels={"n": value}) for name, value in labels.items()))
    wanted = pod(affinity=affinity({"key": "n", "operator": operator, "values": values}))
    unfit = refused(NodeAffinity(), wanted, nodes).get(REASON, [])
    assert sorted({*nodes.names} - {*unfit}) == fitting


def test_one_of_the_terms_must_hold_and_an_empty_one_never_does():
    wanted = pod(affinity=affinity())
    assert refused(NodeAffinity(), wanted, table(node())) == {REASON: ["n1"]}


def test_affinity_to_a_name_narrows_the_nodes_to_it():
    by_name = affinity(fields=[{"key": "metadata.name", "operator": "In", "values": ["b"]}])
    assert NodeAffinity().only_nodes(pod(affinity=by_name)) == {"b"}
    assert refused(NodeAffinity(), pod(affinity=by_name), table(node("a"), node("b"))) == {REASON: ["a"]}


def test_affinity_that_leaves_the_name_open_narrows_nothing():
    wanted = pod(affinity=affinity({"key": "n", "operator": "Exists"}))
    assert NodeAffinity().only_nodes(wanted) is None


def test_a_profile_may_add_an_affinity_and_its_refusal_is_told_instead_of_the_pods():
    added = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
        {"matchExpressions": [{"key": "pool", "operator": "In", "values": ["x"]}]}]}}  # fmt: skip
    nodes = table(node("a", labels={"pool": "x"}), node("b"))
    plugin = NodeAffinity({"addedAffinity": added})
    assert refused(plugin, pod(nodeSelector={"disk": "ssd"}), nodes) == {REASON_ENFORCED: ["b"], REASON: ["a"]}


def test_preferences_add_up_and_an_empty_one_counts_nothing():
    def prefers(weight, *expressions):
        return {"weight": weight, "preference": {"matchExpressions": [*expressions]}}

    ssd, zone = ({"key": key, "operator": "Exists"} for key in ("ssd", "zone"))
    wanted = pod(affinity={"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
        prefers(30, ssd), prefers(10, zone), prefers(100)]}})  # fmt: skip
    nodes = table(node("a", labels={"ssd": "", "zone": ""}), node("b", labels={"zone": ""}), node("c"))
    assert scores(NodeAffinity(), wanted, nodes) == {"a": 100, "b": 25, "c": 0}


def test_a_host_port_is_taken_by_one_pod_only():
    nodes = table(node("a"), node("b"), placed={"a": [on_port(80, "other")]})
    assert refused(NodePorts(), on_port(80), nodes) == {"node(s) didn't have free ports for the requested pod ports": ["a"]}


@pytest.mark.parametrize(
    ("taken", "wanted"),
    [
        ({"hostIP": "127.0.0.1"}, {"hostIP": "10.0.0.1"}),
        ({"protocol": "UDP"}, {"protocol": "TCP"}),
    ],
)
def test_the_same_number_on_another_address_or_protocol_is_another_port(taken, wanted):
    nodes = table(node(), placed={"n1": [on_port(80, "other", **taken)]})
    assert refused(NodePorts(), on_port(80, **wanted), nodes) == {}


@pytest.mark.parametrize(("taken", "wanted"), [("0.0.0.0", "10.0.0.1"), ("10.0.0.1", ""), ("10.0.0.1", "10.0.0.1")])
def test_all_addresses_collide_with_each(taken, wanted):
    nodes = table(node(), placed={"n1": [on_port(80, "other", hostIP=taken)]})
    assert refused(NodePorts(), on_port(80, hostIP=wanted), nodes)


def test_a_port_is_free_again_when_its_last_holder_is_gone():
    nodes = table(node(), placed={"n1": [on_port(80, "x", hostIP="10.0.0.1"), on_port(80, "y", hostIP="10.0.0.2")]})
    nodes.remove_pod("uid-x")
    assert refused(NodePorts(), on_port(80), nodes)
    nodes.remove_pod("uid-y")
    assert refused(NodePorts(), on_port(80), nodes) == {}


def test_a_sidecars_port_counts_and_an_init_containers_does_not():
    ports = [{"containerPort": 1, "hostPort": 81, "protocol": "TCP"}]
    sidecar = pod("other", initContainers=[{"name": "s", "restartPolicy": "Always", "ports": ports}])
    assert refused(NodePorts(), on_port(81), table(node(), placed={"n1": [sidecar]}))
    init = pod("other", initContainers=[{"name": "s", "ports": ports}])
    assert refused(NodePorts(), on_port(81), table(node(), placed={"n1": [init]})) == {}


def image(size, *names):
    return {"names": [*names], "sizeBytes": size}


def test_nodes_that_have_the_image_are_preferred_the_more_the_wider_it_is_spread():
    nodes = table(node("a", images=[image(500 * MI, "app:1")]), node("b"))
    # half of the nodes have it: 250 MiB count; (250 - 23) / (1000 - 23)
    assert scores(ImageLocality(), pod(), nodes) == {"a": 23, "b": 0}
    nodes.set_node(node("b", images=[image(500 * MI, "app:1")]))
    assert scores(ImageLocality(), pod(), nodes) == {"a": 48, "b": 48}


def test_an_image_without_a_tag_is_the_latest():
    wanted = pod()
    wanted["spec"]["containers"][0]["image"] = "registry:5000/app"
    nodes = table(node(images=[image(1000 * MI, "registry:5000/app:latest")]))
    assert scores(ImageLocality(), wanted, nodes) == {"n1": 100}


def test_small_images_count_nothing():
    assert scores(ImageLocality(), pod(), table(node(images=[image(23 * MI, "app:1")]))) == {"n1": 0}


def test_images_that_no_node_has_are_no_reason():
    nodes = table(node(images=[image(500 * MI, "app:1")]))
    nodes.set_node(node())
    assert scores(ImageLocality(), pod(), nodes) is None


def test_gates_keep_a_pod_out_of_the_queue():
    gated = pod(schedulingGates=[{"name": "a"}, {"name": "b"}])
    assert SchedulingGates().pre_enqueue(gated) == "waiting for scheduling gates: [a b]"
    assert SchedulingGates().pre_enqueue(pod()) is None
