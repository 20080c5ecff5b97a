"""The verbs of kubectl against a real cluster: a stock kubectl and ours, by the same checks."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from pybernetes.machinery.meta import Object
from pybernetes.machinery.resources import CONFIG_MAPS, PODS
from tests.e2e.cluster import Api, Cluster, Completed, container, deployment, pod, run, serve

Kubectl = Callable[..., Completed]
ROLLOUT_TIMEOUT = "--timeout=40s"


def manifest(path: Path, *objects: Object) -> str:
    path.write_text(yaml.safe_dump_all(objects))
    return str(path)


def web(replicas: int = 2, text: str = "one") -> Object:
    main = {"readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}}
    return deployment("web", replicas, pod("web", serve(text=text), main=main))


def test_apply_creates_then_configures_then_leaves_alone(kubectl: Kubectl, tmp_path: Path) -> None:
    path = manifest(tmp_path / "web.yaml", web(1))
    assert kubectl("apply", "-f", path).stdout == "deployment.apps/web created\n"
    assert kubectl("apply", "-f", path).stdout == "deployment.apps/web unchanged\n"
    manifest(tmp_path / "web.yaml", web(2))
    assert kubectl("apply", "-f", path).stdout == "deployment.apps/web configured\n"
    rolled = kubectl("rollout", "status", "deployment/web", ROLLOUT_TIMEOUT).stdout
    assert rolled.endswith('deployment "web" successfully rolled out\n')


def test_apply_takes_json_from_stdin(kubectl: Kubectl) -> None:
    given = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1"}})
    assert kubectl("apply", "-f", "-", stdin=given).stdout == "configmap/c created\n"


def test_get_shows_tables_names_wide_columns_and_jsonpath(kubectl: Kubectl, tmp_path: Path) -> None:
    kubectl("apply", "-f", manifest(tmp_path / "web.yaml", web(2)))
    kubectl("rollout", "status", "deployment/web", ROLLOUT_TIMEOUT)
    table = kubectl("get", "deployments").stdout.splitlines()
    assert table[0].split() == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]
    assert table[1].split()[:4] == ["web", "2/2", "2", "2"]
    wide = kubectl("get", "pods", "-o", "wide").stdout
    assert re.search(r"^web-\S+ +1/1 +Running +0 +\d+s +10\.244\.0\.\d+ +\S+ +<none> +<none>$", wide, re.MULTILINE), wide
    assert kubectl("get", "deploy", "-o", "name").stdout == "deployment.apps/web\n"
    assert kubectl("get", "deploy/web", "-o", "jsonpath={.status.readyReplicas}").stdout == "2"
    assert kubectl("get", "all").stdout.count("NAME") == 3  # pods, deployments, replica sets
    assert kubectl("get", "pods", "nosuch", code=1).stderr == 'Error from server (NotFound): pods "nosuch" not found\n'
    assert "No resources found in" in kubectl("get", "secrets").stderr


def test_get_watches_a_pod_come_up(kubectl: Kubectl, api: Api, cluster: Cluster, kubectl_words: list[str]) -> None:
    words = [*kubectl_words, "get", "pods", "--watch", "--namespace", api.namespace, "--no-headers"]
    env = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig)}
    with subprocess.Popen(words, env=env, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        try:
            time.sleep(0.5)
            kubectl("create", "-f", "-", stdin=json.dumps(pod("one")))
            seen: list[str] = []
            deadline = time.monotonic() + 30
            while "Running" not in seen and time.monotonic() < deadline:
                if select.select([watching.stdout], [], [], 1)[0]:
                    seen.append(watching.stdout.readline().split()[2])
            assert seen[0] == "Pending"
            assert seen[-1] == "Running"
        finally:
            watching.terminate()


def test_describe_tells_the_state_of_a_pod_and_its_events(kubectl: Kubectl, api: Api) -> None:
    kubectl("create", "-f", "-", stdin=json.dumps(pod("one", main={"env": [{"name": "COLOUR", "value": "blue"}]})))
    kubectl("wait", "--for=condition=Ready", "pod/one", "--timeout=30s")
    described = kubectl("describe", "pod", "one").stdout
    for line in (
        r"Name: +one", rf"Namespace: +{api.namespace}", r"Status: +Running", r"IP: +10\.244\.0\.\d+", r"  main:",
        r"    Image: +localhost/pybernetes/busybox:1", r"    State: +Running", r"    Restart Count: +0", r"      COLOUR: +blue",
        r"QoS Class: +BestEffort", r" +Normal +Scheduled .* Successfully assigned .*",
        r" +Normal +Started .* Started container main",
    ):  # fmt: skip
        assert re.search(rf"^{line}", described, re.MULTILINE), f"no {line!r} in\n{described}"
    node = kubectl("describe", "nodes").stdout
    assert re.search(rf"{api.namespace} +one ", node), node


def test_delete_waits_until_the_object_is_gone(kubectl: Kubectl, tmp_path: Path) -> None:
    path = manifest(tmp_path / "two.yaml", pod("one"), pod("two"))
    kubectl("apply", "-f", path)
    kubectl("wait", "--for=condition=Ready", "pod/one", "pod/two", "--timeout=30s")
    deleted = kubectl("delete", "-f", path).stdout
    assert re.fullmatch(r'pod "one" deleted.*\npod "two" deleted.*\n', deleted), deleted
    assert kubectl("get", "pods").stdout == ""
    assert "NotFound" in kubectl("delete", "pod", "one", code=1).stderr
    assert kubectl("delete", "pod", "one", "--ignore-not-found").stdout == ""


def test_logs_shows_all_the_last_lines_one_container_and_follows_to_the_end(kubectl: Kubectl) -> None:
    script = "for i in 1 2 3; do echo line $i; sleep 0.7; done; echo oops >&2"
    lines = pod("lines", restartPolicy="Never", containers=[container(script), container("echo other", "side")])
    kubectl("create", "-f", "-", stdin=json.dumps(lines))
    kubectl("wait", "--for=jsonpath={.status.containerStatuses[0].containerID}", "pod/lines", "--timeout=30s")
    assert kubectl("logs", "-f", "lines", "-c", "main").stdout == "line 1\nline 2\nline 3\noops\n"
    kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/lines", "--timeout=30s")
    assert kubectl("logs", "lines", "-c", "main", "--tail=2").stdout == "line 3\noops\n"
    assert kubectl("logs", "lines", "-c", "side").stdout == "other\n"
    assert kubectl("logs", "lines", "--all-containers", "--prefix").stdout.count("[pod/lines/") == 5
    stamped = kubectl("logs", "lines", "-c", "main", "--timestamps", "--tail=1").stdout
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z oops\n", stamped), stamped


@pytest.fixture
def shell(kubectl: Kubectl) -> str:
    kubectl("create", "-f", "-", stdin=json.dumps(pod("shell")))
    kubectl("wait", "--for=condition=Ready", "pod/shell", "--timeout=30s")
    return "shell"


def test_exec_gives_output_errors_and_exit_codes(kubectl: Kubectl, shell: str) -> None:
    done = kubectl("exec", shell, "--", "sh", "-c", "echo out; echo err >&2; exit 3", code=3)
    assert done.stdout == "out\n"
    assert done.stderr.startswith("err\n")
    assert "command terminated with exit code 3" in done.stderr
    assert kubectl("exec", shell, "--", "true").stdout == ""
    assert kubectl("exec", "nosuch", "--", "true", code=1).stderr == 'Error from server (NotFound): pods "nosuch" not found\n'
    assert kubectl("exec", shell, "--", "nosuchprogram", code=None).returncode not in (0, None)


@pytest.mark.parametrize("size", [0, 5, 1_000_000])
def test_exec_hands_over_a_file_on_stdin_to_its_end(
    cluster: Cluster, api: Api, kubectl_words: list[str], shell: str, tmp_path: Path, size: int
) -> None:
    path = tmp_path / "in"
    path.write_bytes(os.urandom(size))
    words = [*kubectl_words, "exec", "-i", shell, "--namespace", api.namespace, "--", "cat"]
    with path.open("rb") as stdin:
        done = subprocess.run(
            words, env={**os.environ, "KUBECONFIG": str(cluster.kubeconfig)}, stdin=stdin, capture_output=True, timeout=30,
            check=True,
        )  # fmt: skip
    assert done.stdout == path.read_bytes()


def test_exec_gives_a_terminal_of_the_right_size_and_passes_ctrl_c(
    cluster: Cluster, api: Api, kubectl_words: list[str], shell: str
) -> None:
    import fcntl
    import struct
    import termios

    words = [*kubectl_words, "exec", "-it", shell, "--namespace", api.namespace, "--", "sh"]
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["KUBECONFIG"] = str(cluster.kubeconfig)
        os.execvp(words[0], words)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 31, 99, 0, 0))
    shown = ""

    def expect(text: str, timeout_s: float = 15.0) -> None:
        nonlocal shown
        deadline = time.monotonic() + timeout_s
        while text not in shown:
            assert time.monotonic() < deadline, f"no {text!r} in {shown!r}"
            if select.select([terminal], [], [], 0.2)[0]:
                try:
                    shown += os.read(terminal, 4096).decode(errors="replace")
                except OSError:  # the other side is closed
                    break
        assert text in shown, shown
        shown = shown.partition(text)[2]

    try:
        expect("# ")
        time.sleep(0.3)  # the size is told after the start
        os.write(terminal, b"stty size\n")
        expect("31 99")
        os.write(terminal, b"tty && echo yes-$((40+2))\n")
        expect("yes-42")
        os.write(terminal, b"sleep 1000\n")
        time.sleep(0.3)
        os.write(terminal, b"\x03")
        os.write(terminal, b"echo still-$((40+3))\n")
        expect("still-43")
        os.write(terminal, b"exit 7\n")
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            if select.select([terminal], [], [], 0.2)[0]:
                try:
                    if not os.read(terminal, 4096):
                        break
                except OSError:
                    break
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 7
    finally:
        os.close(terminal)


async def test_scale_and_rollout_status_follow_a_deployment(kubectl: Kubectl, api: Api, tmp_path: Path) -> None:
    kubectl("apply", "-f", manifest(tmp_path / "web.yaml", web(1)))
    kubectl("rollout", "status", "deploy/web", ROLLOUT_TIMEOUT)
    assert kubectl("scale", "deployment", "web", "--replicas=3").stdout == "deployment.apps/web scaled\n"
    assert "successfully rolled out" in kubectl("rollout", "status", "deploy/web", ROLLOUT_TIMEOUT).stdout
    assert len((await api.client.list(PODS, api.namespace))["items"]) == 3
    kubectl("apply", "-f", manifest(tmp_path / "web.yaml", web(3, "two")))
    rolled = kubectl("rollout", "status", "deploy/web", ROLLOUT_TIMEOUT).stdout
    assert "Waiting for deployment" in rolled
    assert rolled.endswith('deployment "web" successfully rolled out\n')
    stuck = web(3)
    stuck["spec"]["template"]["spec"]["containers"][0]["image"] = "localhost/nosuch:1"
    kubectl("apply", "-f", manifest(tmp_path / "web.yaml", stuck))
    kubectl("rollout", "status", "deploy/web", "--timeout=1s", code=1)


def test_a_malformed_manifest_is_refused_in_one_clear_sentence(kubectl: Kubectl, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("apiVersion: v1\nkind: Pod\nmetadata: {name: a\n")
    refused = kubectl("apply", "-f", str(path), code=1).stderr
    assert refused.startswith(f"error: error parsing {path}: ") or "error converting YAML to JSON" in refused, refused
    assert refused.count("\n") <= 2, refused
    for given, expected in (
        ({"apiVersion": "v1", "kind": "Nosuch", "metadata": {"name": "a"}}, 'no matches for kind "Nosuch" in version "v1"'),
        ({**pod("a"), "spec": {"containers": []}}, "spec.containers: Required value"),
        ({**pod("A_b")}, "a lowercase RFC 1123 subdomain"),
        ({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "dat": {}}, 'unknown field "dat"'),
    ):
        refused = kubectl("apply", "-f", manifest(path, given), code=1).stderr
        assert expected in refused, refused
        assert "Traceback" not in refused


def test_explain_tells_the_fields_of_a_kind_from_the_documents_of_either_version(
    kubectl: Kubectl, kubectl_words: list[str]
) -> None:
    if "explain" not in kubectl("--help").stdout:
        pytest.skip("our kubectl has no explain yet")
    for output in ("plaintext", "plaintext-openapiv2"):
        told = kubectl("explain", "pod.spec.containers", f"--output={output}").stdout
        assert re.search(r"^ *image\s+<string>", told, re.MULTILINE), told


async def test_helm_installs_upgrades_and_removes_a_chart(cluster: Cluster, api: Api, tools: Path, tmp_path: Path) -> None:
    chart = tmp_path / "chart"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: one\nversion: 0.1.0\n")
    (chart / "values.yaml").write_text("colour: blue\n")
    (chart / "templates" / "map.yaml").write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}\ndata:\n  colour: {{ .Values.colour }}\n"
    )
    manifest(chart / "templates" / "web.yaml", web(1))
    env = {"KUBECONFIG": str(cluster.kubeconfig), "HOME": str(tmp_path)}
    options = ("--namespace", api.namespace)
    run(tools / "helm", "install", "rel", chart, "--server-side=false", "--wait", "--timeout=40s", *options, env=env)
    assert (await api.get(CONFIG_MAPS, "rel"))["data"] == {"colour": "blue"}
    run(tools / "helm", "upgrade", "rel", chart, "--server-side=false", "--set=colour=red", *options, env=env)
    assert (await api.get(CONFIG_MAPS, "rel"))["data"] == {"colour": "red"}
    assert "deployed" in run(tools / "helm", "list", *options, env=env).stdout
    run(tools / "helm", "uninstall", "rel", "--wait", *options, env=env)
    await api.gone(CONFIG_MAPS, "rel")
