"""What a container finds inside: volumes, environment, names, identity."""

from __future__ import annotations

import base64
import os
from typing import Any

from pybernetes.machinery.meta import Object
from pybernetes.machinery.resources import CONFIG_MAPS, PODS, SECRETS, SERVICES

FOREVER = "trap 'exit 0' TERM; while :; do sleep 0.1; done"


def config_map(name: str, **data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}, "data": data}


def secret(name: str, **data: str) -> Object:
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "default"}, "data": encoded}


async def output(cluster: Any, name: str, script: str, /, *, spec: Object | None = None, **fields: Any) -> str:
    """What the script prints in a pod that ends."""
    main = cluster.container(script, **fields)
    await cluster.create(cluster.pod(name, main, restartPolicy="Never", **(spec or {})))
    await cluster.pod_until(name, lambda pod: (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"))
    return str(await cluster.logs(name))


async def test_volumes_of_the_api_are_files(cluster: Any) -> None:
    await cluster.admin.create(CONFIG_MAPS, config_map("settings", mode="fast", other="x"))
    await cluster.admin.create(SECRETS, secret("keys", password="secret!"))
    volumes = [
        {"name": "settings", "configMap": {"name": "settings", "items": [{"key": "mode", "path": "deep/mode", "mode": 0o600}]}},
        {"name": "keys", "secret": {"secretName": "keys", "defaultMode": 0o440}},
        {"name": "maybe", "configMap": {"name": "nothing", "optional": True}},
        {
            "name": "all",
            "projected": {
                "sources": [
                    {"configMap": {"name": "settings"}},
                    {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
                    {"serviceAccountToken": {"path": "token", "audience": "me"}},
                ]
            },
        },
        {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
    ]
    mounts = [{"name": volume["name"], "mountPath": f"/v/{volume['name']}"} for volume in volumes]
    mounts.append({"name": "settings", "mountPath": "/single", "subPath": "deep/mode"})
    script = """
        cat /v/settings/deep/mode; echo; stat -L -c %a /v/settings/deep/mode; cat /v/keys/password; echo
        stat -L -c %a /v/keys/password; ls /v/maybe; cat /v/all/mode; echo; wc -c < /v/all/token | awk '{print ($1>100)}'
        df /v/memory | tail -1 | awk '{print $1,$2}'; df /v/keys | tail -1 | awk '{print $1}'; cat /single; echo
        touch /v/settings/x 2>/dev/null || echo read-only
    """.replace("awk", "busybox awk")
    found = await output(cluster, "files", script, spec={"volumes": volumes}, volumeMounts=mounts)
    assert found.split() == [
        "fast", "600", "secret!", "440", "fast", "1", "tmpfs", "1024", "tmpfs", "fast", "read-only",
    ]  # fmt: skip


async def test_a_changed_config_map_reaches_the_running_pod(cluster: Any) -> None:
    made = await cluster.admin.create(CONFIG_MAPS, config_map("live", value="old"))
    volumes = [{"name": "live", "configMap": {"name": "live"}}]
    script = "while ! grep -q new /live/value; do sleep 0.05; done; echo changed; exec sleep 100"
    main = cluster.container(script, volumeMounts=[{"name": "live", "mountPath": "/live"}])
    await cluster.create(cluster.pod("follower", main, volumes=volumes))
    await cluster.ready("follower")
    await cluster.admin.update(CONFIG_MAPS, {**made, "data": {"value": "new"}})

    async def changed() -> bool:
        return bool(await cluster.logs("follower") == "changed\n")

    await cluster.until(changed, 5)


async def test_a_pod_waits_for_what_it_refers_to(cluster: Any) -> None:
    volumes = [{"name": "later", "secret": {"secretName": "later"}}]
    main = cluster.container(volumeMounts=[{"name": "later", "mountPath": "/later"}])
    await cluster.create(cluster.pod("waits", main, volumes=volumes))

    async def told() -> bool:
        wanted = 'MountVolume.SetUp failed for volume "later" : secret "later" not found'
        return any(event["reason"] == "FailedMount" and event["message"] == wanted for event in await cluster.events("waits"))

    await cluster.until(told)
    env = [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "later", "key": "x"}}}]
    await cluster.create(cluster.pod("waits-too", cluster.container(env=env)))
    pod = await cluster.pod_until(
        "waits-too",
        lambda pod: "CreateContainerConfigError" in str((pod.get("status") or {}).get("containerStatuses")),
    )
    assert pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"] == 'configmap "later" not found'
    began = cluster.clock.monotonic()
    await cluster.admin.create(SECRETS, secret("later", a="b"))
    await cluster.admin.create(CONFIG_MAPS, config_map("later", x="y"))
    await cluster.ready("waits")
    await cluster.ready("waits-too")
    assert cluster.clock.monotonic() - began < 3


async def test_the_environment_has_fields_resources_references_and_services(cluster: Any) -> None:
    await cluster.admin.create(CONFIG_MAPS, config_map("settings", COLOR="blue", key="value"))
    await cluster.admin.create(SECRETS, secret("keys", TOKEN="t0ken"))
    service = {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "my-db", "namespace": "default"},
        "spec": {"ports": [{"port": 5432, "name": "sql"}]},
    }  # fmt: skip
    made = await cluster.admin.create(SERVICES, service)

    async def known() -> bool:
        return cluster.kubelet.services.get("default", "my-db") is not None

    await cluster.until(known)
    env = [
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}},
        {"name": "KEY", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "key"}}},
        {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "TOKEN"}}},
        {"name": "NONE", "valueFrom": {"secretKeyRef": {"name": "nobody", "key": "x", "optional": True}}},
        {"name": "JOINED", "value": "$(POD)-$(COLOR)-$$(POD)-$(MISSING)"},
    ]
    script = "echo $POD $CPU $KEY $SECRET ${NONE-unset} $JOINED $COLOR $MY_DB_SERVICE_HOST $MY_DB_SERVICE_PORT_SQL; echo $IP"
    found = await output(
        cluster,
        "env",
        script,
        env=env,
        envFrom=[{"configMapRef": {"name": "settings"}}],
        resources={"limits": {"cpu": "300m"}},
    )
    first, ip = found.splitlines()
    assert first == f"env 300 value t0ken unset env-blue-$(POD)-$(MISSING) blue {made['spec']['clusterIP']} 5432"
    pod = await cluster.get("env")
    assert ip == pod["status"]["podIP"]


