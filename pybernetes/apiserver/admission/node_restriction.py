"""NodeRestriction: a kubelet writes its own node, and the pods bound to it, and nothing of other nodes.

The Node authorizer has let the request through by its target; what the object says is judged here.
Source: https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#noderestriction
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from pybernetes.apiserver.admission.interface import AdmissionPlugin, AdmissionRequest, Operation
from pybernetes.apiserver.admission.refusals import refusal
from pybernetes.apiserver.attributes import RequestInfo
from pybernetes.apiserver.authorization.interface import Authorizer, Decision
from pybernetes.apiserver.authorization.node import NODE_LEASES, node_identity, references
from pybernetes.apiserver.registry.strategy import Reader
from pybernetes.machinery import errors
from pybernetes.machinery.meta import Object, annotations_of, labels_of, name_of, uid_of
from pybernetes.machinery.resources import (
    CSI_DRIVERS,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    SERVICE_ACCOUNTS,
)

MIRROR = "kubernetes.io/config.mirror"
RESTRICTION = "node-restriction.kubernetes.io"
# The kubernetes.io and k8s.io labels that a kubelet may set on its node.
KUBELET_LABELS = frozenset((
    "kubernetes.io/hostname", "kubernetes.io/arch", "kubernetes.io/os", "beta.kubernetes.io/arch", "beta.kubernetes.io/os",
    "beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type",
    "failure-domain.beta.kubernetes.io/region", "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.kubernetes.io/region", "failure-domain.kubernetes.io/zone",
    "topology.kubernetes.io/region", "topology.kubernetes.io/zone",
))  # fmt: skip
KUBELET_LABEL_DOMAINS = ("kubelet.kubernetes.io", "node.kubernetes.io")


class NodeRestriction(AdmissionPlugin):
    name = "NodeRestriction"

    def __init__(self, reader: Reader, authorizer: Authorizer) -> None:
        self._reader = reader
        self._authorizer = authorizer
        self._checks: Mapping[tuple[str, str], Callable[[str, AdmissionRequest], None]] = {
            ("", "pods"): self._pod,
            ("", "nodes"): _node,
            ("", "persistentvolumeclaims"): _claim,
            ("", "serviceaccounts"): self._token_request,
            ("coordination.k8s.io", "leases"): _lease,
            ("storage.k8s.io", "csinodes"): _csi_node,
            ("resource.k8s.io", "resourceslices"): _resource_slice,
        }

    async def admit(self, request: AdmissionRequest) -> None:
        node = node_identity(request.user)
        if node is None or request.operation is Operation.CONNECT:
            return
        if not node:
            raise refusal(request, f'could not determine node from user "{request.user.name}"')
        check = self._checks.get((request.resource.group, request.resource.plural))
        if check is not None:
            check(node, request)
        if request.resource == SERVICE_ACCOUNTS and request.subresource == "token":
            await self._audience(request)

    def _pod(self, node: str, request: AdmissionRequest) -> None:
        if request.subresource == "status":
            _pod_status(node, request)
        elif request.subresource == "eviction":
            self._eviction(node, request)
        elif request.subresource:
            problem = f"unexpected pod subresource \"{request.subresource}\", only 'status' and 'eviction' are allowed"
            raise refusal(request, problem)
        elif request.operation is Operation.CREATE:
            self._new_pod(node, request)
        elif request.operation is Operation.DELETE:
            if self._existing_pod(request, request.name)["spec"].get("nodeName") != node:
                raise refusal(request, f'node "{node}" can only delete pods with spec.nodeName set to itself')
        else:
            operation = f'unexpected operation "{request.operation}"'
            raise refusal(request, f'{operation}, node "{node}" can only create and delete mirror pods')

    def _new_pod(self, node: str, request: AdmissionRequest) -> None:
        pod = request.object or {}
        if MIRROR not in annotations_of(pod):
            raise refusal(request, f'pod does not have "{MIRROR}" annotation, node "{node}" can only create mirror pods')
        if pod["spec"].get("nodeName") != node:
            raise refusal(request, f'node "{node}" can only create pods with spec.nodeName set to itself')
        self._owner(node, request, pod["metadata"].get("ownerReferences") or [])
        mentioned = {plural for plural, _ in references(pod)}
        for plural, shown in (
            ("serviceaccounts", "a service account"),
            ("secrets", "secrets"),
            ("configmaps", "configmaps"),
            ("persistentvolumeclaims", "persistentvolumeclaims"),
            ("resourceclaims", "resourceclaims"),
        ):
            if plural in mentioned:
                raise refusal(request, f'node "{node}" can not create pods that reference {shown}')
        for volume in pod["spec"].get("volumes") or ():
            for source in (volume.get("projected") or {}).get("sources") or ():
                if "clusterTrustBundle" in source:
                    raise refusal(request, f'node "{node}" can not create pods that reference clustertrustbundles')

    def _owner(self, node: str, request: AdmissionRequest, owners: list[Object]) -> None:
        if len(owners) > 1:
            raise refusal(request, f'node "{node}" can only create pods with a single owner reference set to itself')
        owner = owners[0] if owners else {}
        if (owner.get("apiVersion"), owner.get("kind"), owner.get("name")) != ("v1", "Node", node):
            raise refusal(request, f'node "{node}" can only create pods with an owner reference set to itself')
        if not owner.get("controller"):
            raise refusal(request, f'node "{node}" can only create pods with a controller owner reference set to itself')
        if owner.get("blockOwnerDeletion"):
            raise refusal(request, f'node "{node}" must not set blockOwnerDeletion on an owner reference')
        found = self._reader.get(NODES, "", node)
        if found is None:
            raise errors.not_found("", NODES.plural, node)
        if owner.get("uid") != uid_of(found):
            raise refusal(request, f"node {node} UID mismatch: expected {owner.get('uid', '')} got {uid_of(found)}")

    def _existing_pod(self, request: AdmissionRequest, name: str) -> Object:
        pod = self._reader.get(PODS, request.namespace, name)
        if pod is None:
            raise errors.not_found("", PODS.plural, name)
        return pod

    def _eviction(self, node: str, request: AdmissionRequest) -> None:
        name = request.name or name_of(request.object or {"metadata": {}})
        if not name:
            raise refusal(request, "could not determine pod from request data")
        if self._existing_pod(request, name)["spec"].get("nodeName") != node:
            raise refusal(request, f"node {node} can only evict pods with spec.nodeName set to itself")

    def _token_request(self, node: str, request: AdmissionRequest) -> None:
        """A node asks for tokens of its pods only, bound to them, so that they die with them."""
        if request.operation is not Operation.CREATE or request.subresource != "token":
            return
        reference = ((request.object or {}).get("spec") or {}).get("boundObjectRef") or {}
        if (reference.get("apiVersion"), reference.get("kind")) != ("v1", "Pod") or not reference.get("name"):
            raise refusal(request, "node requested token not bound to a pod")
        uid = reference.get("uid", "")
        if not uid:
            raise refusal(request, "node requested token with a pod binding without a uid")
        pod = self._existing_pod(request, reference["name"])
        if uid != uid_of(pod):
            raise refusal(
                request,
                f"the UID in the bound object reference ({uid}) does not match the UID in record. "
                "The object might have been deleted and then recreated",
            )
        if pod["spec"].get("nodeName") != node:
            raise refusal(request, "node requested token bound to a pod scheduled on a different node")

    async def _audience(self, request: AdmissionRequest) -> None:
        """Tokens for others than the API server only as the pod's volumes ask for them (KEP-4412)."""
        spec = (request.object or {}).get("spec") or {}
        audiences = spec.get("audiences") or [""]
        if len(audiences) > 1:
            raise refusal(request, "node may only request 0 or 1 audiences")
        pod = self._existing_pod(request, spec["boundObjectRef"]["name"])
        if audiences[0] in self._audiences(pod):
            return
        info = RequestInfo(
            verb="request-serviceaccounts-token-audience", path="", is_resource=True, version="v1", resource=audiences[0],
            namespace=request.namespace, name=request.name,
        )  # fmt: skip
        if (await self._authorizer.authorize(request.user, info)).decision is not Decision.ALLOW:
            raise refusal(
                request,
                f'audience "{audiences[0]}" not found in pod spec volume, '
                f"{request.user.name} is not authorized to request tokens for this audience",
            )

    def _audiences(self, pod: Object) -> Iterator[str]:
        """The audiences that the pod's volumes name, themselves or by their CSI driver; "" is the API server."""
        namespace = pod["metadata"]["namespace"]
        for volume in pod["spec"].get("volumes") or ():
            for source in (volume.get("projected") or {}).get("sources") or ():
                if "serviceAccountToken" in source:
                    yield source["serviceAccountToken"].get("audience", "")
            claim_name = (volume.get("persistentVolumeClaim") or {}).get("claimName", "")
            if "ephemeral" in volume:
                claim_name = f"{name_of(pod)}-{volume['name']}"
            driver = (volume.get("csi") or {}).get("driver", "")
            if claim_name:
                claim = self._reader.get(PERSISTENT_VOLUME_CLAIMS, namespace, claim_name) or {"spec": {}}
                bound = self._reader.get(PERSISTENT_VOLUMES, "", claim["spec"].get("volumeName", "")) or {"spec": {}}
                driver = (bound["spec"].get("csi") or {}).get("driver", "")
            found = self._reader.get(CSI_DRIVERS, "", driver) if driver else None
            for wanted in (found or {"spec": {}})["spec"].get("tokenRequests") or ():
                yield wanted.get("audience", "")


