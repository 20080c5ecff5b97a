"""The scheduler against the real API server, on virtual time, as the user that RBAC knows it by."""

from __future__ import annotations

import asyncio
from typing import Any

from pybernetes.machinery.meta import Object, condition, name_of
from pybernetes.machinery.resources import EVENTS, NODES, PODS, SERVICE_ACCOUNTS
from pybernetes.scheduler.config import SchedulerConfig
from pybernetes.scheduler.framework import Reads
from pybernetes.scheduler.plugins.registry import Registered
from pybernetes.sim.cluster import SCHEDULER, SimulatedCluster, simulate
from pybernetes.sim.faults import BAD, NONE


def node(name: str = "n1", *, taints: Any = (), unschedulable: bool = False, **allocatable: str) -> Object:
    amounts = {"cpu": "4", "memory": "8Gi", "pods": "110", **allocatable}
    spec: Object = {"taints": [*taints]} if taints else {}
    return {
        "kind": "Node", "apiVersion": "v1", "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "spec": {**spec, "unschedulable": unschedulable}, "status": {"allocatable": amounts, "capacity": amounts},
    }  # fmt: skip


def pod(name: str = "p1", *, cpu: str = "100m", **spec: Any) -> Object:
    container = {"name": "main", "image": "app:1", "resources": {"requests": {"cpu": cpu}}}
    return {
        "kind": "Pod", "apiVersion": "v1", "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": [container], **spec},
    }  # fmt: skip


