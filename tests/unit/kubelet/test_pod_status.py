"""The status that the API shows, from what the runtime shows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pybernetes.kubelet.observed import ContainerSeen, PodSeen, SandboxSeen, State
from pybernetes.kubelet.pod_status import Facts, Waiting, compute_status
from pybernetes.machinery.meta import Object, condition

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
SANDBOX = SandboxSeen("s0", True, 0, NOW, ("10.0.0.2",))


def pod(*names: str, **spec: Any) -> Object:
    return {
        "metadata": {"name": "web", "namespace": "default", "uid": "u1", "generation": 3},
        "spec": {"restartPolicy": "Always", "containers": [{"name": n, "image": "app:1"} for n in names or "a"], **spec},
    }


def running(name: str = "a", **fields: Any) -> ContainerSeen:
    seen = ContainerSeen(f"id-{name}", name, "s0", State.RUNNING, NOW, started_at=NOW, image="app:1", image_id="sha256:1")
    return replace(seen, **fields)


def exited(name: str = "a", code: int = 0, **fields: Any) -> ContainerSeen:
    return running(name, **{"state": State.EXITED, "exit_code": code, "finished_at": NOW, **fields})


def status(wanted: Object, *containers: ContainerSeen, sandbox: SandboxSeen | None = SANDBOX, **facts: Any) -> Object:
    ids = frozenset(c.id for c in containers if c.running)
    seen = PodSeen("u1", "web", "default", (sandbox,) if sandbox else (), containers)
    base: dict[str, Any] = {"started": ids, "ready": ids, "host_ips": ("192.0.2.1",), **facts}
    return compute_status(wanted, Facts(seen=seen, now=NOW, **base))


def conditions(found: Object) -> dict[str, tuple[str, str, str]]:
    return {c["type"]: (c["status"], c.get("reason", ""), c.get("message", "")) for c in found["conditions"]}


def test_a_running_pod_is_ready() -> None:
    found = status(pod(), running())
    assert found["phase"] == "Running"
    assert (found["podIP"], found["podIPs"], found["hostIP"]) == ("10.0.0.2", [{"ip": "10.0.0.2"}], "192.0.2.1")
    assert (found["qosClass"], found["startTime"], found["observedGeneration"]) == ("BestEffort", "2026-11-21T12:00:00Z", 3)
    assert {type_: entry[0] for type_, entry in conditions(found).items()} == dict.fromkeys(
        ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"), "True"
    )
    main = found["containerStatuses"][0]
    assert main["state"] == {"running": {"startedAt": "2026-11-21T12:00:00Z"}}
    assert (main["ready"], main["started"], main["containerID"]) == (True, True, "containerd://id-a")


def test_a_new_pod_is_pending_with_containers_being_created() -> None:
    found = status(pod(), sandbox=None)
    assert found["phase"] == "Pending"
    assert found["containerStatuses"][0]["state"] == {"waiting": {"reason": "ContainerCreating"}}
    seen = conditions(found)
    assert seen["PodReadyToStartContainers"][0] == "False"
    assert seen["Ready"] == ("False", "ContainersNotReady", "containers with unready status: [a]")


def test_the_times_of_unchanged_conditions_are_kept() -> None:
    wanted = pod()
    wanted["status"] = status(wanted, running())
    later = NOW + timedelta(minutes=5)
    seen = PodSeen("u1", "web", "default", (SANDBOX,), (running(),))
    found = compute_status(wanted, Facts(seen=seen, now=later, started=frozenset({"id-a"})))
    ready = condition(found["conditions"], "Ready")
    scheduled = condition(found["conditions"], "PodScheduled")
    assert ready and scheduled
    assert (ready["status"], ready["lastTransitionTime"]) == ("False", "2026-11-21T12:05:00Z")
    assert scheduled["lastTransitionTime"] == "2026-11-21T12:00:00Z"


def test_conditions_of_others_are_kept() -> None:
    wanted = pod(readinessGates=[{"conditionType": "example.com/gate"}])
    assert conditions(status(wanted, running()))["Ready"][1] == "ReadinessGatesNotReady"
    wanted["status"] = {"conditions": [{"type": "example.com/gate", "status": "True"}]}
    found = conditions(status(wanted, running()))
    assert (found["Ready"][0], found["example.com/gate"][0]) == ("True", "True")


@pytest.mark.parametrize(
    ("policy", "codes", "phase"),
    [
        ("Always", (0, 1), "Running"),
        ("OnFailure", (0, 1), "Running"),
        ("OnFailure", (0, 0), "Succeeded"),
        ("Never", (0, 1), "Failed"),
        ("Never", (0, 0), "Succeeded"),
    ],
)
def test_the_phase_when_all_containers_have_ended(policy: str, codes: tuple[int, int], phase: str) -> None:
    wanted = pod("a", "b", restartPolicy=policy)
    assert status(wanted, exited("a", codes[0]), exited("b", codes[1]))["phase"] == phase


def test_a_terminal_phase_is_final() -> None:
    wanted = pod(restartPolicy="Never")
    wanted["status"] = {"phase": "Failed"}
    assert status(wanted, exited())["phase"] == "Failed"


def test_a_deleted_pod_ends_as_its_exit_codes_say() -> None:
    assert status(pod(), exited(code=0), over=True)["phase"] == "Succeeded"
    assert status(pod(), exited(code=137), over=True)["phase"] == "Failed"
    assert status(pod(), sandbox=None, over=True)["phase"] == "Failed"


def test_a_container_held_back_shows_why_and_how_it_ended() -> None:
    why = Waiting("CrashLoopBackOff", "back-off 10s")
    found = status(pod(), exited(code=1, restart_count=4), waiting={"a": why})["containerStatuses"][0]
    assert found["state"] == {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}
    assert (found["lastState"]["terminated"]["exitCode"], found["restartCount"]) == (1, 4)


def test_a_container_that_failed_to_start_and_never_will_is_shown_as_it_ended() -> None:
    why = Waiting("RunContainerError", "exec: no such file")
    found = status(pod(restartPolicy="Never"), exited(code=128), waiting={"a": why})["containerStatuses"][0]
    assert found["state"]["terminated"]["exitCode"] == 128


def test_the_last_state_is_that_of_the_container_before() -> None:
    found = status(pod(), running(restart_count=1), exited(code=3))["containerStatuses"][0]
    assert found["lastState"]["terminated"]["exitCode"] == 3
    assert "running" in found["state"]


def test_a_container_that_vanished_while_the_pod_ended_is_told_as_unknown() -> None:
    wanted = pod()
    wanted["status"] = status(wanted, running())
    found = status(wanted, over=True)["containerStatuses"][0]["state"]["terminated"]
    assert (found["exitCode"], found["reason"]) == (137, "ContainerStatusUnknown")


def test_while_init_containers_run_the_others_wait_for_them() -> None:
    wanted = pod(initContainers=[{"name": "i", "image": "app:1"}])
    found = status(wanted, running("i"))
    assert found["phase"] == "Pending"
    assert found["containerStatuses"][0]["state"]["waiting"]["reason"] == "PodInitializing"
    assert conditions(found)["Initialized"] == (
        "False", "ContainersNotInitialized", "containers with incomplete status: [i]",
    )  # fmt: skip
    done = status(wanted, running("a"), exited("i"))
    assert (done["phase"], done["initContainerStatuses"][0]["ready"]) == ("Running", True)


def test_a_failed_init_container_fails_a_pod_that_is_never_restarted() -> None:
    wanted = pod(initContainers=[{"name": "i", "image": "app:1"}], restartPolicy="Never")
    assert status(wanted, exited("i", 1))["phase"] == "Failed"


def test_the_kubelet_s_own_reason_fails_the_pod() -> None:
    found = status(pod(), exited(), reason="DeadlineExceeded", message="too long", over=True)
    assert (found["phase"], found["reason"], found["message"]) == ("Failed", "DeadlineExceeded", "too long")


def test_an_unready_sidecar_makes_the_pod_unready() -> None:
    wanted = pod(initContainers=[{"name": "side", "image": "app:1", "restartPolicy": "Always"}])
    found = status(wanted, running("a"), running("side"), ready=frozenset({"id-a"}))
    assert conditions(found)["Ready"] == ("False", "ContainersNotReady", "containers with unready status: [side]")
