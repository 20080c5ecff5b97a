"""Services of a real cluster: who gets the requests, under which names, and what a rolling update costs their clients."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest

from pybernetes.client.rest import PatchType
from pybernetes.machinery.errors import NotFound
from pybernetes.machinery.meta import name_of
from pybernetes.machinery.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    NAMESPACES,
    NODES,
    PODS,
    SERVICES,
)
from tests.e2e.cluster import READINESS, Api, is_ready, pod, rolled_out, serve, web
from tests.e2e.hammer import fetch, hammering, until_answers


async def names(api: Api, prefix: str = "web-") -> set[str]:
    return {name_of(each) for each in (await api.client.list(PODS, api.namespace))["items"] if name_of(each).startswith(prefix)}


async def resolve(api: Api, *questions: str) -> str:
    """What a pod of the namespace is told by the cluster's DNS."""
    script = "; ".join(f"nslookup {question} 2>&1; echo ---" for question in questions)
    return await api.finish(pod("asker", script, restartPolicy="Never"))


async def test_a_service_spreads_requests_over_its_ready_pods_by_address_and_by_name(api: Api) -> None:
    await api.create(DEPLOYMENTS, web(3))
    made = await api.service("web", "web")
    await rolled_out(api)
    await until_answers(made["spec"]["clusterIP"])
    answers = {await fetch(made["spec"]["clusterIP"]) for _ in range(60)}
    assert answers == await names(api)
    url = f"http://web.{api.namespace}.svc.cluster.local/ http://web.{api.namespace}/ http://web/"
    script = f"for url in {url}; do wget -q -O - $url; done"
    printed = await api.finish(pod("caller", script, restartPolicy="Never"))
    assert len(printed.split()) == 3
    assert set(printed.split()) <= answers


async def test_a_pod_that_is_not_ready_gets_no_requests(api: Api) -> None:
    readiness = {"exec": {"command": ["test", "-e", "/tmp/ready"]}, "periodSeconds": 1}
    script = f"if [ $(hostname) = a ]; then touch /tmp/ready; fi; {serve()}"
    for name in ("a", "b"):
        await api.create(PODS, pod(name, script, labels={"app": "web"}, main={"readinessProbe": readiness}))
    made = await api.service("web", "web")
    await api.until(PODS, "a", is_ready, "Ready")
    address = made["spec"]["clusterIP"]
    await until_answers(address)
    assert {await fetch(address) for _ in range(20)} == {"a"}
    assert not is_ready(await api.get(PODS, "b"))
    slices = (await api.client.list(ENDPOINT_SLICES, api.namespace))["items"]
    assert sorted(each["conditions"]["ready"] for each in slices[0]["endpoints"]) == [False, True]


async def test_a_pod_reaches_itself_through_its_own_service(api: Api) -> None:
    await api.service("itself", "web")
    script = serve().replace("exec ", "") + " & until wget -q -O - http://itself; do sleep 0.2; done; wait"
    await api.create(PODS, pod("web", script, main={"readinessProbe": READINESS}))
    assert "web\n" in await api.until_logged("web", "web\n")


async def test_a_service_without_endpoints_refuses_at_once(api: Api) -> None:
    made = await api.service("empty", "nobody")
    began = time.monotonic()
    while True:
        try:
            await fetch(made["spec"]["clusterIP"])
        except ConnectionRefusedError:
            break
        except OSError:
            pass
        assert time.monotonic() - began < 10
        await asyncio.sleep(0.05)


async def test_a_node_port_is_reached_at_the_node_s_address_and_from_a_pod(api: Api) -> None:
    await api.run(pod("web", serve(), main={"readinessProbe": READINESS}))
    made = await api.service("web", "web", type="NodePort")
    port = made["spec"]["ports"][0]["nodePort"]
    assert 30000 <= port <= 32767
    node = (await api.client.list(NODES))["items"][0]
    address = next(each["address"] for each in node["status"]["addresses"] if each["type"] == "InternalIP")
    assert await until_answers(address, port) == "web"
    caller = pod("caller", f"wget -q -O - http://{address}:{port}/", restartPolicy="Never")
    assert await api.finish(caller) == "web\n"


