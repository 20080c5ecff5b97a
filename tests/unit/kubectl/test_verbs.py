import inspect
import json
from pathlib import Path

import orjson
import pytest

from pybernetes.kubectl import verbs
from pybernetes.kubectl.apply import LAST_APPLIED
from pybernetes.kubectl.command import GLOBAL_FLAGS
from pybernetes.kubectl.describe.layout import duration
from pybernetes.kubectl.main import help_text
from pybernetes.kubectl.rollout import deployment_status
from pybernetes.kubectl.streaming import exit_code
from pybernetes.machinery import errors
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.http import websocket
from pybernetes.machinery.http.messages import Response

DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
PODS = "/api/v1/namespaces/default/pods"


def deployment(**spec):
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "default"},
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, **spec},
    }  # fmt: skip


def write(tmp_path: Path, *objects) -> str:
    path = tmp_path / "app.yaml"
    path.write_text("\n---\n".join(json.dumps(obj) for obj in objects))
    return str(path)


# apply


async def test_applying_something_new_creates_it_and_remembers_the_file(cluster, tmp_path):
    cluster.on("POST", DEPLOYMENTS, lambda request: orjson.loads(request.body))
    result = await cluster.kubectl("apply", "-f", write(tmp_path, deployment()))
    assert (result.code, result.out) == (0, "deployment.apps/web created\n")
    (sent,) = cluster.sent("POST")
    remembered = sent["metadata"]["annotations"][LAST_APPLIED]
    assert remembered.endswith("\n")
    assert json.loads(remembered)["metadata"] == {"annotations": {}, "name": "web", "namespace": "default"}
    assert "fieldValidation=Strict" in cluster.requests[-1].query


async def live(cluster, tmp_path, obj, **changes):
    """The object as it is after it was applied once and others have changed it."""
    cluster.on("POST", DEPLOYMENTS, lambda request: orjson.loads(request.body))
    await cluster.kubectl("apply", "-f", write(tmp_path, obj))
    applied = cluster.sent("POST")[0]
    cluster.on("GET", f"{DEPLOYMENTS}/web", {**applied, **changes})
    cluster.requests.clear()


async def test_applying_the_same_again_changes_nothing(cluster, tmp_path):
    await live(cluster, tmp_path, deployment(), status={"replicas": 3})
    result = await cluster.kubectl("apply", "-f", write(tmp_path, deployment()))
    assert result.out == "deployment.apps/web unchanged\n"
    assert cluster.sent("PATCH") == []


async def test_applying_a_change_patches_it_and_leaves_the_rest_alone(cluster, tmp_path):
    await live(cluster, tmp_path, deployment(paused=True), status={"replicas": 3})
    cluster.on("PATCH", f"{DEPLOYMENTS}/web", deployment())
    result = await cluster.kubectl("apply", "-f", write(tmp_path, deployment(replicas=5)))
    assert result.out == "deployment.apps/web configured\n"
    (patch,) = cluster.sent("PATCH")
    assert patch["spec"] == {"replicas": 5, "paused": None}
    assert set(patch) == {"metadata", "spec"}
    assert cluster.requests[-1].headers["content-type"] == "application/strategic-merge-patch+json"


async def test_a_conflict_is_tried_again_from_the_fresh_state(cluster, tmp_path):
    await live(cluster, tmp_path, deployment())
    answers = [errors.conflict("apps", "deployments", "web", "changed"), deployment()]
    cluster.on("PATCH", f"{DEPLOYMENTS}/web", lambda request: answers.pop(0))
    result = await cluster.kubectl("apply", "-f", write(tmp_path, deployment(replicas=5)))
    assert result.out == "deployment.apps/web configured\n"


async def test_an_invalid_object_is_told_with_its_causes_and_the_others_are_applied(cluster, tmp_path):
    invalid = errors.invalid("apps", "Deployment", "web", [FieldError.required("spec.a"), FieldError.required("spec.b")])
    cluster.on("POST", DEPLOYMENTS, invalid)
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cfg"}}
    cluster.on("POST", "/api/v1/namespaces/default/configmaps", lambda request: orjson.loads(request.body))
    result = await cluster.kubectl("apply", "-f", write(tmp_path, deployment(), config_map))
    assert result.code == 1
    assert result.out == "configmap/cfg created\n"
    assert result.err == ('The Deployment "web" is invalid: \n* spec.a: Required value\n* spec.b: Required value\n')


