"""What pods of a real cluster are promised: volumes, environment, order, restarts, probes, an orderly end."""

from __future__ import annotations

import asyncio
import base64
import sys

import pytest

from pybernetes.client.rest import PatchType
from pybernetes.machinery.meta import Object, condition
from pybernetes.machinery.resources import CONFIG_MAPS, PODS, SECRETS
from tests.e2e.cluster import Api, container, container_status, is_ready, pod, serve

HTTP_PROBE = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}


async def config(api: Api, **data: str) -> None:
    made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "config"}, "data": data}
    await api.create(CONFIG_MAPS, made)


async def secret(api: Api, **data: str) -> None:
    await api.create(SECRETS, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "secret"}, "stringData": data})


def state(seen: Object, name: str = "main", kind: str = "containerStatuses") -> Object:
    """The container's state, as {"waiting": {...}} and the like."""
    found: Object = container_status(seen, name, kind).get("state") or {}
    return found


# Volumes


async def test_volumes_hold_config_maps_and_secrets_with_their_modes(api: Api) -> None:
    await config(api, colour="blue", shape="round")
    await secret(api, password="xyzzy")
    script = "cat /c/colour /c/where/it/is /s/password; stat -Lc '%a %n' /c/colour /c/where/it/is /s/password; ls /c"
    volumes = [
        {"name": "c", "configMap": {"name": "config", "items": [
            {"key": "colour", "path": "colour"}, {"key": "shape", "path": "where/it/is", "mode": 0o600}]}},
        {"name": "s", "secret": {"secretName": "secret", "defaultMode": 0o440}},
    ]  # fmt: skip
    mounts = [{"name": "c", "mountPath": "/c"}, {"name": "s", "mountPath": "/s", "readOnly": True}]
    printed = await api.finish(pod("reader", script, volumes=volumes, main={"volumeMounts": mounts}, restartPolicy="Never"))
    assert printed == "blueroundxyzzy644 /c/colour\n600 /c/where/it/is\n440 /s/password\ncolour\nwhere\n"


async def test_an_empty_dir_is_shared_by_the_containers_of_a_pod_and_by_sub_path(api: Api) -> None:
    volumes = [{"name": "e", "emptyDir": {}}, {"name": "m", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}]
    mounts = [{"name": "e", "mountPath": "/e"}, {"name": "m", "mountPath": "/m"}]
    writer = container("echo shared > /e/f; mkdir /e/sub; echo below > /e/sub/g", "writer", volumeMounts=mounts)
    below = {"name": "e", "mountPath": "/below", "subPath": "sub"}
    reader = container("cat /e/f /below/g; grep -c 'tmpfs /m' /proc/mounts", volumeMounts=[*mounts, below])
    given = pod("sharing", volumes=volumes, initContainers=[writer], containers=[reader], restartPolicy="Never")
    assert await api.finish(given) == "shared\nbelow\n1\n"


async def test_a_host_path_is_the_nodes(api: Api, tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.mktemp("host")
    (directory / "in").write_text("from the node\n")
    volumes = [
        {"name": "h", "hostPath": {"path": str(directory), "type": "Directory"}},
        {"name": "n", "hostPath": {"path": str(directory / "new"), "type": "DirectoryOrCreate"}},
    ]
    mounts = [{"name": "h", "mountPath": "/h"}, {"name": "n", "mountPath": "/n"}]
    script = "cat /h/in; echo from the pod > /n/out"
    given = pod("host", script, volumes=volumes, main={"volumeMounts": mounts}, restartPolicy="Never")
    assert await api.finish(given) == "from the node\n"
    assert (directory / "new" / "out").read_text() == "from the pod\n"


async def test_a_projected_volume_joins_its_sources(api: Api) -> None:
    await config(api, colour="blue")
    await secret(api, password="xyzzy")
    sources = [
        {"configMap": {"name": "config"}},
        {"secret": {"name": "secret", "items": [{"key": "password", "path": "deep/password"}]}},
        {"downwardAPI": {"items": [
            {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
            {"path": "cpu", "resourceFieldRef": {"containerName": "main", "resource": "limits.cpu", "divisor": "1m"}}]}},
        {"serviceAccountToken": {"path": "token", "audience": "somebody", "expirationSeconds": 600}},
    ]  # fmt: skip
    main = {"volumeMounts": [{"name": "p", "mountPath": "/p"}], "resources": {"limits": {"cpu": "250m", "memory": "32Mi"}}}
    volumes = [{"name": "p", "projected": {"sources": sources}}]
    script = "cat /p/colour /p/deep/password; echo; cat /p/labels; echo; cat /p/cpu; echo; cat /p/token"
    printed = await api.finish(pod("joined", script, volumes=volumes, main=main, restartPolicy="Never"))
    files, labels, cpu, token = printed.splitlines()
    assert (files, labels, cpu) == ("bluexyzzy", 'app="joined"', "250")
    claims = token.split(".")[1]
    assert b'"aud":["somebody"]' in base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)).replace(b" ", b"")