def run(scenario: Any, **setup: Any) -> None:
    """A cluster without controllers and with no nodes but those that the scenario makes."""

    async def begin(cluster: SimulatedCluster) -> None:
        await cluster.client.create(
            SERVICE_ACCOUNTS,
            {"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "default", "namespace": "default"}},
        )
        await scenario(cluster)
        cluster.check()

    simulate(begin, **{"nodes": 0, "controllers": False, **setup})


async def add_node(cluster: SimulatedCluster, name: str = "n1", **facts: Any) -> None:
    """A node as its controllers leave it: without the taint that every new one gets."""
    made = await cluster.client.create(NODES, node(name, **facts))
    await cluster.client.update(NODES, {**made, "spec": node(name, **facts)["spec"]})


def node_of(cluster: SimulatedCluster, name: str) -> str:
    found = cluster.get(PODS, name)
    assert found is not None
    return str(found["spec"].get("nodeName", ""))


def said(cluster: SimulatedCluster, name: str, reason: str) -> list[str]:
    return [
        each["message"] for each in cluster.list(EVENTS) if each["involvedObject"]["name"] == name and each["reason"] == reason
    ]


def test_a_pod_is_bound_and_the_world_is_told():
    async def scenario(cluster):
        await add_node(cluster)
        await cluster.client.create(PODS, pod())
        await cluster.until(lambda: node_of(cluster, "p1") == "n1", 1)
        bound = cluster.get(PODS, "p1")
        assert condition(bound["status"]["conditions"], "PodScheduled")["status"] == "True"
        await cluster.until(lambda: said(cluster, "p1", "Scheduled") == ["Successfully assigned default/p1 to n1"])
        [event] = [each for each in cluster.list(EVENTS) if each["reason"] == "Scheduled"]
        assert (event["type"], event["source"]["component"]) == ("Normal", "default-scheduler")

    run(scenario)


def test_a_pod_that_fits_nowhere_is_told_why_and_bound_as_soon_as_a_node_appears():
    async def scenario(cluster):
        await add_node(cluster, "small", cpu="1")
        await add_node(cluster, "tainted", taints=[{"key": "k", "effect": "NoSchedule"}])
        await cluster.client.create(PODS, pod(cpu="2"))
        message = (
            "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s). no new claims to deallocate, "
            "preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."
        )
        await cluster.until(lambda: said(cluster, "p1", "FailedScheduling") == [message])
        found = condition(cluster.get(PODS, "p1")["status"]["conditions"], "PodScheduled")
        assert (found["status"], found["reason"], found["message"]) == ("False", "Unschedulable", message)
        assert found["observedGeneration"] == 1
        await cluster.passes(100)
        before_s = cluster.clock.monotonic()
        await cluster.client.create(NODES, node("large"))
        await cluster.passes(5)
        assert node_of(cluster, "p1") == ""  # a new node is not ready, and tainted for it
        await cluster.client.patch(NODES, "large", "", {"spec": {"taints": None}})
        await cluster.until(lambda: node_of(cluster, "p1") == "large", 1)
        assert cluster.clock.monotonic() - before_s < 7

    run(scenario)


def test_a_pod_that_waits_for_the_first_node_is_bound_when_it_is_there():
    async def scenario(cluster):
        await cluster.client.create(PODS, pod())
        await cluster.until(lambda: said(cluster, "p1", "FailedScheduling") == ["no nodes available to schedule pods"])
        await cluster.passes(60)
        await add_node(cluster)
        await cluster.until(lambda: node_of(cluster, "p1") == "n1", 2)

    run(scenario)


def test_room_that_a_finished_pod_leaves_is_used_at_once():
    async def scenario(cluster):
        await add_node(cluster)
        await cluster.client.create(PODS, pod("a", cpu="4"))
        await cluster.until(lambda: node_of(cluster, "a"))
        await cluster.client.create(PODS, pod("b", cpu="4"))
        await cluster.until(lambda: said(cluster, "b", "FailedScheduling"))
        assert "No preemption victims found for incoming pod" in said(cluster, "b", "FailedScheduling")[0]
        await cluster.passes(30)
        await cluster.client.patch(PODS, "a", "default", {"status": {"phase": "Succeeded"}}, subresource="status")
        await cluster.until(lambda: node_of(cluster, "b") == "n1", 1)

    run(scenario)


def test_a_gated_pod_is_bound_when_its_gate_is_gone():
    async def scenario(cluster):
        await add_node(cluster)
        await cluster.client.create(PODS, pod(schedulingGates=[{"name": "example.com/wait"}]))
        await cluster.passes(400)
        assert node_of(cluster, "p1") == ""
        assert said(cluster, "p1", "FailedScheduling") == []
        await cluster.client.patch(PODS, "p1", "default", {"spec": {"schedulingGates": None}})
        await cluster.until(lambda: node_of(cluster, "p1") == "n1", 1)

    run(scenario)


def test_a_pod_that_gets_the_toleration_it_lacked_is_bound():
    async def scenario(cluster):
        await add_node(cluster, taints=[{"key": "k", "effect": "NoSchedule"}])
        await cluster.client.create(PODS, pod())
        await cluster.until(lambda: said(cluster, "p1", "FailedScheduling"))
        await cluster.passes(60)
        tolerations = [*cluster.get(PODS, "p1")["spec"]["tolerations"], {"key": "k", "operator": "Exists"}]
        await cluster.client.patch(PODS, "p1", "default", {"spec": {"tolerations": tolerations}})
        await cluster.until(lambda: node_of(cluster, "p1") == "n1", 1)

    run(scenario)


def test_pods_of_other_schedulers_are_left_alone_but_their_room_is_not():
    async def scenario(cluster):
        await add_node(cluster)
        await cluster.client.create(PODS, pod("theirs", cpu="3", schedulerName="other"))
        await cluster.passes(10)
        assert node_of(cluster, "theirs") == ""
        binding = {
            "kind": "Binding",
            "apiVersion": "v1",
            "metadata": {"name": "theirs"},
            "target": {"kind": "Node", "name": "n1"},
        }
        await cluster.client.create(PODS, binding, "default", name="theirs", subresource="binding")
        await cluster.client.create(PODS, pod("ours", cpu="2"))
        await cluster.until(lambda: "Insufficient cpu" in str(said(cluster, "ours", "FailedScheduling")))

    run(scenario)


class Doorkeeper:
    """Holds the pods named `held…` until told, and then fails them or lets them go."""

    name = "Doorkeeper"
    reads = Reads.SHAPE_AND_NODE
    wakes_on = ()

    def __init__(self) -> None:
        self.door = asyncio.Event()
        self.fails = 1
        self.tries = 0
        self.reserved: list[str] = []

    def reserve(self, wanted: Object, node_name: str) -> None:
        self.reserved.append(name_of(wanted))

    def unreserve(self, wanted: Object, node_name: str) -> None:
        self.reserved.remove(name_of(wanted))

    async def permit(self, wanted: Object, node_name: str) -> None:
        if not name_of(wanted).startswith("held"):
            return
        self.tries += 1
        await self.door.wait()
        if self.tries <= self.fails:
            raise ConnectionError("not today")


def with_doorkeeper(keeper: Doorkeeper) -> SchedulerConfig:
    profile = {"plugins": {"multiPoint": {"enabled": [{"name": "Doorkeeper"}]}}}
    return SchedulerConfig(profiles=[profile], extra=[Registered("Doorkeeper", 0, lambda client, arguments: keeper)])


def test_the_place_of_a_pod_under_way_is_taken_and_free_again_when_its_binding_fails():
    """The pod that was refused because of it must not sleep on: nothing else will ever wake it."""
    keeper = Doorkeeper()

    async def scenario(cluster):
        await add_node(cluster)
        await cluster.client.create(PODS, pod("held", cpu="3"))
        await cluster.until(lambda: keeper.tries == 1)
        await cluster.client.create(PODS, pod("next", cpu="3"))
        await cluster.until(lambda: said(cluster, "next", "FailedScheduling"))
        assert keeper.reserved == ["held"]
        keeper.door.set()
        await cluster.until(lambda: node_of(cluster, "next") == "n1", 1)
        assert keeper.reserved == ["next"]
        assert said(cluster, "held", "FailedScheduling")[0] == "binding rejected: not today"
        await cluster.until(lambda: any("Insufficient cpu" in each for each in said(cluster, "held", "FailedScheduling")), 5)
        await cluster.client.delete(PODS, "next", "default", grace_period_s=0)
        await cluster.until(lambda: node_of(cluster, "held") == "n1", 5)

    run(scenario, scheduler_config=with_doorkeeper(keeper))


def test_what_happens_to_a_pod_while_it_is_being_bound_is_not_lost():
    """Its node goes, it changes, and then its binding fails: it is decided anew by what is then."""
    keeper = Doorkeeper()

    async def scenario(cluster):
        await add_node(cluster)
        await cluster.client.create(PODS, pod("held"))
        await cluster.until(lambda: keeper.tries == 1)
        await cluster.client.delete(NODES, "n1")
        await add_node(cluster, "n2", cpu="50m")
        await cluster.client.patch(PODS, "held", "default", {"metadata": {"labels": {"new": "label"}}})
        await cluster.passes(1)
        assert keeper.tries == 1  # the change made no second attempt beside the first
        keeper.door.set()
        await cluster.until(lambda: any("Insufficient cpu" in each for each in said(cluster, "held", "FailedScheduling")), 5)
        await add_node(cluster, "n3")
        await cluster.until(lambda: node_of(cluster, "held") == "n3", 5)

    run(scenario, scheduler_config=with_doorkeeper(keeper))


def test_a_pod_deleted_while_it_is_being_bound_leaves_nothing_behind():
    keeper = Doorkeeper()

    async def scenario(cluster):
        await add_node(cluster)
        await cluster.client.create(PODS, pod("held", cpu="3"))
        await cluster.until(lambda: keeper.tries == 1)
        await cluster.client.delete(PODS, "held", "default", grace_period_s=0)
        await cluster.client.create(PODS, pod("next", cpu="3"))
        await cluster.until(lambda: node_of(cluster, "next") == "n1", 1)
        keeper.door.set()
        await cluster.passes(60)
        assert keeper.tries == 1

    run(scenario, scheduler_config=with_doorkeeper(keeper))


class Faulty:
    """A plugin with a bug that one pod brings to light."""

    name = "Faulty"
    reads = Reads.ANYTHING
    wakes_on = ()

    def pre_filter(self, wanted: Object) -> None:
        if name_of(wanted) == "poison":
            raise KeyError("oops")

    def filter(self, state: None, nodes: Any) -> tuple[()]:
        return ()


def test_a_pod_that_a_plugin_chokes_on_does_not_keep_the_others_waiting():
    async def scenario(cluster):
        await add_node(cluster)
        await cluster.client.create(PODS, pod("poison", priority=None))
        await cluster.client.create(PODS, pod("fine"))
        await cluster.until(lambda: node_of(cluster, "fine") == "n1", 1)
        await cluster.passes(30)
        assert node_of(cluster, "poison") == ""

    profile = {"plugins": {"multiPoint": {"enabled": [{"name": "Faulty"}]}}}
    run(
        scenario,
        scheduler_config=SchedulerConfig([profile], extra=[Registered("Faulty", 0, lambda client, arguments: Faulty())]),
    )


def requested_milli(cluster: SimulatedCluster, node_name: str) -> int:
    return 100 * sum(each["spec"].get("nodeName") == node_name for each in cluster.list(PODS))


def test_over_bad_connections_and_kills_every_pod_gets_a_node_and_no_node_too_many():
    async def scenario(cluster):
        for number in range(3):
            await add_node(cluster, f"n{number}", cpu="1")
        for number in range(40):
            await cluster.client.create(PODS, pod(f"p{number}"))
            if number % 13 == 12:
                await cluster.restart(SCHEDULER, after_s=0.3)
            await cluster.passes(0.05)
        await cluster.until(lambda: sum(map(bool, (node_of(cluster, f"p{number}") for number in range(40)))) == 30, 120)
        await cluster.passes(30)
        assert [requested_milli(cluster, f"n{number}") for number in range(3)] == [1000] * 3
        # One more node makes room for the rest.
        cluster.disturb(NONE)
        await add_node(cluster, "n3", cpu="1")
        await cluster.until(lambda: all(node_of(cluster, f"p{number}") for number in range(40)), 120)

    for seed in range(3):
        run(scenario, seed=seed, faults=BAD)


def test_pods_that_want_company_are_bound_as_soon_as_it_is_there():
    async def scenario(cluster):
        await add_node(cluster, "a")
        await add_node(cluster, "b")
        term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "db"}}}
        affinity = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
        await cluster.client.create(PODS, pod("web", affinity=affinity))
        await cluster.until(lambda: "didn't match pod affinity rules" in str(said(cluster, "web", "FailedScheduling")))
        await cluster.passes(60)
        db = pod("db")
        db["metadata"]["labels"] = {"app": "db"}
        await cluster.client.create(PODS, db)
        await cluster.until(lambda: node_of(cluster, "web"), 1)
        assert node_of(cluster, "web") == node_of(cluster, "db")

    run(scenario)


def test_pods_spread_over_zones_and_wait_where_they_cannot():
    async def scenario(cluster):
        for name in ("a", "b"):
            await add_node(cluster, name)
            await cluster.client.patch(NODES, name, "", {"metadata": {"labels": {"zone": name}}})
        constraint = {"topologyKey": "zone", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}}
        for number in range(4):
            await cluster.client.create(PODS, pod(f"p{number}", topologySpreadConstraints=[constraint]))
        await cluster.until(lambda: all(node_of(cluster, f"p{number}") for number in range(4)))
        assert sorted(node_of(cluster, f"p{number}") for number in range(4)) == ["a", "a", "b", "b"]
        await cluster.client.patch(NODES, "b", "", {"spec": {"unschedulable": True}})
        for name in ("x", "y"):
            await cluster.client.create(PODS, pod(name, topologySpreadConstraints=[constraint]))
        await cluster.until(lambda: sorted([node_of(cluster, "x"), node_of(cluster, "y")]) == ["", "a"])
        await cluster.client.patch(NODES, "b", "", {"spec": {"unschedulable": False}})
        await cluster.until(lambda: {node_of(cluster, "x"), node_of(cluster, "y")} == {"a", "b"}, 15)

    run(scenario)