def _pod_status(node: str, request: AdmissionRequest) -> None:
    new, old = request.object or {}, request.old_object or {}
    if request.operation is not Operation.UPDATE:
        raise refusal(request, f'unexpected operation "{request.operation}"')
    if old["spec"].get("nodeName") != node:
        raise refusal(request, f'node "{node}" can only update pod status for pods with spec.nodeName set to itself')
    if labels_of(new) != labels_of(old):
        raise refusal(request, f'node "{node}" cannot update labels through pod status')
    for field in ("resourceClaimStatuses", "extendedResourceClaimStatus"):
        if (new.get("status") or {}).get(field) != (old.get("status") or {}).get(field):
            raise refusal(request, f'node "{node}" cannot update resource claim statues')


def _node(node: str, request: AdmissionRequest) -> None:
    new, old = request.object or {}, request.old_object or {}
    requested = request.name or name_of(new or {"metadata": {}})
    if requested != node:
        raise refusal(request, f'node "{node}" is not allowed to modify node "{requested}"')
    config_source = (new.get("spec") or {}).get("configSource")
    if request.operation is Operation.CREATE:
        if config_source is not None:
            raise refusal(request, f'node "{node}" is not allowed to create pods with a non-nil configSource')
        forbidden = forbidden_labels({}, labels_of(new))
        if forbidden:
            raise refusal(request, f'node "{node}" is not allowed to set the following labels: {", ".join(forbidden)}')
    if request.operation is Operation.UPDATE:
        if config_source is not None and config_source != (old.get("spec") or {}).get("configSource"):
            raise refusal(request, f'node "{node}" is not allowed to update configSource to a new non-nil configSource')
        # Its taints keep pods away from a node that might want to see them.
        if ((new.get("spec") or {}).get("taints") or []) != ((old.get("spec") or {}).get("taints") or []):
            raise refusal(request, f'node "{node}" is not allowed to modify taints')
        forbidden = forbidden_labels(labels_of(old), labels_of(new))
        if forbidden:
            raise refusal(request, f"is not allowed to modify labels: {', '.join(forbidden)}")


