"""Helm 4 (server-side apply) and Helm 3.9 (three-way merges), with hooks, CRDs, lookups and rollbacks."""

from __future__ import annotations

from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.component.clients.cluster import Cluster
from tests.component.clients.conftest import Run, installed, runner

FILES = {
    "Chart.yaml": "{apiVersion: v2, name: shop, version: 0.1.0, appVersion: '1', kubeVersion: '>=1.36.0-0'}",
    "values.yaml": "{replicas: 1, color: red, place: {}}",
    "crds/carts.yaml": """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: carts.shop.example.com}
spec:
  group: shop.example.com
  scope: Namespaced
  names: {plural: carts, singular: cart, kind: Cart}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {size: {type: integer}}}}}}
""",
    "templates/all.yaml": """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data:
  color: {{ .Values.color }}
  version: {{ .Capabilities.KubeVersion.Version }}
  knows: {{ list (.Capabilities.APIVersions.Has "apps/v1/Deployment") (.Capabilities.APIVersions.Has "no/v1") | join "," }}
  found: {{ with (lookup "v1" "Namespace" "" "kube-system").metadata }}{{ .name }}{{ else }}nothing{{ end }}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      nodeSelector: {{ .Values.place | toJson }}
      containers: [{name: c, image: "nginx:1", env: [{name: COLOR, value: {{ .Values.color }}}]}]
---
apiVersion: shop.example.com/v1
kind: Cart
metadata: {name: cart}
spec: {size: {{ .Values.replicas }}}
""",
    "templates/hooks.yaml": """
apiVersion: v1
kind: ConfigMap
metadata:
  name: first
  annotations: {helm.sh/hook: "pre-install,pre-upgrade", helm.sh/hook-weight: "-5"}
data: {revision: "{{ .Release.Revision }}"}
---
apiVersion: v1
kind: Pod
metadata:
  name: second
  annotations: {helm.sh/hook: post-install, helm.sh/hook-weight: "5", helm.sh/hook-delete-policy: hook-succeeded}
spec: {restartPolicy: Never, containers: [{name: c, image: busybox}]}
---
apiVersion: v1
kind: Pod
metadata: {name: check, annotations: {helm.sh/hook: test}}
spec: {restartPolicy: Never, containers: [{name: c, image: busybox}]}
""",
}


@pytest.fixture
def chart(tmp_path: Path) -> str:
    for name, text in FILES.items():
        path = tmp_path / "shop" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(tmp_path / "shop")


@pytest.fixture(params=["kubectl-1.36", "kubectl-1.24"], ids=["helm-4", "helm-3"])
def helm(request: pytest.FixtureRequest, cluster: Cluster, namespace: str) -> Run:
    return runner(cluster, namespace, installed(request.param, "helm"))


