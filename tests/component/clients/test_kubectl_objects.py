"""Stock kubectl on objects: create, apply, diff, edit, replace, patch, get, describe, delete."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.component.clients.cluster import Cluster
from tests.component.clients.conftest import Run, installed

CONFIG_MAP = """
apiVersion: v1
kind: ConfigMap
metadata: {name: cm, labels: {app: shop}}
data: {a: "1"}
"""
GENERATORS = [
    "deployment web --image=nginx --replicas=2 --port=80",
    "configmap cm --from-literal=a=b",
    "secret generic plain --from-literal=p=q",
    "secret docker-registry registry --docker-username=u --docker-password=p",
    "service clusterip inside --tcp=80:8080",
    "service nodeport node --tcp=80",
    "service loadbalancer balanced --tcp=80",
    "service externalname elsewhere --external-name=x.example",
    "job once --image=busybox -- true",
    "cronjob often --image=busybox --schedule=@hourly",
    "job now --from=cronjob/often",
    "role reads --verb=get,list --resource=pods,deployments.apps",
    "rolebinding reads --role=reads --user=jane",
    "quota limits --hard=pods=100",
    "poddisruptionbudget budget --selector=app=web --min-available=1",
    "ingress entry --rule=foo.example/*=inside:80",
    "serviceaccount robot",
    "token robot --duration=20m --audience=x",
]


def test_every_generator_makes_what_the_server_takes(any_kubectl: Run, kubectl: Run) -> None:
    for line in GENERATORS:
        any_kubectl("create", *line.split())
    everything = any_kubectl("get", "all,cm,secret,role,rolebinding,quota,pdb,ingress,sa", "-o", "name").out.split()
    for name in ("deployment.apps/web", "job.batch/now", "service/elsewhere", "ingress.networking.k8s.io/entry"):
        assert name in everything


def test_all_kinds_are_shown_and_described(kubectl: Run, cluster: Cluster) -> None:
    for line in GENERATORS:
        kubectl("create", *line.split())
    names = kubectl("api-resources", "--verbs=list", "-o", "name").out.split()
    assert len(names) > 50
    # One call for many: each kind in the cluster and in this namespace is read, and printed its own way.
    kubectl("get", ",".join(names), "-A", "-o", "wide", "--ignore-not-found")
    kubectl("describe", "deployment,rs,cm,secret,service,job,cronjob,role,rolebinding,quota,pdb,ingress,sa")
    for kind in ("node", "clusterrole", "priorityclass", "flowschema", "prioritylevelconfiguration", "servicecidr", "lease"):
        kubectl("describe", kind, "-A")


def test_apply_finds_what_changed(any_kubectl: Run) -> None:
    assert any_kubectl("apply", "-f", "-", stdin=CONFIG_MAP).out == "configmap/cm created\n"
    assert any_kubectl("apply", "-f", "-", stdin=CONFIG_MAP).out == "configmap/cm unchanged\n"
    changed = CONFIG_MAP.replace('a: "1"', 'b: "2"')
    difference = any_kubectl("diff", "-f", "-", stdin=changed, fails=True)
    assert difference.code == 1
    assert '-  a: "1"' in difference.out and '+  b: "2"' in difference.out
    assert (
        any_kubectl("apply", "--dry-run=server", "-f", "-", stdin=changed).out == "configmap/cm configured (server dry run)\n"
    )
    any_kubectl("apply", "-f", "-", stdin=changed)
    assert any_kubectl("get", "cm", "cm", "-o", "jsonpath={.data}").out == '{"b":"2"}'


def test_apply_prunes_what_is_no_longer_wanted(kubectl: Run, namespace: str) -> None:
    both = CONFIG_MAP + "---" + CONFIG_MAP.replace("name: cm", "name: second")
    kubectl("apply", "-f", "-", stdin=both)
    out = kubectl("apply", "--prune", "-l", "app=shop", "-f", "-", stdin=CONFIG_MAP).out
    assert "configmap/second pruned" in out
    members = ("apply", "--namespace", namespace, "--prune", "--applyset=set", "-f", "-")
    kubectl(*members, stdin=both.replace("name: ", "name: in-"), KUBECTL_APPLYSET="true")
    pruned = kubectl(*members, stdin=CONFIG_MAP.replace("name: ", "name: in-"), KUBECTL_APPLYSET="true").out
    assert "configmap/in-second pruned" in pruned


def test_unknown_fields_are_refused_warned_of_or_dropped(kubectl: Run) -> None:
    wrong = CONFIG_MAP + "colour: red"
    assert 'strict decoding error: unknown field "colour"' in kubectl("create", "-f", "-", stdin=wrong, fails=True).err
    assert 'Warning: unknown field "colour"' in kubectl("create", "--validate=warn", "-f", "-", stdin=wrong).err
    assert kubectl("replace", "--validate=ignore", "-f", "-", stdin=wrong).err == ""


def test_many_managers_apply_to_one_object(kubectl: Run) -> None:
    """As GitOps tools do: each owns its fields, dry runs tell of drift, conflicts are named."""

    def apply(manager: str, data: str, *flags: str, fails: bool = False) -> str:
        body = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: cm}}\ndata: {{{data}}}"
        said = kubectl(
            "apply", "--server-side", f"--field-manager={manager}", *flags, "-o", "yaml", "-f", "-", stdin=body, fails=fails
        )
        return said.err if fails else said.out

    apply("flux", "a: '1'")
    apply("argo", "b: '2'")
    settled = yaml.safe_load(apply("flux", "a: '1'", "--dry-run=server"))
    version = settled["metadata"]["resourceVersion"]
    assert yaml.safe_load(apply("flux", "a: '1'"))["metadata"]["resourceVersion"] == version  # nothing to write
    kubectl("patch", "cm", "cm", "--type=merge", '--patch={"data":{"a":"drift"}}', "--field-manager=hand")
    assert yaml.safe_load(apply("flux", "a: '1'", "--dry-run=server", "--force-conflicts"))["data"]["a"] == "1"
    complaint = apply("flux", "a: '1'", fails=True)
    assert 'conflict with "hand" using v1: .data.a' in complaint
    assert yaml.safe_load(apply("flux", "a: '1'", "--force-conflicts"))["data"] == {"a": "1", "b": "2"}
    assert yaml.safe_load(apply("argo", "c: '3'"))["data"] == {"a": "1", "c": "3"}  # it gave b up
    fields = json.loads(kubectl("get", "cm", "cm", "--show-managed-fields", "-o", "jsonpath={.metadata.managedFields}").out)
    assert {(entry["manager"], entry["operation"]) for entry in fields} == {("flux", "Apply"), ("argo", "Apply")}


def test_edit_replace_and_patch(any_kubectl: Run, kubectl: Run) -> None:
    any_kubectl("apply", "-f", "-", stdin=CONFIG_MAP)
    any_kubectl("edit", "cm", "cm", EDITOR="sed -i s/'a: \"1\"'/'a: \"2\"'/")
    assert any_kubectl("get", "cm", "cm", "-o", "jsonpath={.data.a}").out == "2"
    live = any_kubectl("get", "cm", "cm", "-o", "yaml").out
    any_kubectl("patch", "cm", "cm", "--patch", '{"data":{"x":"1"}}')
    assert "Conflict" in any_kubectl("replace", "-f", "-", stdin=live, fails=True).err
    any_kubectl("patch", "cm", "cm", "--type=merge", '--patch={"data":{"x":null}}')
    any_kubectl("patch", "cm", "cm", "--type=json", '--patch=[{"op":"add","path":"/data/y","value":"3"}]')
    assert json.loads(any_kubectl("get", "cm", "cm", "-o", "jsonpath={.data}").out) == {"a": "2", "y": "3"}
    any_kubectl("replace", "--force", "-f", "-", stdin=CONFIG_MAP)
    assert any_kubectl("get", "cm", "cm", "-o", "jsonpath={.data}").out == '{"a":"1"}'


def test_subresources_are_read_and_patched(kubectl: Run) -> None:
    kubectl("create", "deployment", "web", "--image=nginx", "--replicas=0")
    kubectl("patch", "deployment", "web", "--subresource=scale", "--type=merge", '--patch={"spec":{"replicas":1}}')
    shown = kubectl("get", "deployment", "web", "--subresource=scale").out.split()
    assert shown[:4] == ["NAME", "DESIRED", "AVAILABLE", "AGE"]
    assert shown[4:6] == ["web", "1"]
    kubectl(
        "edit", "deployment", "web", "--subresource=status", EDITOR="sed -i s/observedGeneration:.*/observedGeneration:\\ 77/"
    )


def test_answers_in_all_forms(kubectl: Run) -> None:
    for name in "cab":
        kubectl("create", "configmap", name, f"--from-literal=of={name}")
        kubectl("label", "configmap", name, f"letter={name}")
    of = ("get", "configmaps", "-l", "letter", "--sort-by=.metadata.name")
    assert kubectl(*of, "-o", "name").out.split() == ["configmap/a", "configmap/b", "configmap/c"]
    assert kubectl(*of, "-o", "custom-columns=N:.metadata.name,D:.data.of", "--no-headers").out.split() == list("aabbcc")
    assert kubectl(*of, "-o", "jsonpath={.items[*].data.of}").out == "a b c"
    assert kubectl(*of, "-o", "go-template={{range .items}}{{.data.of}}{{end}}").out == "abc"
    assert kubectl(*of, "-L", "letter", "--no-headers").out.split()[3::4] == list("abc")
    assert len(json.loads(kubectl(*of, "-o", "json", "--chunk-size=1").out)["items"]) == 3
    assert kubectl("get", "cm", "--field-selector=metadata.name=b", "-o", "name").out == "configmap/b\n"
    assert "field label not supported: nothing" in kubectl("get", "cm", "--field-selector=nothing=b", fails=True).err
    assert 'configmaps "d" not found' in kubectl("get", "cm", "d", fails=True).err
    assert "the server doesn't have a resource type" in kubectl("get", "nothing", fails=True).err


def test_a_watch_shows_what_happens(cluster: Cluster, namespace: str, kubectl: Run, tmp_path: Path) -> None:
    program = str(installed("kubectl-1.36", "kubectl"))
    command = [program, "get", "cm", "-w", "--output-watch-events", "-n", namespace, "-l", "seen", "--no-headers"]
    with subprocess.Popen(command, env=cluster.environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        cm = CONFIG_MAP.replace("app: shop", "seen: always")
        kubectl("create", "-f", "-", stdin=cm)
        kubectl("annotate", "cm", "cm", "x=y")
        kubectl("label", "cm", "cm", "seen-")
        events = [process.stdout.readline().split()[:2] for _ in range(3)]
        process.terminate()
    assert events == [["ADDED", "cm"], ["MODIFIED", "cm"], ["DELETED", "cm"]]


@pytest.mark.parametrize(("cascade", "left"), [("background", ""), ("foreground", ""), ("orphan", "configmap/child\n")])
def test_what_is_owned_goes_or_stays_as_deletion_says(cluster: Cluster, kubectl: Run, cascade: str, left: str) -> None:
    kubectl("create", "configmap", "owner")
    uid = kubectl("get", "cm", "owner", "-o", "jsonpath={.metadata.uid}").out
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid, "blockOwnerDeletion": True}
    child = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "child", "ownerReferences": [owner]}}
    kubectl("create", "-f", "-", stdin=json.dumps(child))
    kubectl("delete", "cm", "owner", f"--cascade={cascade}", "--timeout=20s")
    cluster.until(lambda: kubectl("get", "cm", "child", "--ignore-not-found", "-o", "name").out == left)


def test_a_kustomization_is_built_and_applied(kubectl: Run, tmp_path: Path) -> None:
    (tmp_path / "cm.yaml").write_text(CONFIG_MAP)
    text = "resources: [cm.yaml]\nnamePrefix: pre-\nconfigMapGenerator: [{name: made, literals: [a=b]}]\n"
    (tmp_path / "kustomization.yaml").write_text(text)
    names = [document["metadata"]["name"] for document in yaml.safe_load_all(kubectl("kustomize", str(tmp_path)).out)]
    assert "pre-cm" in names
    assert "created" in kubectl("apply", "-k", str(tmp_path)).out
    assert "unchanged" in kubectl("apply", "-k", str(tmp_path)).out
    kubectl("delete", "-k", str(tmp_path), "--wait")
