"""The smallest object of each kind that is valid, without its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pybernetes.machinery import resources as api
from pybernetes.machinery.meta import Object, Resource

CONTAINERS = {"containers": [{"name": "c", "image": "example.com/image"}]}
LABELLED = {"metadata": {"labels": {"app": "a"}}}
SELECTOR = {"matchLabels": {"app": "a"}}
TEMPLATE = {**LABELLED, "spec": CONTAINERS}
ONCE = {"spec": {**CONTAINERS, "restartPolicy": "Never"}}
HOOK = {
    "name": "hook.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"],
    "clientConfig": {"url": "https://127.0.0.1:1"}, "rules": [], "failurePolicy": "Ignore",
}  # fmt: skip
MATCHES = {
    "resourceRules": [{"apiGroups": ["example.com"], "apiVersions": ["v1"], "resources": ["none"], "operations": ["CREATE"]}]
}
MUTATION = {"patchType": "JSONPatch", "jsonPatch": {"expression": "[]"}}
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
VERSION = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
ROLE = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
SCALED = {"maxReplicas": 2, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}}
REQUEST = {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "c.example.com"}}]}}

_SPECS: Mapping[Resource, Any] = {
    api.VALIDATING_ADMISSION_POLICIES: {"matchConstraints": MATCHES, "validations": [{"expression": "true"}]},
    api.VALIDATING_ADMISSION_POLICY_BINDINGS: {"policyName": "p", "validationActions": ["Deny"]},
    api.MUTATING_ADMISSION_POLICIES: {"matchConstraints": MATCHES, "mutations": [MUTATION], "reinvocationPolicy": "Never"},
    api.MUTATING_ADMISSION_POLICY_BINDINGS: {"policyName": "p"},
    api.DAEMON_SETS: {"selector": SELECTOR, "template": TEMPLATE},
    api.DEPLOYMENTS: {"selector": SELECTOR, "template": TEMPLATE},
    api.REPLICA_SETS: {"selector": SELECTOR, "template": TEMPLATE},
    api.STATEFUL_SETS: {"selector": SELECTOR, "template": TEMPLATE, "serviceName": "s"},
    api.JOBS: {"template": ONCE},
    api.CRON_JOBS: {"schedule": "@daily", "jobTemplate": {"spec": {"template": ONCE}}},
    api.LEASES: {},
    api.INGRESS_CLASSES: {"controller": "example.com/c"},
    api.INGRESSES: {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}},
    api.NETWORK_POLICIES: {"podSelector": {}},
    api.POD_DISRUPTION_BUDGETS: {"minAvailable": 1, "selector": SELECTOR},
    api.PODS: CONTAINERS,
    api.PERSISTENT_VOLUME_CLAIMS: CLAIM,
    api.PERSISTENT_VOLUMES: {
        "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/data"}
    },
    api.REPLICATION_CONTROLLERS: {"selector": {"app": "a"}, "template": TEMPLATE},
    api.RESOURCE_QUOTAS: {"hard": {"secrets": "100"}},
    api.LIMIT_RANGES: {"limits": [{"type": "Container", "max": {"cpu": "2"}}]},
    api.SERVICES: {"ports": [{"port": 80}]},
}  # fmt: skip
_OTHERS: Mapping[tuple[str, str], Object] = {
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"): {"webhooks": [HOOK]},
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations"): {"webhooks": [HOOK]},
    ("apiregistration.k8s.io", "apiservices"): {
        "spec": {"group": "example.org", "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 15,
                 "service": {"namespace": "default", "name": "s"}, "insecureSkipTLSVerify": True}},
    ("apps", "controllerrevisions"): {"revision": 1, "data": {}},
    ("autoscaling", "horizontalpodautoscalers"): {"spec": SCALED},
    ("discovery.k8s.io", "endpointslices"): {"addressType": "IPv4", "endpoints": []},
    ("flowcontrol.apiserver.k8s.io", "flowschemas"): {
        "spec": {"priorityLevelConfiguration": {"name": "exempt"}, "matchingPrecedence": 9999}},
    ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations"): {
        "spec": {"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}}},
    ("networking.k8s.io", "servicecidrs"): {"spec": {"cidrs": ["10.250.0.0/24"]}},
    ("networking.k8s.io", "ipaddresses"): {
        "spec": {"parentRef": {"resource": "services", "namespace": "default", "name": "s"}}},
    ("node.k8s.io", "runtimeclasses"): {"handler": "h"},
    ("rbac.authorization.k8s.io", "clusterrolebindings"): {"roleRef": ROLE, "subjects": []},
    ("rbac.authorization.k8s.io", "rolebindings"): {"roleRef": ROLE, "subjects": []},
    ("resource.k8s.io", "deviceclasses"): {"spec": {}},
    ("resource.k8s.io", "resourceclaims"): {"spec": REQUEST},
    ("resource.k8s.io", "resourceclaimtemplates"): {"spec": {"spec": REQUEST}},
    ("resource.k8s.io", "resourceslices"): {
        "spec": {"driver": "d.example.com", "pool": {"name": "p", "resourceSliceCount": 1}, "allNodes": True}},
    ("scheduling.k8s.io", "priorityclasses"): {"value": 1},
    ("storage.k8s.io", "csidrivers"): {"spec": {}},
    ("storage.k8s.io", "csinodes"): {"spec": {"drivers": []}},
    ("storage.k8s.io", "csistoragecapacities"): {"storageClassName": "s"},
    ("storage.k8s.io", "storageclasses"): {"provisioner": "example.com/p"},
    ("storage.k8s.io", "volumeattachments"): {
        "spec": {"attacher": "a", "nodeName": "n", "source": {"persistentVolumeName": "v"}}},
    ("storage.k8s.io", "volumeattributesclasses"): {"driverName": "d.example.com", "parameters": {"a": "b"}},
    ("", "podtemplates"): {"template": TEMPLATE},
    ("events.k8s.io", "events"): {
        "eventTime": "2026-01-02T03:04:05.000006Z", "reportingController": "c", "reportingInstance": "i", "action": "A",
        "reason": "R", "type": "Normal", "regarding": {"namespace": "default"}},
    ("", "events"): {"involvedObject": {"namespace": "default"}},
}  # fmt: skip
# Names that carry a meaning.
_NAMES: Mapping[tuple[str, str], str] = {
    ("apiextensions.k8s.io", "customresourcedefinitions"): "things.example.com",
    ("apiregistration.k8s.io", "apiservices"): "v1.example.org",
    ("networking.k8s.io", "ipaddresses"): "192.0.2.{}",
}


def name(resource: Resource, number: int) -> str:
    """Another one for each number, where there may be several."""
    return _NAMES.get((resource.group, resource.plural), "one-{}").format(number)


def is_single(resource: Resource) -> bool:
    """Whether the smallest object says its name itself, so that there cannot be two."""
    return "{}" not in _NAMES.get((resource.group, resource.plural), "{}")


def smallest(resource: Resource, number: int = 1) -> Object:
    made: Object = {"metadata": {"name": name(resource, number), "labels": {"lifecycle": "yes"}}}
    if resource is api.CUSTOM_RESOURCE_DEFINITIONS:
        names = {"plural": "things", "kind": "Thing", "listKind": "ThingList", "singular": "thing"}
        return {**made, "spec": {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [VERSION]}}
    if resource in _SPECS:
        return {**made, "spec": _SPECS[resource]}
    return {**made, **_OTHERS.get((resource.group, resource.plural), {})}
