"""EndpointSlices and Endpoints: what they show of pods, and how little changes."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pybernetes.controllers import endpoints, endpointslice
from pybernetes.controllers.actions import Update
from pybernetes.machinery.resources import ENDPOINT_SLICES, ENDPOINTS, NODES, PODS, SERVICES

KEY = "default/web"


def service(**changes: Any) -> dict[str, Any]:
    """A ClusterIP Service, port 80 to the pods' port `http`."""
    spec = {
        "selector": {"app": "web"},
        "clusterIP": "10.96.0.7",
        "ipFamilies": ["IPv4"],
        "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}],
        **changes,
    }
    return {
        "kind": "Service",
        "apiVersion": "v1",
        "metadata": {"name": "web", "namespace": "default", "uid": "svc"},
        "spec": spec,
    }


def only_slice(world: Any) -> Any:
    (found,) = world.all(ENDPOINT_SLICES)
    return found


def test_a_slice_shows_address_port_target_node_and_zone(World: Any, pod: Any) -> None:
    node = {"metadata": {"name": "n1", "labels": {"topology.kubernetes.io/zone": "z1"}}, "spec": {}}
    world = World(endpointslice.controller, [(SERVICES, service()), (PODS, pod("a")), (NODES, node)])
    world.settle(KEY)
    found = only_slice(world)
    assert found["metadata"]["labels"] == {
        "kubernetes.io/service-name": "web",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }
    assert found["addressType"] == "IPv4"
    assert found["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
    assert found["endpoints"] == [
        {
            "addresses": ["10.244.0.5"],
            "conditions": {"ready": True, "serving": True, "terminating": False},
            "targetRef": {"kind": "Pod", "namespace": "default", "name": "a", "uid": "uid-a"},
            "nodeName": "n1",
            "zone": "z1",
        }
    ]


def test_a_terminating_pod_still_serves_but_is_not_ready(World: Any, pod: Any) -> None:
    world = World(endpointslice.controller, [(SERVICES, service()), (PODS, pod("a", deleting=True))])
    world.settle(KEY)
    assert only_slice(world)["endpoints"][0]["conditions"] == {"ready": False, "serving": True, "terminating": True}


def test_finished_pods_and_pods_without_address_are_no_endpoints(World: Any, pod: Any) -> None:
    pods = [(PODS, pod("a", phase="Succeeded")), (PODS, pod("b", ip="")), (PODS, pod("c", labels={"app": "other"}))]
    world = World(endpointslice.controller, [(SERVICES, service()), *pods])
    world.settle(KEY)
    assert only_slice(world)["endpoints"] == []


def test_unready_addresses_are_published_as_ready_on_demand(World: Any, pod: Any) -> None:
    world = World(endpointslice.controller, [(SERVICES, service(publishNotReadyAddresses=True)), (PODS, pod("a", ready=False))])
    world.settle(KEY)
    assert only_slice(world)["endpoints"][0]["conditions"] == {"ready": True, "serving": False, "terminating": False}


def test_a_headless_service_is_marked_and_names_hosts(World: Any, pod: Any) -> None:
    named = pod("a")
    named["spec"] |= {"hostname": "a-0", "subdomain": "web"}
    world = World(endpointslice.controller, [(SERVICES, service(clusterIP="None", ports=[])), (PODS, named)])
    world.settle(KEY)
    assert only_slice(world)["metadata"]["labels"]["service.kubernetes.io/headless"] == ""
    assert only_slice(world)["endpoints"][0]["hostname"] == "a-0"
    assert only_slice(world)["ports"] == []


def test_pods_that_name_the_port_differently_get_slices_of_their_own(World: Any, pod: Any) -> None:
    other = pod("b", ports=[{"name": "http", "containerPort": 9090, "protocol": "TCP"}])
    world = World(endpointslice.controller, [(SERVICES, service()), (PODS, pod("a")), (PODS, other)])
    world.settle(KEY)
    assert sorted(each["ports"][0]["port"] for each in world.all(ENDPOINT_SLICES)) == [8080, 9090]


def test_without_a_selector_nothing_is_touched(World: Any) -> None:
    world = World(endpointslice.controller, [(SERVICES, service(selector=None))])
    assert world.step(KEY) == []


def test_one_pod_going_changes_one_slice_only(World: Any, pod: Any) -> None:
    world = World(endpointslice.controller, [(SERVICES, service())], max_endpoints_per_slice=10)
    for number in range(30):
        world.put(PODS, pod(f"p{number}", ip=f"10.244.0.{number}"))
    world.settle(KEY)
    assert [len(each["endpoints"]) for each in world.all(ENDPOINT_SLICES)] == [10, 10, 10]
    del world.cache(PODS).objects["default", "p15"]
    assert [type(action) for action in world.step(KEY)] == [Update]


@given(rounds=st.lists(st.sets(st.integers(0, 25), max_size=26), min_size=1, max_size=4))
def test_the_slices_show_exactly_the_pods_and_then_rest(World: Any, pod: Any, rounds: list[set[int]]) -> None:
    world = World(endpointslice.controller, [(SERVICES, service())], max_endpoints_per_slice=5)
    for wanted in rounds:
        world.cache(PODS).objects.clear()
        for number in wanted:
            world.put(PODS, pod(f"p{number}", ip=f"10.244.0.{number}"))
        world.settle(KEY)
        shown = [each["targetRef"]["name"] for one in world.all(ENDPOINT_SLICES) for each in one["endpoints"]]
        assert sorted(shown) == sorted(f"p{number}" for number in wanted)
        assert all(len(each["endpoints"]) <= 5 for each in world.all(ENDPOINT_SLICES))
        assert world.all(ENDPOINT_SLICES)


def test_endpoints_split_ready_and_unready_addresses(World: Any, pod: Any) -> None:
    pods = [(PODS, pod("a")), (PODS, pod("b", ip="10.244.0.6", ready=False)), (PODS, pod("c", deleting=True))]
    world = World(endpoints.controller, [(SERVICES, service()), *pods])
    world.settle(KEY)
    (found,) = world.all(ENDPOINTS)
    assert found["metadata"]["name"] == "web"
    (subset,) = found["subsets"]
    assert [each["ip"] for each in subset["addresses"]] == ["10.244.0.5"]
    assert [each["ip"] for each in subset["notReadyAddresses"]] == ["10.244.0.6"]
    assert subset["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]


def test_endpoints_go_with_their_service_but_not_those_of_others(World: Any) -> None:
    world = World(endpoints.controller, [(SERVICES, service())])
    world.settle(KEY)
    foreign = {"metadata": {"name": "external", "namespace": "default"}, "subsets": []}
    world.put(ENDPOINTS, foreign)
    world.cache(SERVICES).objects.clear()
    world.settle(KEY)
    world.settle("default/external")
    assert world.names(ENDPOINTS) == ["external"]
