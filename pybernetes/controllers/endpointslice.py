"""EndpointSlice controller: for each Service with a selector, slices of at most 100 endpoints.

Contract: KEP-752; conditions: KEP-1672; hints: KEP-4444. Existing slices are kept as they are where possible: an endpoint that
comes or goes changes one slice, for every change of a slice goes to every node.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pybernetes.controllers.actions import Action, Create, Update, delete
from pybernetes.controllers.controller import Caches, Context, Controller, Index, Look, Wake, itself
from pybernetes.controllers.service_endpoints import (
    HEADLESS,
    INDEXES,
    PortSet,
    address_of,
    belongs,
    families_of,
    has_pods,
    hostname_of,
    is_headless,
    matching_pods,
    ports_of,
    target_of,
    wakes_services,
)
from pybernetes.machinery import pods
from pybernetes.machinery.meta import (
    Object,
    controller_reference,
    is_being_deleted,
    labels_of,
    name_of,
    namespace_of,
    split_key,
)
from pybernetes.machinery.resources import ENDPOINT_SLICES, NODES, SERVICES

MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"
SERVICE_NAME = "kubernetes.io/service-name"
ZONE = "topology.kubernetes.io/zone"
BY_SERVICE = "service"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a decision may depend on."""

    service: Object
    pods: Sequence[Object]  # those that the selector picks
    slices: Sequence[Object]  # this controller's, of the Service
    zones: Mapping[str, str] = field(default_factory=dict)  # node name -> zone, of nodes that say
    endpoints_max: int = 100


def reconcile(seen: Snapshot) -> list[Action]:
    """The fewest changes that make the slices show the pods; a settled world gives []."""
    service = seen.service
    if not has_pods(service) or is_being_deleted(service):
        return []
    families = families_of(service)
    actions: list[Action] = [delete(ENDPOINT_SLICES, each) for each in seen.slices if each["addressType"] not in families]
    for family in families:
        existing = [each for each in seen.slices if each["addressType"] == family]
        actions += _reconcile_family(seen, family, existing)
    # Shrinking slices first, then growing ones, could lose an endpoint for a moment: add before taking away.
    return sorted(actions, key=lambda action: (not isinstance(action, Create), not isinstance(action, Update)))


def _reconcile_family(seen: Snapshot, family: str, existing: Sequence[Object]) -> list[Action]:
    wanted: dict[PortSet, dict[str, Object]] = {}
    for pod in seen.pods:
        address = address_of(pod, family)
        if address is not None and belongs(pod, terminating_too=True):
            endpoint = endpoint_of(seen.service, pod, address, seen.zones)
            wanted.setdefault(ports_of(seen.service, pod), {})[endpoint["targetRef"]["uid"]] = endpoint
    by_ports: dict[PortSet, list[Object]] = {}
    for each in existing:
        by_ports.setdefault(ports_in(each), []).append(each)

    actions: list[Action] = []
    obsolete: list[Object] = []
    kept = 0
    for ports, slices in by_ports.items():
        if ports not in wanted:
            obsolete += slices
    for ports, endpoints in wanted.items():
        slices = by_ports.get(ports, [])
        contents = distribute([each.get("endpoints") or [] for each in slices], endpoints, seen.endpoints_max)
        for each, content in zip(slices, contents, strict=False):
            if content:
                kept += 1
                actions += _change(seen.service, each, content)
            else:
                obsolete.append(each)
        for content in contents[len(slices) :]:
            kept += 1
            actions.append(_create(seen.service, family, ports, content))
    if kept == 0:
        # One slice stays even without endpoints: it says that somebody looked.
        empty = next((each for each in obsolete if not ports_in(each)), None)
        if empty is not None:
            obsolete.remove(empty)
            actions += _change(seen.service, empty, [])
        else:
            actions.append(_create(seen.service, family, (), []))
    return actions + [delete(ENDPOINT_SLICES, each) for each in obsolete]


def distribute(existing: Sequence[Sequence[Object]], wanted: Mapping[str, Object], limit: int) -> list[list[Object]]:
    """The new contents of the existing slices (in their order, some perhaps empty), then of slices to create.

    Endpoints stay in the slice they are in. New ones go where something changes anyway, then to the fullest slice that
    holds all of them, then to new slices.
    """
    placed: set[str] = set()
    contents: list[list[Object]] = []
    changed: list[int] = []
    for position, endpoints in enumerate(existing):
        content: list[Object] = []
        for endpoint in endpoints:
            uid = (endpoint.get("targetRef") or {}).get("uid", "")
            if uid in wanted and uid not in placed and len(content) < limit:
                placed.add(uid)
                content.append(wanted[uid])
        contents.append(content)
        if content != list(endpoints):
            changed.append(position)
    new = [endpoint for uid, endpoint in wanted.items() if uid not in placed]
    for position in changed:
        room = limit - len(contents[position])
        contents[position] += new[:room]
        new = new[room:]
    if new:
        fitting = [content for content in contents if 0 < len(content) <= limit - len(new)]
        if fitting:
            max(fitting, key=len).extend(new)
            new = []
    contents += [new[start : start + limit] for start in range(0, len(new), limit)]
    return contents