async def test_session_affinity_keeps_a_client_with_its_pod(api: Api) -> None:
    await api.create(DEPLOYMENTS, web(3))
    made = await api.service("web", "web", sessionAffinity="ClientIP")
    await rolled_out(api)
    first = await until_answers(made["spec"]["clusterIP"])
    assert {await fetch(made["spec"]["clusterIP"]) for _ in range(20)} == {first}


async def test_a_headless_service_s_name_is_its_pods_addresses_and_each_pod_has_its_own(api: Api) -> None:
    for name in ("a", "b"):
        await api.run(pod(name, labels={"app": "db"}, hostname=name, subdomain="db"))
    await api.service("db", "db", clusterIP="None")
    addresses = [(await api.get(PODS, name))["status"]["podIP"] for name in ("a", "b")]
    await api.until(SERVICES, "db", lambda seen: seen["spec"]["clusterIP"] == "None", "headless")
    domain = f"db.{api.namespace}.svc.cluster.local"
    printed = await resolve(api, domain, f"a.{domain}", "kubernetes.default.svc.cluster.local")
    whole, single, kubernetes, _ = printed.split("---")
    assert all(f"Address: {address}\n" in whole for address in addresses), printed
    assert f"Address: {addresses[0]}\n" in single
    assert addresses[1] not in single
    assert "Address: 10.96.0.1\n" in kubernetes


async def test_a_name_that_is_not_there_is_told_to_be_none(api: Api) -> None:
    printed = await resolve(api, "nosuch.default.svc.cluster.local")
    assert "NXDOMAIN" in printed or "can't find" in printed


@pytest.mark.parametrize("replicas", [1, 3])
async def test_a_rolling_update_loses_no_request(api: Api, replicas: int) -> None:
    # The sleep outlasts the time that the proxy needs to hear of the end (the documented way to lose nothing).
    pre_stop = {"preStop": {"exec": {"command": ["sleep", "2"]}}}
    old, new = web(replicas, "old", lifecycle=pre_stop), web(replicas, "new", lifecycle=pre_stop)
    for each in (old, new):
        each["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 5
    await api.create(DEPLOYMENTS, old)
    made = await api.service("web", "web")
    await rolled_out(api)
    await until_answers(made["spec"]["clusterIP"])
    async with hammering(made["spec"]["clusterIP"], clients=3) as hammer:
        await asyncio.sleep(0.3)
        await api.client.patch(DEPLOYMENTS, "web", api.namespace, {"spec": new["spec"]}, PatchType.MERGE)
        await rolled_out(api)
        await asyncio.sleep(3)
    assert hammer.failures == []
    assert set(hammer.answers) == {"old", "new"}
    assert sum(hammer.answers.values()) > 100
    assert await fetch(made["spec"]["clusterIP"]) == "new"


async def test_a_namespace_is_deleted_with_everything_in_it(api: Api) -> None:
    await api.create(DEPLOYMENTS, web(2))
    await api.create(CONFIG_MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "config"}})
    made = await api.service("web", "web")
    await rolled_out(api)
    await until_answers(made["spec"]["clusterIP"])
    await api.client.delete(NAMESPACES, api.namespace)
    async with asyncio.timeout(30):
        while True:
            try:
                await api.client.get(NAMESPACES, api.namespace)
            except NotFound:
                break
            await asyncio.sleep(0.1)
    for resource in (PODS, DEPLOYMENTS, SERVICES, CONFIG_MAPS, ENDPOINT_SLICES):
        assert (await api.client.list(resource, api.namespace))["items"] == []
    with pytest.raises(OSError):  # nobody answers there any more
        await fetch(made["spec"]["clusterIP"])


async def test_udp_is_served_too(api: Api) -> None:
    """The cluster's DNS by its Service address, from the node."""
    labels = b"".join(bytes([len(label)]) + label for label in b"kubernetes.default.svc.cluster.local".split(b"."))
    question = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + labels + b"\x00\x00\x01\x00\x01"  # RFC 1035
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(5)
        asking.sendto(question, ("10.96.0.10", 53))
        answer = asking.recv(512)
    assert answer[:2] == question[:2]
    assert socket.inet_aton("10.96.0.1") in answer