async def test_a_changed_config_map_arrives_in_a_running_pod_at_once_as_a_whole(api: Api) -> None:
    await config(api, colour="blue", shape="round")
    volumes = [{"name": "c", "configMap": {"name": "config"}}]
    script = "while true; do echo $(cat /c/colour /c/shape); sleep 0.2; done"
    given = pod("reader", script, volumes=volumes, main={"volumeMounts": [{"name": "c", "mountPath": "/c"}]})
    await api.run(given)
    await api.until_logged("reader", "blueround")
    await api.client.patch(
        CONFIG_MAPS, "config", api.namespace, {"data": {"colour": "red", "shape": "square"}}, PatchType.MERGE
    )
    # Upstream promises its sync period and the cache's delay: about a minute.
    await api.until_logged("reader", "redsquare", timeout_s=75, tailLines="3")


async def test_a_pod_waits_for_a_config_map_that_comes_later(api: Api) -> None:
    volumes = [{"name": "c", "configMap": {"name": "config"}}]
    given = pod("late", "cat /c/colour", volumes=volumes, main={"volumeMounts": [{"name": "c", "mountPath": "/c"}]},
                restartPolicy="Never")  # fmt: skip
    await api.create(PODS, given)
    await api.until(PODS, "late", lambda seen: state(seen).get("waiting", {}).get("reason") == "ContainerCreating", "waiting")
    await asyncio.sleep(0.5)
    await config(api, colour="blue")
    await api.until(PODS, "late", lambda seen: seen["status"]["phase"] == "Succeeded", "run", timeout_s=40)
    assert await api.logs("late") == "blue"


# The environment


async def test_the_environment_comes_from_fields_config_maps_secrets_and_services(api: Api) -> None:
    await config(api, colour="blue", shape="round")
    await secret(api, password="xyzzy")
    await api.service("other", "other", 8765)
    env = [
        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        {"name": "MEMORY", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory"}}},
        {"name": "COLOUR", "valueFrom": {"configMapKeyRef": {"name": "config", "key": "colour"}}},
        {"name": "NONE", "valueFrom": {"configMapKeyRef": {"name": "config", "key": "nosuch", "optional": True}}},
        {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "secret", "key": "password"}}},
        {"name": "JOINED", "value": "$(COLOUR)-$(NOSUCH)-$$(COLOUR)"},
    ]
    from_ = [{"configMapRef": {"name": "config"}, "prefix": "MAP_"}]
    main = {"env": env, "envFrom": from_, "resources": {"limits": {"memory": "32Mi"}}}
    printed = await api.finish(pod("printer", "env", main=main, restartPolicy="Never"))
    seen = dict(line.split("=", 1) for line in printed.splitlines() if "=" in line)
    status = (await api.get(PODS, "printer"))["status"]
    expected = {
        "NAME": "printer", "IP": status["podIP"], "NODE": (await api.get(PODS, "printer"))["spec"]["nodeName"],
        "MEMORY": str(32 * 2**20), "COLOUR": "blue", "PASSWORD": "xyzzy", "JOINED": "blue-$(NOSUCH)-$(COLOUR)",
        "MAP_shape": "round", "OTHER_SERVICE_PORT": "8765", "KUBERNETES_SERVICE_HOST": "10.96.0.1", "HOSTNAME": "printer",
    }  # fmt: skip
    assert {name: seen.get(name) for name in expected} == expected
    assert "NONE" not in seen


# The order of containers, restarts, images


