"""One healthy pod; each case changes one thing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pybernetes.kubelet.observed import ContainerSeen, PodSeen, SandboxSeen, State, container_hash
from pybernetes.kubelet.pod_actions import PodActions, Snapshot, compute_pod_actions
from pybernetes.machinery.meta import Object

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def container(name: str, **fields: Any) -> Object:
    return {"name": name, "image": "app:1", **fields}


def pod(*names: str, **spec: Any) -> Object:
    containers = [container(name) for name in names or ("a", "b")]
    return {
        "metadata": {"name": "web", "namespace": "default", "uid": "u1"},
        "spec": {"restartPolicy": "Always", "containers": containers, **spec},
    }


def sandbox(sandbox_id: str = "s0", attempt: int = 0, **fields: Any) -> SandboxSeen:
    return replace(SandboxSeen(sandbox_id, True, attempt, NOW, ("10.0.0.2",)), **fields)


def running(name: str, **fields: Any) -> ContainerSeen:
    seen = ContainerSeen(f"id-{name}", name, "s0", State.RUNNING, NOW, hash=container_hash(container(name)))
    return replace(seen, **fields)


def exited(name: str, code: int = 0, **fields: Any) -> ContainerSeen:
    return running(name, **{"state": State.EXITED, "exit_code": code, "finished_at": NOW, **fields})


def decide(
    wanted: Object, containers: list[ContainerSeen], sandboxes: list[SandboxSeen] | None = None, **facts: Any
) -> PodActions:
    seen = PodSeen("u1", "web", "default", tuple(sandboxes if sandboxes is not None else [sandbox()]), tuple(containers))
    started = frozenset(c.id for c in containers if c.running)
    return compute_pod_actions(Snapshot(wanted, seen, NOW, **{"started": started, **facts}))


def test_a_settled_pod_needs_nothing() -> None:
    assert decide(pod(), [running("a"), running("b")]) == PodActions(sandbox_id="s0")


def test_a_new_pod_needs_everything() -> None:
    assert decide(pod(), [], []) == PodActions(create_sandbox=True, to_start=("a", "b"))


@pytest.mark.parametrize(
    "sandboxes",
    [
        [sandbox(ready=False)],
        [sandbox(ips=())],
        [sandbox(host_network=True)],
        [sandbox("s1"), sandbox("s0")],
    ],
    ids=["not ready", "without address", "in the wrong network", "two of them"],
)
def test_an_unusable_sandbox_is_replaced_with_everything_in_it(sandboxes: list[SandboxSeen]) -> None:
    actions = decide(pod(), [running("a"), running("b")], sandboxes)
    assert actions == PodActions(kill_pod=True, create_sandbox=True, attempt=1, to_start=("a", "b"))


@pytest.mark.parametrize(
    ("policy", "code", "restarted"),
    [("Always", 0, True), ("Always", 1, True), ("OnFailure", 0, False), ("OnFailure", 1, True), ("Never", 1, False)],
)
def test_an_exited_container_restarts_as_the_policy_says(policy: str, code: int, restarted: bool) -> None:
    actions = decide(pod(restartPolicy=policy), [exited("a", code), running("b")])
    assert actions.to_start == (("a",) if restarted else ())


def test_a_container_s_own_restart_rules_come_before_the_pod_s_policy() -> None:
    rules = [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]
    wanted = pod(restartPolicy="Never")
    wanted["spec"]["containers"][0].update(restartPolicy="Never", restartPolicyRules=rules)
    assert decide(wanted, [exited("a", 42), running("b")]).to_start == ("a",)
    assert decide(wanted, [exited("a", 1), running("b")]).to_start == ()


def test_a_container_in_back_off_waits() -> None:
    until = NOW + timedelta(seconds=10)
    actions = decide(pod(), [exited("a"), running("b")], held_until={"a": until})
    assert (actions.to_start, actions.held_back) == ((), {"a": until})


def test_a_failed_liveness_probe_kills_and_restarts() -> None:
    actions = decide(pod(), [running("a"), running("b")], liveness_failed=frozenset({"id-a"}))
    assert [kill.container.name for kill in actions.to_kill] == ["a"]
    assert actions.to_kill[0].message == "Container a failed liveness probe, will be restarted"
    assert actions.to_start == ("a",)


def test_a_failed_liveness_probe_ends_a_container_that_is_never_restarted() -> None:
    actions = decide(pod(restartPolicy="Never"), [running("a"), running("b")], liveness_failed=frozenset({"id-a"}))
    assert (len(actions.to_kill), actions.to_start) == (1, ())


def test_a_changed_image_restarts_whatever_the_policy() -> None:
    wanted = pod(restartPolicy="Never")
    wanted["spec"]["containers"][0]["image"] = "app:2"
    actions = decide(wanted, [running("a"), running("b")])
    assert actions.to_kill[0].message == "Container a definition changed, will be restarted"
    assert actions.to_start == ("a",)


def test_a_pod_whose_containers_are_done_is_over() -> None:
    assert decide(pod(restartPolicy="Never"), [exited("a", 1), exited("b")]).kill_pod
    assert decide(pod(restartPolicy="OnFailure"), [exited("a"), exited("b")]).kill_pod


def test_a_pod_that_ran_and_may_not_run_again_gets_no_new_sandbox() -> None:
    actions = decide(pod(restartPolicy="Never"), [exited("a", 1)], [sandbox(ready=False)])
    assert (actions.kill_pod, actions.create_sandbox) == (True, False)


def test_a_pod_being_deleted_starts_nothing() -> None:
    wanted = pod()
    wanted["metadata"]["deletionTimestamp"] = "2026-11-21T12:00:00Z"
    assert not decide(wanted, [exited("a"), running("b")]).to_start
    assert not decide(wanted, [], []).create_sandbox


INIT = [container("i1"), container("i2")]


def test_init_containers_come_one_after_the_other() -> None:
    wanted = pod("a", initContainers=INIT)
    assert decide(wanted, [], []).starts == ("i1",)
    assert decide(wanted, [running("i1")]).starts == ()
    assert decide(wanted, [exited("i1")]).starts == ("i2",)
    assert decide(wanted, [exited("i2"), exited("i1")]).starts == ("a",)
    assert decide(wanted, [running("a"), exited("i2"), exited("i1")]).starts == ()


def test_a_failed_init_container_is_tried_again_or_ends_the_pod() -> None:
    assert decide(pod("a", initContainers=INIT), [exited("i1", 1)]).starts == ("i1",)
    assert decide(pod("a", initContainers=INIT, restartPolicy="Never"), [exited("i1", 1)]).kill_pod


def test_init_containers_of_a_former_sandbox_do_not_count() -> None:
    old = exited("i1", sandbox_id="old")
    assert decide(pod("a", initContainers=INIT), [old], [sandbox(attempt=1)]).starts == ("i1",)


def test_once_a_main_container_exists_collected_init_containers_are_not_missed() -> None:
    assert decide(pod("a", initContainers=INIT), [exited("a", 1)]).starts == ("a",)


SIDECAR = [container("side", restartPolicy="Always"), container("i2")]


def test_a_sidecar_lets_the_next_go_once_it_has_started() -> None:
    wanted = pod("a", initContainers=SIDECAR)
    assert decide(wanted, [running("side")], started=frozenset()).starts == ()
    assert decide(wanted, [running("side")]).starts == ("i2",)


def test_a_sidecar_is_restarted_at_any_time() -> None:
    wanted = pod("a", initContainers=SIDECAR)
    assert decide(wanted, [running("a"), exited("i2"), exited("side")]).starts == ("side",)
    assert decide(wanted, [running("i2"), exited("side")]).starts == ("side",)


def test_a_sidecar_does_not_keep_a_pod_alive() -> None:
    wanted = pod("a", initContainers=SIDECAR, restartPolicy="Never")
    assert decide(wanted, [exited("a"), exited("i2"), running("side")]).kill_pod


def test_an_ephemeral_container_starts_once() -> None:
    wanted = pod("a", ephemeralContainers=[container("debug")])
    assert decide(wanted, [running("a")]).starts == ("debug",)
    assert decide(wanted, [exited("debug"), running("a")]).starts == ()
