"""The cluster as DNS needs it: informers on Services, EndpointSlices and Namespaces, stripped and indexed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pybernetes.client.informer import InformerFactory
from pybernetes.machinery.meta import Object, namespace_of
from pybernetes.machinery.resources import ENDPOINT_SLICES, NAMESPACES, SERVICES

_METADATA = ("name", "namespace", "resourceVersion")


class ClusterView:
    """A `records.View`. `generation` grows with every change that may change an answer."""

    def __init__(self, factory: InformerFactory) -> None:
        self.generation = 0
        self._services = factory.informer(SERVICES, transform=_service)
        self._slices = factory.informer(ENDPOINT_SLICES, transform=_slice)
        self._namespaces = factory.informer(NAMESPACES, transform=_namespace)
        self._services.add_index("ip", lambda service: service["spec"].get("clusterIPs") or ())
        self._slices.add_index("service", _slice_service_keys)
        self._slices.add_index("ip", _slice_addresses)
        for informer in (self._services, self._slices, self._namespaces):
            informer.add_handler(self._changed, self._changed, self._changed)

    def _changed(self, *_: Any) -> None:
        self.generation += 1

    def service(self, namespace: str, name: str) -> Object | None:
        return self._services.get(namespace, name)

    def slices(self, namespace: str, service: str) -> Iterable[Object]:
        return self._slices.by_index("service", f"{namespace}/{service}")

    def has_namespace(self, name: str) -> bool:
        return self._namespaces.get("", name) is not None

    def services_with_ip(self, address: str) -> Iterable[Object]:
        return self._services.by_index("ip", address)

    def slices_with_ip(self, address: str) -> Iterable[Object]:
        return self._slices.by_index("ip", address)


def _service(obj: Object) -> Object:
    spec = {key: obj["spec"][key] for key in ("type", "clusterIP", "clusterIPs", "externalName", "ports") if key in obj["spec"]}
    if "None" in (spec.get("clusterIPs") or ()):
        spec["clusterIPs"] = []
    return {"metadata": _kept(obj["metadata"], _METADATA), "spec": spec}


def _slice(obj: Object) -> Object:
    kept = _kept(obj, ("ports", "addressType"))
    endpoints = [_kept(each, ("addresses", "conditions", "hostname")) for each in obj.get("endpoints") or ()]
    return {**kept, "metadata": _kept(obj["metadata"], (*_METADATA, "labels")), "endpoints": endpoints}


def _namespace(obj: Object) -> Object:
    return {"metadata": _kept(obj["metadata"], _METADATA)}


def _kept(obj: Object, keys: Iterable[str]) -> Object:
    return {key: obj[key] for key in keys if key in obj}


def _slice_service_keys(slice_: Object) -> Iterable[str]:
    name = slice_["metadata"].get("labels", {}).get("kubernetes.io/service-name")
    return (f"{namespace_of(slice_)}/{name}",) if name else ()


def _slice_addresses(slice_: Object) -> Iterable[str]:
    if not slice_["metadata"].get("labels", {}).get("kubernetes.io/service-name"):
        return ()
    return {address for endpoint in slice_["endpoints"] for address in endpoint["addresses"]}
