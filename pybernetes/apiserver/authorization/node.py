"""The Node authorizer: a kubelet may touch its own node, the pods bound to it, and what those pods refer to.

Upstream keeps a graph of all pods and what they mention. Here a question is answered from the objects themselves: the pod that
justified an answer is remembered and checked again first (two lookups); only where it is gone, or for a first question, are
the pods of the one namespace looked through.

Source: https://kubernetes.io/docs/reference/access-authn-authz/node/
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from pybernetes.apiserver.attributes import RequestInfo, User
from pybernetes.apiserver.authorization.interface import Decision, Rules, Verdict
from pybernetes.apiserver.authorization.rules import compiled
from pybernetes.apiserver.bootstrap.objects import cluster_role_rules
from pybernetes.apiserver.registry.strategy import Reader
from pybernetes.machinery import fields
from pybernetes.machinery.errors import BadRequest
from pybernetes.machinery.meta import Object, name_of
from pybernetes.machinery.resources import (
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    RESOURCE_SLICES,
    VOLUME_ATTACHMENTS,
)

NODES_GROUP = "system:nodes"
NODE_PREFIX = "system:node:"
NODE_LEASES = "kube-node-lease"
MIRROR_POD = "kubernetes.io/config.mirror"
REMEMBERED_MAX = 65_536

ALLOW = Verdict(Decision.ALLOW)
NO_OPINION = Verdict(Decision.NO_OPINION)

Reference: TypeAlias = tuple[str, str]  # (plural, name), in the pod's namespace


def node_identity(user: User) -> str | None:
    """The node that the user is: "" for a node without a name, None for who is no node."""
    if NODES_GROUP not in user.groups or not user.name.startswith(NODE_PREFIX):
        return None
    return user.name.removeprefix(NODE_PREFIX)


class NodeAuthorizer:
    """Answers for members of system:nodes; has no opinion on anyone else."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._uniform = tuple(compiled(rule) for rule in cluster_role_rules("system:node"))
        self._justified_by: dict[tuple[str, str, str, str], str] = {}  # (node, plural, namespace, name) -> pod
        self._special: dict[tuple[str, str], Callable[[str, RequestInfo], Verdict]] = {
            ("", "secrets"): self._read_in_namespace,
            ("", "configmaps"): self._read_in_namespace,
            ("", "persistentvolumeclaims"): self._claim,
            ("", "persistentvolumes"): self._get,
            ("", "serviceaccounts"): self._service_account,
            ("", "nodes"): self._node,
            ("", "pods"): self._pod,
            ("resource.k8s.io", "resourceclaims"): self._get,
            ("resource.k8s.io", "resourceslices"): self._resource_slice,
            ("storage.k8s.io", "volumeattachments"): self._get,
            ("storage.k8s.io", "csinodes"): self._csi_node,
            ("coordination.k8s.io", "leases"): self._lease,
        }

    async def authorize(self, user: User, info: RequestInfo) -> Verdict:
        node = node_identity(user)
        if node is None:
            return NO_OPINION
        if not node:
            return _no(f'unknown node for user "{user.name}"')
        special = self._special.get((info.group, info.resource)) if info.is_resource else None
        if special is not None:
            return special(node, info)
        if any(rule.allows_kind(info) and rule.allows_name(info.name) for rule in self._uniform):
            return ALLOW
        return NO_OPINION

    def rules_for(self, user: User, namespace: str) -> Rules:
        if node_identity(user) is None:
            return Rules(())
        return Rules((), incomplete=True, error="node authorizer does not support user rule resolution")

    # One method per kind of object.

    def _read_in_namespace(self, node: str, info: RequestInfo) -> Verdict:
        if info.verb not in ("get", "list", "watch"):
            return _no("can only read resources of this type")
        if info.subresource:
            return _no("cannot read subresource")
        if not info.namespace:
            return _no("can only read namespaced object of this type")
        return self._if_related(node, info)

    def _get(self, node: str, info: RequestInfo) -> Verdict:
        if info.verb != "get":
            return _no("can only get individual resources of this type")
        if info.subresource:
            return _no("cannot get subresource")
        return self._if_related(node, info)

    def _claim(self, node: str, info: RequestInfo) -> Verdict:
        if info.subresource != "status":
            return self._get(node, info)
        if info.verb not in ("update", "patch"):
            return _no("can only get/update/patch this type")
        return self._if_related(node, info)

    def _service_account(self, node: str, info: RequestInfo) -> Verdict:
        if info.verb == "get":  # for credential providers: KEP-4412
            return self._get(node, info)
        if info.verb != "create" or not info.name:
            return _no("can only create tokens for individual service accounts")
        if info.subresource != "token":
            return _no("can only create token subresource of serviceaccount")
        return self._if_related(node, info)

    def _lease(self, node: str, info: RequestInfo) -> Verdict:
        if info.verb not in ("get", "create", "update", "patch", "delete"):
            return _no("can only get, create, update, patch, or delete a node lease")
        if info.namespace != NODE_LEASES:
            return _no(f'can only access leases in the "{NODE_LEASES}" system namespace')
        # A create does not name its object here; NodeRestriction looks at it.
        if info.verb != "create" and info.name != node:
            return _no("can only access node lease with the same name as the requesting node")
        return ALLOW

    def _csi_node(self, node: str, info: RequestInfo) -> Verdict:
        if info.verb not in ("get", "create", "update", "patch", "delete"):
            return _no("can only get, create, update, patch, or delete a CSINode")
        if info.subresource:
            return _no("cannot authorize CSINode subresources")
        if info.verb != "create" and info.name != node:
            return _no("can only access CSINode with the same name as the requesting node")
        return ALLOW

    def _resource_slice(self, node: str, info: RequestInfo) -> Verdict:
        if info.subresource:
            return _no("cannot authorize ResourceSlice subresources")
        if info.verb == "create":
            return ALLOW  # NodeRestriction looks at spec.nodeName
        if info.verb in ("get", "update", "patch", "delete"):
            return self._if_related(node, info)
        if info.verb in ("list", "watch", "deletecollection"):
            if _selects(info.field_selector, "spec.nodeName", node):
                return ALLOW
            return _no("can only list/watch/deletecollection resourceslices with nodeName field selector")
        return _no(
            "only the following verbs are allowed for a ResourceSlice: "
            "get, watch, list, create, update, patch, delete, deletecollection"
        )

    def _node(self, node: str, info: RequestInfo) -> Verdict:
        # Whose node is created or updated is NodeRestriction's question.
        if info.subresource == "status" and info.verb in ("update", "patch"):
            return ALLOW
        if not info.subresource and info.verb in ("create", "update", "patch"):
            return ALLOW
        if not info.subresource and info.verb in ("get", "list", "watch"):
            if info.name == node:  # compared by name: a kubelet looks for its node before that exists
                return ALLOW
            if not info.name:
                return _no(f"node '{node}' cannot read all nodes, only its own Node object")
            return _no(f"node '{node}' cannot read '{info.name}', only its own Node object")
        return NO_OPINION

    def _pod(self, node: str, info: RequestInfo) -> Verdict:
        # Which pods are created, deleted, evicted or reported on is NodeRestriction's question.
        if (info.subresource, info.verb) in _POD_WRITES:
            return ALLOW
        if not info.subresource and info.verb == "get":
            return self._get(node, info)
        if not info.subresource and info.verb in ("list", "watch"):
            if _selects(info.field_selector, "spec.nodeName", node):
                return ALLOW
            if info.name:
                return self._if_related(node, info)
            return _no("can only list/watch pods with spec.nodeName field selector")
        return NO_OPINION

    # Relations between the node and an object.

    def _if_related(self, node: str, info: RequestInfo) -> Verdict:
        if not info.name:
            return _no("No Object name found")
        if self._related(node, info.resource, info.namespace, info.name):
            return ALLOW
        return _no(f"no relationship found between node '{node}' and this object")

    def _related(self, node: str, plural: str, namespace: str, name: str) -> bool:
        if plural == "pods":
            return self._bound_here(node, namespace, name) is not None
        if plural == "persistentvolumes":
            volume = self._reader.get(PERSISTENT_VOLUMES, "", name)
            return volume is not None and self._volume_used(node, volume)
        if plural == "volumeattachments":
            attachment = self._reader.get(VOLUME_ATTACHMENTS, "", name)
            return attachment is not None and attachment["spec"].get("nodeName") == node
        if plural == "resourceslices":
            resource_slice = self._reader.get(RESOURCE_SLICES, "", name)
            return resource_slice is not None and resource_slice["spec"].get("nodeName") == node
        if self._mentioned(node, plural, namespace, name):
            return True
        return plural == "secrets" and self._secret_of_volume(node, namespace, name)

    def _mentioned(self, node: str, plural: str, namespace: str, name: str) -> bool:
        """Does a pod of the node, in the object's namespace, mention it?"""
        question = (node, plural, namespace, name)
        known = self._justified_by.get(question)
        if known is not None:
            pod = self._bound_here(node, namespace, known)
            if pod is not None and _grants(pod, (plural, name)):
                return True
        for pod in self._reader.list(PODS, namespace):
            if pod["spec"].get("nodeName") == node and _grants(pod, (plural, name)):
                if len(self._justified_by) >= REMEMBERED_MAX:
                    self._justified_by.clear()
                self._justified_by[question] = name_of(pod)
                return True
        self._justified_by.pop(question, None)
        return False

    def _bound_here(self, node: str, namespace: str, name: str) -> Object | None:
        pod = self._reader.get(PODS, namespace, name)
        return pod if pod is not None and pod["spec"].get("nodeName") == node else None

    def _volume_used(self, node: str, volume: Object) -> bool:
        # The volume's word counts, as upstream has it: a kubelet may be there before the claim says so, too.
        claim = volume["spec"].get("claimRef")
        return bool(claim) and self._mentioned(node, PERSISTENT_VOLUME_CLAIMS.plural, claim["namespace"], claim["name"])

    def _secret_of_volume(self, node: str, namespace: str, name: str) -> bool:
        return any(
            (namespace, name) in volume_secrets(volume) and self._volume_used(node, volume)
            for volume in self._reader.list(PERSISTENT_VOLUMES)
        )