async def test_server_side_apply_sends_the_file_as_it_is(cluster, tmp_path):
    cluster.on("PATCH", f"{DEPLOYMENTS}/web", deployment())
    result = await cluster.kubectl("apply", "--server-side", "-f", write(tmp_path, deployment()))
    assert result.out == "deployment.apps/web serverside-applied\n"
    assert cluster.sent("PATCH") == [deployment()]
    assert "fieldManager=kubectl" in cluster.requests[-1].query


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("a: [", "error: error parsing "),
        ("{}", "error: unable to decode "),
        ("kind: Pod\nmetadata: {name: a}", "error: unable to decode "),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: other}", "error: the namespace from the provided object"),
    ],
)
async def test_a_malformed_manifest_is_told_in_one_sentence(cluster, tmp_path, content, sentence):
    path = tmp_path / "bad.yaml"
    path.write_text(content)
    result = await cluster.kubectl("apply", "-n", "mine", "-f", str(path))
    assert result.code == 1
    assert result.err.startswith(sentence)
    assert "Traceback" not in result.err


async def test_an_unknown_kind_is_told_and_the_rest_goes_on(cluster, tmp_path):
    cluster.on("GET", "/api", {"versions": []})
    cluster.on("GET", "/apis", {"groups": []})
    strange = {"apiVersion": "x.io/v1", "kind": "Widget", "metadata": {"name": "w"}}
    result = await cluster.kubectl("apply", "-f", write(tmp_path, strange))
    assert result.code == 1
    assert 'no matches for kind "Widget" in version "x.io/v1"\nensure CRDs are installed first' in result.err


# delete, scale, label


