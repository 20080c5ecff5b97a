"""A healthy Service with two endpoints; each test changes what it is about."""

import pytest


def service(name="web", **spec):
    healthy = {
        "type": "ClusterIP",
        "clusterIP": "10.96.0.7",
        "clusterIPs": ["10.96.0.7"],
        "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
    }
    return {"metadata": {"name": name, "namespace": "default"}, "spec": {**healthy, **spec}}


def endpoint(address, node="node-a", **fields):
    return {"addresses": [address], "conditions": {"ready": True}, "nodeName": node, **fields}


def endpoint_slice(*endpoints, service="web"):
    labels = {"kubernetes.io/service-name": service}
    return {
        "metadata": {"name": f"{service}-1", "namespace": "default", "labels": labels},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": list(endpoints),
    }


@pytest.fixture
def make():
    class Make:
        service = staticmethod(service)
        endpoint = staticmethod(endpoint)
        slice = staticmethod(endpoint_slice)

    return Make
