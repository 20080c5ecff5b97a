"""What EndpointSlices and Endpoints have in common: which pods stand behind a Service, and on which ports."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from pybernetes.controllers.controller import NAMESPACE, Caches, Wake, by_namespace
from pybernetes.machinery import labels, pods
from pybernetes.machinery.meta import Object, is_being_deleted, key_of, labels_of, name_of, namespace_of, uid_of
from pybernetes.machinery.resources import PODS, SERVICES

HEADLESS = "service.kubernetes.io/headless"

INDEXES = (by_namespace(PODS), by_namespace(SERVICES))

# A set of ports that some pods share: (name, protocol, port, appProtocol) each, in the Service's order.
PortSet = tuple[tuple[str, str, int, str], ...]


def has_pods(service: Object) -> bool:
    """Whether its endpoints are ours to keep: not those of a Service without selector, or with an external name."""
    return bool(service["spec"].get("selector")) and service["spec"].get("type") != "ExternalName"


def is_headless(service: Object) -> bool:
    return bool(service["spec"].get("clusterIP") == "None")


def matching_pods(caches: Caches, service: Object) -> list[Object]:
    selector = labels.from_label_selector({"matchLabels": service["spec"]["selector"]})
    return [pod for pod in caches[PODS].by_index(NAMESPACE, namespace_of(service)) if selector.matches(labels_of(pod))]


def belongs(pod: Object, *, terminating_too: bool) -> bool:
    """Whether a pod that the selector picks can be an endpoint: it has an address, and is not over."""
    if pods.is_terminal(pod) or not pods.pod_ips(pod):
        return False
    return terminating_too or not is_being_deleted(pod)


def ports_of(service: Object, pod: Object) -> PortSet:
    """The Service's ports as this pod serves them; those that it does not serve are left out."""
    found = []
    for port in service["spec"].get("ports") or ():
        number = pods.find_port(pod, port)
        if number is not None:
            found.append((port.get("name", ""), port.get("protocol") or "TCP", number, port.get("appProtocol", "")))
    return tuple(found)


def address_of(pod: Object, family: str) -> str | None:
    """The pod's address of a family, `IPv4` or `IPv6`."""
    version = 6 if family == "IPv6" else 4
    return next((ip for ip in pods.pod_ips(pod) if ipaddress.ip_address(ip).version == version), None)


def families_of(service: Object) -> list[str]:
    """`spec.ipFamilies`; the API server fills them in, for all but some old objects."""
    families: list[str] = list(service["spec"].get("ipFamilies") or ())
    return families or ["IPv6" if ":" in service["spec"].get("clusterIP", "") else "IPv4"]


def hostname_of(service: Object, pod: Object) -> str:
    """The name that the pod has below the Service's DNS name, "" for none."""
    spec = pod["spec"]
    if spec.get("hostname") and spec.get("subdomain") == name_of(service):
        return str(spec["hostname"])
    return ""


def target_of(pod: Object) -> Object:
    return {"kind": "Pod", "namespace": namespace_of(pod), "name": name_of(pod), "uid": uid_of(pod)}


def wakes_services() -> Wake:
    """A pod wakes the Services that select it, once something changed that endpoints show."""

    def keys(caches: Caches, pod: Object) -> Iterable[str]:
        pod_labels = labels_of(pod)
        for service in caches[SERVICES].by_index(NAMESPACE, namespace_of(pod)):
            selector = service["spec"].get("selector")
            if selector and selector.items() <= pod_labels.items():
                yield key_of(service)

    return Wake(PODS, keys, endpoint_changed)


def endpoint_changed(old: Object, new: Object) -> bool:
    """Whether an endpoint made of the pod could differ. Most updates of a pod (conditions, restarts) change nothing here."""
    if labels_of(old) != labels_of(new) or is_being_deleted(old) != is_being_deleted(new):
        return True
    if pods.is_ready(old) != pods.is_ready(new) or pods.pod_ips(old) != pods.pod_ips(new):
        return True
    before, after = old["spec"], new["spec"]
    return pods.is_terminal(old) != pods.is_terminal(new) or any(
        before.get(field) != after.get(field) for field in ("nodeName", "hostname", "subdomain")
    )