_POD_WRITES = {
    ("", "create"), ("", "delete"), ("status", "update"), ("status", "patch"), ("eviction", "create"),
}  # fmt: skip


def references(pod: Object) -> frozenset[Reference]:
    """All that the pod refers to by name, in its own namespace."""
    return frozenset(_references(pod))


def _grants(pod: Object, reference: Reference) -> bool:
    """Whether the pod's node may have what it refers to. Not of a mirror pod: those are made by their node, which must not be
    able to grant itself anything by what it writes into them."""
    return MIRROR_POD not in (pod["metadata"].get("annotations") or {}) and reference in references(pod)


def _references(pod: Object) -> Iterator[Reference]:
    spec = pod["spec"]
    if account := spec.get("serviceAccountName"):
        yield "serviceaccounts", account
    for secret in spec.get("imagePullSecrets") or ():
        yield "secrets", secret.get("name", "")
    for volume in spec.get("volumes") or ():
        yield from _volume_references(volume, name_of(pod))
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(field) or ():
            for source in container.get("envFrom") or ():
                yield from _key_references(source, "secretRef", "configMapRef")
            for variable in container.get("env") or ():
                yield from _key_references(variable.get("valueFrom") or {}, "secretKeyRef", "configMapKeyRef")
    statuses = {status["name"]: status for status in pod.get("status", {}).get("resourceClaimStatuses") or ()}
    for claim in spec.get("resourceClaims") or ():
        name = claim.get("resourceClaimName") or statuses.get(claim["name"], {}).get("resourceClaimName")
        if name:
            yield "resourceclaims", name
    if extended := pod.get("status", {}).get("extendedResourceClaimStatus"):
        yield "resourceclaims", extended.get("resourceClaimName", "")


