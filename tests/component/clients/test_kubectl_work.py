"""Stock kubectl on workloads, nodes and rights: rollout, scale, set, wait, drain, debug, auth, certificates, discovery."""

from __future__ import annotations

import base64
import subprocess
import urllib.request
from threading import Timer

import pytest
import yaml

from tests.component.clients.cluster import Cluster
from tests.component.clients.conftest import Run, installed


@pytest.fixture
def web(kubectl: Run) -> str:
    kubectl("create", "deployment", "web", "--image=nginx:1", "--replicas=2")
    kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    return "deployment/web"


def test_a_deployment_is_rolled_out_back_and_held(any_kubectl: Run, web: str) -> None:
    any_kubectl("set", "image", web, "nginx=nginx:2")
    assert "successfully rolled out" in any_kubectl("rollout", "status", web, "--timeout=30s").out
    revisions = any_kubectl("rollout", "history", web).out.splitlines()[2:]
    assert [line.split()[0] for line in revisions if line] == ["1", "2"]
    any_kubectl("rollout", "undo", web)
    image = "jsonpath={.spec.template.spec.containers[0].image}"
    assert any_kubectl("get", web, "-o", image).out == "nginx:1"
    for verb in ("pause", "resume", "restart"):
        any_kubectl("rollout", verb, web)
    any_kubectl("rollout", "status", web, "--timeout=30s")
    any_kubectl("scale", web, "--replicas=1", "--current-replicas=2")
    any_kubectl("wait", web, "--for=jsonpath={.status.replicas}=1", "--timeout=20s")


def test_the_template_is_set_part_by_part(kubectl: Run, web: str) -> None:
    kubectl("set", "env", web, "A=b")
    kubectl("set", "resources", web, "--limits=cpu=1")
    kubectl("set", "serviceaccount", web, "robot")
    kubectl("autoscale", web, "--min=1", "--max=4", "--cpu=50%")
    kubectl("expose", web, "--port=80", "--name=front")
    kubectl("set", "selector", "service", "front", "app=other")
    template = yaml.safe_load(kubectl("get", web, "-o", "yaml").out)["spec"]["template"]["spec"]
    assert template["serviceAccountName"] == "robot"
    assert template["containers"][0]["env"] == [{"name": "A", "value": "b"}]
    assert "cpu: <unknown>/50%" in kubectl("get", "hpa").out


def test_waiting_for_what_comes_and_goes(cluster: Cluster, any_kubectl: Run, namespace: str) -> None:
    any_kubectl("run", "p", "--image=busybox")
    any_kubectl("wait", "pod/p", "--for=condition=Ready", "--timeout=20s")
    path = f"/api/v1/namespaces/{namespace}/pods/p"
    later = Timer(0.5, lambda: cluster.request("DELETE", path))
    later.start()
    any_kubectl("wait", "pod/p", "--for=delete", "--timeout=20s")
    later.join()
    never = "--for=jsonpath={.status.phase}=Gone"
    assert "timed out waiting" in any_kubectl("wait", "ns/default", never, "--timeout=1s", fails=True).err


def test_a_node_is_drained_and_taken_back(any_kubectl: Run, web: str) -> None:
    try:
        any_kubectl("taint", "node", "hollow", "k=v:PreferNoSchedule")
        any_kubectl("taint", "node", "hollow", "k-")
        any_kubectl("cordon", "hollow")
        said = any_kubectl("drain", "hollow", "--force", "--ignore-daemonsets", "--pod-selector=app=web", "--timeout=30s").out
        assert said.count(" evicted") == 2
    finally:
        any_kubectl("uncordon", "hollow")


def test_containers_are_added_to_debug(any_kubectl: Run) -> None:
    any_kubectl("run", "p", "--image=busybox")
    any_kubectl("debug", "p", "--image=tools", "--target=p", "--attach=false")
    assert any_kubectl("get", "pod", "p", "-o", "jsonpath={.spec.ephemeralContainers[*].image}").out == "tools"
    any_kubectl("debug", "p", "--image=tools", "--copy-to=copy", "--attach=false")
    any_kubectl("debug", "node/hollow", "--image=tools", "--attach=false")


