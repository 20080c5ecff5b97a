import pytest

from pybernetes.proxy.topology import Endpoint, Kind, Node, frontends, slices_by_service

NODE = Node("node-a", zone="z1", addresses=("192.0.2.10",))


def seen(service, *slices):
    return list(frontends([service], slices_by_service(slices), NODE, "IPv4"))


def addresses(frontend):
    return [endpoint.address for endpoint in frontend.endpoints]


def test_a_cluster_ip_leads_to_the_ready_endpoints(make):
    not_ready = make.endpoint("10.244.0.9", conditions={"ready": False})
    (frontend,) = seen(make.service(), make.slice(make.endpoint("10.244.0.2"), make.endpoint("10.244.0.3"), not_ready))
    assert (frontend.kind, frontend.address, frontend.port) == (Kind.CLUSTER_IP, "10.96.0.7", 80)
    assert frontend.endpoints == (Endpoint("10.244.0.2", 8080), Endpoint("10.244.0.3", 8080))


def test_endpoints_that_terminate_but_serve_are_used_when_no_other_is_ready(make):
    leaving = make.endpoint("10.244.0.9", conditions={"ready": False, "serving": True, "terminating": True})
    (alone,) = seen(make.service(), make.slice(leaving))
    (beside,) = seen(make.service(), make.slice(leaving, make.endpoint("10.244.0.2")))
    assert addresses(alone) == ["10.244.0.9"]
    assert addresses(beside) == ["10.244.0.2"]


@pytest.mark.parametrize("change", [{"clusterIP": "None"}, {"type": "ExternalName", "clusterIP": ""}])
def test_what_has_no_virtual_address_is_not_proxied(make, change):
    assert seen(make.service(**change)) == []


def test_a_node_port_has_a_frontend_of_its_own(make):
    service = make.service(type="NodePort", ports=[{"name": "http", "port": 80, "protocol": "TCP", "nodePort": 30080}])
    found = seen(service, make.slice(make.endpoint("10.244.0.2")))
    assert [(each.kind, each.port) for each in found] == [(Kind.CLUSTER_IP, 80), (Kind.NODE_PORT, 30080)]


def test_local_policies_use_this_nodes_endpoints_only(make):
    service = make.service(
        type="NodePort",
        externalTrafficPolicy="Local",
        ports=[{"name": "http", "port": 80, "protocol": "TCP", "nodePort": 30080}],
    )
    away = make.endpoint("10.244.1.2", node="node-b")
    inside, outside = seen(service, make.slice(make.endpoint("10.244.0.2"), away))
    assert addresses(inside) == ["10.244.0.2", "10.244.1.2"]
    assert addresses(outside) == ["10.244.0.2"]
    assert outside.is_local_only and not inside.is_local_only


def test_hints_keep_traffic_in_the_zone_if_all_endpoints_have_them(make):
    near = make.endpoint("10.244.0.2", hints={"forZones": [{"name": "z1"}]})
    far = make.endpoint("10.244.1.2", hints={"forZones": [{"name": "z2"}]})
    unhinted = make.endpoint("10.244.1.3")
    (hinted,) = seen(make.service(), make.slice(near, far))
    (mixed,) = seen(make.service(), make.slice(near, far, unhinted))
    assert addresses(hinted) == ["10.244.0.2"]
    assert len(mixed.endpoints) == 3


def test_client_affinity_has_upstreams_default_time(make):
    (frontend,) = seen(make.service(sessionAffinity="ClientIP"), make.slice(make.endpoint("10.244.0.2")))
    assert frontend.affinity_s == 10800


def test_slices_of_headless_services_are_none_of_our_business(make):
    headless = make.slice(make.endpoint("10.244.0.2"))
    headless["metadata"]["labels"]["service.kubernetes.io/headless"] = ""
    assert slices_by_service([headless]) == {}
