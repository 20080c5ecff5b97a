"""The Service `default/kubernetes`: how pods reach the API server. Kept as it should be, whoever changes it.

Source: upstream's `kubernetesservice` controller; the endpoints are this server's alone.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from pybernetes.machinery.clock import Clock
from pybernetes.machinery.entropy import Entropy, jittered
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.log import logger
from pybernetes.machinery.meta import Object, Resource
from pybernetes.machinery.resources import ENDPOINT_SLICES, ENDPOINTS, SERVICES
from pybernetes.store.interface import StoreError

if TYPE_CHECKING:
    from pybernetes.apiserver.server import ApiServer

log = logger("apiserver")

PERIOD_S = 10.0
NAMESPACE, NAME = "default", "kubernetes"
_LABELS = {"component": "apiserver", "provider": "kubernetes"}


async def keep_kubernetes_service(api: ApiServer, address: str, port: int, *, clock: Clock, entropy: Entropy) -> None:
    """Look every ten seconds; write only what differs."""
    await api.wait_ready()
    wanted = objects(api.config.service_cidrs[0], address, port)
    while True:
        try:
            for resource, obj in wanted:
                await _settle(api, resource, obj)
        except (StatusError, StoreError) as error:
            log.warning("Cannot keep the kubernetes Service", err=str(error))
        await clock.sleep(jittered(PERIOD_S, entropy, factor=0.1))


async def _settle(api: ApiServer, resource: Resource, wanted: Object) -> None:
    current = api.reader.get(resource, NAMESPACE, NAME)
    if current is None:
        await api.writer.create(resource, wanted)
        return
    fields = {field: value for field, value in wanted.items() if field not in ("kind", "apiVersion", "metadata")}
    if all(_holds(current.get(field), value) for field, value in fields.items()):
        return
    merged = {field: {**current.get(field, {}), **value} if field == "spec" else value for field, value in fields.items()}
    await api.writer.update(resource, {**current, **merged})


def _holds(value: object, wanted: object) -> bool:
    """Whether everything wanted is there; more may be."""
    if isinstance(wanted, dict):
        return isinstance(value, dict) and all(_holds(value.get(key), item) for key, item in wanted.items())
    if isinstance(wanted, list):
        return isinstance(value, list) and len(value) == len(wanted) and all(map(_holds, value, wanted))
    return value == wanted


def objects(service_cidr: str, address: str, port: int) -> list[tuple[Resource, Object]]:
    service_ip = str(next(ipaddress.ip_network(service_cidr).hosts()))
    family = "IPv6" if ":" in service_ip else "IPv4"
    service: Object = {
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": dict(_LABELS)},
        "spec": {
            "type": "ClusterIP", "clusterIP": service_ip, "clusterIPs": [service_ip], "sessionAffinity": "None",
            "ipFamilies": [family], "ipFamilyPolicy": "SingleStack", "internalTrafficPolicy": "Cluster",
            "ports": [{"name": "https", "protocol": "TCP", "port": 443, "targetPort": port}],
        },
        "status": {"loadBalancer": {}},
    }  # fmt: skip
    endpoints: Object = {
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
        "subsets": [{"addresses": [{"ip": address}], "ports": [{"name": "https", "port": port, "protocol": "TCP"}]}],
    }
    endpoint_slice: Object = {
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": {"kubernetes.io/service-name": NAME}},
        "addressType": "IPv6" if ":" in address else "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    }
    return [(SERVICES, service), (ENDPOINTS, endpoints), (ENDPOINT_SLICES, endpoint_slice)]