def forbidden_labels(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """The labels that a kubelet changed and may not: those by which administrators steer pods."""
    changed = {key for key in (*old, *new) if old.get(key) != new.get(key)}
    return sorted(key for key in changed if not _is_kubelets(key))


def _is_kubelets(label: str) -> bool:
    domain, slash, _ = label.partition("/")
    if not slash:
        return True
    if _within(domain, RESTRICTION):
        return False
    if not (_within(domain, "kubernetes.io") or _within(domain, "k8s.io")):
        return True
    return label in KUBELET_LABELS or any(_within(domain, own) for own in KUBELET_LABEL_DOMAINS)


def _within(domain: str, parent: str) -> bool:
    return domain == parent or domain.endswith("." + parent)


def _claim(node: str, request: AdmissionRequest) -> None:
    if request.subresource != "status":
        raise refusal(request, "may only update PVC status")
    if request.operation is not Operation.UPDATE:
        raise refusal(request, f'unexpected operation "{request.operation}"')
    if _without_kubelets_fields(request.object or {}) != _without_kubelets_fields(request.old_object or {}):
        problem = f'node "{node}" is not allowed to update fields other than status.capacity and status.conditions'
        raise refusal(request, problem)


def _without_kubelets_fields(claim: Object) -> Object:
    metadata = {k: v for k, v in claim["metadata"].items() if k not in ("resourceVersion", "managedFields")}
    kubelets = ("capacity", "conditions", "allocatedResources", "allocatedResourceStatuses")
    status = {key: value for key, value in (claim.get("status") or {}).items() if key not in kubelets}
    return {**claim, "metadata": metadata, "status": status}


def _own_name(node: str, request: AdmissionRequest) -> bool:
    name = name_of(request.object or {"metadata": {}}) if request.operation is Operation.CREATE else request.name
    return name == node


def _lease(node: str, request: AdmissionRequest) -> None:
    if request.namespace != NODE_LEASES:
        raise refusal(request, f'can only access leases in the "{NODE_LEASES}" system namespace')
    if not _own_name(node, request):
        raise refusal(request, "can only access node lease with the same name as the requesting node")


def _csi_node(node: str, request: AdmissionRequest) -> None:
    if not _own_name(node, request):
        raise refusal(request, "can only access CSINode with the same name as the requesting node")


def _resource_slice(node: str, request: AdmissionRequest) -> None:
    holder = request.old_object if request.operation is Operation.DELETE else request.object
    if holder is not None and (holder.get("spec") or {}).get("nodeName") != node:
        verb = {Operation.CREATE: "create", Operation.UPDATE: "update"}.get(request.operation, "delete")
        raise refusal(request, f"can only {verb} ResourceSlice with the same NodeName as the requesting node")
