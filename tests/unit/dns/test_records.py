"""The DNS specification of Kubernetes, clause by clause: a question, and the answer it must get."""

from types import SimpleNamespace

import pytest

from pybernetes.dns.records import AAAA, CNAME, NO_DATA, NO_SUCH_NAME, PTR, SRV, TXT, A, Record, answer

DOMAIN = "cluster.local"


def service(name="web", namespace="default", **spec):
    healthy = {"type": "ClusterIP", "clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7"]}
    ports = [{"name": "http", "port": 80}]
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {**healthy, "ports": ports, **spec}}


def headless(**spec):
    return service(clusterIP="None", clusterIPs=[], **spec)


def endpoint(address, **fields):
    return {"addresses": [address], "conditions": {"ready": True}, **fields}


def endpoint_slice(*endpoints, service="web", namespace="default"):
    labels = {"kubernetes.io/service-name": service}
    ports = [{"name": "http", "port": 8080, "protocol": "TCP"}]
    metadata = {"name": f"{service}-1", "namespace": namespace, "labels": labels}
    return {"metadata": metadata, "endpoints": list(endpoints), "ports": ports}


def cluster(*objects):
    services = [each for each in objects if "spec" in each]
    slices = [each for each in objects if "endpoints" in each]
    return SimpleNamespace(
        service=lambda ns, name: next(
            (s for s in services if (s["metadata"]["namespace"], s["metadata"]["name"]) == (ns, name)), None
        ),
        slices=lambda ns, name: slices,
        has_namespace=lambda name: name in ("default", "kube-system"),
        services_with_ip=lambda address: [s for s in services if address in s["spec"]["clusterIPs"]],
        slices_with_ip=lambda address: [s for s in slices if any(address in each["addresses"] for each in s["endpoints"])],
    )


def ask(view, name, type_=A):
    return answer(view, DOMAIN, name, type_)


def test_a_service_has_the_address_of_its_cluster_ip():
    found = ask(cluster(service()), "web.default.svc.cluster.local")
    assert found.answers == [Record("web.default.svc.cluster.local", A, "10.96.0.7")]


def test_a_dual_stack_service_answers_each_family():
    view = cluster(service(clusterIPs=["10.96.0.7", "fd00::7"]))
    assert ask(view, "web.default.svc.cluster.local", AAAA).answers[0].data == "fd00::7"


def test_a_name_that_exists_without_records_of_the_type_is_no_error():
    assert ask(cluster(service()), "web.default.svc.cluster.local", AAAA) == NO_DATA
    assert ask(cluster(service()), "default.svc.cluster.local") == NO_DATA
    assert ask(cluster(service()), "svc.cluster.local") == NO_DATA


@pytest.mark.parametrize("name", ["nope.default.svc", "web.nope.svc", "nope.svc", "a.web.default.svc", "nope"])
def test_a_name_that_is_not_there_does_not_exist(name):
    assert ask(cluster(service()), f"{name}.cluster.local") == NO_SUCH_NAME


def test_other_names_are_not_ours():
    assert ask(cluster(service()), "example.com") is None


def test_a_named_port_has_a_srv_record_and_its_targets_address():
    found = ask(cluster(service()), "_http._tcp.web.default.svc.cluster.local", SRV)
    assert [record.data for record in found.answers] == [(0, 100, 80, "web.default.svc.cluster.local")]
    assert [record.data for record in found.additional] == ["10.96.0.7"]
    assert ask(cluster(service()), "_http._udp.web.default.svc.cluster.local", SRV) == NO_SUCH_NAME


def test_a_headless_service_has_the_addresses_of_its_ready_endpoints():
    not_ready = endpoint("10.244.0.9", conditions={"ready": False})
    view = cluster(headless(), endpoint_slice(endpoint("10.244.0.2"), endpoint("10.244.0.3"), not_ready))
    found = ask(view, "web.default.svc.cluster.local")
    assert [record.data for record in found.answers] == ["10.244.0.2", "10.244.0.3"]


def test_an_endpoint_of_a_headless_service_is_named_by_its_hostname_or_else_its_address():
    view = cluster(headless(), endpoint_slice(endpoint("10.244.0.2", hostname="db-0"), endpoint("10.244.0.3")))
    assert ask(view, "db-0.web.default.svc.cluster.local").answers[0].data == "10.244.0.2"
    assert ask(view, "10-244-0-3.web.default.svc.cluster.local").answers[0].data == "10.244.0.3"
    srv = ask(view, "_http._tcp.web.default.svc.cluster.local", SRV)
    assert [record.data[2:] for record in srv.answers] == [
        (8080, "db-0.web.default.svc.cluster.local"),
        (8080, "10-244-0-3.web.default.svc.cluster.local"),
    ]


def test_an_external_name_is_an_alias():
    view = cluster(service(type="ExternalName", externalName="example.com", clusterIP="", clusterIPs=[]))
    assert ask(view, "web.default.svc.cluster.local").answers == [Record("web.default.svc.cluster.local", CNAME, "example.com")]


def test_addresses_of_services_and_endpoints_have_names():
    view = cluster(service(), endpoint_slice(endpoint("10.244.0.2", hostname="db-0")))
    assert ask(view, "7.0.96.10.in-addr.arpa", PTR).answers[0].data == "web.default.svc.cluster.local"
    assert ask(view, "2.0.244.10.in-addr.arpa", PTR).answers[0].data == "db-0.web.default.svc.cluster.local"
    assert ask(view, "1.1.1.1.in-addr.arpa", PTR) is None


def test_a_pod_is_named_by_its_address():
    assert ask(cluster(), "10-244-0-2.default.pod.cluster.local").answers[0].data == "10.244.0.2"
    assert ask(cluster(), "fd00--2.default.pod.cluster.local", AAAA).answers[0].data == "fd00::2"
    assert ask(cluster(), "nonsense.default.pod.cluster.local") == NO_SUCH_NAME
    assert ask(cluster(), "10-244-0-2.nope.pod.cluster.local") == NO_SUCH_NAME


def test_the_version_of_the_specification_is_told():
    assert ask(cluster(), "dns-version.cluster.local", TXT).answers[0].data == "1.1.0"
