"""Python's clients: kubernetes, kubernetes_asyncio, lightkube, kr8s and pykube, each in its own manner."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.component.clients.cluster import Cluster

pytestmark = pytest.mark.filterwarnings("ignore")  # whatever those libraries are warned of is theirs

DEPLOYMENT = {
    "replicas": 1,
    "selector": {"matchLabels": {"app": "web"}},
    "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
}


@pytest.fixture
def kubernetes(cluster: Cluster) -> Iterator[Any]:
    import kubernetes

    configuration = kubernetes.client.Configuration()
    kubernetes.config.load_kube_config(str(cluster.kubeconfig), client_configuration=configuration)
    kubernetes.client.Configuration.set_default(configuration)
    yield kubernetes
    kubernetes.client.Configuration.set_default(None)


def running_pod(kubernetes: Any, namespace: str) -> str:
    core = kubernetes.client.CoreV1Api()
    spec = {"containers": [{"name": "c", "image": "busybox"}]}
    core.create_namespaced_pod(namespace, {"metadata": {"name": "p"}, "spec": spec})
    watch = kubernetes.watch.Watch()
    for event in watch.stream(core.list_namespaced_pod, namespace, timeout_seconds=20):
        if event["object"].status.phase == "Running":
            watch.stop()
            return "p"
    raise AssertionError("the pod does not start")


def test_every_kind_that_is_served_can_be_listed_by_its_typed_method(cluster: Cluster, kubernetes: Any) -> None:
    listed, failed = set(), []
    for name in (name for name in dir(kubernetes.client) if name.endswith("Api") and not name.startswith("CustomObjects")):
        api = getattr(kubernetes.client, name)()
        for method in dir(api):
            if not method.startswith("list_") or method.endswith("_with_http_info"):
                continue
            arguments = ("default",) if method.startswith("list_namespaced_") else ()
            try:
                found = getattr(api, method)(*arguments, limit=3)
                listed.add((found.api_version, found.kind.removesuffix("List")))
            except kubernetes.client.ApiException as error:
                if error.status != 404:  # a kind of a version that is not on by default
                    failed.append((name, method, error.body))
            except ValueError as error:
                # Its model wants a time that the API leaves open for events of the older kind.
                assert method.startswith("list_") and "event" in method, error
                listed.add(("events.k8s.io/v1", "Event"))
    assert not failed
    resources = [("v1", "/api/v1"), *((found, f"/apis/{found}") for found in versions(cluster))]
    served = {
        (version, resource["kind"])
        for version, path in resources
        for resource in cluster.get(path)["resources"]
        if "list" in resource["verbs"] and "example" not in version  # other tests' custom kinds
    }
    assert served - listed == set()


def versions(cluster: Cluster) -> list[str]:
    return [found["groupVersion"] for group in cluster.get("/apis")["groups"] for found in group["versions"]]


def test_a_watch_goes_on_from_a_version_and_ends_in_time(kubernetes: Any, namespace: str) -> None:
    core = kubernetes.client.CoreV1Api()
    made = core.create_namespaced_config_map(namespace, {"metadata": {"name": "cm"}})
    core.patch_namespaced_config_map("cm", namespace, {"data": {"a": "1"}})
    core.delete_namespaced_config_map("cm", namespace)
    start = made.metadata.resource_version
    watch = kubernetes.watch.Watch()
    stream = watch.stream(core.list_namespaced_config_map, namespace, resource_version=start, timeout_seconds=1)
    seen = [(event["type"], event["object"].metadata.name) for event in stream]
    assert seen == [("MODIFIED", "cm"), ("DELETED", "cm")]


def test_the_dynamic_client_knows_custom_kinds(cluster: Cluster, kubernetes: Any, namespace: str) -> None:
    from kubernetes.dynamic import DynamicClient

    client = DynamicClient(kubernetes.client.ApiClient())
    definitions = client.resources.get(api_version="apiextensions.k8s.io/v1", kind="CustomResourceDefinition")
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}, "subresources": {"status": {}},
    }  # fmt: skip
    spec = {
        "group": "dynamic.example.com", "scope": "Namespaced", "versions": [version],
        "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
    }  # fmt: skip
    body = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "spec": spec}
    name = "widgets.dynamic.example.com"
    client.create(definitions, {**body, "metadata": {"name": name}})
    try:
        cluster.until(lambda: cluster.request("GET", "/apis/dynamic.example.com/v1/widgets")[0] == 200)
        widgets = client.resources.get(api_version="dynamic.example.com/v1", kind="Widget")
        widget = {"apiVersion": "dynamic.example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"size": 1}}
        widgets.create(widget, namespace=namespace)
        widgets.patch({"spec": {"size": 2}}, "w", namespace, content_type="application/merge-patch+json")
        mine = {**widget, "spec": {"colour": "red"}}
        applied = widgets.server_side_apply(mine, "w", namespace, field_manager="me").to_dict()
        assert applied["spec"] == {"size": 2, "colour": "red"}
        widgets.status.patch({"status": {"ok": True}}, "w", namespace, content_type="application/merge-patch+json")
        assert widgets.get(name="w", namespace=namespace).status.ok
        kinds = [item.metadata.name for item in widgets.get(namespace=namespace).items]
        assert kinds == ["w"]
        widgets.delete("w", namespace)
    finally:
        client.delete(definitions, name)


def test_objects_are_made_from_yaml_and_errors_of_each_are_told(kubernetes: Any, namespace: str, tmp_path: Path) -> None:
    from kubernetes.utils import FailToCreateError, create_from_yaml

    wanted = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cm"}},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": DEPLOYMENT},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "A"}},
    ]
    path = tmp_path / "all.yaml"
    path.write_text(yaml.safe_dump_all(wanted))
    with pytest.raises(FailToCreateError, match="a lowercase RFC 1123 subdomain"):
        create_from_yaml(kubernetes.client.ApiClient(), str(path), namespace=namespace)
    assert kubernetes.client.AppsV1Api().read_namespaced_deployment("web", namespace).spec.replicas == 1


def test_commands_run_and_ports_are_forwarded_over_old_websockets(kubernetes: Any, namespace: str) -> None:
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    from kubernetes.stream import portforward, stream

    core, pod = kubernetes.client.CoreV1Api(), running_pod(kubernetes, namespace)
    command = ["sh", "-c", "read a; echo got $a; exit 3"]
    session = stream(
        core.connect_get_namespaced_pod_exec, pod, namespace, command=command, stdin=True, stdout=True, stderr=True, tty=False,
        _preload_content=False,
    )  # fmt: skip
    session.write_stdin("this\n")
    session.run_forever(timeout=10)
    assert (session.read_stdout(), session.returncode) == ("got this\n", 3)
    with ThreadingHTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        ports = portforward(core.connect_get_namespaced_pod_portforward, pod, namespace, ports=str(server.server_port))
        socket = ports.socket(server.server_port)
        socket.setblocking(True)
        socket.sendall(b"HEAD / HTTP/1.0\r\n\r\n")
        assert socket.recv(12) == b"HTTP/1.0 200"
        socket.close()


@pytest.mark.parametrize("kind", ["configmap", "lease"])
def test_of_two_candidates_one_leads(kubernetes: Any, namespace: str, kind: str) -> None:
    from kubernetes.leaderelection import electionconfig, leaderelection
    from kubernetes.leaderelection.resourcelock.configmaplock import ConfigMapLock
    from kubernetes.leaderelection.resourcelock.leaselock import LeaseLock

    def candidate(name: str) -> Any:
        lock = {"configmap": ConfigMapLock, "lease": LeaseLock}[kind]("lock", namespace, name)
        return leaderelection.LeaderElection(electionconfig.Config(lock, 17, 15, 5, lambda: None, lambda: None))

    first, second = candidate("first"), candidate("second")
    assert first.try_acquire_or_renew()
    assert not second.try_acquire_or_renew()
    assert first.try_acquire_or_renew()


async def test_kubernetes_asyncio(cluster: Cluster, namespace: str) -> None:
    from kubernetes_asyncio import client, config, watch
    from kubernetes_asyncio.dynamic import DynamicClient

    configuration = client.Configuration()
    await config.load_kube_config(str(cluster.kubeconfig), client_configuration=configuration)
    async with client.ApiClient(configuration) as api:
        core = client.CoreV1Api(api)
        made = await core.create_namespaced_config_map(namespace, {"metadata": {"name": "cm"}, "data": {"a": "1"}})

        async def first_event() -> Any:
            start = made.metadata.resource_version
            async with watch.Watch() as stream:
                async for event in stream.stream(core.list_namespaced_config_map, namespace, resource_version=start):
                    return event["type"], event["object"].data
            return None

        waiting = asyncio.create_task(first_event())
        await core.patch_namespaced_config_map("cm", namespace, {"data": {"b": "2"}})
        async with asyncio.timeout(10):
            assert await waiting == ("MODIFIED", {"a": "1", "b": "2"})
        dynamic = await DynamicClient(api)
        config_maps = await dynamic.resources.get(api_version="v1", kind="ConfigMap")
        assert (await config_maps.get(name="cm", namespace=namespace)).data.to_dict() == {"a": "1", "b": "2"}
        with pytest.raises(client.ApiException) as caught:
            await core.read_namespaced_config_map("nobody", namespace)
        assert (caught.value.status, caught.value.reason) == (404, "Not Found")


def test_lightkube(cluster: Cluster, namespace: str) -> None:
    from lightkube import ApiError, Client, KubeConfig
    from lightkube.models.meta_v1 import ObjectMeta
    from lightkube.resources.apps_v1 import Deployment
    from lightkube.resources.core_v1 import ConfigMap
    from lightkube.types import PatchType

    client = Client(config=KubeConfig.from_file(cluster.kubeconfig), namespace=namespace, field_manager="lk")
    made = client.create(ConfigMap(metadata=ObjectMeta(name="cm", labels={"l": "k"}), data={"a": "1"}))
    assert client.patch(ConfigMap, "cm", {"data": {"b": "2"}}, patch_type=PatchType.MERGE).data == {"a": "1", "b": "2"}
    applied = ConfigMap(apiVersion="v1", kind="ConfigMap", metadata=ObjectMeta(name="cm"), data={"a": "3"})
    assert client.apply(applied, force=True).data == {"a": "3", "b": "2"}
    assert [found.metadata.name for found in client.list(ConfigMap, labels={"l": "k"}, chunk_size=1)] == ["cm"]
    events = client.watch(ConfigMap, resource_version=made.metadata.resourceVersion, server_timeout=1)
    assert [next(events)[0] for _ in range(2)] == ["MODIFIED", "MODIFIED"]
    with pytest.raises(ApiError) as caught:
        client.get(ConfigMap, "nobody")
    assert (caught.value.status.code, caught.value.status.reason) == (404, "NotFound")
    client.create(Deployment.from_dict({"metadata": {"name": "web"}, "spec": DEPLOYMENT}))
    client.wait(Deployment, "web", for_conditions=["Available"])
    client.patch(Deployment.Scale, "web", {"spec": {"replicas": 0}}, patch_type=PatchType.MERGE)
    assert client.get(Deployment, "web").spec.replicas == 0


def test_kr8s(cluster: Cluster, namespace: str) -> None:
    import kr8s
    from kr8s.objects import ConfigMap, Deployment

    api = kr8s.api(kubeconfig=str(cluster.kubeconfig), namespace=namespace)
    config_map = ConfigMap({"metadata": {"name": "cm"}, "data": {"a": "1"}}, api=api)
    config_map.create()
    config_map.patch({"data": {"b": "2"}})
    config_map.label({"x": "y"})
    assert [found.data for found in api.get("configmaps", label_selector="x=y")] == [{"a": "1", "b": "2"}]
    web = Deployment({"metadata": {"name": "web"}, "spec": DEPLOYMENT}, api=api)
    web.create()
    web.wait("condition=Available", timeout=20)
    (pod,) = web.pods()
    assert pod.ready()
    assert pod.exec(["echo", "hi"]).stdout == b"hi\n"
    assert list(pod.logs(tail_lines=1)) == ["line 4"]
    assert next(iter(api.watch("configmaps", field_selector="metadata.name=cm")))[0] == "ADDED"
    web.delete()


def test_pykube(cluster: Cluster, namespace: str) -> None:
    import pykube

    api = pykube.HTTPClient(pykube.KubeConfig.from_file(str(cluster.kubeconfig)))
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cm", "namespace": namespace}, "data": {"a": "1"}}
    config_map = pykube.ConfigMap(api, body)
    config_map.create()
    config_map.obj["data"]["b"] = "2"
    config_map.update()
    config_map.patch({"data": {"a": None}})
    assert config_map.obj["data"] == {"b": "2"}
    query = pykube.ConfigMap.objects(api, namespace=namespace).filter(field_selector={"metadata.name": "cm"})
    assert [found.name for found in query] == ["cm"]
    assert next(iter(query.watch())).type == "ADDED"
    assert (api.version, query.get_or_none(name="nobody")) == (("1", "36"), None)
    config_map.delete(propagation_policy="Foreground")
    api.session.close()
