"""What a cluster of ours holds beyond what the API server makes by itself: the node's bootstrap token, the DNS Service, RBAC.

Put in place through the API at every `up`, by the administrator: created where missing, set right where it differs.
"""

from __future__ import annotations

import asyncio

from pybernetes.apiserver.bootstrap.objects import addon_objects
from pybernetes.cli.components import DNS_PORT, DNS_SERVICE_IP
from pybernetes.cli.credentials import ApiAddress
from pybernetes.client.rest import Client, PatchType
from pybernetes.machinery.errors import NotFound
from pybernetes.machinery.meta import Object, Resource, name_of, namespace_of
from pybernetes.machinery.resources import ENDPOINT_SLICES, SECRETS, SERVICES

DNS_NAMESPACE = "kube-system"
DNS_NAME = "kube-dns"  # the name that clients and conformance expect, whatever serves it


async def ensure(client: Client, address: ApiAddress, token: str) -> None:
    """Make the objects so. Raises `StatusError`."""
    wanted = [(SECRETS, bootstrap_secret(token)), *addon_objects(), *dns_objects(address)]
    await asyncio.gather(*(_ensure_object(client, resource, obj) for resource, obj in wanted))


async def _ensure_object(client: Client, resource: Resource, obj: Object) -> None:
    # Patch first: to create a Service that is there fails over its address, not its name. A patch that changes nothing is no
    # write.
    try:
        await client.patch(resource, name_of(obj), namespace_of(obj), obj, PatchType.MERGE)
    except NotFound:
        await client.create(resource, obj)


def bootstrap_secret(token: str) -> Object:
    """https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/"""
    token_id, _, secret = token.partition(".")
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": f"bootstrap-token-{token_id}", "namespace": "kube-system"},
        "type": "bootstrap.kubernetes.io/token",
        "stringData": {
            "description": "Lets the nodes of this cluster ask for their certificates.",
            "token-id": token_id,
            "token-secret": secret,
            "usage-bootstrap-authentication": "true",
            "usage-bootstrap-signing": "true",
        },
    }


def dns_objects(address: ApiAddress) -> list[tuple[Resource, Object]]:
    """The DNS Service, without a selector: its endpoint is the DNS process of the node."""
    labels = {"k8s-app": DNS_NAME, "kubernetes.io/name": "CoreDNS", "kubernetes.io/cluster-service": "true"}
    ports = [("dns", "UDP"), ("dns-tcp", "TCP")]
    service: Object = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": DNS_NAME, "namespace": DNS_NAMESPACE, "labels": labels},
        "spec": {
            "clusterIP": DNS_SERVICE_IP,
            "ports": [{"name": name, "port": 53, "protocol": protocol, "targetPort": DNS_PORT} for name, protocol in ports],
        },
    }
    endpoints: Object = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": DNS_NAME,
            "namespace": DNS_NAMESPACE,
            "labels": {
                "kubernetes.io/service-name": DNS_NAME,
                "endpointslice.kubernetes.io/managed-by": "pybernetes.dns",
            },
        },
        "addressType": "IPv4",
        "ports": [{"name": name, "port": DNS_PORT, "protocol": protocol} for name, protocol in ports],
        "endpoints": [{"addresses": [address.node_ip], "conditions": {"ready": True}, "nodeName": address.node_name}],
    }
    return [(SERVICES, service), (ENDPOINT_SLICES, endpoints)]