async def test_names_are_resolved_as_the_cluster_wants(cluster: Any) -> None:
    spec = {"hostname": "me", "subdomain": "group", "hostAliases": [{"ip": "192.0.2.9", "hostnames": ["friend"]}]}
    found = await output(cluster, "named", "hostname; cat /etc/resolv.conf /etc/hosts", spec=spec)
    pod = await cluster.get("named")
    lines = found.splitlines()
    assert lines[0] == "me"
    assert "nameserver 10.96.0.10" in lines
    assert any(line.startswith("search default.svc.cluster.local svc.cluster.local cluster.local") for line in lines)
    assert "options ndots:5" in lines
    assert f"{pod['status']['podIP']}\tme.group.default.svc.cluster.local\tme" in lines
    assert "192.0.2.9\tfriend" in lines


async def test_a_container_runs_as_whom_it_should(cluster: Any) -> None:
    spec = {
        "securityContext": {"runAsUser": 1000, "runAsGroup": 3000, "fsGroup": 2000, "supplementalGroups": [4000]},
        "volumes": [{"name": "work", "emptyDir": {}}],
    }
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True}
    script = """
        id -u; id -g; id -G; touch /w/x; stat -c %g /w/x; touch /x 2>/dev/null || echo read-only
        grep -E '^(CapEff|NoNewPrivs)' /proc/self/status
    """
    found = await output(
        cluster, "secure", script, spec=spec, securityContext=security,
        volumeMounts=[{"name": "work", "mountPath": "/w"}],
    )  # fmt: skip
    words = found.split()
    assert words[:2] == ["1000", "3000"]
    assert {"3000", "2000", "4000"} <= set(words[2:5])
    assert words[5:] == ["2000", "read-only", "CapEff:", "0000000000000000", "NoNewPrivs:", "1"]


async def test_a_container_that_must_not_be_root_is_not(cluster: Any) -> None:
    await cluster.create(cluster.pod("root", cluster.container(securityContext={"runAsNonRoot": True})))
    pod = await cluster.pod_until("root", lambda pod: "CreateContainerConfigError" in str(pod.get("status")))
    message = pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"]
    assert message.startswith("container has runAsNonRoot and image will run as root")


async def test_host_network_and_host_paths(cluster: Any) -> None:
    directory = cluster.directory / "made"
    volumes = [{"name": "host", "hostPath": {"path": str(directory), "type": "DirectoryOrCreate"}}]
    found = await output(
        cluster, "host", "echo hi > /host/file; cat /proc/sys/kernel/hostname; grep -c cni0 /proc/net/dev",
        spec={"hostNetwork": True, "volumes": volumes}, volumeMounts=[{"name": "host", "mountPath": "/host"}],
    )  # fmt: skip
    assert (directory / "file").read_text() == "hi\n"
    assert found.split() == [os.uname().nodename, "1"]
    pod = await cluster.get("host")
    assert pod["status"]["podIP"] == "127.0.0.1"


async def test_sub_paths_do_not_leave_their_volume(cluster: Any) -> None:
    outside = cluster.directory / "outside"
    inside = cluster.directory / "inside"
    outside.mkdir()
    inside.mkdir()
    (inside / "escape").symlink_to(outside)
    volumes = [{"name": "host", "hostPath": {"path": str(inside)}}]
    mounts = [{"name": "host", "mountPath": "/m", "subPath": "escape"}]
    await cluster.create(cluster.pod("escapes", cluster.container(volumeMounts=mounts), volumes=volumes))
    pod = await cluster.pod_until("escapes", lambda pod: "CreateContainerConfigError" in str(pod.get("status")))
    assert "leads out of its volume" in pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"]
    mounts = [{"name": "host", "mountPath": "/m", "subPathExpr": "new/$(NAME)"}]
    env = [{"name": "NAME", "value": "dir"}]
    await output(cluster, "inside", "echo x > /m/f", spec={"volumes": volumes}, volumeMounts=mounts, env=env)
    assert (inside / "new/dir/f").read_text() == "x\n"


async def test_labels_in_a_downward_volume_follow_the_pod(cluster: Any) -> None:
    items = [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]
    volumes = [{"name": "down", "downwardAPI": {"items": items}}]
    main = cluster.container(
        "while ! grep -q new /d/labels 2>/dev/null; do sleep 0.05; done; cat /d/labels; echo; exec sleep 100",
        volumeMounts=[{"name": "down", "mountPath": "/d"}],
    )
    await cluster.create(cluster.pod("labelled", main, volumes=volumes))
    await cluster.ready("labelled")
    await cluster.admin.patch(PODS, "labelled", "default", {"metadata": {"labels": {"age": "new"}}})

    async def seen() -> bool:
        return bool(await cluster.logs("labelled") == 'age="new"\n')

    await cluster.until(seen, 5)
