"""The admission chain: which plugins there are, and in which order they are asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from pybernetes.apiserver.admission import optional, pod_security_configuration, quota_limits
from pybernetes.apiserver.admission.certificates import (
    CertificateApproval,
    CertificateSigning,
    CertificateSubjectRestriction,
)
from pybernetes.apiserver.admission.default_ingress_class import DefaultIngressClass
from pybernetes.apiserver.admission.default_storage_class import DefaultStorageClass
from pybernetes.apiserver.admission.default_toleration_seconds import TOLERATION_S, DefaultTolerationSeconds
from pybernetes.apiserver.admission.interface import AdmissionPlugin, AdmissionRequest
from pybernetes.apiserver.admission.limit_ranger import LimitRanger
from pybernetes.apiserver.admission.namespace_lifecycle import NamespaceLifecycle
from pybernetes.apiserver.admission.node_restriction import NodeRestriction
from pybernetes.apiserver.admission.parts import Parts
from pybernetes.apiserver.admission.persistent_volume_claim_resize import PersistentVolumeClaimResize
from pybernetes.apiserver.admission.pod_resize_validator import PodResizeValidator
from pybernetes.apiserver.admission.pod_security import PodSecurity
from pybernetes.apiserver.admission.pod_topology_labels import PodTopologyLabels
from pybernetes.apiserver.admission.policies.plugins import MutatingAdmissionPolicy, Policies, ValidatingAdmissionPolicy
from pybernetes.apiserver.admission.priority import Priority
from pybernetes.apiserver.admission.resource_quota import ResourceQuota
from pybernetes.apiserver.admission.runtime_class import RuntimeClass
from pybernetes.apiserver.admission.service_account import ServiceAccount
from pybernetes.apiserver.admission.storage_object_in_use_protection import StorageObjectInUseProtection
from pybernetes.apiserver.admission.taint_nodes_by_condition import TaintNodesByCondition
from pybernetes.apiserver.admission.versions import Versions
from pybernetes.apiserver.admission.webhooks.calls import Caller
from pybernetes.apiserver.admission.webhooks.mutating import MutatingAdmissionWebhook
from pybernetes.apiserver.admission.webhooks.validating import ValidatingAdmissionWebhook
from pybernetes.apiserver.authorization.interface import Authorizer
from pybernetes.apiserver.registry.strategy import Reader, Writer
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.entropy import Entropy
from pybernetes.machinery.errors import aggregate
from pybernetes.machinery.meta import Object, Resource

# Upstream's order (`--help` of its API server lists the plugins by name; this is how they are asked).
PLUGINS: Mapping[str, Callable[[Parts], AdmissionPlugin | None]] = {
    "AlwaysAdmit": optional.always_admit,
    "NamespaceAutoProvision": optional.namespace_auto_provision,
    "NamespaceLifecycle": lambda parts: NamespaceLifecycle(parts.reader),
    "NamespaceExists": optional.namespace_exists,
    "LimitPodHardAntiAffinityTopology": optional.limit_pod_hard_anti_affinity_topology,
    "LimitRanger": lambda parts: LimitRanger(parts.reader),
    "ServiceAccount": lambda parts: ServiceAccount(parts.reader, parts.clock, parts.entropy),
    # Off by default upstream, and turned on by all that deploy it: ours is secure by default.
    "NodeRestriction": lambda parts: NodeRestriction(parts.reader, parts.authorizer),
    "TaintNodesByCondition": lambda parts: TaintNodesByCondition(),
    "AlwaysPullImages": optional.always_pull_images,
    "ImagePolicyWebhook": optional.image_policy_webhook,
    "PodSecurity": lambda parts: PodSecurity(parts.reader, pod_security_configuration.of(parts.documents.get("PodSecurity"))),
    "PodNodeSelector": optional.pod_node_selector,
    "Priority": lambda parts: Priority(parts.reader),
    "DefaultTolerationSeconds": lambda parts: DefaultTolerationSeconds(*parts.tolerations_s),
    "PodTolerationRestriction": optional.pod_toleration_restriction,
    "EventRateLimit": optional.event_rate_limit,
    "ExtendedResourceToleration": optional.extended_resource_toleration,
    "DefaultStorageClass": lambda parts: DefaultStorageClass(parts.reader),
    "StorageObjectInUseProtection": lambda parts: StorageObjectInUseProtection(),
    "OwnerReferencesPermissionEnforcement": optional.owner_references_permission_enforcement,
    "PersistentVolumeClaimResize": lambda parts: PersistentVolumeClaimResize(parts.reader),
    "RuntimeClass": lambda parts: RuntimeClass(parts.reader),
    "CertificateApproval": lambda parts: CertificateApproval(parts.authorizer),
    "CertificateSigning": lambda parts: CertificateSigning(parts.authorizer),
    "CertificateSubjectRestriction": lambda parts: CertificateSubjectRestriction(),
    "DefaultIngressClass": lambda parts: DefaultIngressClass(parts.reader),
    "DenyServiceExternalIPs": optional.deny_service_external_ips,
    "PodTopologyLabels": lambda parts: PodTopologyLabels(parts.reader),
    "PodResizeValidator": lambda parts: PodResizeValidator(parts.reader),
    "MutatingAdmissionPolicy": lambda parts: (
        MutatingAdmissionPolicy(parts.policies, parts.reader, parts.authorizer, parts.clock) if parts.policies else None
    ),
    "MutatingAdmissionWebhook": lambda parts: _calling(MutatingAdmissionWebhook, parts),
    "ValidatingAdmissionPolicy": lambda parts: (
        ValidatingAdmissionPolicy(parts.policies, parts.reader, parts.authorizer, parts.clock) if parts.policies else None
    ),
    "ValidatingAdmissionWebhook": lambda parts: _calling(ValidatingAdmissionWebhook, parts),
    "ResourceQuota": lambda parts: ResourceQuota(
        parts.reader, parts.writer, quota_limits.parse(parts.documents.get("ResourceQuota"))
    ),
    "AlwaysDeny": optional.always_deny,
}
OFF_BY_DEFAULT = frozenset((
    "AlwaysAdmit", "AlwaysDeny", "AlwaysPullImages", "DenyServiceExternalIPs", "EventRateLimit", "ExtendedResourceToleration",
    "ImagePolicyWebhook", "LimitPodHardAntiAffinityTopology", "NamespaceAutoProvision", "NamespaceExists",
    "OwnerReferencesPermissionEnforcement", "PodNodeSelector", "PodTolerationRestriction",
))  # fmt: skip
# On by default upstream, but without effect unless a feature is on that is off by default (an API that is not served, say).
IDLE = frozenset(("ClusterTrustBundleAttest", "JobValidation", "PodGroupWorkloadExists"))
# Not there yet: a server that is told to do without them does.
ABSENT = frozenset(("NodeDeclaredFeatureValidator",))


_Phase = Callable[[AdmissionRequest], Awaitable[None]]


class Chain:
    def __init__(self, plugins: Sequence[AdmissionPlugin]) -> None:
        self.plugins = tuple(plugins)
        self._phases: dict[Resource, tuple[Sequence[_Phase], Sequence[_Phase]]] = {}

    def _phases_of(self, resource: Resource) -> tuple[Sequence[_Phase], Sequence[_Phase]]:
        """Whom to ask, mutating and validating: most plugins have one phase, and few kinds that they look at."""
        found = self._phases.get(resource)
        if found is None:
            concerned = [plugin for plugin in self.plugins if plugin.resources is None or resource in plugin.resources]
            found = self._phases[resource] = (
                tuple(plugin.admit for plugin in concerned if type(plugin).admit is not AdmissionPlugin.admit),
                tuple(plugin.validate for plugin in concerned if type(plugin).validate is not AdmissionPlugin.validate),
            )
        return found

    async def close(self) -> None:
        """Let go of whatever plugins are connected to."""
        for plugin in self.plugins:
            await plugin.close()

    async def admit(self, request: AdmissionRequest) -> None:
        """Mutating phase, in order; the first refusal (`StatusError`) ends it. A second round if a plugin wants one."""
        mutating, _ = self._phases_of(request.resource)
        for admit in mutating:
            await admit(request)
        reinvocation = request.reinvocation
        if reinvocation is not None and reinvocation.wanted:
            reinvocation.active = True
            for admit in mutating:
                await admit(request)

    async def validate(self, request: AdmissionRequest) -> None:
        """Validating phase, on the final object."""
        for validate in self._phases_of(request.resource)[1]:
            await validate(request)


def build(
    reader: Reader,
    writer: Writer,
    *,
    authorizer: Authorizer,
    clock: Clock,
    entropy: Entropy,
    webhooks: Caller | None = None,
    policies: Policies | None = None,
    versions: Versions | None = None,
    tolerations_s: tuple[int, int] = (TOLERATION_S, TOLERATION_S),
    enable: Sequence[str] = (),
    disable: Sequence[str] = (),
    documents: Mapping[str, Object] | None = None,
) -> Chain:
    """The chain of a server: the plugins that are on by default, `enable`, and not `disable`, in the order of `PLUGINS`.

    `documents`: their configuration. Raises ValueError for a name that is no plugin (or, to enable, one that is not there yet),
    one that is in both lists, and a configuration that a plugin cannot follow.
    """
    refused = list(_problems(enable, disable))
    if refused:
        raise ValueError(aggregate(refused))
    parts = Parts(reader, writer, authorizer, clock, entropy, webhooks, policies, versions, tolerations_s, documents or {})
    made = []
    for name, make in PLUGINS.items():
        if name in disable or (name in OFF_BY_DEFAULT and name not in enable):
            continue
        try:
            plugin = make(parts)
        except ValueError as error:
            raise ValueError(f'failed to initialize admission: couldn\'t init admission plugin "{name}": {error}') from error
        if plugin is not None:
            made.append(plugin)
    return Chain(made)


def _calling(plugin: type[MutatingAdmissionWebhook | ValidatingAdmissionWebhook], parts: Parts) -> AdmissionPlugin | None:
    """The plugin, calling webhooks with the credentials that it is configured with. Raises ValueError."""
    caller, document = parts.webhooks, parts.documents.get(plugin.name)
    if caller is None:
        return None
    if document is not None:
        from pybernetes.apiserver.admission.webhooks import credentials

        caller = replace(caller, client=caller.client.presenting(credentials.read(document, parts.clock)))
    return plugin(parts.reader, caller)


def _problems(enable: Sequence[str], disable: Sequence[str]) -> Iterator[str]:
    for flag, names in (("enable", enable), ("disable", disable)):
        for name in names:
            if name not in PLUGINS and name not in IDLE and name not in ABSENT:
                yield f'{flag}-admission-plugins plugin "{name}" is unknown'
    for name in enable:
        if name in ABSENT:
            yield f'enable-admission-plugins plugin "{name}" is not there yet'
    both = sorted(set(enable) & set(disable))
    if both:
        listed = " ".join(both)
        yield f"[{listed}] in enable-admission-plugins and disable-admission-plugins overlapped"