def endpoint_of(service: Object, pod: Object, address: str, zones: Mapping[str, str]) -> Object:
    serving, terminating = pods.is_ready(pod), is_being_deleted(pod)
    ready = bool(service["spec"].get("publishNotReadyAddresses")) or (serving and not terminating)
    endpoint: Object = {
        "addresses": [address],
        "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
        "targetRef": target_of(pod),
    }
    node_name = pod["spec"].get("nodeName", "")
    if node_name:
        endpoint["nodeName"] = node_name
    if zone := zones.get(node_name, ""):
        endpoint["zone"] = zone
    if hostname := hostname_of(service, pod):
        endpoint["hostname"] = hostname
    if hints := _hints(service, node_name, zone, ready):
        endpoint["hints"] = hints
    return endpoint


def _hints(service: Object, node_name: str, zone: str, ready: bool) -> Object:
    """Whom the endpoint should serve, where `trafficDistribution` asks for nearness."""
    distribution = service["spec"].get("trafficDistribution", "")
    hints: Object = {}
    if ready and zone and distribution in ("PreferClose", "PreferSameZone", "PreferSameNode"):
        hints["forZones"] = [{"name": zone}]
    if ready and node_name and distribution == "PreferSameNode":
        hints["forNodes"] = [{"name": node_name}]
    return hints


def ports_in(endpoint_slice: Object) -> PortSet:
    return tuple(
        (port.get("name") or "", port.get("protocol") or "TCP", int(port["port"]), port.get("appProtocol") or "")
        for port in endpoint_slice.get("ports") or ()
        if port.get("port") is not None
    )


def _slice_ports(ports: PortSet) -> list[Object]:
    shown = []
    for name, protocol, number, app_protocol in ports:
        port: Object = {"name": name, "port": number, "protocol": protocol}
        if app_protocol:
            port["appProtocol"] = app_protocol
        shown.append(port)
    return shown


def _labels(service: Object) -> dict[str, str]:
    found = {key: value for key, value in labels_of(service).items() if key not in (MANAGED_BY, SERVICE_NAME, HEADLESS)}
    found |= {SERVICE_NAME: name_of(service), MANAGED_BY: MANAGER}
    if is_headless(service):
        found[HEADLESS] = ""
    return found


def _create(service: Object, family: str, ports: PortSet, content: Sequence[Object]) -> Create:
    obj: dict[str, Any] = {
        "metadata": {
            "generateName": f"{name_of(service)}-",
            "namespace": namespace_of(service),
            "labels": _labels(service),
            "ownerReferences": [controller_reference(service, SERVICES.gvk)],
        },
        "addressType": family,
        "endpoints": list(content),
        "ports": _slice_ports(ports),
    }
    return Create(ENDPOINT_SLICES, obj)


def _change(service: Object, endpoint_slice: Object, content: Sequence[Object]) -> list[Action]:
    wanted_labels = _labels(service)
    if list(content) == (endpoint_slice.get("endpoints") or []) and labels_of(endpoint_slice) == wanted_labels:
        return []
    metadata = {**endpoint_slice["metadata"], "labels": wanted_labels}
    return [Update(ENDPOINT_SLICES, {**endpoint_slice, "metadata": metadata, "endpoints": list(content)})]


def observe(endpoints_max: int) -> Any:
    def look_up(look: Look, key: str) -> Snapshot | None:
        namespace, name = split_key(key)
        service = look.caches[SERVICES].get(namespace, name)
        if service is None:
            return None  # the garbage collector takes its slices
        slices = look.caches[ENDPOINT_SLICES].by_index(BY_SERVICE, key)
        if not has_pods(service):
            return Snapshot(service, (), slices)
        chosen = matching_pods(look.caches, service)
        zones: dict[str, str] = {}
        for pod in chosen:
            node_name = pod["spec"].get("nodeName", "")
            node = look.caches[NODES].get("", node_name) if node_name else None
            if node is not None and ZONE in labels_of(node):
                zones[node_name] = labels_of(node)[ZONE]
        return Snapshot(service, chosen, slices, zones, endpoints_max)

    return look_up


def service_of(endpoint_slice: Object) -> Sequence[str]:
    """The key of the Service whose slice it is, if it is one of ours."""
    found = labels_of(endpoint_slice)
    if found.get(MANAGED_BY) != MANAGER or not found.get(SERVICE_NAME):
        return ()
    return (f"{namespace_of(endpoint_slice)}/{found[SERVICE_NAME]}",)


def _services_on(caches: Caches, node: Object) -> Sequence[str]:
    """Those with an endpoint on the node: its zone is part of what they show."""
    keys: dict[str, None] = {}
    for endpoint_slice in caches[ENDPOINT_SLICES].list():
        if any(endpoint.get("nodeName") == name_of(node) for endpoint in endpoint_slice.get("endpoints") or ()):
            keys.update(dict.fromkeys(service_of(endpoint_slice)))
    return tuple(keys)


def controller(context: Context) -> Controller[Snapshot]:
    return Controller(
        name="endpointslice-controller",
        source="endpoint-slice-controller",
        wakes_on=(
            itself(SERVICES),
            wakes_services(),
            Wake(ENDPOINT_SLICES, lambda _caches, each: service_of(each)),
            Wake(NODES, _services_on, lambda old, new: labels_of(old).get(ZONE) != labels_of(new).get(ZONE)),
        ),
        indexes=(
            *INDEXES,
            Index(ENDPOINT_SLICES, BY_SERVICE, service_of),
        ),
        observe=observe(context.options.max_endpoints_per_slice),
        decide=reconcile,
        workers=context.options.concurrent_service_endpoint_syncs,
    )
