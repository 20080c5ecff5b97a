"""Healthy nodes and pods; a test changes one thing."""

from __future__ import annotations

from typing import Any

import numpy as np

from pybernetes.machinery.entropy import SeededEntropy
from pybernetes.machinery.meta import Object
from pybernetes.scheduler.config import SchedulerConfig, make_profiles
from pybernetes.scheduler.cycle import Cycle
from pybernetes.scheduler.framework import SKIP, Profile, Verdict
from pybernetes.scheduler.node_table import NodeTable
from pybernetes.scheduler.pod_shape import usage_of
from pybernetes.scheduler.pod_traits import traits_of

GI = 2**30


def node(
    name: str = "n1", *, labels: dict[str, str] | None = None, taints: Any = (), images: Any = (), **allocatable: str
) -> Object:
    """4 CPUs, 8 GiB, 110 pods, unless said otherwise; `nvidia_com__gpu="1"` is `nvidia.com/gpu: 1`."""
    given = {key.replace("__", "/").replace("_", "."): value for key, value in allocatable.items()}
    return {
        "kind": "Node",
        "apiVersion": "v1",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **(labels or {})}},
        "spec": {"taints": [*taints]} if taints else {},
        "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110", **given}, "images": [*images]},
    }


def pod(name: str = "p1", *, requests: dict[str, str] | None = None, **spec: Any) -> Object:
    """One container that asks for a tenth of a CPU; `spec` replaces fields of the pod's spec."""
    container = {"name": "main", "image": "app:1", "resources": {"requests": {"cpu": "100m"} if requests is None else requests}}
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"name": name, "namespace": "default", "uid": f"uid-{name}"},
        "spec": {"containers": [container], "priority": 0, **spec},
        "status": {"phase": "Pending"},
    }


def table(*nodes: Object, placed: dict[str, list[Object]] | None = None) -> NodeTable:
    """`placed`: the pods on each node."""
    found = NodeTable()
    for each in nodes:
        found.set_node(each)
    for node_name, pods in (placed or {}).items():
        for each in pods:
            found.set_pod(each["metadata"]["uid"], usage_of(each), node_name, traits_of(each))
    return found


def profile(**raw: Any) -> Profile:
    [made] = make_profiles(SchedulerConfig(profiles=[raw]), None).values()  # type: ignore[arg-type]
    return made


def schedule(wanted: Object, nodes: NodeTable, seed: int = 1, **raw: Any) -> Verdict:
    return Cycle(profile(**raw), SeededEntropy(seed)).schedule(wanted, nodes)


def refused(plugin: Any, wanted: Object, nodes: NodeTable) -> dict[str, list[str]]:
    """The nodes that the plugin refuses, by reason."""
    state = plugin.pre_filter(wanted)
    if state is SKIP:
        return {}
    names = np.array(nodes.names)
    return {each.reason: sorted(names[each.mask].tolist()) for each in plugin.filter(state, nodes.all) if each.mask.any()}


def scores(plugin: Any, wanted: Object, nodes: NodeTable) -> dict[str, int] | None:
    """The plugin's scores as they count, before weights; None where it has no opinion."""
    state = plugin.pre_score(wanted)
    found = SKIP if state is SKIP else plugin.score(state, nodes.all)
    if found is SKIP:
        return None
    if hasattr(plugin, "normalize"):
        found = plugin.normalize(found, np.ones(len(nodes), dtype=np.bool_))
    return dict(zip(nodes.names, found.tolist(), strict=True))