class Inside:
    """The release's namespace."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster = cluster
        self._base = f"/api/v1/namespaces/{namespace}"
        self._namespace = namespace

    def settings(self) -> Any:
        return self._cluster.get(f"{self._base}/configmaps/settings")["data"]

    def replicas(self) -> int:
        found: int = self._cluster.get(f"/apis/apps/v1/namespaces/{self._namespace}/deployments/web")["spec"]["replicas"]
        return found

    def status(self, path: str) -> int:
        return self._cluster.request("GET", f"{self._base}/{path}")[0]

    def finish(self, pod: str) -> Thread:
        """Let a pod succeed as soon as it is there."""

        def work() -> None:
            patch = {"status": {"phase": "Succeeded"}}
            headers = {"Content-Type": "application/merge-patch+json"}
            path = f"{self._base}/pods/{pod}/status"
            self._cluster.until(lambda: self._cluster.request("PATCH", path, patch, **headers)[0] == 200)

        thread = Thread(target=work)
        thread.start()
        return thread


def test_a_release_is_installed_upgraded_rolled_back_and_taken_away(
    cluster: Cluster, namespace: str, helm: Run, chart: str
) -> None:
    inside = Inside(cluster, namespace)
    hook = inside.finish("second")
    helm("install", "shop", chart, "--wait", "--timeout=30s")
    hook.join()
    assert inside.settings() == {"color": "red", "version": "v1.36.0", "knows": "true,false", "found": "kube-system"}
    assert cluster.get(f"/apis/shop.example.com/v1/namespaces/{namespace}/carts/cart")["spec"] == {"size": 1}
    assert (inside.status("configmaps/first"), inside.status("pods/second")) == (200, 404)

    helm("upgrade", "--install", "shop", chart, "--set=color=blue,replicas=2", "--wait", "--timeout=30s")
    assert (inside.settings()["color"], inside.replicas()) == ("blue", 2)
    failed = helm("upgrade", "shop", chart, "--set=place.never=there", "--atomic", "--timeout=5s", fails=True)
    assert "release shop failed, and has been rolled back" in failed.err
    assert (inside.settings()["color"], inside.replicas()) == ("blue", 2)

    helm("rollback", "shop", "1")
    assert (inside.settings()["color"], inside.replicas()) == ("red", 1)
    history = helm("history", "shop").out.splitlines()
    assert [line.split()[0] for line in history[1:]] == ["1", "2", "3", "4", "5"]
    assert "Rollback to 1" in history[-1]
    assert "deployed" in helm("list").out
    status = helm("status", "shop").out
    assert "STATUS: deployed" in status

    check = inside.finish("check")
    assert "Succeeded" in helm("test", "shop", "--timeout=20s").out
    check.join()
    helm("uninstall", "shop")
    assert inside.status("configmaps/settings") == 404


def test_changes_by_others_survive_an_upgrade_that_does_not_mean_them(
    cluster: Cluster, namespace: str, helm: Run, kubectl: Run, chart: str
) -> None:
    helm("install", "shop", chart, "--no-hooks")
    kubectl("annotate", "configmap", "settings", "by=hand")
    kubectl("patch", "configmap", "settings", "--type=merge", '--patch={"data":{"more":"1"}}')
    helm("upgrade", "shop", chart, "--no-hooks", "--set=color=green")
    settings = cluster.get(f"/api/v1/namespaces/{namespace}/configmaps/settings")
    assert settings["metadata"]["annotations"]["by"] == "hand"
    assert (settings["data"]["color"], settings["data"]["more"]) == ("green", "1")


def test_helm_4_tells_of_conflicts_and_wins_them_if_told_to(cluster: Cluster, namespace: str, kubectl: Run, chart: str) -> None:
    helm = runner(cluster, namespace, installed("kubectl-1.36", "helm"))
    helm("install", "shop", chart, "--no-hooks")
    mine = "{apiVersion: v1, kind: ConfigMap, metadata: {name: settings}, data: {color: mine}}"
    kubectl("apply", "--server-side", "--field-manager=me", "--force-conflicts", "-f", "-", stdin=mine)
    failed = helm("upgrade", "shop", chart, "--no-hooks", "--set=color=green", fails=True)
    assert 'conflict with "me": .data.color' in failed.err
    helm("upgrade", "shop", chart, "--no-hooks", "--set=color=green", "--force-conflicts")
    assert Inside(cluster, namespace).settings()["color"] == "green"
    helm("upgrade", "shop", chart, "--no-hooks", "--set=color=x", "--server-side=false", "--force-replace")


def test_a_template_is_checked_by_the_server(helm: Run, chart: str) -> None:
    shown = helm("template", "shop", chart, "--validate", "--set=color=x").out
    assert "found: kube-system" in shown or "found: nothing" in shown  # Helm 3 looks nothing up here
    path = Path(chart) / "templates" / "wrong.yaml"
    path.write_text("{apiVersion: v1, kind: Service, metadata: {name: x}, spec: {ports: [{port: 99999}]}}")
    failed = helm("install", "shop", chart, "--no-hooks", fails=True)
    assert "spec.ports[0].port: Invalid value: 99999" in failed.err
