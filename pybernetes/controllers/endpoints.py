"""Endpoints controller: the old, single-object form of what EndpointSlices say.

Contract: API reference, `Endpoints` (deprecated, still served); at most 1000 addresses, marked by an annotation when cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pybernetes.controllers.actions import Action, Create, Update, delete
from pybernetes.controllers.controller import Context, Controller, Look, itself
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
from pybernetes.machinery.meta import Object, annotations_of, is_being_deleted, labels_of, name_of, namespace_of, split_key
from pybernetes.machinery.resources import ENDPOINTS, SERVICES

MANAGED_BY = "endpoints.kubernetes.io/managed-by"
MANAGER = "endpoint-controller"
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
ADDRESSES_MAX = 1000


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a decision may depend on."""

    service: Object | None
    pods: Sequence[Object]
    endpoints: Object | None


def reconcile(seen: Snapshot) -> list[Action]:
    service = seen.service
    if service is None:
        # Endpoints have no owner; only ours go with the Service.
        known = seen.endpoints
        return [delete(ENDPOINTS, known)] if known is not None and labels_of(known).get(MANAGED_BY) == MANAGER else []
    if not has_pods(service) or is_being_deleted(service):
        return []
    subsets, is_cut = subsets_of(service, seen.pods)
    wanted_labels = {key: value for key, value in labels_of(service).items() if key != HEADLESS} | {MANAGED_BY: MANAGER}
    if is_headless(service):
        wanted_labels[HEADLESS] = ""
    annotations = {key: value for key, value in annotations_of(seen.endpoints or service).items() if key != OVER_CAPACITY}
    if seen.endpoints is None:
        annotations = {}
    if is_cut:
        annotations[OVER_CAPACITY] = "truncated"
    if seen.endpoints is None:
        metadata: Object = {"name": name_of(service), "namespace": namespace_of(service), "labels": wanted_labels}
        if annotations:
            metadata["annotations"] = annotations
        return [Create(ENDPOINTS, {"metadata": metadata, "subsets": subsets})]
    known = seen.endpoints
    same = (known.get("subsets") or []) == subsets and labels_of(known) == wanted_labels
    if same and annotations_of(known) == annotations:
        return []
    metadata = {**known["metadata"], "labels": wanted_labels, "annotations": annotations}
    return [Update(ENDPOINTS, {**known, "metadata": metadata, "subsets": subsets})]


def subsets_of(service: Object, chosen: Sequence[Object]) -> tuple[list[Object], bool]:
    """The subsets, in a canonical order, and whether addresses had to be left out (unready ones first)."""
    family = families_of(service)[0]
    ready: list[tuple[PortSet, Object]] = []
    not_ready: list[tuple[PortSet, Object]] = []
    for pod in chosen:
        address = address_of(pod, family)
        if address is None or not belongs(pod, terminating_too=bool(service["spec"].get("publishNotReadyAddresses"))):
            continue
        ports = ports_of(service, pod)
        if not ports and service["spec"].get("ports"):
            continue  # it serves none of them
        entry: Object = {"ip": address, "targetRef": target_of(pod)}
        if pod["spec"].get("nodeName"):
            entry["nodeName"] = pod["spec"]["nodeName"]
        if hostname := hostname_of(service, pod):
            entry["hostname"] = hostname
        is_up = pods.is_ready(pod) or bool(service["spec"].get("publishNotReadyAddresses"))
        (ready if is_up else not_ready).append((ports, entry))
    is_cut = len(ready) + len(not_ready) > ADDRESSES_MAX
    ready = ready[:ADDRESSES_MAX]
    not_ready = not_ready[: ADDRESSES_MAX - len(ready)]

    by_ports: dict[PortSet, Object] = {}
    for field, entries in (("addresses", ready), ("notReadyAddresses", not_ready)):
        for ports, entry in entries:
            by_ports.setdefault(ports, {}).setdefault(field, []).append(entry)
    subsets: list[Object] = []
    for ports in sorted(by_ports):
        subset = {field: sorted(entries, key=lambda each: str(each["ip"])) for field, entries in by_ports[ports].items()}
        if ports:
            subset["ports"] = [_port(*port) for port in ports]
        subsets.append(subset)
    return subsets, is_cut


def _port(name: str, protocol: str, number: int, app_protocol: str) -> Object:
    port: Object = {"port": number, "protocol": protocol}
    if name:
        port["name"] = name
    if app_protocol:
        port["appProtocol"] = app_protocol
    return port


def observe(look: Look, key: str) -> Snapshot | None:
    namespace, name = split_key(key)
    service = look.caches[SERVICES].get(namespace, name)
    known = look.caches[ENDPOINTS].get(namespace, name)
    if service is None:
        return Snapshot(None, (), known) if known is not None else None
    chosen = matching_pods(look.caches, service) if has_pods(service) else ()
    return Snapshot(service, chosen, known)


def controller(context: Context) -> Controller[Snapshot]:
    return Controller(
        name="endpoints-controller",
        source="endpoint-controller",
        wakes_on=(itself(SERVICES), wakes_services(), itself(ENDPOINTS)),
        indexes=INDEXES,
        observe=observe,
        decide=reconcile,
        workers=context.options.concurrent_endpoint_syncs,
    )
