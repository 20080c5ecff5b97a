"""What the simulator's tests run, and what must hold at every moment of what came of it.

`python -m tests.component.sim.workloads SEED` prints the digest of the rollout's history, for a process of its own.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from pybernetes.machinery import pods
from pybernetes.machinery.meta import Object, condition, controller_of, is_being_deleted, name_of, uid_of
from pybernetes.machinery.resources import DEPLOYMENTS, PODS
from pybernetes.sim.cluster import SimulatedCluster, simulate
from pybernetes.sim.history import Event, Verb


def deployment(replicas: int = 3, image: str = "v1", name: str = "web", **strategy: Any) -> Object:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": image}]}}
    spec: Object = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    if strategy:
        spec["strategy"] = {"type": "RollingUpdate", "rollingUpdate": strategy}
    return {"kind": "Deployment", "apiVersion": "apps/v1", "metadata": {"name": name, "namespace": "default"}, "spec": spec}


def new_image(image: str) -> Object:
    return {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}}


def rolled_out(cluster: SimulatedCluster, name: str = "web") -> bool:
    """As `kubectl rollout status` would say, and no pod of an older template left."""
    found = cluster.get(DEPLOYMENTS, name)
    assert found is not None
    status, wanted = found.get("status", {}), found["spec"]["replicas"]
    seen = status.get("observedGeneration", 0) == found["metadata"]["generation"]
    counts = [status.get(field, 0) for field in ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")]
    progressing = condition(status.get("conditions"), "Progressing")
    complete = progressing is not None and progressing["reason"] == "NewReplicaSetAvailable"
    return seen and complete and counts == [wanted] * 4


def pods_of(cluster: SimulatedCluster, name: str = "web") -> list[Object]:
    return [pod for pod in cluster.list(PODS, "default") if pod["metadata"]["labels"].get("app") == name]


async def rollout(cluster: SimulatedCluster) -> Sequence[Event]:
    """Three replicas, then another image, then rest."""
    await cluster.client.create(DEPLOYMENTS, deployment())
    await cluster.until(lambda: rolled_out(cluster))
    assert [pod["spec"]["containers"][0]["image"] for pod in pods_of(cluster)] == ["v1"] * 3
    await cluster.client.patch(DEPLOYMENTS, "web", "default", new_image("v2"))
    await cluster.until(lambda: rolled_out(cluster))
    await cluster.until(lambda: len(pods_of(cluster)) == 3)
    assert [pod["spec"]["containers"][0]["image"] for pod in pods_of(cluster)] == ["v2"] * 3
    assert all(map(pods.is_ready, pods_of(cluster)))
    await cluster.passes(60)
    cluster.check()
    return cluster.history


def digest(history: Sequence[Event]) -> str:
    return hashlib.sha256("\n".join(f"{event} {event.value!r}" for event in history).encode()).hexdigest()


class Moments:
    """The Deployment `web` as it was after each change: replays a history."""

    def __init__(self, history: Sequence[Event]) -> None:
        self._history = history

    def __iter__(self) -> Iterator[tuple[Event, Object | None, list[Object], list[Object]]]:
        """(change, Deployment, its ReplicaSets, its pods) for each change of one of them."""
        state: dict[str, Object] = {}
        for event in self._history:
            if not event.key.startswith(("/registry/deployments/", "/registry/replicasets/", "/registry/pods/")):
                continue
            if event.verb is Verb.DELETED:
                del state[event.key]
            else:
                state[event.key] = event.object
            yield (
                event,
                state.get("/registry/deployments/default/web"),
                [obj for key, obj in state.items() if key.startswith("/registry/replicasets/")],
                [obj for key, obj in state.items() if key.startswith("/registry/pods/")],
            )


def broken_promises(history: Sequence[Event], max_surge: int, max_unavailable: int, *, pods_too: bool = True) -> list[str]:
    """Where a rolling update asked for more pods than it may, or left fewer available than it must.

    How many pods are available is asked from the moment when all were for the first time, with `pods_too`.
    """
    found: list[str] = []
    all_were_there = False
    for event, owner, replica_sets, all_pods in Moments(history):
        if owner is None:
            continue
        wanted = owner["spec"]["replicas"]
        asked_for = sum(each["spec"]["replicas"] for each in replica_sets)
        if asked_for > wanted + max_surge:
            found.append(f"{event}: {asked_for} pods asked for")
        available = sum(pods.is_ready(pod) and pods.is_active(pod) for pod in all_pods)
        all_were_there = all_were_there or available >= wanted
        if pods_too and all_were_there and available < wanted - max_unavailable:
            found.append(f"{event}: {available} pods available")
    return found


def orphans(cluster: SimulatedCluster) -> list[str]:
    """Objects whose controller is not there."""
    uids = {uid_of(obj) for kind in cluster.kinds for obj in cluster.list(kind)}
    found = []
    for kind in cluster.kinds:
        for obj in cluster.list(kind):
            owner = controller_of(obj)
            if owner is not None and owner["uid"] not in uids:
                found.append(f"{kind.plural}/{name_of(obj)}")
    return found


def stuck(cluster: SimulatedCluster) -> list[str]:
    """Pods that are on their way out."""
    return [name_of(pod) for pod in cluster.list(PODS) if is_being_deleted(pod)]


if __name__ == "__main__":
    print(digest(simulate(rollout, seed=int(sys.argv[1]), nodes=3)))
