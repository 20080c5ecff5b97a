"""Services and EndpointSlices."""

from __future__ import annotations

from pybernetes.kubectl.describe.layout import Page, labels_and_annotations, or_none, selector_text
from pybernetes.kubectl.session import Session
from pybernetes.machinery import errors
from pybernetes.machinery.meta import Object
from pybernetes.machinery.resources import ENDPOINT_SLICES

SERVICE_NAME = "kubernetes.io/service-name"


async def describe_service(session: Session, obj: Object, page: Page) -> None:
    metadata, spec = obj["metadata"], obj["spec"]
    page.pair("Name", metadata["name"])
    page.pair("Namespace", metadata["namespace"])
    labels_and_annotations(page, obj)
    page.pair("Selector", selector_text(spec.get("selector")))
    page.pair("Type", spec.get("type", "ClusterIP"))
    if spec.get("ipFamilyPolicy"):
        page.pair("IP Family Policy", spec["ipFamilyPolicy"])
        page.pair("IP Families", ",".join(spec.get("ipFamilies") or ()) or "<none>")
    page.pair("IP", spec.get("clusterIP", ""))
    page.pair("IPs", ",".join(spec.get("clusterIPs") or ()) or "<none>")
    if spec.get("externalIPs"):
        page.pair("External IPs", ",".join(spec["externalIPs"]))
    if spec.get("externalName"):
        page.pair("External Name", spec["externalName"])
    ingress = ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    if ingress:
        page.pair("LoadBalancer Ingress", ", ".join(each.get("ip") or each.get("hostname", "") for each in ingress))
    slices = await _slices(session, obj)
    for port in spec.get("ports") or ():
        name = port.get("name") or "<unset>"
        page.pair("Port", f"{name}  {port['port']}/{port.get('protocol', 'TCP')}")
        page.pair("TargetPort", f"{port.get('targetPort')}/{port.get('protocol', 'TCP')}")
        if port.get("nodePort"):
            page.pair("NodePort", f"{name}  {port['nodePort']}/{port.get('protocol', 'TCP')}")
        page.pair("Endpoints", _endpoints(slices, port.get("name", "")))
    page.pair("Session Affinity", spec.get("sessionAffinity", "None"))
    if spec.get("externalTrafficPolicy"):
        page.pair("External Traffic Policy", spec["externalTrafficPolicy"])
    if spec.get("healthCheckNodePort"):
        page.pair("HealthCheck NodePort", spec["healthCheckNodePort"])
    if spec.get("internalTrafficPolicy"):
        page.pair("Internal Traffic Policy", spec["internalTrafficPolicy"])


async def _slices(session: Session, service: Object) -> list[Object]:
    metadata = service["metadata"]
    query = {"labelSelector": f"{SERVICE_NAME}={metadata['name']}"}
    try:
        answer = await session.request("GET", ENDPOINT_SLICES.path(metadata["namespace"]), query=query)
    except errors.StatusError:
        return []
    return list(answer.get("items") or ())


def _endpoints(slices: list[Object], port_name: str) -> str:
    """Up to three ready addresses; the rest is counted."""
    found = []
    for each in slices:
        ports = [port for port in each.get("ports") or () if (port.get("name") or "") == port_name]
        for endpoint in each.get("endpoints") or ():
            if (endpoint.get("conditions") or {}).get("ready", True):
                for port in ports:
                    for address in endpoint["addresses"]:
                        shown = f"[{address}]" if ":" in address else address
                        found.append(f"{shown}:{port.get('port')}")
    more = f" + {len(found) - 3} more..." if len(found) > 3 else ""
    return ",".join(found[:3]) + more if found else "<none>"


async def describe_endpointslice(session: Session, obj: Object, page: Page) -> None:
    page.pair("Name", obj["metadata"]["name"])
    page.pair("Namespace", obj["metadata"]["namespace"])
    labels_and_annotations(page, obj)
    page.pair("AddressType", obj.get("addressType", ""))
    if not obj.get("ports"):
        page.pair("Ports", "<unset>")
    else:
        page.line("Ports:")
        rows = [["Name", "Port", "Protocol"], ["----", "----", "--------"]]
        rows += [
            [or_none(port.get("name")).replace("<none>", "<unset>"), str(port.get("port", "<unset>")), port.get("protocol", "")]
            for port in obj["ports"]
        ]
        page.table(rows)
    if not obj.get("endpoints"):
        page.pair("Endpoints", "<none>")
        return
    page.line("Endpoints:")
    for endpoint in obj["endpoints"]:
        page.pair("- Addresses", ", ".join(endpoint["addresses"]), 1)
        page.line("    Conditions:")
        ready = (endpoint.get("conditions") or {}).get("ready")
        page.pair("Ready", "<unset>" if ready is None else str(ready).lower(), 3)
        if endpoint.get("hostname"):
            page.pair("Hostname", endpoint["hostname"], 2)
        if reference := endpoint.get("targetRef"):
            page.pair("TargetRef", f"{reference.get('kind')}/{reference.get('name')}", 2)
        page.pair("NodeName", endpoint.get("nodeName", "<unset>"), 2)
        page.pair("Zone", endpoint.get("zone", "<unset>"), 2)