async def test_deleting_says_what_and_from_where_and_waits_until_it_is_gone(cluster):
    cluster.on("DELETE", f"{PODS}/a", {"kind": "Pod", "metadata": {"name": "a", "uid": "u"}})
    result = await cluster.kubectl("delete", "pod", "a")
    assert result.out == 'pod "a" deleted from default namespace\n'
    assert cluster.sent("DELETE") == [{"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}]
    assert [request.method for request in cluster.requests] == ["DELETE", "GET"]


async def test_forcing_skips_the_grace_period_and_warns(cluster):
    cluster.on("DELETE", f"{PODS}/a", {"kind": "Status", "status": "Success"})
    result = await cluster.kubectl("delete", "pod", "a", "--force", "--grace-period=0")
    assert result.out == 'pod "a" force deleted from default namespace\n'
    assert result.err.startswith("Warning: Immediate deletion does not wait for confirmation")
    assert cluster.sent("DELETE")[0]["gracePeriodSeconds"] == 0


async def test_deleting_by_selector_deletes_each(cluster):
    cluster.on("GET", PODS, {"items": [{"metadata": {"name": name, "namespace": "default"}} for name in "ab"]})
    for name in "ab":
        cluster.on("DELETE", f"{PODS}/{name}", {"kind": "Status", "details": {"uid": name}})
    result = await cluster.kubectl("delete", "pods", "-l", "x=y", "--wait=false", "-oname")
    assert result.out == "pod/a\npod/b\n"


async def test_scaling_patches_the_scale(cluster):
    cluster.on("GET", f"{DEPLOYMENTS}/web", deployment())
    cluster.on("PATCH", f"{DEPLOYMENTS}/web/scale", {})
    assert (await cluster.kubectl("scale", "deploy/web", "--replicas=2")).out == "deployment.apps/web scaled\n"
    assert cluster.sent("PATCH") == [{"spec": {"replicas": 2}}]


async def test_a_label_that_has_a_value_is_kept_unless_told(cluster):
    cluster.on("GET", f"{PODS}/a", {"kind": "Pod", "metadata": {"name": "a", "labels": {"app": "x"}}})
    cluster.on("PATCH", f"{PODS}/a", {"kind": "Pod", "metadata": {"name": "a"}})
    refused = await cluster.kubectl("label", "pod", "a", "app=y")
    assert refused.err == "error: 'app' already has a value (x), and --overwrite is false\n"
    assert (await cluster.kubectl("label", "pod", "a", "app=y", "--overwrite")).out == "pod/a labeled\n"
    assert (await cluster.kubectl("label", "pod", "a", "app-")).out == "pod/a unlabeled\n"
    assert cluster.sent("PATCH") == [{"metadata": {"labels": {"app": "y"}}}, {"metadata": {"labels": {"app": None}}}]


# rollout


@pytest.mark.parametrize(
    ("status", "sentence", "done"),
    [
        ({}, "Waiting for deployment spec update to be observed...", False),
        ({"observedGeneration": 2, "updatedReplicas": 1, "replicas": 1},
         'Waiting for deployment "web" rollout to finish: 1 out of 3 new replicas have been updated...', False),
        ({"observedGeneration": 2, "updatedReplicas": 3, "replicas": 4},
         'Waiting for deployment "web" rollout to finish: 1 old replicas are pending termination...', False),
        ({"observedGeneration": 2, "updatedReplicas": 3, "replicas": 3, "availableReplicas": 2},
         'Waiting for deployment "web" rollout to finish: 2 of 3 updated replicas are available...', False),
        ({"observedGeneration": 2, "updatedReplicas": 3, "replicas": 3, "availableReplicas": 3},
         'deployment "web" successfully rolled out', True),
    ],
)  # fmt: skip
def test_a_rollout_is_followed_in_upstreams_sentences(status, sentence, done):
    obj = deployment()
    obj["metadata"]["generation"] = 2
    assert deployment_status({**obj, "status": status}) == (sentence, done)


async def test_the_status_is_printed_at_each_step(cluster):
    obj = deployment()
    obj["metadata"].update(generation=1, resourceVersion="7")
    ready = {"observedGeneration": 1, "updatedReplicas": 3, "replicas": 3, "availableReplicas": 3}
    cluster.on("GET", f"{DEPLOYMENTS}/web", {**obj, "status": {}})
    event = orjson.dumps({"type": "MODIFIED", "object": {**obj, "status": ready}}) + b"\n"
    cluster.on("GET", DEPLOYMENTS, Response(200, {}, event))
    result = await cluster.kubectl("rollout", "status", "deployment/web")
    assert result.out == 'Waiting for deployment spec update to be observed...\ndeployment "web" successfully rolled out\n'


# logs, exec


def running_pod(**spec):
    return {
        "kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a", "namespace": "default"},
        "spec": {"containers": [{"name": "main"}], **spec}, "status": {"phase": "Running"},
    }  # fmt: skip


async def test_a_log_is_copied_as_it_comes(cluster):
    cluster.on("GET", f"{PODS}/a", running_pod())
    cluster.on("GET", f"{PODS}/a/log", Response(200, {}, b"one\ntwo\n"))
    result = await cluster.kubectl("logs", "a", "--tail=2", "--since=90s", "--timestamps", "-p")
    assert result.out == "one\ntwo\n"
    assert cluster.requests[-1].query == "container=main&previous=true&timestamps=true&tailLines=2&sinceSeconds=90"


async def test_of_several_containers_the_first_is_taken_and_said(cluster):
    cluster.on("GET", f"{PODS}/a", running_pod(containers=[{"name": "x"}, {"name": "y"}]))
    cluster.on("GET", f"{PODS}/a/log", Response(200, {}, b""))
    result = await cluster.kubectl("logs", "a")
    assert result.err == 'Defaulted container "x" out of: x, y\n'
    assert (await cluster.kubectl("logs", "a", "-c", "z")).err == "error: container z is not valid for pod a\n"


@pytest.mark.parametrize("protocol", ["v5.channel.k8s.io", "v4.channel.k8s.io"])
async def test_a_command_is_run_and_its_exit_code_is_ours(cluster, protocol):
    async def serve(socket):
        await socket.send(b"\x01out\n")
        await socket.send(b"\x02err\n")
        causes = [{"reason": "ExitCode", "message": "3"}]
        await socket.send(
            b"\x03" + orjson.dumps({"status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": causes}})
        )

    cluster.on("GET", f"{PODS}/a", running_pod())
    cluster.on("GET", f"{PODS}/a/exec", lambda request: websocket.accept(request, (protocol,), serve))
    result = await cluster.kubectl("exec", "a", "--", "sh", "-c", "exit 3")
    assert (result.code, result.out) == (3, "out\n")
    assert result.err == "err\ncommand terminated with exit code 3\n"
    assert cluster.requests[-1].query == "container=main&command=sh&command=-c&command=exit+3&stdout=true&stderr=true"


