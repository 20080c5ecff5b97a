"""Nodes: silence, taints, evictions, address ranges, and pods that nobody cleans up."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

from pybernetes.controllers import node_ipam, node_lifecycle, pod_garbage_collector, taint_eviction
from pybernetes.controllers.actions import Delete, LookAgain, Patch
from pybernetes.machinery.clock import rfc3339
from pybernetes.machinery.meta import condition
from pybernetes.machinery.resources import LEASES, NODES, PODS

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def node(name: str = "n1", **changes: Any) -> dict[str, Any]:
    """A ready node."""
    conditions = [{"type": "Ready", "status": changes.get("ready", "True"), "reason": "KubeletReady"}]
    metadata = {"name": name, "uid": f"uid-{name}", "labels": changes.get("labels", {})}
    return {"metadata": metadata, "spec": changes.get("spec", {}), "status": {"conditions": conditions}}


def lease(moment: str) -> dict[str, Any]:
    return {"metadata": {"name": "n1", "namespace": "kube-node-lease"}, "spec": {"renewTime": moment}}


def taints(world: Any, name: str = "n1") -> set[tuple[str, str]]:
    found = world.cache(NODES).get("", name)["spec"].get("taints") or ()
    return {(each["key"].removeprefix("node.kubernetes.io/"), each["effect"]) for each in found}


def ready_of(world: Any, name: str = "n1") -> Any:
    return condition(world.cache(NODES).get("", name)["status"]["conditions"], "Ready")


def test_a_node_that_stays_silent_becomes_unknown_and_tainted_and_its_pods_unready(World: Any, pod: Any) -> None:
    objects = [(NODES, node()), (NODES, node("n2")), (LEASES, lease("t0")), (PODS, pod("a"))]
    world = World(node_lifecycle.controller, objects)
    world.settle("n1")
    assert world.look_again_s == 50
    world.advance(49)
    assert world.step("n1") == []
    world.advance(1)
    world.settle("n1")
    assert ready_of(world) | {"lastTransitionTime": ""} == {
        "type": "Ready",
        "status": "Unknown",
        "reason": "NodeStatusUnknown",
        "message": "Kubelet stopped posting node status.",
        "lastTransitionTime": "",
    }
    assert taints(world) == {("unreachable", "NoSchedule"), ("unreachable", "NoExecute")}
    assert condition(world.all(PODS)[0]["status"]["conditions"], "Ready")["status"] == "False"
    assert "NodeNotReady: Node n1 status is now: NodeNotReady" in world.told


def test_a_renewed_lease_is_a_sign_of_life(World: Any) -> None:
    world = World(node_lifecycle.controller, [(NODES, node()), (NODES, node("n2")), (LEASES, lease("t0"))])
    world.settle("n1")
    world.advance(40)
    world.put(LEASES, lease("t1"))
    world.settle("n1")
    world.advance(40)
    assert world.step("n1") == []
    assert ready_of(world)["status"] == "True"


def test_a_node_is_not_called_silent_by_a_controller_that_cannot_see_heartbeats(World: Any) -> None:
    """Found by simulation: after restarts of the API server all nodes were marked, and their pods taken out of service."""
    world = World(node_lifecycle.controller, [(NODES, node()), (NODES, node("n2")), (LEASES, lease("t0"))])
    world.settle("n1")
    world.cache(LEASES).watching_since_s = None
    world.advance(60)
    assert world.step("n1") == []
    world.cache(LEASES).watching_since_s = world.clock.monotonic()
    world.advance(4)
    assert world.step("n1") == []
    world.advance(1)
    world.settle("n1")
    assert ready_of(world)["status"] == "Unknown"


def test_taints_go_when_the_node_is_back(World: Any) -> None:
    keeps = {"key": "dedicated", "effect": "NoSchedule", "value": "db"}
    down = node(ready="False", spec={"taints": [keeps]})
    world = World(node_lifecycle.controller, [(NODES, down), (NODES, node("n2"))])
    world.settle("n1")
    assert taints(world) == {("dedicated", "NoSchedule"), ("not-ready", "NoSchedule"), ("not-ready", "NoExecute")}
    back = copy.deepcopy(world.cache(NODES).get("", "n1"))
    back["status"]["conditions"][0]["status"] = "True"
    world.put(NODES, back)
    world.settle("n1")
    assert taints(world) == {("dedicated", "NoSchedule")}


def test_nobody_is_evicted_while_all_nodes_are_down(World: Any) -> None:
    world = World(node_lifecycle.controller, [(NODES, node(ready="False")), (NODES, node("n2", ready="False"))])
    world.settle("n1")
    assert taints(world) == {("not-ready", "NoSchedule")}


def test_evictions_are_spread_over_time(World: Any) -> None:
    nodes = [(NODES, node(f"n{number}", ready="False" if number < 2 else "True")) for number in range(6)]
    world = World(node_lifecycle.controller, nodes)
    for name in ("n0", "n1"):
        world.settle(name)
    assert ("not-ready", "NoExecute") in taints(world, "n0")
    assert ("not-ready", "NoExecute") not in taints(world, "n1")
    world.advance(10)
    world.settle("n1")
    assert ("not-ready", "NoExecute") in taints(world, "n1")


def test_a_cordoned_node_is_tainted_unschedulable(World: Any) -> None:
    world = World(node_lifecycle.controller, [(NODES, node(spec={"unschedulable": True}))])
    world.settle("n1")
    assert taints(world) == {("unschedulable", "NoSchedule")}


UNREACHABLE = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute", "timeAdded": rfc3339(NOW)}


def evictee(pod: Any, tolerations: Any) -> Any:
    return taint_eviction.Snapshot(pod("a", tolerations=tolerations), [UNREACHABLE], NOW, NOW + timedelta(seconds=100))


def test_a_pod_leaves_a_node_whose_taint_it_does_not_tolerate(pod: Any) -> None:
    actions = taint_eviction.reconcile(evictee(pod, []))
    assert [action.name for action in actions if isinstance(action, Delete)] == ["a"]
    marking = next(action for action in actions if isinstance(action, Patch))
    assert marking.patch["status"]["conditions"][-1]["reason"] == "DeletionByTaintManager"


def test_a_toleration_for_some_seconds_delays_the_eviction(pod: Any) -> None:
    tolerating = {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute"}
    assert taint_eviction.reconcile(evictee(pod, [tolerating])) == []
    assert taint_eviction.reconcile(evictee(pod, [tolerating | {"tolerationSeconds": 300}])) == [LookAgain(200.0)]
    assert any(
        isinstance(each, Delete) for each in taint_eviction.reconcile(evictee(pod, [tolerating | {"tolerationSeconds": 60}]))
    )


def test_each_node_gets_a_range_of_its_own(World: Any) -> None:
    nodes = [(NODES, node("n1")), (NODES, node("n2", spec={"podCIDR": "10.244.0.0/24"})), (NODES, node("n3"))]
    world = World(node_ipam.controller, nodes, allocate_node_cidrs=True, cluster_cidr="10.244.0.0/16")
    world.settle("nodes")
    given = {each["metadata"]["name"]: each["spec"].get("podCIDR") for each in world.all(NODES)}
    assert given == {"n1": "10.244.1.0/24", "n2": "10.244.0.0/24", "n3": "10.244.2.0/24"}
    assert world.all(NODES)[0]["spec"]["podCIDRs"] == ["10.244.1.0/24"]


def test_a_full_cluster_range_is_reported_and_service_addresses_are_never_given(World: Any) -> None:
    options = {"cluster_cidr": "10.0.0.0/23", "service_cluster_ip_range": "10.0.0.0/25"}
    world = World(node_ipam.controller, [(NODES, node("n1")), (NODES, node("n2"))], allocate_node_cidrs=True, **options)
    world.step("nodes")
    given = {each["metadata"]["name"]: each["spec"].get("podCIDR") for each in world.all(NODES)}
    assert given == {"n1": "10.0.1.0/24", "n2": None}
    assert world.told == ["CIDRNotAvailable: Node n2 status is now: CIDRNotAvailable"]


def collected(pods: Any, **changes: Any) -> list[str]:
    seen = pod_garbage_collector.Snapshot(
        pods, changes.get("lost", ()), changes.get("out_of_service", ()), changes.get("terminated_max", 12500), NOW
    )
    return [action.name for action in pod_garbage_collector.reconcile(seen) if isinstance(action, Delete)]


def test_pods_of_a_node_that_is_gone_are_failed_and_deleted(pod: Any) -> None:
    seen = pod_garbage_collector.Snapshot([pod("a")], ["n1"], (), 12500, NOW)
    mark, remove, again = pod_garbage_collector.reconcile(seen)
    assert isinstance(mark, Patch) and mark.patch["status"]["phase"] == "Failed"
    assert mark.patch["status"]["conditions"][-1]["message"] == "PodGC: node no longer exists"
    assert isinstance(remove, Delete) and remove.grace_period_s == 0
    assert again == LookAgain(20.0)


def test_a_deleted_pod_that_was_never_scheduled_goes_at_once(pod: Any) -> None:
    assert collected([pod("a", node="", deleting=True), pod("b", node="")]) == ["a"]


def test_finished_pods_beyond_the_threshold_go(pod: Any) -> None:
    assert len(collected([pod(name, phase="Succeeded") for name in "abc"], terminated_max=1)) == 2