async def test_init_containers_run_in_order_before_the_others_and_are_tried_again(api: Api) -> None:
    volumes = [{"name": "e", "emptyDir": {}}]
    mounted = {"volumeMounts": [{"name": "e", "mountPath": "/e"}]}
    inits = [
        container("echo first >> /e/log", "first", **mounted),
        container("if [ ! -e /e/tried ]; then touch /e/tried; exit 1; fi; echo second >> /e/log", "second", **mounted),
    ]
    given = pod("ordered", initContainers=inits, volumes=volumes, containers=[container("cat /e/log", **mounted)],
                restartPolicy="OnFailure")  # fmt: skip
    assert await api.finish(given) == "first\nsecond\n"
    seen = await api.get(PODS, "ordered")
    assert container_status(seen, "second", "initContainerStatuses")["restartCount"] == 1
    assert condition(seen["status"]["conditions"], "Initialized")["status"] == "True"  # type: ignore[index]


async def test_a_sidecar_starts_before_the_others_and_ends_after_them(api: Api) -> None:
    sidecar = container("trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.1; done", "side", restartPolicy="Always")
    given = pod("with-sidecar", "echo main", initContainers=[sidecar], restartPolicy="Never")
    assert await api.finish(given) == "main\n"
    assert (await api.logs("with-sidecar", container="side")).startswith("up\n")


async def test_restart_policies_never_on_failure_and_always(api: Api) -> None:
    await api.create(PODS, pod("never", "exit 3", restartPolicy="Never"))
    await api.create(PODS, pod("on-failure", "if [ -e /e/tried ]; then exit 0; fi; touch /e/tried; exit 1",
                               restartPolicy="OnFailure", volumes=[{"name": "e", "emptyDir": {}}],
                               main={"volumeMounts": [{"name": "e", "mountPath": "/e"}]}))  # fmt: skip
    await api.create(PODS, pod("always", "exit 0"))
    never = await api.until(PODS, "never", lambda seen: seen["status"]["phase"] == "Failed", "Failed")
    assert state(never)["terminated"]["exitCode"] == 3
    assert state(never)["terminated"]["reason"] == "Error"
    assert container_status(never)["restartCount"] == 0
    on_failure = await api.until(PODS, "on-failure", lambda seen: seen["status"]["phase"] == "Succeeded", "Succeeded")
    assert container_status(on_failure)["restartCount"] == 1
    assert state(on_failure)["terminated"]["reason"] == "Completed"
    await api.until(PODS, "always", lambda seen: container_status(seen).get("restartCount", 0) >= 1, "restarted")


async def test_a_crashing_container_backs_off_and_its_previous_log_can_be_read(api: Api) -> None:
    await api.create(PODS, pod("crashing", "echo about to crash; exit 1"))

    def backs_off(seen: Object) -> bool:
        return state(seen).get("waiting", {}).get("reason") == "CrashLoopBackOff"

    seen = await api.until(PODS, "crashing", backs_off, "CrashLoopBackOff")
    assert "back-off 10s restarting failed container=main" in state(seen)["waiting"]["message"]
    status = container_status(seen)
    assert status["restartCount"] >= 1
    assert status["lastState"]["terminated"]["exitCode"] == 1
    assert not is_ready(seen)
    assert await api.logs("crashing", previous="true") == "about to crash\n"
    assert "BackOff" in [event["reason"] for event in await api.events("crashing")]


async def test_an_image_that_is_not_there_is_told_in_status_and_events(api: Api) -> None:
    given = pod("imageless")
    given["spec"]["containers"][0]["image"] = "localhost/nosuch/image:1"
    await api.create(PODS, given)
    reasons = ("ErrImagePull", "ImagePullBackOff")
    seen = await api.until(
        PODS, "imageless", lambda seen: state(seen).get("waiting", {}).get("reason") in reasons, str(reasons)
    )
    assert "localhost/nosuch/image:1" in state(seen)["waiting"]["message"]
    assert seen["status"]["phase"] == "Pending"
    await api.until(
        PODS, "imageless", lambda seen: state(seen).get("waiting", {}).get("reason") == reasons[1], reasons[1], timeout_s=20
    )
    events = {event["reason"] for event in await api.events("imageless")}
    assert {"Pulling", "Failed", "BackOff"} <= events
    given = pod("never-pulled")
    given["spec"]["containers"][0] |= {"image": "localhost/nosuch/image:1", "imagePullPolicy": "Never"}
    await api.create(PODS, given)
    await api.until(
        PODS, "never-pulled", lambda seen: state(seen).get("waiting", {}).get("reason") == "ErrImageNeverPull", "never pulled"
    )


