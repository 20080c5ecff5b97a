"""Deployments: rollouts step by step, scaling, revisions, conditions."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pybernetes.controllers import deployment as deployments
from pybernetes.controllers.deployment import rollout
from pybernetes.controllers.deployment.replica_sets import ReplicaSets
from pybernetes.machinery.meta import condition
from pybernetes.machinery.resources import DEPLOYMENTS, PODS, REPLICA_SETS

KEY = "default/web"
REVISION = "deployment.kubernetes.io/revision"


def deployment(**changes: Any) -> dict[str, Any]:
    """Three replicas of image v1, rolled with the default strategy."""
    rolling = {"maxSurge": changes.get("surge", "25%"), "maxUnavailable": changes.get("unavailable", "25%")}
    strategy = {"type": "Recreate"} if changes.get("recreate") else {"type": "RollingUpdate", "rollingUpdate": rolling}
    spec = {
        "replicas": changes.get("replicas", 3),
        "selector": {"matchLabels": {"app": "web"}},
        "strategy": strategy,
        "revisionHistoryLimit": changes.get("history", 10),
        "progressDeadlineSeconds": 600,
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "c", "image": changes.get("image", "v1")}]},
        },
    }
    metadata = {
        "name": "web",
        "namespace": "default",
        "uid": "dep",
        "annotations": {"note": "x"},
        **changes.get("metadata", {}),
    }
    return {"kind": "Deployment", "apiVersion": "apps/v1", "metadata": metadata, "spec": spec, "status": {}}


def change(world: Any, **spec: Any) -> None:
    """A user edits the Deployment."""
    obj = copy.deepcopy(world.all(DEPLOYMENTS)[0])
    obj["spec"] |= spec
    obj["metadata"]["generation"] += 1
    world.put(DEPLOYMENTS, obj)


def set_image(world: Any, image: str) -> None:
    template = copy.deepcopy(world.all(DEPLOYMENTS)[0]["spec"]["template"])
    template["spec"]["containers"][0]["image"] = image
    change(world, template=template)


def pods_follow(world: Any, *, broken: str = "") -> None:
    """The ReplicaSet controller and kubelets do their part: all pods run, except those of the image `broken`."""
    for replica_set in world.all(REPLICA_SETS):
        count = replica_set["spec"]["replicas"]
        image = replica_set["spec"]["template"]["spec"]["containers"][0]["image"]
        healthy = 0 if image == broken else count
        status = {"replicas": count, "readyReplicas": healthy, "availableReplicas": healthy}
        status["observedGeneration"] = replica_set["metadata"]["generation"]
        if replica_set.get("status") != status:
            world.put(REPLICA_SETS, {**replica_set, "status": status})


def roll(world: Any, rounds_max: int = 60, **pods: Any) -> list[dict[str, int]]:
    """Run to the end; the sizes by image after each round."""
    history = []
    for _ in range(rounds_max):
        world.advance(1)
        acted = world.step(KEY)
        history.append(sizes(world))
        before = world.revision
        pods_follow(world, **pods)
        if not acted and world.revision == before:
            return history
    raise AssertionError(f"not at rest: {world.decide(KEY)}")


def sizes(world: Any) -> dict[str, int]:
    return {
        each["spec"]["template"]["spec"]["containers"][0]["image"]: each["spec"]["replicas"] for each in world.all(REPLICA_SETS)
    }


def status_of(world: Any) -> Any:
    return world.all(DEPLOYMENTS)[0]["status"]


def reason_of(world: Any, type_: str = "Progressing") -> Any:
    found = condition(status_of(world)["conditions"], type_)
    return found and found["reason"]


def rolled(World: Any, **changes: Any) -> Any:
    world = World(deployments.controller, [(DEPLOYMENTS, deployment(**changes))])
    roll(world)
    return world


def test_a_new_deployment_gets_a_replica_set_and_completes(World: Any) -> None:
    world = rolled(World)
    (replica_set,) = world.all(REPLICA_SETS)
    hash_value = replica_set["metadata"]["labels"]["pod-template-hash"]
    assert replica_set["metadata"]["name"] == f"web-{hash_value}"
    assert replica_set["spec"]["selector"]["matchLabels"] == {"app": "web", "pod-template-hash": hash_value}
    assert replica_set["metadata"]["annotations"] == {
        "note": "x",
        REVISION: "1",
        "deployment.kubernetes.io/desired-replicas": "3",
        "deployment.kubernetes.io/max-replicas": "4",
    }
    assert world.all(DEPLOYMENTS)[0]["metadata"]["annotations"][REVISION] == "1"
    assert world.told == [f"ScalingReplicaSet: Scaled up replica set web-{hash_value} from 0 to 3"]
    assert reason_of(world) == "NewReplicaSetAvailable"
    assert reason_of(world, "Available") == "MinimumReplicasAvailable"
    assert condition(status_of(world)["conditions"], "Progressing")["message"] == (
        f'ReplicaSet "web-{hash_value}" has successfully progressed.'
    )
    assert status_of(world)["updatedReplicas"] == 3


def test_a_rolling_update_keeps_within_surge_and_unavailability(World: Any) -> None:
    world = rolled(World, replicas=4)
    set_image(world, "v2")
    history = roll(world)
    assert history[-1] == {"v1": 0, "v2": 4}
    assert max(sum(each.values()) for each in history) == 5
    assert world.all(DEPLOYMENTS)[0]["metadata"]["annotations"][REVISION] == "2"


def test_a_status_older_than_its_size_does_not_make_the_old_pods_go_too_early() -> None:
    """Found by simulation: the old ReplicaSet was sized 5 -> 3, then 3 -> 0 before its status knew of the first step."""

    def replica_set(name: str, size: int, available: int, created: str) -> dict[str, Any]:
        metadata = {"name": name, "creationTimestamp": created}
        return {"metadata": metadata, "spec": {"replicas": size}, "status": {"availableReplicas": available}}

    old = replica_set("old", 3, 5, "2026-01-01T00:00:00Z")
    new = replica_set("new", 5, 3, "2026-01-01T00:01:00Z")
    found = rollout.next_sizes(deployment(replicas=6, surge=2, unavailable=1), ReplicaSets(new, (old,)))
    assert found == {"new": 5} or found == {"old": 2}


def test_a_broken_image_stops_the_rollout_and_runs_into_the_deadline(World: Any) -> None:
    world = rolled(World, replicas=4)
    set_image(world, "broken")
    history = roll(world, broken="broken")
    assert history[-1] == {"v1": 3, "broken": 2}
    assert reason_of(world) == "ReplicaSetUpdated"
    assert world.look_again_s is not None
    world.advance(world.look_again_s)
    world.settle(KEY)
    assert reason_of(world) == "ProgressDeadlineExceeded"
    assert reason_of(world, "Available") == "MinimumReplicasAvailable"


def test_going_back_to_an_old_template_reuses_its_replica_set_with_a_new_revision(World: Any) -> None:
    world = rolled(World)
    first = world.names(REPLICA_SETS)
    set_image(world, "v2")
    roll(world)
    set_image(world, "v1")
    roll(world)
    assert sizes(world) == {"v1": 3, "v2": 0}
    reused = world.cache(REPLICA_SETS).get("default", first[0])
    assert reused["metadata"]["annotations"][REVISION] == "3"
    assert reused["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"] == "1"


def test_recreate_waits_for_the_last_old_pod(World: Any, pod: Any) -> None:
    world = rolled(World, recreate=True)
    (old,) = world.all(REPLICA_SETS)
    owner = {"kind": "ReplicaSet", "apiVersion": "apps/v1", "name": old["metadata"]["name"], "uid": old["metadata"]["uid"]}
    lingering = world.put(PODS, pod("old", owner={**owner, "controller": True}, deleting=True))
    set_image(world, "v2")
    assert roll(world)[-1] == {"v1": 0}
    del world.cache(PODS).objects["default", lingering["metadata"]["name"]]
    assert roll(world)[-1] == {"v1": 0, "v2": 3}


def test_a_paused_deployment_scales_but_does_not_roll(World: Any) -> None:
    world = rolled(World)
    change(world, paused=True, replicas=5)
    set_image(world, "v2")
    assert roll(world)[-1] == {"v1": 5}
    assert reason_of(world) == "DeploymentPaused"
    change(world, paused=False)
    world.step(KEY)
    assert roll(world)[-1] == {"v1": 0, "v2": 5}


def test_old_replica_sets_beyond_the_history_limit_are_deleted(World: Any) -> None:
    world = rolled(World, history=1)
    for image in ("v2", "v3"):
        set_image(world, image)
        roll(world)
    assert sizes(world) == {"v2": 0, "v3": 3}


def test_scaling_in_the_middle_of_a_rollout_is_shared_proportionally() -> None:
    """The example of the concept page: 10 replicas, 8 old and 5 new; scaled to 15, the old get 3 of the 5 and the new 2."""

    def replica_set(name: str, size: int) -> dict[str, Any]:
        notes = {"deployment.kubernetes.io/desired-replicas": "10", "deployment.kubernetes.io/max-replicas": "13"}
        return {"metadata": {"name": name, "annotations": notes}, "spec": {"replicas": size}}

    sets = ReplicaSets(replica_set("new", 5), [replica_set("old", 8)])
    wanted = deployment(replicas=15, surge=3, unavailable=2)
    assert rollout.is_scaling_event(wanted, sets)
    assert rollout.scale_proportionally(wanted, sets) == {"old": 11, "new": 7}


def test_a_name_that_another_replica_set_has_is_a_collision(World: Any) -> None:
    fresh = World(deployments.controller, [(DEPLOYMENTS, deployment())])
    roll(fresh)
    (made,) = fresh.all(REPLICA_SETS)
    stranger = copy.deepcopy(made)
    stranger["metadata"] |= {"ownerReferences": [], "labels": {}}
    world = World(deployments.controller, [(DEPLOYMENTS, deployment()), (REPLICA_SETS, stranger)])
    roll(world)
    assert status_of(world)["collisionCount"] == 1
    assert len(world.all(REPLICA_SETS)) == 2


def test_without_a_selector_nothing_is_done_but_said(World: Any) -> None:
    aimless = deployment()
    aimless["spec"]["selector"] = {}
    world = World(deployments.controller, [(DEPLOYMENTS, aimless)])
    assert world.step(KEY) == []
    assert world.told[0].startswith("SelectingAll")


limits = st.one_of(st.integers(0, 5), st.sampled_from(["0%", "25%", "50%", "100%"]))


@given(
    replicas=st.integers(0, 12),
    surge=limits,
    unavailable=limits,
    recreate=st.booleans(),
    edits=st.lists(st.one_of(st.integers(0, 12), st.sampled_from(["v1", "v2", "v3"])), max_size=4),
    patience=st.integers(0, 4),
)
def test_every_rollout_ends_with_all_replicas_of_the_last_template(
    World: Any, replicas: int, surge: Any, unavailable: Any, recreate: bool, edits: list[Any], patience: int
) -> None:
    start = deployment(replicas=replicas, surge=surge, unavailable=unavailable, recreate=recreate)
    world = World(deployments.controller, [(DEPLOYMENTS, start)])
    for edit in edits:
        for _ in range(patience):  # the edit comes in the middle of a rollout
            world.step(KEY)
            pods_follow(world)
        if isinstance(edit, int):
            change(world, replicas=edit)
        else:
            set_image(world, edit)
    roll(world, rounds_max=120)
    spec = world.all(DEPLOYMENTS)[0]["spec"]
    image = spec["template"]["spec"]["containers"][0]["image"]
    assert {name: size for name, size in sizes(world).items() if size} == (
        {image: spec["replicas"]} if spec["replicas"] else {}
    )
    assert reason_of(world) == "NewReplicaSetAvailable"
    assert world.step(KEY) == []


@given(replicas=st.integers(1, 15), surge=limits, unavailable=limits)
def test_a_rolling_update_never_breaks_its_promises(World: Any, replicas: int, surge: Any, unavailable: Any) -> None:
    world = rolled(World, replicas=replicas, surge=surge, unavailable=unavailable)
    most, fewest = rollout.fenceposts(world.all(DEPLOYMENTS)[0])
    set_image(world, "v2")
    for each in roll(world, rounds_max=120):
        assert sum(each.values()) <= replicas + most
        assert sum(each.values()) >= replicas - fewest
