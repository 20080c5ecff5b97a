"""Pods: defaults, updates, deletion, binding, cells."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from pybernetes.apiserver.registry.core import pods
from pybernetes.apiserver.registry.core.pod_cells import cells
from pybernetes.apiserver.registry.core.pod_spec.defaults import default_pull_policy
from pybernetes.apiserver.registry.core.pod_spec.updates import validate_update
from pybernetes.apiserver.registry.strategy import Context
from pybernetes.machinery.errors import Conflict
from pybernetes.machinery.meta import Object


def pod(**spec: Any) -> Object:
    spec.setdefault("containers", [{"name": "c", "image": "example.com/img:1"}])
    metadata = {"name": "p", "namespace": "ns", "creationTimestamp": "2026-11-21T09:00:00Z"}
    made: Object = {"kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": spec}
    pods.default(made)
    return made


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("img", "Always"), ("img:latest", "Always"), ("img:1", "IfNotPresent"), ("localhost:5000/img", "Always"),
        ("localhost:5000/img:2", "IfNotPresent"), ("img@sha256:abc", "IfNotPresent"), ("img:latest@sha256:abc", "Always"),
    ],
)  # fmt: skip
def test_an_image_named_latest_is_always_pulled(image: str, policy: str) -> None:
    assert default_pull_policy(image) == policy


def test_what_is_limited_is_also_requested() -> None:
    made = pod(containers=[{"name": "c", "image": "i", "resources": {"limits": {"cpu": "1", "memory": "1Gi"},
                                                                      "requests": {"cpu": "500m"}}}])  # fmt: skip
    assert made["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "500m", "memory": "1Gi"}


def test_defaulting_twice_changes_nothing() -> None:
    once = pod(
        volumes=[{"name": "v"}], hostNetwork=True, containers=[{"name": "c", "image": "i", "ports": [{"containerPort": 1}]}]
    )
    twice = copy.deepcopy(once)
    pods.default(twice)
    assert twice == once
    assert once["spec"]["containers"][0]["ports"][0]["hostPort"] == 1


def test_an_image_may_change_and_a_command_may_not() -> None:
    old = pod()
    new = copy.deepcopy(old)
    new["spec"]["containers"][0]["image"] = "example.com/img:2"
    assert list(validate_update(new, old)) == []
    new["spec"]["containers"][0]["command"] = ["x"]
    (error,) = validate_update(new, old)
    assert error.field == "spec"
    assert error.body.startswith("Forbidden: pod updates may not change fields other than `spec.containers[*].image`,")


def test_tolerations_may_be_added_and_not_taken_away() -> None:
    old = pod(tolerations=[{"key": "a", "operator": "Exists"}])
    new = copy.deepcopy(old)
    new["spec"]["tolerations"].append({"key": "b", "operator": "Exists"})
    assert list(validate_update(new, old)) == []
    (error,) = validate_update(old, new)
    assert str(error) == "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"


@pytest.mark.parametrize(
    ("node", "phase", "options", "grace"),
    [
        ("", "Pending", {}, 0),
        ("n", "Running", {}, 30),
        ("n", "Running", {"gracePeriodSeconds": 5}, 5),
        ("n", "Running", {"gracePeriodSeconds": -1}, 1),
        ("n", "Succeeded", {"gracePeriodSeconds": 5}, 0),
    ],
)
def test_grace_is_given_where_there_is_something_to_stop(
    context: Context, node: str, phase: str, options: Object, grace: int
) -> None:
    made = pod(nodeName=node) if node else pod()
    made["status"]["phase"] = phase
    assert pods.grace_period(context, made, options) == grace


def test_a_pod_is_bound_once(context: Context) -> None:
    made = pod()
    binding = {"metadata": {"annotations": {"by": "me"}}, "target": {"kind": "Node", "name": "n"}}
    pods.bind(context, made, binding)
    assert made["spec"]["nodeName"] == "n"
    assert made["metadata"]["annotations"] == {"by": "me"}
    assert made["status"]["conditions"][0]["type"] == "PodScheduled"
    with pytest.raises(Conflict, match='pod p is already assigned to node "n"'):
        pods.bind(context, made, binding)


def test_a_gated_pod_is_not_bound(context: Context) -> None:
    with pytest.raises(Conflict, match=r"non-empty \.spec\.schedulingGates"):
        pods.bind(context, pod(schedulingGates=[{"name": "g"}]), {"target": {"name": "n"}})


def waiting(reason: str, **more: Any) -> Object:
    return {"name": "c", "restartCount": 0, "state": {"waiting": {"reason": reason}}, **more}


RUNNING = {"name": "c", "ready": True, "restartCount": 0, "state": {"running": {"startedAt": "2026-11-21T09:00:05Z"}}}


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        ({"phase": "Pending"}, ["0/1", "Pending", "0"]),
        ({"phase": "Running", "containerStatuses": [RUNNING]}, ["1/1", "Running", "0"]),
        ({"phase": "Running", "containerStatuses": [waiting("CrashLoopBackOff", restartCount=3, lastState={
            "terminated": {"finishedAt": "2026-11-21T09:58:00Z"}})]}, ["0/1", "CrashLoopBackOff", "3 (2m ago)"]),
        ({"phase": "Failed", "containerStatuses": [{"name": "c", "state": {"terminated": {"exitCode": 2}}}]},
         ["0/1", "ExitCode:2", "0"]),
        ({"phase": "Failed", "reason": "Evicted"}, ["0/1", "Evicted", "0"]),
        ({"phase": "Pending", "conditions": [{"type": "PodScheduled", "reason": "SchedulingGated"}]},
         ["0/1", "SchedulingGated", "0"]),
    ],
)  # fmt: skip
def test_a_pod_is_summed_up_as_kubectl_shows_it(context: Context, status: Object, shown: list[str]) -> None:
    made = pod()
    made["status"] = status
    assert cells(made, context.now)[1:4] == shown


def test_init_containers_are_counted_until_they_are_done(context: Context) -> None:
    made = pod(initContainers=[{"name": "i", "image": "x"}, {"name": "side", "image": "x", "restartPolicy": "Always"}])
    made["status"] = {"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"running": {}}}]}
    assert cells(made, context.now)[1:3] == ["0/2", "Init:0/2"]
    done = {"name": "i", "state": {"terminated": {"exitCode": 0}}}
    side = {"name": "side", "ready": True, "started": True, "state": {"running": {}}}
    made["status"] = {"phase": "Running", "initContainerStatuses": [done, side], "containerStatuses": [RUNNING]}
    assert cells(made, context.now)[1:3] == ["2/2", "Running"]


def test_a_pod_that_is_being_deleted_terminates(context: Context) -> None:
    made = pod(nodeName="n")
    made["status"] = {"phase": "Running", "containerStatuses": [RUNNING]}
    made["metadata"]["deletionTimestamp"] = "2026-11-21T09:59:00Z"
    assert cells(made, context.now)[2] == "Terminating"
