"""Whether an extension server answers: what the Available condition of its APIService says."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from pybernetes.apiserver.aggregation.front_proxy import identity_headers
from pybernetes.apiserver.aggregation.remote_services import Misconfigured, RemoteServices
from pybernetes.apiserver.aggregation.service_resolver import Unroutable, ready_addresses, service_port, slices_of
from pybernetes.apiserver.attributes import MASTERS, User
from pybernetes.apiserver.registry.strategy import Reader
from pybernetes.client.failures import explain
from pybernetes.client.transport import ConnectionFailed, RequestTimeout
from pybernetes.machinery.http.messages import Request
from pybernetes.machinery.meta import Object
from pybernetes.machinery.resources import SERVICES

# Always allowed whatever an extension server authorizes.
CHECKER = User("system:kube-aggregator", groups=(MASTERS,))
CHECK_TIMEOUT_S = 5.0
FURTHER_ATTEMPTS = 4  # one endpoint of several may be bad


class Availability(NamedTuple):
    status: str
    reason: str
    message: str


LOCAL = Availability("True", "Local", "Local APIServices are always available")
PASSED = Availability("True", "Passed", "all checks passed")


def of_service(api_service: Object, reader: Reader) -> Availability | None:
    """What can be said from the Service and its endpoints alone; None if nothing speaks against it."""
    reference = api_service["spec"]["service"]
    namespace, name, number = reference["namespace"], reference["name"], reference.get("port") or 443
    service = reader.get(SERVICES, namespace, name)
    shown = f'service/{name} in "{namespace}"'
    if service is None:
        return Availability("False", "ServiceNotFound", f"{shown} is not present")
    if service.get("spec", {}).get("type", "ClusterIP") != "ClusterIP":
        return None
    port = service_port(service, number)
    if port is None:
        return Availability("False", "ServicePortError", f"{shown} is not listening on port {number}")
    if not slices_of(reader, namespace, name):
        return Availability("False", "EndpointsNotFound", f"cannot find endpointslices for {shown}")
    port_name = port.get("name", "")
    if not ready_addresses(reader, namespace, name, port_name):
        why = f'endpointslices for {shown} have no addresses with port name "{port_name}"'
        return Availability("False", "MissingEndpoints", why)
    return None


async def check(api_service: Object, reader: Reader, remote: RemoteServices) -> Availability:
    """The Service looked at, then the server itself asked for its discovery document."""
    found = of_service(api_service, reader)
    if found is not None:
        return found
    why = await _ask(api_service, remote)
    if why:
        further = await asyncio.gather(*(_ask(api_service, remote) for _ in range(FURTHER_ATTEMPTS)))
        if all(further):
            return Availability("False", "FailedDiscoveryCheck", why)
    return PASSED


async def _ask(api_service: Object, remote: RemoteServices) -> str:
    """Why the server is not available; "" if it is."""
    spec = api_service["spec"]
    path = f"/apis/{spec['group']}/{spec['version']}"
    try:
        transport = remote.transport(api_service)
        url = remote.base_url(api_service) + path
        request = Request("GET", path, "", {"accept": "application/json"}, more_headers=tuple(identity_headers(CHECKER)))
        response = await transport.send(request, timeout_s=CHECK_TIMEOUT_S)
    except (Unroutable, Misconfigured) as error:
        return str(error)
    except RequestTimeout:
        return f'failing or missing response from {url}: Get "{url}": context deadline exceeded'
    except ConnectionFailed as error:
        reference = spec["service"]
        why = explain(error, f"{reference['name']}.{reference['namespace']}.svc")
        return f'failing or missing response from {url}: Get "{url}": {why}'
    if not 200 <= response.status < 300:
        return f"failing or missing response from {url}: bad status from {url}: {response.status}"
    return ""