async def test_a_refused_command_gives_the_servers_reason(cluster):
    cluster.on("GET", f"{PODS}/a", running_pod())
    cluster.on("GET", f"{PODS}/a/exec", errors.BadRequest("container main is not running"))
    result = await cluster.kubectl("exec", "a", "--", "ls")
    assert result.err == "error: unable to upgrade connection: container main is not running\n"


def test_a_stream_that_just_ends_is_a_success():
    assert exit_code(b"") == 0
    assert exit_code(b'{"status":"Success"}') == 0


# describe


async def test_a_description_ends_with_the_events_of_the_object(cluster):
    cluster.on(
        "GET", f"{PODS}/a", running_pod(nodeName="n1", containers=[{"name": "main", "image": "x", "command": ["a", "b"]}])
    )
    event = {
        "metadata": {"name": "e"}, "type": "Warning", "reason": "BackOff", "message": "again", "count": 3,
        "firstTimestamp": "2026-11-21T09:50:00Z", "lastTimestamp": "2026-11-21T09:59:00Z", "source": {"component": "kubelet"},
    }  # fmt: skip
    cluster.on("GET", "/api/v1/namespaces/default/events", {"items": [event]})
    result = await cluster.kubectl("describe", "pod", "a")
    assert result.out.startswith("Name:             a\nNamespace:        default\n")
    assert "    Command:\n      a\n      b\n" in result.out
    assert result.out.endswith("  Warning  BackOff  60s (x3 over 10m)  kubelet  again\n")


async def test_a_secrets_values_are_never_shown(cluster):
    secret = {
        "kind": "Secret",
        "metadata": {"name": "s", "namespace": "default"},
        "type": "Opaque",
        "data": {"p": "aHVudGVyMg=="},
    }
    cluster.on("GET", "/api/v1/namespaces/default/secrets/s", secret)
    result = await cluster.kubectl("describe", "secret", "s")
    assert "p:  7 bytes" in result.out
    assert "aHVu" not in result.out


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (119, "119s"), (120, "2m"), (150, "2m30s"), (601, "10m"), (3600 * 3, "3h"), (3600 * 3 + 60, "3h1m"),
     (3600 * 9, "9h"), (3600 * 49, "2d1h"), (86400 * 30, "30d"), (86400 * 800, "2y70d"), (86400 * 365 * 9, "9y")],
)  # fmt: skip
def test_ages_are_as_short_as_upstreams(seconds, text):
    assert duration(seconds) == text


# The program.


@pytest.mark.parametrize("name", [name for name, _, _ in verbs.VERBS])
def test_every_verb_and_flag_has_a_help_and_no_name_twice(name):
    command = verbs.command(name)
    assert command is not None
    assert command.name == name
    for each in (command, *command.commands):
        assert each.help
        assert each.run is not None or each.commands
        assert each.run is None or inspect.iscoroutinefunction(each.run)
        flags = [*each.flags, *GLOBAL_FLAGS]
        assert all(flag.help for flag in flags)
        assert len({flag.name for flag in flags}) == len(flags)
        shorts = [flag.short for flag in flags if flag.short]
        assert len(set(shorts)) == len(shorts)
        assert "Usage:" in help_text(each, f"kubectl {name}")


async def test_a_sub_verb_is_needed_where_there_are_some(cluster):
    assert "Commands:\n  status" in (await cluster.kubectl("rollout")).out
    assert (await cluster.kubectl("rollout", "nope")).err.startswith('error: unknown command "nope" for "kubectl rollout"')


async def test_flags_may_come_before_the_verb(cluster):
    cluster.on("GET", "/api/v1/namespaces/shop/pods", {"items": []})
    await cluster.kubectl("-n", "shop", "--request-timeout=5s", "get", "pods", "-oname")
    assert cluster.requests[0].path == "/api/v1/namespaces/shop/pods"
