"""Pods on a real containerd: their life from creation to removal."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from pybernetes.machinery.meta import Object, condition
from pybernetes.machinery.resources import LEASES, NODES, PODS


def state(pod: Object, name: str = "main", field: str = "containerStatuses") -> Object:
    """The container's status."""
    for entry in (pod.get("status") or {}).get(field) or ():
        if entry["name"] == name:
            return entry  # type: ignore[no-any-return]
    return {"state": {}, "lastState": {}, "restartCount": 0}


def reasons(events: list[Object]) -> list[str]:
    return [event["reason"] for event in events]


async def test_the_node_is_ready_and_renews_its_lease(cluster: Any) -> None:
    node = await cluster.admin.get(NODES, "node-1")
    assert node["status"]["nodeInfo"]["containerRuntimeVersion"].startswith("containerd://")
    assert node["status"]["allocatable"]["pods"] == "110"
    lease = await cluster.admin.get(LEASES, "node-1", "kube-node-lease")
    assert lease["spec"]["holderIdentity"] == "node-1"
    assert lease["metadata"]["ownerReferences"][0]["uid"] == node["metadata"]["uid"]


async def test_a_pod_runs_and_is_ready(cluster: Any) -> None:
    await cluster.create(cluster.pod("web"))
    ready = await cluster.ready("web")
    assert ready["status"]["phase"] == "Running"
    assert ready["status"]["podIP"].startswith("10.244.77.")
    main = state(ready)
    assert main["containerID"].startswith("containerd://")
    assert main["imageID"].startswith("sha256:") or "@sha256:" in main["imageID"]

    async def started() -> bool:
        return "Started" in reasons(await cluster.events("web"))

    await cluster.until(started)
    assert reasons(await cluster.events("web")) == ["Pulled", "Created", "Started"]


async def test_a_deleted_pod_ends_gracefully_and_leaves_nothing(cluster: Any) -> None:
    script = "trap 'echo asked; sleep 0.5; echo done; exit 0' TERM; while :; do sleep 0.1; done"
    created = await cluster.create(cluster.pod("web", cluster.container(script), terminationGracePeriodSeconds=20))
    await cluster.ready("web")
    uid = created["metadata"]["uid"]
    logs = cluster.directory / "logs" / f"default_web_{uid}"
    assert logs.is_dir()
    began = cluster.clock.monotonic()
    await cluster.admin.delete(PODS, "web", "default")
    await cluster.gone("web", 10)
    assert 0.5 < cluster.clock.monotonic() - began < 5

    async def clean() -> bool:
        return not logs.exists() and not (cluster.directory / "kubelet/pods" / uid).exists()

    await cluster.until(clean)
    assert uid not in cluster.kubelet.shared.cgroups.pod_uids()


async def test_a_pod_that_does_not_listen_is_killed_after_its_grace_period(cluster: Any) -> None:
    await cluster.create(cluster.pod("deaf", cluster.container("trap '' TERM; while :; do sleep 0.1; done")))
    await cluster.ready("deaf")
    await cluster.admin.delete(PODS, "deaf", "default", grace_period_s=2)
    await cluster.gone("deaf", 8)


async def test_init_containers_run_in_order_before_the_main_one(cluster: Any) -> None:
    volume = {"name": "work", "emptyDir": {}}
    mount = [{"name": "work", "mountPath": "/work"}]
    init = [
        cluster.container("echo one >> /work/order", "first", volumeMounts=mount),
        cluster.container("echo two >> /work/order", "second", volumeMounts=mount),
    ]
    main = cluster.container("cat /work/order; exec sleep 100", volumeMounts=mount)
    await cluster.create(cluster.pod("ordered", main, initContainers=init, volumes=[volume]))
    pod = await cluster.ready("ordered")
    assert [entry["state"]["terminated"]["reason"] for entry in pod["status"]["initContainerStatuses"]] == ["Completed"] * 2
    assert (condition(pod["status"]["conditions"], "Initialized") or {})["status"] == "True"
    await asyncio.sleep(0.2)
    assert await cluster.logs("ordered") == "one\ntwo\n"


