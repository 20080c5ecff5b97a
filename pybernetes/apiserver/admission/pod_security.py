"""PodSecurity: the Pod Security Standards, as a namespace's labels ask for them.

`enforce` refuses pods, `warn` and `audit` speak up; workloads are never refused for their template, only warned about.
Source: https://kubernetes.io/docs/concepts/security/pod-security-admission/, KEP-2579
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache

from pybernetes.apiserver.admission.interface import AdmissionPlugin, AdmissionRequest, Operation
from pybernetes.apiserver.admission.pod_security_checks import LEVELS, violations
from pybernetes.apiserver.admission.pod_security_configuration import (
    MODES,
    VERSION,
    Configuration,
    Level,
    Policy,
    level_error,
    version_error,
)
from pybernetes.apiserver.admission.refusals import refusal
from pybernetes.apiserver.registry.strategy import Reader
from pybernetes.machinery import errors
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object, labels_of, name_of
from pybernetes.machinery.resources import NAMESPACES, PODS

PREFIX = "pod-security.kubernetes.io/"
LABELS = tuple(PREFIX + name for mode in MODES for name in (mode, f"{mode}-version"))
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


class PodSecurity(AdmissionPlugin):
    name = "PodSecurity"

    def __init__(self, reader: Reader, configuration: Configuration) -> None:
        self._reader = reader
        self._configuration = configuration

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
        labels = labels_of(found) if found is not None else {}
        return _chosen(tuple((name, labels[name]) for name in LABELS if name in labels), self._configuration.defaults)

    def _is_exempt(self, request: AdmissionRequest) -> bool:
        """By namespace or user; the audit log is told by which."""
        exempt = self._configuration
        by = "namespace" if request.namespace in exempt.namespaces else "user" if request.user.name in exempt.usernames else ""
        if by:
            request.audit_annotations[PREFIX + "exempt"] = by
        return bool(by)

    def _is_exempt_class(self, request: AdmissionRequest, spec: Object) -> bool:
        exempt = spec.get("runtimeClassName") in self._configuration.runtime_classes
        if exempt:
            request.audit_annotations[PREFIX + "exempt"] = "runtimeClass"
        return exempt

    def _pod(self, request: AdmissionRequest, pod: Object) -> None:
        if self._is_exempt(request):
            return
        policy = self._policy(request.namespace)
        if self._is_exempt_class(request, pod["spec"]):
            return
        request.audit_annotations[PREFIX + "enforce-policy"] = str(policy.enforce)
        _note(request, policy, pod["metadata"], pod["spec"])
        found = violations(pod["metadata"], pod["spec"], policy.enforce.level)
        if found:
            raise refusal(request, f'violates PodSecurity "{policy.enforce}": {", ".join(found)}')
        _warn(request, policy, pod["metadata"], pod["spec"])

    def _workload(self, request: AdmissionRequest, obj: Object) -> None:
        template: Object = obj
        for field in TEMPLATES[request.resource.plural]:
            template = template.get(field) or {}
        spec, metadata = template.get("spec"), template.get("metadata") or {}
        if not spec or self._is_exempt(request):
            return
        policy = self._policy(request.namespace)
        if not self._is_exempt_class(request, spec):
            _note(request, policy, metadata, spec)
            _warn(request, policy, metadata, spec)

    def _namespace(self, request: AdmissionRequest, namespace: Object) -> None:
        if request.subresource:
            return
        problems = list(label_errors(labels_of(namespace)))
        old = labels_of(request.old_object) if request.old_object is not None else {}
        if problems:
            if problems == list(label_errors(old)):
                return  # nothing got worse: do not stand in the way of other changes
            raise errors.invalid("", NAMESPACES.kind, name_of(namespace), problems)
        enforce, before = (policy_of(labels, self._configuration.defaults).enforce for labels in (labels_of(namespace), old))
        if name_of(namespace) in self._configuration.namespaces:
            return
        if request.operation is Operation.UPDATE and enforce != before and enforce.level != "privileged":
            self._warn_of_existing(request, name_of(namespace), enforce)

    def _warn_of_existing(self, request: AdmissionRequest, namespace: str, enforce: Level) -> None:
        """Pods that are there stay, but the one who raised the level should know."""
        reasons: dict[tuple[str, ...], list[str]] = {}
        exempt = self._configuration.runtime_classes
        for pod in self._reader.list(PODS, namespace)[:PODS_LOOKED_AT_MAX]:
            if pod["spec"].get("runtimeClassName") in exempt:
                continue
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


def _note(request: AdmissionRequest, policy: Policy, metadata: Object, spec: Object) -> None:
    """For the audit log: what the namespace's `audit` level is not content with."""
    found = violations(metadata, spec, policy.audit.level) if policy.audit.level != "privileged" else ()
    if found:
        said = f'would violate PodSecurity "{policy.audit}": {", ".join(found)}'
        request.audit_annotations[PREFIX + "audit-violations"] = said


def policy_of(labels: Mapping[str, str], defaults: Policy) -> Policy:
    """What a namespace asks for, by its labels or by default.

    A label that makes no sense is taken as the strictest it could mean, as upstream does.
    """
    enforce, audit = _level(labels, "enforce", defaults.enforce), _level(labels, "audit", defaults.audit)
    return Policy(enforce, audit, _warn_level(labels, enforce, defaults.warn))


@lru_cache(1024)
def _chosen(labels: tuple[tuple[str, str], ...], defaults: Policy) -> Policy:
    return policy_of(dict(labels), defaults)


def _level(labels: Mapping[str, str], mode: str, default: Level) -> Level:
    level = labels.get(PREFIX + mode, default.level)
    version = labels.get(f"{PREFIX}{mode}-version", default.version)
    return Level(level if level in LEVELS else "restricted", version if VERSION.fullmatch(version) else "latest")


def _warn_level(labels: Mapping[str, str], enforce: Level, default: Level) -> Level:
    """Without a `warn` of its own a namespace warns of what it enforces, where that is stricter: workloads show it early."""
    warn = _level(labels, "warn", default)
    if PREFIX + "warn" in labels or PREFIX + "enforce" not in labels or LEVELS.index(enforce.level) <= LEVELS.index(warn.level):
        return warn
    return enforce


def label_errors(labels: Mapping[str, str]) -> Iterator[FieldError]:
    for mode in MODES:
        level, version = labels.get(PREFIX + mode), labels.get(f"{PREFIX}{mode}-version")
        if level is not None and level not in LEVELS:
            yield level_error(f"metadata.labels[{PREFIX}{mode}]", level)
        if version is not None and not VERSION.fullmatch(version):
            yield version_error(f"metadata.labels[{PREFIX}{mode}-version]", version)


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
