"""The same commands given to our kubectl and to a stock one, against one API server, must read the same."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

APP = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: nginx:1
        resources: {requests: {cpu: 100m}}
        env: [{name: A, value: "1"}, {name: B, value: "2"}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: cfg, annotations: {note: "x <y> & z"}}
data: {a: "1", b: "two\\nlines\\n", yes: "no"}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: default}
---
apiVersion: v1
kind: Pod
metadata: {name: solo, labels: {app: solo}}
spec:
  nodeSelector: {disk: ssd}
  automountServiceAccountToken: false
  containers:
  - {name: c, image: busybox, command: [sh, -c, sleep 1], volumeMounts: [{name: v, mountPath: /v}]}
  - {name: d, image: busybox}
  volumes: [{name: v, configMap: {name: cfg}}, {name: e, emptyDir: {}}]
"""

COMMANDS = """
get pods
get pods -o wide
get deploy,svc,cm
get deploy web -o yaml
get deploy web -o json
get cm -o json
get cm cfg -oyaml
get cm -o name
get pods -A --show-labels
get pods -L app
get pod/solo svc/web
get pod/solo svc/nope
get pods nope
get nopes
get pods solo -A
get pods -l app=solo -o jsonpath={.items[*].metadata.name}
get deploy -o custom-columns=NAME:.metadata.name,IMG:.spec.template.spec.containers[*].image,X:.spec.nope
get cm --sort-by=.metadata.name
get ns --no-headers
get all
get secrets
get
get pods --chunk-size=1
get pods/solo deploy
describe svc web
describe cm cfg
describe ns default
describe sa default
describe pods nope
delete pod nope
delete pods
delete
scale deploy web --replicas=-1
scale deploy nope --replicas=2
rollout status deploy/nope
rollout status cm/cfg
rollout history deploy/web
logs nope
exec solo -- ls
exec nope -- ls
api-versions
api-resources
cluster-info
config get-contexts
wait pod/nope --for=delete
label pod solo app=other
""".strip().splitlines()


# Upstream goes through the data of a ConfigMap in Go's order of maps: another one each time.
UNORDERED = ("describe cm cfg",)


def settled(text: str) -> str:
    """Without ages, which may move between two calls."""
    return re.sub(r"\b\d+s\b", "<age>", text)


@pytest.fixture
async def app(ours, theirs, cluster: Path):
    result = await ours("apply", "-f", "-", stdin=APP.encode())
    if "serviceaccount" in result.err:
        result = await ours("apply", "-f", "-", stdin=APP.encode())
    assert result.code == 0, result.err
    return result


async def test_stock_kubectl_says_the_same(app, ours, theirs):
    different = []
    for line in COMMANDS:
        one, other = await theirs(*line.split()), await ours(*line.split())
        if line in UNORDERED:
            one, other = (replace(each, out="\n".join(sorted(each.out.splitlines()))) for each in (one, other))
        if (one.code, settled(one.out), settled(one.err)) != (other.code, settled(other.out), settled(other.err)):
            different.append(f"--- kubectl {line}\n{one}\n{other}")
    assert not different, "\n".join(different)


async def test_what_one_applies_the_other_finds_unchanged(app, ours, theirs):
    changed = APP.replace("replicas: 3", "replicas: 2").replace(', {name: B, value: "2"}', "").replace("nginx:1", "nginx:2")
    for first, second, text in ((ours, theirs, APP), (theirs, ours, changed), (ours, theirs, APP)):
        await first("apply", "--validate=false", "-f", "-", stdin=text.encode())
        again = await second("apply", "--validate=false", "-f", "-", stdin=text.encode())
        assert again.code == 0, again.err
        assert {line.rpartition(" ")[2] for line in again.out.splitlines()} == {"unchanged"}, again.out
    shown = await ours("get", "deploy", "web", "-o", "jsonpath={.spec.template.spec.containers[0].env[*].name}")
    assert shown.out == "A B"


async def test_an_object_lives_from_file_to_deletion(ours, cluster: Path):
    created = await ours("create", "configmap", "x", "--from-literal=a=1")
    assert created.out == "configmap/x created\n"
    assert (await ours("create", "configmap", "x")).err == 'error: failed to create configmap: configmaps "x" already exists\n'
    assert (await ours("patch", "cm", "x", "-p", '{"data":{"b":"2"}}')).out == "configmap/x patched\n"
    assert (await ours("annotate", "cm", "x", "k=v")).out == "configmap/x annotated\n"
    assert (await ours("get", "cm", "x", "-ojsonpath={.data} {.metadata.annotations.k}")).out == '{"a":"1","b":"2"} v'
    assert (await ours("delete", "cm", "x")).out == 'configmap "x" deleted from default namespace\n'
    gone = await ours("get", "cm", "x")
    assert (gone.code, gone.err) == (1, 'Error from server (NotFound): configmaps "x" not found\n')


async def test_no_server_is_told_in_one_sentence(ours, cluster: Path):
    result = await ours("get", "pods", "--server=https://127.0.0.1:1")
    assert result.code == 1
    assert result.err == "The connection to the server 127.0.0.1:1 was refused - did you specify the right host or port?\n"


def distrust(config: Path) -> None:
    """Leave the cluster's authority out of the kubeconfig."""
    text = config.read_text()
    config.write_text(re.sub(r"certificate-authority-data: .*", "insecure-skip-tls-verify: false", text))


async def test_a_wrong_authority_is_told_in_one_sentence(ours, cluster: Path):
    distrust(cluster)
    result = await ours("get", "pods")
    assert result.code == 1
    assert result.err.startswith("Unable to connect to the server: ")
    assert "certificate" in result.err
    assert len(result.err.splitlines()) == 1