async def test_a_sidecar_runs_beside_the_main_container_and_does_not_keep_a_job_alive(cluster: Any) -> None:
    sidecar = cluster.container("trap 'exit 0' TERM; while :; do sleep 0.1; done", "side", restartPolicy="Always")
    main = cluster.container("sleep 0.5; exit 0")
    await cluster.create(cluster.pod("job", main, initContainers=[sidecar], restartPolicy="Never"))
    running = await cluster.pod_until("job", lambda pod: "running" in state(pod)["state"])
    assert "running" in state(running, "side", "initContainerStatuses")["state"]
    done = await cluster.pod_until("job", lambda pod: (pod.get("status") or {}).get("phase") == "Succeeded")
    assert state(done)["state"]["terminated"]["exitCode"] == 0


async def test_a_finished_pod_keeps_its_exit_code_and_message(cluster: Any) -> None:
    main = cluster.container("echo broken > /dev/termination-log; exit 7")
    await cluster.create(cluster.pod("fails", main, restartPolicy="Never"))
    done = await cluster.pod_until("fails", lambda pod: (pod.get("status") or {}).get("phase") == "Failed")
    terminated = state(done)["state"]["terminated"]
    assert (terminated["exitCode"], terminated["reason"], terminated["message"]) == (7, "Error", "broken\n")
    await cluster.admin.delete(PODS, "fails", "default")
    await cluster.gone("fails", 5)


async def test_a_crashing_container_is_restarted_and_then_held_back(cluster: Any) -> None:
    await cluster.create(cluster.pod("crash", cluster.container("exit 1")))
    held = await cluster.pod_until(
        "crash", lambda pod: (state(pod)["state"].get("waiting") or {}).get("reason") == "CrashLoopBackOff"
    )
    main = state(held)
    assert main["restartCount"] == 1  # the first restart comes at once
    assert main["lastState"]["terminated"]["exitCode"] == 1
    assert main["state"]["waiting"]["message"].startswith("back-off 10s restarting failed container=main pod=crash_default(")
    assert held["status"]["phase"] == "Running"
    again = await cluster.pod_until("crash", lambda pod: state(pod)["restartCount"] == 2, 15)
    assert (condition(again["status"]["conditions"], "Ready") or {})["reason"] == "ContainersNotReady"


async def test_an_image_that_is_not_there_is_told_and_tried_again(cluster: Any) -> None:
    main = cluster.container(image="localhost/pybernetes/nothing:1", imagePullPolicy="Never")
    pulled = cluster.container(name="pulled", image="localhost:1/nothing:1")
    named = cluster.container(name="named", image="NOT A NAME")
    await cluster.create(cluster.pod("imageless", main, pulled, named))
    # The first failure's own reason soon gives way to the back-off's: the events keep it.
    failed = ("ErrImagePull", "ImagePullBackOff")
    pod = await cluster.pod_until(
        "imageless", lambda pod: (state(pod, "pulled")["state"].get("waiting") or {}).get("reason") in failed
    )
    assert state(pod)["state"]["waiting"]["reason"] == "ErrImageNeverPull"
    assert state(pod, "named")["state"]["waiting"]["reason"] == "InvalidImageName"
    assert pod["status"]["phase"] == "Pending"
    await cluster.pod_until(
        "imageless", lambda pod: (state(pod, "pulled")["state"].get("waiting") or {}).get("reason") == "ImagePullBackOff"
    )
    assert "Error: ErrImagePull" in [event["message"] for event in await cluster.events("imageless")]
    await cluster.admin.delete(PODS, "imageless", "default")
    await cluster.gone("imageless", 5)


async def test_a_command_that_is_not_there_is_told(cluster: Any) -> None:
    await cluster.create(cluster.pod("wrong", cluster.container(command=["/no/such/program"])))

    def told(pod: Object) -> bool:
        main = state(pod)
        return "no such file" in str(main)

    pod = await cluster.pod_until("wrong", told)
    assert pod["status"]["phase"] in ("Pending", "Running")


