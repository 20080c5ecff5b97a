"""Plugins that are off by default: each is imported when it is turned on, and reads its own configuration then.

Each function makes one. Raises ValueError for a configuration that cannot be followed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pybernetes.apiserver.admission.interface import AdmissionPlugin

if TYPE_CHECKING:
    from pybernetes.apiserver.admission.parts import Parts


def always_admit(_: Parts) -> AdmissionPlugin:
    from pybernetes.apiserver.admission.always import AlwaysAdmit

    return AlwaysAdmit()


def always_deny(_: Parts) -> AdmissionPlugin:
    from pybernetes.apiserver.admission.always import AlwaysDeny

    return AlwaysDeny()


def always_pull_images(_: Parts) -> AdmissionPlugin:
    from pybernetes.apiserver.admission.always_pull_images import AlwaysPullImages

    return AlwaysPullImages()


def deny_service_external_ips(_: Parts) -> AdmissionPlugin:
    from pybernetes.apiserver.admission.deny_service_external_ips import DenyServiceExternalIPs

    return DenyServiceExternalIPs()


def event_rate_limit(parts: Parts) -> AdmissionPlugin:
    from pybernetes.apiserver.admission import event_rate_limit as module

    return module.EventRateLimit(module.parse(parts.documents.get("EventRateLimit")), parts.clock)


def extended_resource_toleration(_: Parts) -> AdmissionPlugin:
    from pybernetes.apiserver.admission.extended_resource_toleration import ExtendedResourceToleration

    return ExtendedResourceToleration()


def image_policy_webhook(parts: Parts) -> AdmissionPlugin:
    from pybernetes.apiserver.admission import image_policy_webhook as module

    configuration = module.parse(parts.documents.get("ImagePolicyWebhook"))
    remote = module.connect(configuration, parts.clock, parts.entropy)
    return module.ImagePolicyWebhook(configuration, remote, parts.clock)


def limit_pod_hard_anti_affinity_topology(_: Parts) -> AdmissionPlugin:
    from pybernetes.apiserver.admission.limit_pod_hard_anti_affinity_topology import LimitPodHardAntiAffinityTopology

    return LimitPodHardAntiAffinityTopology()


def namespace_auto_provision(parts: Parts) -> AdmissionPlugin:
    from pybernetes.apiserver.admission.namespace_presence import NamespaceAutoProvision

    return NamespaceAutoProvision(parts.reader, parts.writer)


def namespace_exists(parts: Parts) -> AdmissionPlugin:
    from pybernetes.apiserver.admission.namespace_presence import NamespaceExists

    return NamespaceExists(parts.reader)


def owner_references_permission_enforcement(parts: Parts) -> AdmissionPlugin:
    from pybernetes.apiserver.admission.owner_references_permission_enforcement import OwnerReferencesPermissionEnforcement

    return OwnerReferencesPermissionEnforcement(parts.authorizer, parts.versions)


def pod_node_selector(parts: Parts) -> AdmissionPlugin:
    from pybernetes.apiserver.admission import pod_node_selector as module

    return module.PodNodeSelector(parts.reader, module.parse(parts.documents.get("PodNodeSelector")))


def pod_toleration_restriction(parts: Parts) -> AdmissionPlugin:
    from pybernetes.apiserver.admission import pod_toleration_restriction as module

    return module.PodTolerationRestriction(parts.reader, module.parse(parts.documents.get("PodTolerationRestriction")))