# volume kind -> the field that names its secret
_SECRET_FIELDS = {
    "cephfs": "secretRef", "cinder": "secretRef", "flexVolume": "secretRef", "iscsi": "secretRef", "rbd": "secretRef",
    "scaleIO": "secretRef", "storageos": "secretRef", "csi": "nodePublishSecretRef",
}  # fmt: skip


def _volume_references(volume: Object, pod_name: str) -> Iterator[Reference]:
    if claim := volume.get("persistentVolumeClaim"):
        yield "persistentvolumeclaims", claim["claimName"]
    if "ephemeral" in volume:
        yield "persistentvolumeclaims", f"{pod_name}-{volume['name']}"
    if secret := volume.get("secret"):
        yield "secrets", secret.get("secretName", "")
    if azure := volume.get("azureFile"):
        yield "secrets", azure.get("secretName", "")
    for kind, field in _SECRET_FIELDS.items():
        if reference := (volume.get(kind) or {}).get(field):
            yield "secrets", reference.get("name", "")
    if config_map := volume.get("configMap"):
        yield "configmaps", config_map.get("name", "")
    for source in (volume.get("projected") or {}).get("sources") or ():
        yield from _key_references(source, "secret", "configMap")


def _key_references(source: Object, secret_field: str, config_map_field: str) -> Iterator[Reference]:
    if reference := source.get(secret_field):
        yield "secrets", reference.get("name", "")
    if reference := source.get(config_map_field):
        yield "configmaps", reference.get("name", "")


def volume_secrets(volume: Object) -> Iterator[tuple[str, str]]:
    """(namespace, name) of the secrets that mounting a PersistentVolume on a node needs."""
    spec = volume["spec"]
    home = (spec.get("claimRef") or {}).get("namespace", "")
    if azure := spec.get("azureFile"):
        yield azure.get("secretNamespace") or home, azure.get("secretName", "")
    for kind, field in _SECRET_FIELDS.items():
        if reference := (spec.get(kind) or {}).get(field):
            yield reference.get("namespace") or home, reference.get("name", "")
    for field in ("nodeStageSecretRef", "nodeExpandSecretRef"):
        if reference := (spec.get("csi") or {}).get(field):
            yield reference.get("namespace") or home, reference.get("name", "")


def _selects(field_selector: str, field: str, value: str) -> bool:
    """Does the raw selector demand `field` to be `value` (whatever else it demands)? What does not parse demands nothing."""
    try:
        demanded = fields.parse(field_selector).requirements
    except BadRequest:
        return False
    return fields.Requirement(field, "=", value) in demanded


def _no(reason: str) -> Verdict:
    return Verdict(Decision.NO_OPINION, reason)