async def test_a_command_that_is_not_there_fails_the_container_with_the_reason(api: Api) -> None:
    given = pod("commandless", restartPolicy="Never")
    given["spec"]["containers"][0]["command"] = ["/nosuch"]
    await api.create(PODS, given)
    seen = await api.until(PODS, "commandless", lambda seen: seen["status"]["phase"] == "Failed", "Failed")
    assert "terminated" in state(seen), seen["status"]
    terminated = state(seen)["terminated"]
    assert terminated["exitCode"] == 128
    assert terminated["reason"] == "StartError"
    assert "/nosuch" in terminated["message"]


async def test_memory_beyond_the_limit_is_told_as_oom_killed(api: Api) -> None:
    main = {"resources": {"limits": {"memory": "16Mi"}}}
    await api.create(PODS, pod("greedy", "x=a; while :; do x=$x$x; done", restartPolicy="Never", main=main))
    seen = await api.until(PODS, "greedy", lambda seen: seen["status"]["phase"] == "Failed", "Failed")
    assert state(seen)["terminated"]["reason"] == "OOMKilled"
    assert state(seen)["terminated"]["exitCode"] == 137


# Probes


@pytest.mark.parametrize("kind", ["exec", "httpGet", "tcpSocket"])
async def test_a_liveness_probe_that_fails_restarts_the_container(api: Api, kind: str) -> None:
    port = {"port": 8080}
    action = {"exec": {"command": ["cat", "/tmp/www/index.html"]}, "httpGet": {"path": "/", **port}, "tcpSocket": port}[kind]
    script = serve().replace("exec ", "") + " & sleep 2.5; rm /tmp/www/index.html; kill $!; sleep 1000"
    probe = {kind: action, "initialDelaySeconds": 1, "periodSeconds": 1, "failureThreshold": 1}
    await api.create(PODS, pod("ill", script, main={"livenessProbe": probe}))
    started = await api.until(PODS, "ill", lambda seen: "running" in state(seen), "running")
    seen = await api.until(PODS, "ill", lambda seen: container_status(seen)["restartCount"] == 1, "restarted")
    assert container_status(seen)["lastState"]["terminated"]["exitCode"] in (137, 143)
    assert container_status(seen)["containerID"] != container_status(started)["containerID"]
    assert {"Unhealthy", "Killing"} <= {event["reason"] for event in await api.events("ill")}


async def test_a_startup_probe_holds_the_others_back(api: Api) -> None:
    probes = {
        "startupProbe": {"exec": {"command": ["test", "-e", "/tmp/up"]}, "periodSeconds": 1, "failureThreshold": 20},
        "livenessProbe": {"exec": {"command": ["test", "-e", "/tmp/up"]}, "periodSeconds": 1, "failureThreshold": 1},
    }
    await api.create(PODS, pod("slow", "sleep 3; touch /tmp/up; sleep 1000", main=probes))
    seen = await api.until(PODS, "slow", lambda seen: "running" in state(seen), "running")
    assert container_status(seen)["started"] is False
    seen = await api.until(PODS, "slow", is_ready, "Ready")
    assert container_status(seen)["started"] is True
    assert container_status(seen)["restartCount"] == 0


async def test_readiness_gates_hold_a_pod_back_until_their_condition_is_true(api: Api) -> None:
    await api.create(PODS, pod("gated", readinessGates=[{"conditionType": "example.com/ok"}]))
    seen = await api.until(PODS, "gated", lambda seen: container_status(seen).get("ready"), "container ready")
    assert not is_ready(seen)
    patch = {"status": {"conditions": [{"type": "example.com/ok", "status": "True"}]}}
    await api.client.patch(PODS, "gated", api.namespace, patch, PatchType.STRATEGIC, subresource="status")
    await api.until(PODS, "gated", is_ready, "Ready")


# The end of a pod


