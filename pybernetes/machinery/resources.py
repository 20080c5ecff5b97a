"""The built-in resources of the API version that we serve, as upstream's discovery describes them.

Each has a constant named as its plural (`PODS`, `ENDPOINT_SLICES`); a version that is not the group's preferred one is marked
(`HORIZONTAL_POD_AUTOSCALERS_V1`), and so are the two Events. The facts come from `facts/resources.json`
(`tools/generate_facts.py`); the constants are written out so that type checkers and readers see them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import orjson

from pybernetes.machinery.meta import GroupVersionKind, Resource, parse_api_version


@dataclass(frozen=True, slots=True)
class Subresource:
    """What is served below an object: `gvk` is what is read and written there (`Scale` for `deployments/scale`)."""

    name: str
    gvk: GroupVersionKind
    verbs: frozenset[str]


@dataclass(frozen=True, slots=True)
class Group:
    """A named API group; `versions` in order of preference."""

    name: str
    versions: tuple[str, ...]


_FACTS: Final[dict[str, Any]] = orjson.loads((Path(__file__).parent / "facts" / "resources.json").read_bytes())
_VERBS: Final = [frozenset(verbs) for verbs in _FACTS["verbs"]]


def _rows() -> Iterator[tuple[Resource, dict[str, Subresource], str]]:
    for api_version, rows in _FACTS["resources"].items():
        group, version = parse_api_version(api_version)
        for plural, singular, kind, namespaced, verbs, short_names, categories, storage_hash, subresources in rows:
            resource = Resource(
                group=group, version=version, plural=plural, kind=kind, namespaced=namespaced, singular=singular,
                short_names=tuple(short_names), categories=tuple(categories), verbs=_VERBS[verbs],
            )  # fmt: skip
            below = {
                name: Subresource(name, GroupVersionKind(sub_group, sub_version, sub_kind)
                                  if sub_version else GroupVersionKind(group, version, sub_kind), _VERBS[sub_verbs])
                for name, sub_group, sub_version, sub_kind, sub_verbs in subresources
            }  # fmt: skip
            yield resource, below, storage_hash


_ROWS: Final = tuple(_rows())
_BY_PLURAL: Final = {(resource.api_version, resource.plural): resource for resource, _, _ in _ROWS}

# In the order of upstream's discovery documents.
BUILTIN: Final[tuple[Resource, ...]] = tuple(resource for resource, _, _ in _ROWS)
# Every built-in has an entry, most of them empty.
SUBRESOURCES: Final[Mapping[Resource, Mapping[str, Subresource]]] = MappingProxyType(
    {resource: MappingProxyType(below) for resource, below, _ in _ROWS}
)
# Opaque to clients, which compare it to notice that a resource's storage version changed; "" where nothing is stored.
STORAGE_VERSION_HASHES: Final[Mapping[Resource, str]] = MappingProxyType({resource: text for resource, _, text in _ROWS})
# The named groups, in the order of upstream's `/apis`; the core group is not among them.
GROUPS: Final[tuple[Group, ...]] = tuple(Group(name, tuple(versions)) for name, *versions in _FACTS["groups"])


def builtin(api_version: str, plural: str) -> Resource:
    """The built-in resource of that apiVersion and plural. Raises KeyError."""
    return _BY_PLURAL[api_version, plural]


def find(group: str, version: str, plural: str) -> Resource | None:
    """As `builtin`, for names that come from outside: None if there is no such resource."""
    return _BY_PLURAL.get((f"{group}/{version}" if group else version, plural))


BINDINGS = builtin("v1", "bindings")
COMPONENT_STATUSES = builtin("v1", "componentstatuses")
CONFIG_MAPS = builtin("v1", "configmaps")
ENDPOINTS = builtin("v1", "endpoints")
EVENTS = builtin("v1", "events")
LIMIT_RANGES = builtin("v1", "limitranges")
NAMESPACES = builtin("v1", "namespaces")
NODES = builtin("v1", "nodes")
PERSISTENT_VOLUME_CLAIMS = builtin("v1", "persistentvolumeclaims")
PERSISTENT_VOLUMES = builtin("v1", "persistentvolumes")
PODS = builtin("v1", "pods")
POD_TEMPLATES = builtin("v1", "podtemplates")
REPLICATION_CONTROLLERS = builtin("v1", "replicationcontrollers")
RESOURCE_QUOTAS = builtin("v1", "resourcequotas")
SECRETS = builtin("v1", "secrets")
SERVICE_ACCOUNTS = builtin("v1", "serviceaccounts")
SERVICES = builtin("v1", "services")

MUTATING_ADMISSION_POLICIES = builtin("admissionregistration.k8s.io/v1", "mutatingadmissionpolicies")
MUTATING_ADMISSION_POLICY_BINDINGS = builtin("admissionregistration.k8s.io/v1", "mutatingadmissionpolicybindings")
MUTATING_WEBHOOK_CONFIGURATIONS = builtin("admissionregistration.k8s.io/v1", "mutatingwebhookconfigurations")
VALIDATING_ADMISSION_POLICIES = builtin("admissionregistration.k8s.io/v1", "validatingadmissionpolicies")
VALIDATING_ADMISSION_POLICY_BINDINGS = builtin("admissionregistration.k8s.io/v1", "validatingadmissionpolicybindings")
VALIDATING_WEBHOOK_CONFIGURATIONS = builtin("admissionregistration.k8s.io/v1", "validatingwebhookconfigurations")

CUSTOM_RESOURCE_DEFINITIONS = builtin("apiextensions.k8s.io/v1", "customresourcedefinitions")

API_SERVICES = builtin("apiregistration.k8s.io/v1", "apiservices")

CONTROLLER_REVISIONS = builtin("apps/v1", "controllerrevisions")
DAEMON_SETS = builtin("apps/v1", "daemonsets")
DEPLOYMENTS = builtin("apps/v1", "deployments")
REPLICA_SETS = builtin("apps/v1", "replicasets")
STATEFUL_SETS = builtin("apps/v1", "statefulsets")

SELF_SUBJECT_REVIEWS = builtin("authentication.k8s.io/v1", "selfsubjectreviews")
TOKEN_REVIEWS = builtin("authentication.k8s.io/v1", "tokenreviews")

LOCAL_SUBJECT_ACCESS_REVIEWS = builtin("authorization.k8s.io/v1", "localsubjectaccessreviews")
SELF_SUBJECT_ACCESS_REVIEWS = builtin("authorization.k8s.io/v1", "selfsubjectaccessreviews")
SELF_SUBJECT_RULES_REVIEWS = builtin("authorization.k8s.io/v1", "selfsubjectrulesreviews")
SUBJECT_ACCESS_REVIEWS = builtin("authorization.k8s.io/v1", "subjectaccessreviews")

HORIZONTAL_POD_AUTOSCALERS_V1 = builtin("autoscaling/v1", "horizontalpodautoscalers")

HORIZONTAL_POD_AUTOSCALERS = builtin("autoscaling/v2", "horizontalpodautoscalers")

CRON_JOBS = builtin("batch/v1", "cronjobs")
JOBS = builtin("batch/v1", "jobs")

CERTIFICATE_SIGNING_REQUESTS = builtin("certificates.k8s.io/v1", "certificatesigningrequests")

LEASES = builtin("coordination.k8s.io/v1", "leases")

ENDPOINT_SLICES = builtin("discovery.k8s.io/v1", "endpointslices")

EVENTS_K8S_IO = builtin("events.k8s.io/v1", "events")

FLOW_SCHEMAS = builtin("flowcontrol.apiserver.k8s.io/v1", "flowschemas")
PRIORITY_LEVEL_CONFIGURATIONS = builtin("flowcontrol.apiserver.k8s.io/v1", "prioritylevelconfigurations")

INGRESS_CLASSES = builtin("networking.k8s.io/v1", "ingressclasses")
INGRESSES = builtin("networking.k8s.io/v1", "ingresses")
IP_ADDRESSES = builtin("networking.k8s.io/v1", "ipaddresses")
NETWORK_POLICIES = builtin("networking.k8s.io/v1", "networkpolicies")
SERVICE_CIDRS = builtin("networking.k8s.io/v1", "servicecidrs")

RUNTIME_CLASSES = builtin("node.k8s.io/v1", "runtimeclasses")

POD_DISRUPTION_BUDGETS = builtin("policy/v1", "poddisruptionbudgets")

CLUSTER_ROLE_BINDINGS = builtin("rbac.authorization.k8s.io/v1", "clusterrolebindings")
CLUSTER_ROLES = builtin("rbac.authorization.k8s.io/v1", "clusterroles")
ROLE_BINDINGS = builtin("rbac.authorization.k8s.io/v1", "rolebindings")
ROLES = builtin("rbac.authorization.k8s.io/v1", "roles")

DEVICE_CLASSES = builtin("resource.k8s.io/v1", "deviceclasses")
RESOURCE_CLAIMS = builtin("resource.k8s.io/v1", "resourceclaims")
RESOURCE_CLAIM_TEMPLATES = builtin("resource.k8s.io/v1", "resourceclaimtemplates")
RESOURCE_SLICES = builtin("resource.k8s.io/v1", "resourceslices")

PRIORITY_CLASSES = builtin("scheduling.k8s.io/v1", "priorityclasses")

CSI_DRIVERS = builtin("storage.k8s.io/v1", "csidrivers")
CSI_NODES = builtin("storage.k8s.io/v1", "csinodes")
CSI_STORAGE_CAPACITIES = builtin("storage.k8s.io/v1", "csistoragecapacities")
STORAGE_CLASSES = builtin("storage.k8s.io/v1", "storageclasses")
VOLUME_ATTACHMENTS = builtin("storage.k8s.io/v1", "volumeattachments")
VOLUME_ATTRIBUTES_CLASSES = builtin("storage.k8s.io/v1", "volumeattributesclasses")
