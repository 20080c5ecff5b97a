"""PodNodeSelector: a namespace's pods run on its nodes. Off by default.

The namespace says which nodes by an annotation; where it does not, the file's `clusterDefaultNodeSelector` does. What the file
says under a namespace's name is what pods there may select at all.
Source: https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#podnodeselector
"""

from __future__ import annotations

from collections.abc import Mapping

from pybernetes.apiserver.admission.interface import AdmissionPlugin, AdmissionRequest, Operation
from pybernetes.apiserver.registry.strategy import Reader
from pybernetes.machinery import errors
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import Object, annotations_of, name_of
from pybernetes.machinery.resources import NAMESPACES, PODS
from pybernetes.machinery.validation import label_key_errors, label_value_errors

ANNOTATION = "scheduler.alpha.kubernetes.io/node-selector"
CLUSTER_DEFAULT = "clusterDefaultNodeSelector"


def parse(document: Object | None) -> Mapping[str, str]:
    """By namespace, the labels (`a=b,c=d`) of a file. Raises ValueError."""
    found = (document or {}).get("podNodeSelectorPluginConfig") or {}
    if not isinstance(found, dict) or not all(isinstance(text, str) for text in found.values()):
        raise ValueError("podNodeSelectorPluginConfig is not a mapping of texts")
    return found


class PodNodeSelector(AdmissionPlugin):
    name = "PodNodeSelector"
    resources = (PODS,)

    def __init__(self, reader: Reader, selectors: Mapping[str, str]) -> None:
        self._reader = reader
        self._selectors = selectors

    async def admit(self, request: AdmissionRequest) -> None:
        pod = request.object
        if request.subresource or pod is None or request.operation is not Operation.CREATE:
            return
        selector = self._agreed(request, pod) | (pod["spec"].get("nodeSelector") or {})
        if selector:
            pod["spec"]["nodeSelector"] = selector
        await self.validate(request)

    async def validate(self, request: AdmissionRequest) -> None:
        pod = request.object
        if request.subresource or pod is None or request.operation is not Operation.CREATE:
            return
        self._agreed(request, pod)
        allowed = labels_of_selector(self._selectors.get(request.namespace, ""))
        if allowed and not (pod["spec"].get("nodeSelector") or {}).items() <= allowed.items():
            raise _refusal(pod, "pod node label selector labels conflict with its namespace whitelist")

    def _agreed(self, request: AdmissionRequest, pod: Object) -> dict[str, str]:
        """The namespace's selector. Raises `Forbidden` if the pod's is another."""
        namespace = self._reader.get(NAMESPACES, "", request.namespace)
        if namespace is None:
            raise errors.not_found("", NAMESPACES.plural, request.namespace)
        default = self._selectors.get(CLUSTER_DEFAULT, "")
        selector = labels_of_selector(annotations_of(namespace).get(ANNOTATION, default))
        for key, value in (pod["spec"].get("nodeSelector") or {}).items():
            if selector.get(key, value) != value:
                raise _refusal(pod, "pod node label selector conflicts with its namespace node label selector")
        return selector


def labels_of_selector(text: str) -> dict[str, str]:
    """`a=b,c=d`. Raises `StatusError` (upstream has no better answer to the pod's creator than its 500)."""
    labels = {}
    for pair in text.split(",") if text else ():
        key, separator, value = (part.strip() for part in pair.partition("="))
        if not separator or "=" in value:
            raise StatusError(f"invalid selector: [{pair}]")
        for problem in (*label_key_errors(key), *label_value_errors(value)):
            raise StatusError(problem)
        labels[key] = value
    return labels


def _refusal(pod: Object, why: str) -> StatusError:
    return errors.forbidden(PODS.group, PODS.plural, name_of(pod), why)
