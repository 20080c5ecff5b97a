"""DefaultIngressClass: an ingress that names no class gets the default one."""

from __future__ import annotations

from pybernetes.apiserver.admission.default_storage_class import newest_default
from pybernetes.apiserver.admission.interface import AdmissionPlugin, AdmissionRequest, Operation
from pybernetes.apiserver.registry.strategy import Reader
from pybernetes.machinery.meta import annotations_of, name_of
from pybernetes.machinery.resources import INGRESS_CLASSES, INGRESSES

DEFAULT = "ingressclass.kubernetes.io/is-default-class"
CLASS = "kubernetes.io/ingress.class"  # how it was said before the field


class DefaultIngressClass(AdmissionPlugin):
    name = "DefaultIngressClass"
    resources = (INGRESSES,)

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def admit(self, request: AdmissionRequest) -> None:
        ingress = request.object
        if request.subresource or ingress is None:
            return
        if request.operation is not Operation.CREATE or CLASS in annotations_of(ingress):
            return
        spec = ingress.setdefault("spec", {})
        if spec.get("ingressClassName") is None:
            chosen = newest_default(self._reader.list(INGRESS_CLASSES), [DEFAULT])
            if chosen is not None:
                spec["ingressClassName"] = name_of(chosen)
