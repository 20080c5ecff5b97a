"""Where a Service is reached from the API server."""

from __future__ import annotations

import pytest

from pybernetes.apiserver.aggregation.service_resolver import ServiceResolver, Unroutable
from pybernetes.machinery.resources import ENDPOINT_SLICES, SERVICES


def put(cluster, **spec):
    given = {"type": "ClusterIP", "clusterIP": "10.96.0.7", "ports": [{"name": "a", "port": 443}], **spec}
    cluster.put(SERVICES, {"metadata": {"name": "s", "namespace": "ns"}, "spec": given})


def test_by_its_cluster_ip(cluster, entropy):
    resolver = ServiceResolver(cluster, entropy)
    put(cluster)
    assert str(resolver.resolve("ns", "s", 443)) == "10.96.0.7:443"
    put(cluster, clusterIP="fd00::7")
    assert str(resolver.resolve("ns", "s", 443)) == "[fd00::7]:443"
    put(cluster, type="ExternalName", externalName="example.com")
    assert str(resolver.resolve("ns", "s", 443)) == "example.com:443"


def test_by_an_endpoint_that_is_ready(cluster, entropy):
    resolver = ServiceResolver(cluster, entropy, to_endpoints=True)
    put(cluster)
    cluster.put(
        ENDPOINT_SLICES,
        {
            "metadata": {"name": "s-1", "namespace": "ns", "labels": {"kubernetes.io/service-name": "s"}},
            "ports": [{"name": "b", "port": 1}, {"name": "a", "port": 8443}],
            "endpoints": [
                {"addresses": ["10.0.0.1"], "conditions": {"ready": False}},
                {"addresses": ["10.0.0.2"], "conditions": {"ready": True}},
            ],
        },
    )
    assert {str(resolver.resolve("ns", "s", 443)) for _ in range(9)} == {"10.0.0.2:8443"}


@pytest.mark.parametrize(
    ("spec", "port", "why"),
    [
        (None, 443, 'service "s" not found'),
        ({}, 80, 'no service port 80 found for service "s"'),
        ({"clusterIP": "None"}, 443, 'cannot route to service with ClusterIP "None"'),
    ],
)
def test_what_cannot_be_reached_says_why(cluster, entropy, spec, port, why):
    if spec is not None:
        put(cluster, **spec)
    with pytest.raises(Unroutable, match=why):
        ServiceResolver(cluster, entropy).resolve("ns", "s", port)