async def test_liveness_failure_restarts_the_container(cluster: Any) -> None:
    probe = {"exec": {"command": ["test", "!", "-e", "/tmp/dead"]}, "periodSeconds": 1, "failureThreshold": 1}
    main = cluster.container("sleep 1; touch /tmp/dead; exec sleep 100", livenessProbe=probe)
    await cluster.create(cluster.pod("alive", main))
    pod = await cluster.pod_until("alive", lambda pod: state(pod)["restartCount"] == 1, 20)
    assert state(pod)["lastState"]["terminated"]["exitCode"] in (137, 143)
    found = await cluster.events("alive")
    assert "Container main failed liveness probe, will be restarted" in [event["message"] for event in found]
    assert "Unhealthy" in reasons(found)


async def test_readiness_follows_its_probe_at_once(cluster: Any) -> None:
    http = {"httpGet": {"path": "/", "port": "web"}, "periodSeconds": 5}
    main = cluster.container(
        "mkdir /www; echo hi > /www/index.html; sleep 0.3; exec httpd -f -p 8080 -h /www",
        ports=[{"name": "web", "containerPort": 8080}],
        readinessProbe=http,
    )
    await cluster.create(cluster.pod("web", main))
    began = cluster.clock.monotonic()
    await cluster.ready("web")
    assert cluster.clock.monotonic() - began < 3  # not a whole period
    tcp = {"tcpSocket": {"port": 9}, "periodSeconds": 1}
    await cluster.create(cluster.pod("closed", cluster.container(readinessProbe=tcp)))
    running = await cluster.pod_until("closed", lambda pod: "running" in state(pod)["state"])
    assert state(running)["ready"] is False


async def test_a_startup_probe_keeps_the_others_waiting(cluster: Any) -> None:
    startup = {"exec": {"command": ["test", "-e", "/tmp/up"]}, "periodSeconds": 1, "failureThreshold": 30}
    liveness = {"exec": {"command": ["test", "-e", "/tmp/up"]}, "periodSeconds": 1, "failureThreshold": 1}
    main = cluster.container("sleep 2; touch /tmp/up; exec sleep 100", startupProbe=startup, livenessProbe=liveness)
    await cluster.create(cluster.pod("slow", main))
    running = await cluster.pod_until("slow", lambda pod: "running" in state(pod)["state"])
    assert state(running)["started"] is False
    ready = await cluster.ready("slow")
    assert state(ready)["restartCount"] == 0


async def test_pods_are_adopted_by_a_new_kubelet_not_restarted(cluster: Any) -> None:
    probe = {"exec": {"command": ["true"]}, "initialDelaySeconds": 2}
    await cluster.create(cluster.pod("web", cluster.container(readinessProbe=probe)))
    before = await cluster.ready("web")
    await cluster.stop_kubelet()
    await cluster.start_kubelet()
    await cluster.until(lambda: _synced(cluster))
    await asyncio.sleep(1)
    after = await cluster.get("web")
    assert state(after) == state(before)
    # Nor did it become unready in between: the same transition times.
    assert after["status"] == before["status"]


async def test_pods_survive_a_restart_of_containerd(cluster: Any) -> None:
    await cluster.create(cluster.pod("web"))
    before = await cluster.ready("web")
    cluster.containerd.stop()
    await asyncio.sleep(0.5)
    await asyncio.to_thread(cluster.containerd.start)
    await cluster.create(cluster.pod("later"))
    await cluster.ready("later")
    assert state(await cluster.get("web")) == state(before)
    await cluster.admin.delete(PODS, "web", "default")
    await cluster.gone("web", 10)


async def _synced(cluster: Any) -> bool:
    return bool(cluster.kubelet.pods.synced)


async def test_a_pod_deleted_while_the_kubelet_was_away_is_removed(cluster: Any) -> None:
    created = await cluster.create(cluster.pod("web"))
    await cluster.ready("web")
    await cluster.stop_kubelet()
    await cluster.admin.delete(PODS, "web", "default", grace_period_s=0)
    await cluster.start_kubelet()

    async def removed() -> bool:
        return not await cluster.kubelet.runtime.list_sandboxes()

    await cluster.until(removed, 10)
    uid = created["metadata"]["uid"]

    async def clean() -> bool:
        shared = cluster.kubelet.shared
        return uid not in shared.cgroups.pod_uids() and uid not in shared.volumes.pod_uids()

    await cluster.until(clean, 10)