async def test_a_pod_is_ended_in_order_pre_stop_then_sigterm(api: Api, tmp_path_factory: pytest.TempPathFactory) -> None:
    told = tmp_path_factory.mktemp("told")
    script = "trap 'echo TERM >> /told/log; sleep 0.5; echo over >> /told/log; exit 0' TERM; while :; do sleep 0.1; done"
    main = {
        "volumeMounts": [{"name": "h", "mountPath": "/told"}],
        "lifecycle": {
            "postStart": {"exec": {"command": ["sh", "-c", "echo started >> /told/log"]}},
            "preStop": {"exec": {"command": ["sh", "-c", "sleep 0.5; echo preStop >> /told/log"]}},
        },
    }
    volumes = [{"name": "h", "hostPath": {"path": str(told)}}]
    await api.run(pod("orderly", script, main=main, volumes=volumes, terminationGracePeriodSeconds=20))
    await api.client.delete(PODS, "orderly", api.namespace)
    assert "deletionTimestamp" in (await api.get(PODS, "orderly"))["metadata"]
    await api.gone(PODS, "orderly", timeout_s=10)
    assert (told / "log").read_text() == "started\npreStop\nTERM\nover\n"


async def test_a_pod_that_does_not_end_is_killed_when_its_grace_is_over(api: Api) -> None:
    await api.run(pod("stubborn", "trap '' TERM; while :; do sleep 0.1; done", terminationGracePeriodSeconds=2))
    loop = asyncio.get_running_loop()
    began = loop.time()
    await api.client.delete(PODS, "stubborn", api.namespace)
    await api.gone(PODS, "stubborn", timeout_s=10)
    assert 1.5 < loop.time() - began < 5


async def test_the_termination_message_is_told(api: Api) -> None:
    await api.create(PODS, pod("teller", "echo from the file > /dev/termination-log; exit 1", restartPolicy="Never"))
    fallback = {"terminationMessagePolicy": "FallbackToLogsOnError"}
    await api.create(PODS, pod("logger", "echo from the log; exit 1", restartPolicy="Never", main=fallback))
    for name, message in (("teller", "from the file\n"), ("logger", "from the log\n")):
        seen = await api.until(PODS, name, lambda seen: seen["status"]["phase"] == "Failed", "Failed")
        assert state(seen)["terminated"]["message"] == message


async def test_a_pod_is_failed_when_its_active_deadline_is_over(api: Api) -> None:
    await api.create(PODS, pod("late", activeDeadlineSeconds=1))
    seen = await api.until(PODS, "late", lambda seen: seen["status"]["phase"] == "Failed", "Failed", timeout_s=20)
    assert seen["status"]["reason"] == "DeadlineExceeded"


# Identity


ASK = """
import ssl, sys, urllib.error, urllib.request
token, authority = sys.stdin.readline().strip(), sys.stdin.read()
for path in ("/apis/apps/v1", "/api/v1/namespaces/kube-system/secrets"):
    request = urllib.request.Request("https://10.96.0.1" + path, headers={"Authorization": "Bearer " + token})
    try:
        with urllib.request.urlopen(request, context=ssl.create_default_context(cadata=authority)) as answer:
            print(answer.status)
    except urllib.error.HTTPError as refused:
        print(refused.code, refused.read().decode())
"""


async def test_the_service_account_token_lets_a_pod_ask_the_api_for_what_it_may_see(api: Api) -> None:
    # Busybox signs its TLS with SHA-1 only, which servers refuse by now: the node's Python asks for it.
    directory = "/var/run/secrets/kubernetes.io/serviceaccount"
    script = f"""cat {directory}/namespace; echo
(cat {directory}/token; echo; cat {directory}/ca.crt) | busybox chroot /node {sys.executable} -I -c '{ASK}'"""
    volumes = [{"name": "node", "hostPath": {"path": "/"}}]
    main = {"volumeMounts": [{"name": "node", "mountPath": "/node", "readOnly": True}]}
    printed = await api.finish(pod("asker", script, main=main, volumes=volumes, restartPolicy="Never"))
    namespace, allowed, refused = printed.splitlines()
    assert (namespace, allowed) == (api.namespace, "200")
    assert refused.startswith("403 ")
    assert f"system:serviceaccount:{api.namespace}:default" in refused
