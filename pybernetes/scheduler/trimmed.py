"""What the scheduler's caches keep of pods and nodes: in a large cluster the rest would be most of its memory.

A pod that waits is kept whole but for its history: plugins may read all of it. Of one that has its node, what counts for
others is kept (see `pod_shape` and `pod_traits`). It is copied, since small pieces of a long list would hold on to the
memory all around them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pybernetes.machinery.meta import Object, clone, controller_of
from pybernetes.machinery.pod_resources import is_sidecar

_POD_METADATA = ("name", "namespace", "uid", "resourceVersion", "labels", "deletionTimestamp")
_POD_SPEC = ("nodeName", "schedulerName", "overhead", "resources")
_POD_AFFINITY = ("podAffinity", "podAntiAffinity")
_NODE_METADATA = ("name", "uid", "resourceVersion", "labels", "annotations", "deletionTimestamp")
_NODE_STATUS = ("allocatable", "images")


def trimmed_pod(pod: Object) -> Object:
    if not pod["spec"].get("nodeName"):
        return clone({**pod, "metadata": {key: value for key, value in pod["metadata"].items() if key != "managedFields"}})
    metadata, spec = _only(pod["metadata"], _POD_METADATA), _only(pod["spec"], _POD_SPEC)
    if (owner := controller_of(pod)) is not None:
        metadata["ownerReferences"] = [{"kind": owner.get("kind", ""), "uid": owner["uid"], "controller": True}]
    if affinity := _only(pod["spec"].get("affinity") or {}, _POD_AFFINITY):
        spec["affinity"] = affinity
    for which in ("initContainers", "containers"):
        if which in pod["spec"]:
            spec[which] = [_container(each) for each in pod["spec"][which]]
    return clone({"kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": spec})


def trimmed_node(node: Object) -> Object:
    metadata, status = _only(node["metadata"], _NODE_METADATA), _only(node.get("status") or {}, _NODE_STATUS)
    return clone({"kind": "Node", "apiVersion": "v1", "metadata": metadata, "spec": node.get("spec") or {}, "status": status})


def _container(container: Object) -> Object:
    kept: Object = {}
    if container.get("resources"):
        kept["resources"] = container["resources"]
    if ports := [port for port in container.get("ports") or () if port.get("hostPort")]:
        kept["ports"] = ports
    if is_sidecar(container):
        kept["restartPolicy"] = container["restartPolicy"]
    return kept


def _only(obj: Mapping[str, Any], fields: tuple[str, ...]) -> Object:
    return {field: obj[field] for field in fields if field in obj}