async def test_a_container_killed_from_outside_comes_back_quickly(cluster: Any) -> None:
    """No event stream in containerd 1.6's CRI: its own stream tells of the exit."""
    await cluster.create(cluster.pod("web"))
    ready = await cluster.ready("web")
    container_id = state(ready)["containerID"].removeprefix("containerd://")
    info = (await cluster.kubelet.runtime.container_status(container_id, verbose=True)).info["info"]
    import json

    os.kill(json.loads(info)["pid"], 9)
    began = cluster.clock.monotonic()
    await cluster.pod_until("web", lambda pod: state(pod)["restartCount"] == 1 and "running" in state(pod)["state"], 5)
    assert cluster.clock.monotonic() - began < 2


async def test_hooks_run_after_the_start_and_before_the_end(cluster: Any) -> None:
    host = cluster.directory / "shared"
    host.mkdir()
    lifecycle = {
        "postStart": {"exec": {"command": ["sh", "-c", "echo started >> /shared/hooks"]}},
        "preStop": {"exec": {"command": ["sh", "-c", "echo stopping >> /shared/hooks"]}},
    }
    main = cluster.container(lifecycle=lifecycle, volumeMounts=[{"name": "shared", "mountPath": "/shared"}])
    volumes = [{"name": "shared", "hostPath": {"path": str(host), "type": "Directory"}}]
    await cluster.create(cluster.pod("hooked", main, volumes=volumes, terminationGracePeriodSeconds=10))
    await cluster.ready("hooked")
    await cluster.admin.delete(PODS, "hooked", "default")
    await cluster.gone("hooked", 10)
    assert (host / "hooks").read_text() == "started\nstopping\n"


async def test_a_pod_past_its_deadline_fails(cluster: Any) -> None:
    await cluster.create(cluster.pod("late", activeDeadlineSeconds=2))
    failed = await cluster.pod_until("late", lambda pod: (pod.get("status") or {}).get("phase") == "Failed", 10)
    assert failed["status"]["reason"] == "DeadlineExceeded"


async def test_a_pod_that_the_node_cannot_hold_is_refused(cluster: Any) -> None:
    huge = cluster.container(resources={"requests": {"cpu": "1000"}})
    await cluster.create(cluster.pod("huge", huge))
    failed = await cluster.pod_until("huge", lambda pod: (pod.get("status") or {}).get("phase") == "Failed", 5)
    assert failed["status"]["reason"] == "OutOfcpu"
    assert failed["status"]["message"].startswith("Pod was rejected: Node didn't have enough resource: cpu, requested: 1000000")


async def test_a_pod_is_deleted_while_it_is_being_started(cluster: Any) -> None:
    for delay_s in (0.0, 0.03, 0.08, 0.12):
        await cluster.create(cluster.pod("brief"))
        await asyncio.sleep(delay_s)
        await cluster.admin.delete(PODS, "brief", "default")
        await cluster.gone("brief", 10)


async def test_limits_are_in_the_pods_cgroup(cluster: Any) -> None:
    resources = {"requests": {"cpu": "250m", "memory": "32Mi"}, "limits": {"cpu": "500m", "memory": "64Mi"}}
    created = await cluster.create(cluster.pod("bounded", cluster.container(resources=resources)))
    await cluster.ready("bounded")
    parent = cluster.kubelet.shared.cgroups.parent_of(created).strip("/")
    memory = Path("/sys/fs/cgroup/memory") / parent / "memory.limit_in_bytes"
    if not memory.exists():
        memory = Path("/sys/fs/cgroup") / parent / "memory.max"
    assert memory.read_text().strip() == str(64 * 1024 * 1024)
    assert "/burstable/" in f"/{parent}/"
