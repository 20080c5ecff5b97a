"""PodTolerationRestriction: what a namespace's pods tolerate, and what they may. Off by default.

Both are annotations of the namespace (JSON lists of tolerations), the file's defaults where it has none.
Source: https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#podtolerationrestriction
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pybernetes.apiserver.admission.configuration import check_kind, list_of
from pybernetes.apiserver.admission.interface import AdmissionPlugin, AdmissionRequest, Operation
from pybernetes.apiserver.registry.strategy import Reader
from pybernetes.machinery import codec, errors
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import Object, annotations_of
from pybernetes.machinery.pod_resources import qos_class
from pybernetes.machinery.resources import NAMESPACES, PODS
from pybernetes.machinery.tolerations import NO_EXECUTE, NO_SCHEDULE, TAINT_MEMORY_PRESSURE

VERSIONS: Final = ("podtolerationrestriction.admission.k8s.io/v1alpha1",)
DEFAULT: Final = "scheduler.alpha.kubernetes.io/defaultTolerations"
WHITELIST: Final = "scheduler.alpha.kubernetes.io/tolerationsWhitelist"
# Upstream's answer is an error without a reason, for both.
_CONFLICT: Final = "pod tolerations (possibly merged with namespace default tolerations) conflict with its namespace whitelist"


@dataclass(frozen=True, slots=True)
class Configuration:
    default: Sequence[Object] = ()
    whitelist: Sequence[Object] = ()


def parse(document: Object | None) -> Configuration:
    """Raises ValueError."""
    if document is None:
        return Configuration()
    check_kind(document, "Configuration", VERSIONS)
    return Configuration(list_of(document, "default"), list_of(document, "whitelist"))


class PodTolerationRestriction(AdmissionPlugin):
    name = "PodTolerationRestriction"
    resources = (PODS,)

    def __init__(self, reader: Reader, configuration: Configuration) -> None:
        self._reader = reader
        self._configuration = configuration

    async def admit(self, request: AdmissionRequest) -> None:
        pod = _concerned(request)
        if pod is None:
            return
        more: list[Object] = []
        if request.operation is Operation.CREATE:
            more += self._of_namespace(request, DEFAULT, self._configuration.default)
        if qos_class(pod) != "BestEffort":
            more.append({"key": TAINT_MEMORY_PRESSURE, "operator": "Exists", "effect": NO_SCHEDULE})
        if more:
            pod["spec"]["tolerations"] = merged([*(pod["spec"].get("tolerations") or ()), *more])
        await self.validate(request)

    async def validate(self, request: AdmissionRequest) -> None:
        pod = _concerned(request)
        tolerations = pod["spec"].get("tolerations") if pod is not None else None
        if not tolerations:
            return
        allowed = self._of_namespace(request, WHITELIST, self._configuration.whitelist)
        if allowed and not all(any(covers(wide, one) for wide in allowed) for one in tolerations):
            raise StatusError(_CONFLICT)

    def _of_namespace(self, request: AdmissionRequest, annotation: str, default: Sequence[Object]) -> Sequence[Object]:
        """An empty annotation means none at all, not the default."""
        namespace = self._reader.get(NAMESPACES, "", request.namespace)
        if namespace is None:
            raise errors.not_found("", NAMESPACES.plural, request.namespace)
        text = annotations_of(namespace).get(annotation)
        if not text:
            return default if text is None else ()
        try:
            return list_of({annotation: codec.load_json(text.encode())}, annotation)
        except ValueError as error:
            raise StatusError(str(error)) from error


def _concerned(request: AdmissionRequest) -> Object | None:
    if request.subresource or request.operation not in (Operation.CREATE, Operation.UPDATE):
        return None
    return request.object


def covers(wide: Object, narrow: Object) -> bool:
    """Whether everything that `narrow` tolerates `wide` tolerates."""
    if wide == narrow:
        return True
    operator, key, effect = wide.get("operator") or "", wide.get("key") or "", wide.get("effect") or ""
    if narrow.get("key", "") != key and (key or operator != "Exists"):
        return False
    if effect and narrow.get("effect", "") != effect:
        return False
    if effect == NO_EXECUTE and wide.get("tolerationSeconds") is not None:
        seconds = narrow.get("tolerationSeconds")
        if seconds is None or seconds > wide["tolerationSeconds"]:
            return False
    if operator == "Exists":
        return True
    return operator in ("", "Equal") and narrow.get("operator") == "Equal" and narrow.get("value", "") == wide.get("value", "")


def merged(tolerations: Sequence[Object]) -> list[Object]:
    """In order, without those that another one covers; of equal ones the first."""
    kept: list[Object] = []
    for place, one in enumerate(tolerations):
        later = (other for other in tolerations[place + 1 :] if other != one)
        if not any(covers(other, one) for other in kept) and not any(covers(other, one) for other in later):
            kept.append(one)
    return kept
