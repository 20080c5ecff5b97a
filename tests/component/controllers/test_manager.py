"""The controllers against the real API server, as the user that RBAC knows them by."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

from pybernetes.machinery import errors, pki
from pybernetes.machinery.meta import condition, name_of
from pybernetes.machinery.resources import (
    CERTIFICATE_SIGNING_REQUESTS,
    CONFIG_MAPS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    ENDPOINTS,
    EVENTS,
    NAMESPACES,
    NODES,
    PODS,
    REPLICA_SETS,
    SERVICE_ACCOUNTS,
    SERVICES,
)
from pybernetes.sim.virtual_time import EPOCH


def deployment(replicas: int = 3, image: str = "v1", name: str = "web") -> dict[str, Any]:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": image}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template, "progressDeadlineSeconds": 600}
    return {"kind": "Deployment", "apiVersion": "apps/v1", "metadata": {"name": name, "namespace": "default"}, "spec": spec}


def service() -> dict[str, Any]:
    spec = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}
    return {"kind": "Service", "apiVersion": "v1", "metadata": {"name": "web", "namespace": "default"}, "spec": spec}


async def rolled_out(plane: Any, name: str = "web") -> bool:
    found = await plane.get(DEPLOYMENTS, name)
    progressing = condition(found.get("status", {}).get("conditions"), "Progressing")
    observed = found.get("status", {}).get("observedGeneration", 0) == found["metadata"].get("generation", 0)
    return observed and progressing is not None and progressing["reason"] == "NewReplicaSetAvailable"


def test_a_deployment_becomes_pods_behind_a_service_and_rolls_to_a_new_image(control_plane: Any, node: Any) -> None:
    async def scenario(plane: Any) -> None:
        await plane.namespace_ready()
        await plane.admin.create(NODES, node)
        pods = asyncio.ensure_future(plane.run_pods())
        await plane.admin.create(SERVICES, service())
        await plane.admin.create(DEPLOYMENTS, deployment())
        await plane.until(lambda: rolled_out(plane))

        async def endpoints() -> bool:
            slices = [each for each in await plane.items(ENDPOINT_SLICES) if name_of(each).startswith("web-")]
            ready = [one for each in slices for one in each["endpoints"] or () if one["conditions"]["ready"]]
            return len(ready) == 3

        await plane.until(endpoints)
        assert len((await plane.get(ENDPOINTS, "web"))["subsets"][0]["addresses"]) == 3
        await plane.admin.patch(
            DEPLOYMENTS, "web", "default", {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "v2"}]}}}}
        )
        await plane.until(lambda: rolled_out(plane))
        await plane.until(endpoints)
        images = {each["spec"]["containers"][0]["image"] for each in await plane.items(PODS)}
        assert images == {"v2"}
        assert len(await plane.names(REPLICA_SETS)) == 2
        found = await plane.get(DEPLOYMENTS, "web")
        assert found["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"
        reasons = {each["reason"] for each in await plane.items(EVENTS)}
        assert {"ScalingReplicaSet", "SuccessfulCreate", "SuccessfulDelete"} <= reasons
        await plane.clock.sleep(10)
        before = (await plane.admin.list(DEPLOYMENTS, "default"))["items"]
        await plane.clock.sleep(40)  # less than after which the node, which has no kubelet, would count as lost
        assert (await plane.admin.list(DEPLOYMENTS, "default"))["items"] == before, "a settled Deployment is left alone"
        pods.cancel()

    control_plane(scenario)


def test_deleting_a_deployment_takes_its_replica_sets_and_pods(control_plane: Any, node: Any) -> None:
    async def scenario(plane: Any) -> None:
        await plane.namespace_ready()
        await plane.admin.create(NODES, node)
        pods = asyncio.ensure_future(plane.run_pods())
        for policy in ("Background", "Foreground"):
            await plane.admin.create(DEPLOYMENTS, deployment())
            await plane.until(lambda: rolled_out(plane))
            await plane.admin.delete(DEPLOYMENTS, "web", "default", propagation_policy=policy)

            async def is_empty() -> bool:
                return not any([await plane.names(kind) for kind in (DEPLOYMENTS, REPLICA_SETS, PODS)])

            await plane.until(is_empty)
        pods.cancel()

    control_plane(scenario)


def test_orphaning_leaves_the_pods_to_an_adopter(control_plane: Any, node: Any) -> None:
    async def scenario(plane: Any) -> None:
        await plane.namespace_ready()
        await plane.admin.create(NODES, node)
        pods = asyncio.ensure_future(plane.run_pods())
        await plane.admin.create(DEPLOYMENTS, deployment())
        await plane.until(lambda: rolled_out(plane))
        before = await plane.names(REPLICA_SETS)
        await plane.admin.delete(DEPLOYMENTS, "web", "default", propagation_policy="Orphan")

        async def is_gone() -> bool:
            return await plane.get(DEPLOYMENTS, "web") is None

        await plane.until(is_gone)
        (freed,) = await plane.items(REPLICA_SETS)
        assert not freed["metadata"].get("ownerReferences")
        await plane.admin.create(DEPLOYMENTS, deployment())
        await plane.until(lambda: rolled_out(plane))
        assert await plane.names(REPLICA_SETS) == before
        pods.cancel()

    control_plane(scenario)


def test_a_dependent_whose_owner_never_was_is_collected(control_plane: Any) -> None:
    async def scenario(plane: Any) -> None:
        await plane.namespace_ready()
        ghost = {"apiVersion": "v1", "kind": "ConfigMap", "name": "ghost", "uid": "11111111-2222-4333-8444-555555555555"}
        head = {"name": "child", "namespace": "default", "ownerReferences": [ghost]}
        await plane.admin.create(CONFIG_MAPS, {"kind": "ConfigMap", "apiVersion": "v1", "metadata": head})

        async def is_gone() -> bool:
            return await plane.get(CONFIG_MAPS, "child") is None

        await plane.until(is_gone)

    control_plane(scenario)


def test_a_deleted_namespace_empties_and_goes(control_plane: Any, node: Any) -> None:
    async def scenario(plane: Any) -> None:
        await plane.admin.create(NODES, node)
        pods = asyncio.ensure_future(plane.run_pods())
        await plane.admin.create(NAMESPACES, {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "team"}})
        await plane.namespace_ready("team")
        wanted = deployment()
        wanted["metadata"]["namespace"] = "team"
        await plane.admin.create(DEPLOYMENTS, wanted)

        async def has_pods() -> bool:
            return len(await plane.names(PODS, "team")) == 3

        await plane.until(has_pods)
        await plane.admin.delete(NAMESPACES, "team")

        async def is_gone() -> bool:
            return await plane.get(NAMESPACES, "team", "") is None

        await plane.until(is_gone)
        for kind in (PODS, REPLICA_SETS, DEPLOYMENTS, CONFIG_MAPS):
            assert await plane.names(kind, "team") == []
        pods.cancel()

    control_plane(scenario)


def test_a_finalizer_holds_a_namespace_and_its_status_says_so(control_plane: Any) -> None:
    async def scenario(plane: Any) -> None:
        await plane.admin.create(NAMESPACES, {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "team"}})
        await plane.namespace_ready("team")
        held = {"name": "held", "namespace": "team", "finalizers": ["example.com/hold"]}
        await plane.admin.create(CONFIG_MAPS, {"kind": "ConfigMap", "apiVersion": "v1", "metadata": held})
        await plane.admin.delete(NAMESPACES, "team")

        async def says_so() -> Any:
            found = await plane.get(NAMESPACES, "team", "")
            return condition(found["status"].get("conditions"), "NamespaceFinalizersRemaining")

        found = await plane.until(says_so)
        assert found["message"] == (
            "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances"
        )
        await plane.admin.patch(CONFIG_MAPS, "held", "team", {"metadata": {"finalizers": None}})

        async def is_gone() -> bool:
            return await plane.get(NAMESPACES, "team", "") is None

        await plane.until(is_gone)

    control_plane(scenario)


def test_every_namespace_gets_the_root_certificate_and_every_node_a_range(control_plane: Any, node: Any, tmp_path: Any) -> None:
    certificate = tmp_path / "ca.crt"
    certificate.write_text("-----BEGIN CERTIFICATE-----\n")

    async def scenario(plane: Any) -> None:
        async def published() -> Any:
            return await plane.get(CONFIG_MAPS, "kube-root-ca.crt")

        assert (await plane.until(published))["data"] == {"ca.crt": certificate.read_text()}
        await plane.admin.delete(CONFIG_MAPS, "kube-root-ca.crt", "default")
        await plane.until(published)
        await plane.admin.create(NODES, node)

        async def has_range() -> bool:
            return (await plane.get(NODES, "n1", ""))["spec"].get("podCIDR") == "10.244.0.0/24"

        await plane.until(has_range)

    control_plane(scenario, root_ca_file=str(certificate), allocate_node_cidrs=True, cluster_cidr="10.244.0.0/16")


def test_lost_requests_and_answers_delay_the_wanted_state_but_do_not_prevent_it(control_plane: Any, node: Any) -> None:
    async def scenario(plane: Any) -> None:
        await plane.until(lambda: plane.get(SERVICE_ACCOUNTS, "default"), 300)
        await plane.admin.create(NODES, node)
        pods = asyncio.ensure_future(plane.run_pods())
        await plane.admin.create(SERVICES, service())
        await plane.admin.create(DEPLOYMENTS, deployment(20))
        await plane.until(lambda: rolled_out(plane), 600)

        async def is_settled() -> bool:
            slices = [each for each in await plane.items(ENDPOINT_SLICES) if name_of(each).startswith("web-")]
            ready = [one for each in slices for one in each["endpoints"] or () if one["conditions"]["ready"]]
            return len(ready) == 20 == len(await plane.names(PODS))

        await plane.until(is_settled, 600)
        await plane.admin.delete(DEPLOYMENTS, "web", "default", propagation_policy="Foreground")

        async def is_empty() -> bool:
            return not any([await plane.names(kind) for kind in (DEPLOYMENTS, REPLICA_SETS, PODS)])

        await plane.until(is_empty, 600)
        pods.cancel()

    control_plane(scenario, lossy=True)


def test_a_bootstrapping_kubelet_gets_its_certificate_and_nobody_elses(control_plane: Any, tmp_path: Any) -> None:
    now = EPOCH
    authority = pki.Authority.create("kubernetes", now)
    pki.write_public(tmp_path / "ca.crt", authority.certificate_pem)
    pki.write_private(tmp_path / "ca.key", authority.key_pem)

    def csr(name: str, organization: str) -> dict[str, Any]:
        request = base64.b64encode(pki.signing_request(pki.new_key_pem(), "system:node:n1", (organization,))).decode()
        signer = "kubernetes.io/kube-apiserver-client-kubelet"
        spec = {"request": request, "signerName": signer, "usages": ["digital signature", "client auth"]}
        return {
            "kind": "CertificateSigningRequest",
            "apiVersion": "certificates.k8s.io/v1",
            "metadata": {"name": name},
            "spec": spec,
        }

    async def scenario(plane: Any) -> None:
        kubelet = plane.bootstrapping_kubelet()
        await kubelet.create(CERTIFICATE_SIGNING_REQUESTS, csr("mine", "system:nodes"))

        async def certificate() -> Any:
            found = await plane.get(CERTIFICATE_SIGNING_REQUESTS, "mine", "")
            return (found.get("status") or {}).get("certificate")

        issued = base64.b64decode(await plane.until(certificate))
        assert pki.expires_at(issued) > now
        try:
            await kubelet.create(CERTIFICATE_SIGNING_REQUESTS, csr("greedy", "system:masters"))
        except errors.StatusError:
            return  # admission refuses it already
        await plane.clock.sleep(30)
        assert not ((await plane.get(CERTIFICATE_SIGNING_REQUESTS, "greedy", "")).get("status") or {}).get("conditions")

    files = {"cluster_signing_cert_file": str(tmp_path / "ca.crt"), "cluster_signing_key_file": str(tmp_path / "ca.key")}
    control_plane(scenario, **files)
