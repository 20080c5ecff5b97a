"""PodSecurity: the Pod Security Standards, as a namespace's labels ask for them.

`enforce` refuses pods, `warn` and `audit` speak up; workloads are never refused for their template, only warned about.
Source: https://kubernetes.io/docs/concepts/security/pod-security-admission/, KEP-2579
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pybernetes.apiserver.admission.interface import AdmissionPlugin, AdmissionRequest, Operation
from pybernetes.apiserver.admission.pod_security_checks import LEVELS, violations
from pybernetes.apiserver.admission.refusals import refusal
from pybernetes.apiserver.registry.strategy import Reader
from pybernetes.machinery import errors
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object, labels_of, name_of
from pybernetes.machinery.resources import NAMESPACES, PODS

PREFIX = "pod-security.kubernetes.io/"
VERSION = re.compile(r"latest|v1\.(0|[1-9][0-9]*)")
PODS_LOOKED_AT_MAX = 3000  # when a namespace's level rises
# plural -> the path to the pod template
TEMPLATES: Mapping[str, tuple[str, ...]] = {
    "replicationcontrollers": ("spec", "template"),
    "podtemplates": ("template",),
    "replicasets": ("spec", "template"),
    "deployments": ("spec", "template"),
    "statefulsets": ("spec", "template"),
    "daemonsets": ("spec", "template"),
    "jobs": ("spec", "template"),
    "cronjobs": ("spec", "jobTemplate", "spec", "template"),
}
_WORKLOAD_GROUPS = frozenset(("", "apps", "batch"))


@dataclass(frozen=True, slots=True)
class Level:
    level: str = "privileged"
    version: str = "latest"

    def __str__(self) -> str:
        return f"{self.level}:{self.version}"


@dataclass(frozen=True, slots=True)
class Policy:
    enforce: Level
    audit: Level
    warn: Level


class PodSecurity(AdmissionPlugin):
    name = "PodSecurity"

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def validate(self, request: AdmissionRequest) -> None:
        obj = request.object
        if obj is None or request.operation not in (Operation.CREATE, Operation.UPDATE):
            return
        resource = request.resource
        if resource == NAMESPACES:
            self._namespace(request, obj)
        elif resource == PODS:
            if request.subresource in ("", "ephemeralcontainers", "resize") and _is_significant(request, obj):
                self._pod(request, obj)
        elif resource.group in _WORKLOAD_GROUPS and resource.plural in TEMPLATES and not request.subresource:
            self._workload(request, obj)

    def _policy(self, namespace: str) -> Policy:
        found = self._reader.get(NAMESPACES, "", namespace)
        return policy_of(labels_of(found)) if found is not None else policy_of({})

    def _pod(self, request: AdmissionRequest, pod: Object) -> None:
        policy = self._policy(request.namespace)
        found = violations(pod["metadata"], pod["spec"], policy.enforce.level)
        if found:
            raise refusal(request, f'violates PodSecurity "{policy.enforce}": {", ".join(found)}')
        _warn(request, policy, pod["metadata"], pod["spec"])

    def _workload(self, request: AdmissionRequest, obj: Object) -> None:
        template: Object = obj
        for field in TEMPLATES[request.resource.plural]:
            template = template.get(field) or {}
        if template.get("spec"):
            policy = self._policy(request.namespace)
            _warn(request, policy, template.get("metadata") or {}, template["spec"])

    def _namespace(self, request: AdmissionRequest, namespace: Object) -> None:
        if request.subresource:
            return
        problems = list(label_errors(labels_of(namespace)))
        old = labels_of(request.old_object) if request.old_object is not None else {}
        if problems:
            if problems == list(label_errors(old)):
                return  # nothing got worse: do not stand in the way of other changes
            raise errors.invalid("", NAMESPACES.kind, name_of(namespace), problems)
        enforce = policy_of(labels_of(namespace)).enforce
        if request.operation is Operation.UPDATE and enforce != policy_of(old).enforce and enforce.level != "privileged":
            self._warn_of_existing(request, name_of(namespace), enforce)

    def _warn_of_existing(self, request: AdmissionRequest, namespace: str, enforce: Level) -> None:
        """Pods that are there stay, but the one who raised the level should know."""
        reasons: dict[tuple[str, ...], list[str]] = {}
        for pod in self._reader.list(PODS, namespace)[:PODS_LOOKED_AT_MAX]:
            found = violations(pod["metadata"], pod["spec"], enforce.level)
            if found:
                reasons.setdefault(tuple(text.partition(" (")[0] for text in found), []).append(name_of(pod))
        if not reasons:
            return
        request.warnings.append(
            f'existing pods in namespace "{namespace}" violate the new PodSecurity enforce level "{enforce}"'
        )
        for why, names in reasons.items():
            others = len(names) - 1
            more = f" (and {others} other pod{'s' if others > 1 else ''})" if others else ""
            request.warnings.append(f"{min(names)}{more}: {', '.join(why)}")


def _warn(request: AdmissionRequest, policy: Policy, metadata: Object, spec: Object) -> None:
    found = violations(metadata, spec, policy.warn.level)
    if found:
        request.warnings.append(f'would violate PodSecurity "{policy.warn}": {", ".join(found)}')


def policy_of(labels: Mapping[str, str]) -> Policy:
    """What a namespace asks for. A label that makes no sense is taken as the strictest it could mean, as upstream does."""
    return Policy(enforce=_level(labels, "enforce"), audit=_level(labels, "audit"), warn=_warn_level(labels))


def _level(labels: Mapping[str, str], mode: str) -> Level:
    level = labels.get(PREFIX + mode, "privileged")
    version = labels.get(f"{PREFIX}{mode}-version", "latest")
    return Level(level if level in LEVELS else "restricted", version if VERSION.fullmatch(version) else "latest")


def _warn_level(labels: Mapping[str, str]) -> Level:
    """Without a `warn` of its own a namespace warns of what it enforces, where that is stricter: workloads show it early."""
    warn, enforce = _level(labels, "warn"), _level(labels, "enforce")
    if PREFIX + "warn" in labels or LEVELS.index(enforce.level) <= LEVELS.index(warn.level):
        return warn
    return enforce


def label_errors(labels: Mapping[str, str]) -> Iterator[FieldError]:
    for mode in ("enforce", "audit", "warn"):
        level, version = labels.get(PREFIX + mode), labels.get(f"{PREFIX}{mode}-version")
        if level is not None and level not in LEVELS:
            field = f"metadata.labels[{PREFIX}{mode}]"
            yield FieldError.invalid(field, level, f"must be one of {', '.join(LEVELS)}")
        if version is not None and not VERSION.fullmatch(version):
            yield FieldError.invalid(f"metadata.labels[{PREFIX}{mode}-version]", version, 'must be "latest" or "v1.x"')


def _is_significant(request: AdmissionRequest, pod: Object) -> bool:
    """An update that touches nothing a standard speaks of passes: a pod must remain editable after the level rose."""
    if request.operation is Operation.CREATE or request.old_object is None:
        return True
    return _judged(pod) != _judged(request.old_object)


def _judged(pod: Object) -> object:
    judged = ("name", "image", "securityContext")
    containers = [
        [[container.get(field) for field in judged] for container in pod["spec"].get(kind) or ()]
        for kind in ("initContainers", "containers", "ephemeralContainers")
    ]
    profiles = {
        key: value
        for key, value in (pod["metadata"].get("annotations") or {}).items()
        if "apparmor.security.beta.kubernetes.io/" in key or "seccomp.security.alpha.kubernetes.io/" in key
    }
    return containers, pod["spec"].get("securityContext"), profiles
