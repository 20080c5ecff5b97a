"""The objects themselves, built from the tables beside this file (`tools/generate_bootstrap.py` writes them).

`upstream_objects` is what upstream's API server makes of a new cluster, to the letter; `addon_objects` is what a cluster of
ours needs besides, as kubeadm adds it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from pybernetes.machinery.meta import Object, Resource, split_key
from pybernetes.machinery.resources import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    FLOW_SCHEMAS,
    NAMESPACES,
    PRIORITY_CLASSES,
    PRIORITY_LEVEL_CONFIGURATIONS,
    ROLE_BINDINGS,
    ROLES,
    SERVICE_CIDRS,
)

RBAC_GROUP = "rbac.authorization.k8s.io"
AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"
FLOW_AUTOUPDATE = "apf.kubernetes.io/autoupdate-spec"
BOOTSTRAPPING = {"kubernetes.io/bootstrapping": "rbac-defaults"}
AGGREGATE = "rbac.authorization.k8s.io/aggregate-to-"


def _table(name: str) -> dict[str, Any]:
    """Read anew each time: what is built from it belongs to the caller, who may alter it."""
    table: dict[str, Any] = orjson.loads((Path(__file__).parent / f"{name}.json").read_bytes())
    return table


def upstream_objects(service_cidrs: Sequence[str]) -> list[tuple[Resource, Object]]:
    """All objects of a new cluster, namespaces first. Each call makes new ones."""
    return [*system_objects(service_cidrs), *rbac_objects(), *flow_control_objects()]


def system_objects(service_cidrs: Sequence[str]) -> Iterator[tuple[Resource, Object]]:
    for name in _table("system")["namespaces"]:
        labels = {"kubernetes.io/metadata.name": name}
        yield NAMESPACES, made(NAMESPACES, {"name": name, "labels": labels}, spec={"finalizers": ["kubernetes"]})
    for name, fields in _table("system")["priorityClasses"].items():
        yield PRIORITY_CLASSES, made(PRIORITY_CLASSES, {"name": name}, **fields)
    yield SERVICE_CIDRS, made(SERVICE_CIDRS, {"name": "kubernetes"}, spec={"cidrs": list(service_cidrs)})


def flow_control_objects() -> Iterator[tuple[Resource, Object]]:
    for resource, section in ((PRIORITY_LEVEL_CONFIGURATIONS, "priorityLevelConfigurations"), (FLOW_SCHEMAS, "flowSchemas")):
        for name, spec in _table("flow_control")[section].items():
            yield resource, made(resource, {"name": name, "annotations": {FLOW_AUTOUPDATE: "true"}}, spec=spec)


def rbac_objects() -> Iterator[tuple[Resource, Object]]:
    table = _table("rbac")
    for name, row in table["clusterRoles"].items():
        metadata = rbac_metadata("", name)
        metadata["labels"].update({AGGREGATE + target: "true" for target in row.get("feeds", ())})
        role = made(CLUSTER_ROLES, metadata, rules=rules_of(table["clusterRoles"], name))
        if "gathers" in row:
            selectors = [{"matchLabels": {AGGREGATE + target: "true"}} for target in row["gathers"]]
            role["aggregationRule"] = {"clusterRoleSelectors": selectors}
        yield CLUSTER_ROLES, role
    for name, row in table["clusterRoleBindings"].items():
        yield CLUSTER_ROLE_BINDINGS, binding(CLUSTER_ROLE_BINDINGS, rbac_metadata("", name), *row)
    for key, row in table["roles"].items():
        yield ROLES, made(ROLES, rbac_metadata(*split_key(key)), rules=[rule(fields) for fields in row["rules"]])
    for key, row in table["roleBindings"].items():
        yield ROLE_BINDINGS, binding(ROLE_BINDINGS, rbac_metadata(*split_key(key)), *row)


def cluster_role_rules(name: str) -> list[Object]:
    """The rules of a default ClusterRole. Raises KeyError."""
    return rules_of(_table("rbac")["clusterRoles"], name)


def rules_of(roles: Mapping[str, Any], name: str) -> list[Object]:
    """A role's rules; an aggregated role's are those of the roles that feed it, by name, without repeats (as the controller
    would gather them: done here so that admin, edit and view mean something from the first request on)."""
    row = roles[name]
    if "gathers" not in row:
        return [rule(fields) for fields in row["rules"]]
    gathered: list[Object] = []
    for feeder in sorted(roles):
        if set(row["gathers"]) & set(roles[feeder].get("feeds", ())):
            gathered += [found for found in rules_of(roles, feeder) if found not in gathered]
    return gathered


def rule(row: Sequence[list[str]]) -> Object:
    if len(row) == 2:
        return {"verbs": row[0], "nonResourceURLs": row[1]}
    verbs, groups, resources, *names = row
    policy: Object = {"verbs": verbs, "apiGroups": groups, "resources": resources}
    if names:
        policy["resourceNames"] = names[0]
    return policy


def rbac_metadata(namespace: str, name: str) -> Object:
    metadata: Object = {"name": name, "annotations": {AUTOUPDATE: "true"}, "labels": dict(BOOTSTRAPPING)}
    if namespace:
        metadata["namespace"] = namespace
    return metadata


def binding(resource: Resource, metadata: Object, role_kind: str, role: str, subjects: Sequence[Sequence[str]]) -> Object:
    bound = made(resource, metadata, roleRef={"apiGroup": RBAC_GROUP, "kind": role_kind, "name": role})
    if subjects:
        bound["subjects"] = [subject(*row) for row in subjects]
    return bound


def subject(kind: str, name: str, namespace: str = "") -> Object:
    if kind == "ServiceAccount":
        return {"kind": kind, "name": name, "namespace": namespace}
    return {"apiGroup": RBAC_GROUP, "kind": kind, "name": name}


def made(resource: Resource, metadata: Object, **fields: Any) -> Object:
    return {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata, **fields}


# What our clusters bind besides upstream's defaults: [name, role, subject].
_ADDON_BINDINGS = (
    # As kubeadm: a bootstrap token may ask for a node's client certificate, gets it without an administrator's approval,
    # and the node renews it itself.
    ("pybernetes:kubelet-bootstrap", "system:node-bootstrapper", ("Group", "system:bootstrappers")),
    (
        "pybernetes:node-autoapprove-bootstrap",
        "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
        ("Group", "system:bootstrappers"),
    ),
    (
        "pybernetes:node-autoapprove-certificate-rotation",
        "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
        ("Group", "system:nodes"),
    ),
    ("pybernetes:apiserver-kubelet-client", "system:kubelet-api-admin", ("User", "kube-apiserver-kubelet-client")),
    ("system:pyb-dns", "system:pyb-dns", ("User", "system:pyb-dns")),
    ("pybernetes:kube-controller-manager", "pybernetes:kube-controller-manager", ("User", "system:kube-controller-manager")),
)
_DNS_RULES = (
    (["list", "watch"], ["discovery.k8s.io"], ["endpointslices"]),
    (["get", "list", "watch"], [""], ["namespaces", "nodes", "pods", "services"]),
)


def addon_objects() -> list[tuple[Resource, Object]]:
    roles = _table("rbac")["clusterRoles"]
    controllers: list[Object] = []
    for name in roles:
        if name.startswith("system:controller:"):
            controllers += [found for found in rules_of(roles, name) if found not in controllers]
    return [
        (CLUSTER_ROLES, made(CLUSTER_ROLES, rbac_metadata("", "system:pyb-dns"), rules=[rule(row) for row in _DNS_RULES])),
        # All our controllers use one identity, where upstream's use a service account each.
        (CLUSTER_ROLES, made(CLUSTER_ROLES, rbac_metadata("", "pybernetes:kube-controller-manager"), rules=controllers)),
        *(
            (CLUSTER_ROLE_BINDINGS, binding(CLUSTER_ROLE_BINDINGS, rbac_metadata("", name), "ClusterRole", role, [who]))
            for name, role, who in _ADDON_BINDINGS
        ),
    ]