def test_rights_are_asked_for_and_reconciled(kubectl: Run, namespace: str) -> None:
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "reads", "namespace": namespace}}
    for verbs in (["get"], ["get", "list"]):
        wanted = {**role, "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": verbs}]}
        assert "missing rules added" in kubectl("auth", "reconcile", "-f", "-", stdin=yaml.safe_dump(wanted)).err
    kubectl("create", "rolebinding", "reads", "--role=reads", "--user=jane")
    assert kubectl("auth", "can-i", "list", "pods", "--as=jane").out == "yes\n"
    assert kubectl("auth", "can-i", "delete", "pods", "--as=jane", fails=True).out == "no\n"
    assert "pods" in kubectl("auth", "can-i", "--list", "--as=jane").out
    said = kubectl("auth", "whoami", "--as=jane", "--as-group=bakers", "-o", "yaml").out
    assert yaml.safe_load(said)["status"]["userInfo"] == {"username": "jane", "groups": ["bakers", "system:authenticated"]}
    token = kubectl("create", "token", "default").out.strip()
    said = kubectl("auth", "whoami", "--token", token, "-o", "jsonpath={.status.userInfo.username}").out
    assert said == f"system:serviceaccount:{namespace}:default"


def test_a_certificate_is_asked_for_approved_and_used(cluster: Cluster, kubectl: Run) -> None:
    key, request = cluster.directory / "jane.key", cluster.directory / "jane.csr"
    command = ["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=jane"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(request)], check=True, capture_output=True)
    spec = {
        "request": base64.b64encode(request.read_bytes()).decode(),
        "signerName": "kubernetes.io/kube-apiserver-client",
        "usages": ["client auth"],
    }
    body = {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "spec": spec}
    for name in ("jane", "joe"):
        kubectl("create", "-f", "-", stdin=yaml.safe_dump({**body, "metadata": {"name": name}}))
    kubectl("certificate", "approve", "jane")
    kubectl("certificate", "deny", "joe")
    kubectl("wait", "csr/jane", "--for=jsonpath={.status.certificate}", "--timeout=20s")
    table = kubectl("get", "csr", "--no-headers").out.splitlines()
    assert [line.split()[-1] for line in table] == ["Approved,Issued", "Denied"]
    certificate = cluster.directory / "jane.crt"
    certificate.write_bytes(base64.b64decode(kubectl("get", "csr", "jane", "-o", "jsonpath={.status.certificate}").out))
    credentials = cluster.directory / "jane.kubeconfig"
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    config["users"][0]["user"] = {"client-certificate": str(certificate), "client-key": str(key)}
    credentials.write_text(yaml.safe_dump(config))
    said = kubectl("auth", "whoami", "-o", "jsonpath={.status.userInfo.username}", KUBECONFIG=str(credentials)).out
    assert said == "jane"
    kubectl("delete", "csr", "jane", "joe")


def test_the_api_explains_itself(any_kubectl: Run, kubectl: Run) -> None:
    assert len(any_kubectl("api-resources").out.splitlines()) > 60
    assert "apps/v1" in any_kubectl("api-versions").out.split()
    for kind in ("pods", "customresourcedefinitions", "deployments.spec.strategy", "validatingadmissionpolicies"):
        assert "FIELDS:" in any_kubectl("explain", kind, "--recursive").out
    old = any_kubectl("explain", "hpa.spec", "--api-version=autoscaling/v1").out
    assert "targetCPUUtilizationPercentage" in old
    assert "Metrics API not available" in any_kubectl("top", "nodes", fails=True).err
    assert "Kubernetes control plane" in any_kubectl("cluster-info").out
    assert "hollow" in any_kubectl("cluster-info", "dump").out
    completed = kubectl("__complete", "get", "nodes", "").out.splitlines()
    assert completed[0] == "hollow"


def test_events_are_told_of_an_object(kubectl: Run, web: str) -> None:
    assert "ScalingReplicaSet" in kubectl("events", "--for=deployment/web").out
    assert "ScalingReplicaSet" in kubectl("get", "events", "--field-selector=involvedObject.kind=Deployment").out


def test_the_proxy_serves_the_api_without_credentials(cluster: Cluster, kubectl: Run) -> None:
    command = [str(installed("kubectl-1.36", "kubectl")), "proxy", "--port=0"]
    with subprocess.Popen(command, env=cluster.environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[-1]
        with urllib.request.urlopen(f"http://{address}/api/v1/nodes/hollow/proxy/pods?x=1", timeout=10) as answer:
            assert b'"path":"/pods","query":"x=1"' in answer.read()
        process.terminate()
