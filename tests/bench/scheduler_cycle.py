"""Decisions per second without I/O: `python tests/bench/scheduler_cycle.py [PODS] [NODES]` (10,000 pods onto 5,000 nodes).

Five loads: pods of one template; of 200 templates, taking turns; the same as pods of ReplicaSets (which are spread by default);
with anti-affinity to their own kind in a zone of 100; and pods that fit nowhere.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable

from pybernetes.machinery.entropy import SeededEntropy
from pybernetes.machinery.meta import Object
from pybernetes.scheduler.config import SchedulerConfig, make_profiles
from pybernetes.scheduler.cycle import Cycle
from pybernetes.scheduler.framework import Placement
from pybernetes.scheduler.node_table import NodeTable
from pybernetes.scheduler.pod_shape import usage_of
from pybernetes.scheduler.pod_traits import traits_of


def node(number: int) -> Object:
    labels = {"kubernetes.io/hostname": f"node-{number}", "topology.kubernetes.io/zone": f"zone-{number % 100}"}
    images = [{"names": [f"registry.example.com/image-{i}:1"], "sizeBytes": 100_000_000} for i in range(10)]
    return {
        "metadata": {"name": f"node-{number}", "labels": labels},
        "spec": {},
        "status": {"allocatable": {"cpu": "8", "memory": "32Gi", "pods": "110"}, "images": images},
    }


def pod(number: int, template: int, **requests: str) -> Object:
    container = {
        "name": "main",
        "image": f"registry.example.com/image-{template % 20}:1",
        "resources": {"requests": {"cpu": f"{100 + template}m", "memory": "64Mi", **requests}},
    }
    labels = {"app": f"app-{template}"}
    metadata = {"name": f"pod-{number}", "namespace": "default", "uid": f"uid-{number}", "labels": labels}
    tolerations = [{"key": key, "operator": "Exists", "effect": "NoExecute"} for key in ("not-ready", "unreachable")]
    return {"metadata": metadata, "spec": {"containers": [container], "tolerations": tolerations, "priority": 0}}


def owned(made: Object) -> Object:
    uid = f"rs-{made['metadata']['labels']['app']}"
    made["metadata"]["ownerReferences"] = [{"kind": "ReplicaSet", "name": "rs", "uid": uid, "controller": True}]
    return made


def shunning(made: Object) -> Object:
    term = {"topologyKey": "topology.kubernetes.io/zone", "labelSelector": {"matchLabels": made["metadata"]["labels"]}}
    made["spec"]["affinity"] = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    return made


def run(name: str, nodes: int, pods: int, make: Callable[[int], Object]) -> None:
    table = NodeTable()
    for number in range(nodes):
        table.set_node(node(number))
    [profile] = make_profiles(SchedulerConfig(), None).values()  # type: ignore[arg-type]
    cycle = Cycle(profile, SeededEntropy(1))
    wanted = [make(number) for number in range(pods)]
    placed, times_s = 0, []
    for each in wanted:
        began_s = time.perf_counter()
        verdict = cycle.schedule(each, table)
        if isinstance(verdict, Placement):
            table.set_pod(each["metadata"]["uid"], usage_of(each), verdict.node_name, traits_of(each))
            placed += 1
        times_s.append(time.perf_counter() - began_s)
    times_s.sort()
    p50_us, p99_us = (times_s[int(len(times_s) * part)] * 1e6 for part in (0.5, 0.99))
    print(
        f"{name}: {len(times_s) / sum(times_s):,.0f} pods/s, p50 {p50_us:.0f} µs, p99 {p99_us:.0f} µs, {placed:,} placed, "
        f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB at most"
    )


def main() -> None:
    pods, nodes = (int(text) for text in (*sys.argv[1:], *("10000", "5000")[len(sys.argv) - 1 :]))
    run("one template", nodes, pods, lambda number: pod(number, 0))
    run("200 templates", nodes, pods, lambda number: pod(number, number % 200))
    run("ReplicaSets", nodes, pods, lambda number: owned(pod(number, number % 200)))
    run("anti-affinity", nodes, pods, lambda number: shunning(pod(number, number % 200)))
    run("no room", nodes, pods // 10, lambda number: pod(number, 0, cpu="9"))


if __name__ == "__main__":
    main()
