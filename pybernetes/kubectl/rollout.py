"""`kubectl rollout`: status, history, undo, restart, pause and resume of Deployments (and status of the other workloads)."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import orjson

from pybernetes.client.rest import PatchType
from pybernetes.kubectl.command import FILENAME_FLAGS, SELECTOR_FLAG, Command
from pybernetes.kubectl.failure import Failure, UsageFailure
from pybernetes.kubectl.flags import Flag, Kind, Parsed
from pybernetes.kubectl.pod_choice import selector_of
from pybernetes.kubectl.selection import Target, kind_name, objects, select
from pybernetes.kubectl.session import Session
from pybernetes.kubectl.tables import aligned
from pybernetes.machinery import errors
from pybernetes.machinery.clock import rfc3339
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import Object, condition, controller_of
from pybernetes.machinery.resources import REPLICA_SETS

REVISION = "deployment.kubernetes.io/revision"
CHANGE_CAUSE = "kubernetes.io/change-cause"
RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"


async def _workloads(session: Session, parsed: Parsed, verb: str) -> list[tuple[Target, Object]]:
    if not parsed.args and not parsed.options.texts("filename"):
        raise UsageFailure("required resource not specified")
    targets = await select(session, parsed.args, parsed.options, verb=f"rollout {verb}")
    return await objects(session, targets, parsed.options)


# Status.


async def status(session: Session, parsed: Parsed) -> int:
    options = parsed.options
    try:
        async with asyncio.timeout(options.seconds("timeout") or None):
            for target, obj in await _workloads(session, parsed, "status"):
                await _follow(session, target, obj, watch=options.flag("watch"), revision=options.number("revision"))
    except TimeoutError:
        raise Failure("timed out waiting for the condition") from None
    return session.exit_code


async def _follow(session: Session, target: Target, obj: Object, *, watch: bool, revision: int) -> None:
    """Print each step of the rollout until it is complete."""
    said = ""
    while True:
        message, done = workload_status(target, obj, revision)
        if message != said:
            session.print(message)
            session.stdout.flush()
        said = message
        if done or not watch:
            return
        version = obj["metadata"]["resourceVersion"]
        events = session.client.watch(
            target.resource, target.namespace, name=target.name, resource_version=version, timeout_s=300
        )
        try:
            async with aclosing(events):
                async for event in events:
                    if event.type == "DELETED":
                        raise Failure("object has been deleted")
                    if event.type != "BOOKMARK":
                        obj = event.object
                        message, done = workload_status(target, obj, revision)
                        if message != said:
                            break
        except (errors.Expired, errors.Gone):
            obj = await session.get_object(target.resource, target.namespace, target.name)


def workload_status(target: Target, obj: Object, revision: int = 0) -> tuple[str, bool]:
    """Upstream's sentence about how far a rollout is, and whether it is complete. Raises `Failure` if it has failed."""
    kind = target.resource.kind
    if kind == "Deployment":
        return deployment_status(obj, revision)
    if kind == "DaemonSet":
        return _daemon_set_status(obj)
    if kind == "StatefulSet":
        return _stateful_set_status(obj)
    raise Failure(f"no status viewer has been implemented for {kind}")


def deployment_status(obj: Object, revision: int = 0) -> tuple[str, bool]:
    name, spec, now = obj["metadata"]["name"], obj["spec"], obj.get("status") or {}
    if revision:
        current = int((obj["metadata"].get("annotations") or {}).get(REVISION, 0))
        if revision != current:
            raise Failure(f"desired revision ({revision}) is different from the running revision ({current})")
    if obj["metadata"].get("generation", 0) > now.get("observedGeneration", 0):
        return "Waiting for deployment spec update to be observed...", False
    progressing = condition(now.get("conditions"), "Progressing")
    if progressing is not None and progressing.get("reason") == "ProgressDeadlineExceeded":
        raise Failure(f'deployment "{name}" exceeded its progress deadline')
    wanted = spec.get("replicas", 1)
    updated, total, available = (now.get(key, 0) for key in ("updatedReplicas", "replicas", "availableReplicas"))
    waiting = f'Waiting for deployment "{name}" rollout to finish: '
    if updated < wanted:
        return f"{waiting}{updated} out of {wanted} new replicas have been updated...", False
    if total > updated:
        return f"{waiting}{total - updated} old replicas are pending termination...", False
    if available < updated:
        return f"{waiting}{available} of {updated} updated replicas are available...", False
    return f'deployment "{name}" successfully rolled out', True


def _daemon_set_status(obj: Object) -> tuple[str, bool]:
    name, now = obj["metadata"]["name"], obj.get("status") or {}
    if (obj["spec"].get("updateStrategy") or {}).get("type", "RollingUpdate") != "RollingUpdate":
        raise Failure("rollout status is only available for RollingUpdate strategy type")
    if obj["metadata"].get("generation", 0) > now.get("observedGeneration", 0):
        return "Waiting for daemon set spec update to be observed...", False
    wanted = now.get("desiredNumberScheduled", 0)
    updated, available = now.get("updatedNumberScheduled", 0), now.get("numberAvailable", 0)
    waiting = f'Waiting for daemon set "{name}" rollout to finish: '
    if updated < wanted:
        return f"{waiting}{updated} out of {wanted} new pods have been updated...", False
    if available < wanted:
        return f"{waiting}{available} of {wanted} updated pods are available...", False
    return f'daemon set "{name}" successfully rolled out', True


def _stateful_set_status(obj: Object) -> tuple[str, bool]:
    now, spec = obj.get("status") or {}, obj["spec"]
    strategy = spec.get("updateStrategy") or {}
    if strategy.get("type", "RollingUpdate") != "RollingUpdate":
        raise Failure("rollout status is only available for RollingUpdate strategy type")
    if now.get("observedGeneration", 0) == 0 or obj["metadata"].get("generation", 0) > now["observedGeneration"]:
        return "Waiting for statefulset spec update to be observed...", False
    wanted, ready, updated = spec.get("replicas", 1), now.get("readyReplicas", 0), now.get("updatedReplicas", 0)
    if ready < wanted:
        return f"Waiting for {wanted - ready} pods to be ready...", False
    partition = (strategy.get("rollingUpdate") or {}).get("partition", 0)
    if partition:
        if updated < wanted - partition:
            goal = wanted - partition
            told = f"Waiting for partitioned roll out to finish: {updated} out of {goal} new pods have been updated..."
            return told, False
        return f"partitioned roll out complete: {updated} new pods have been updated...", True
    if now.get("updateRevision") != now.get("currentRevision"):
        return (
            f"waiting for statefulset rolling update to complete {updated} pods at revision {now.get('updateRevision')}...",
            False,
        )
    return (
        f"statefulset rolling update complete {now.get('currentReplicas', 0)} pods at revision {now.get('currentRevision')}...",
        True,
    )


# History, undo, restart, pause, resume.


async def _replica_sets(session: Session, target: Target, deployment: Object) -> dict[int, Object]:
    """The Deployment's ReplicaSets by revision."""
    _only_deployments(target)
    query = {"labelSelector": selector_of(deployment)}
    answer = await session.request("GET", REPLICA_SETS.path(target.namespace), query=query)
    found = {}
    for item in answer.get("items") or ():
        owner = controller_of(item)
        if owner is not None and owner.get("uid") == deployment["metadata"]["uid"]:
            found[int((item["metadata"].get("annotations") or {}).get(REVISION, 0))] = item
    return dict(sorted(found.items()))


def _only_deployments(target: Target) -> None:
    if target.resource.kind != "Deployment":
        raise Failure(f"{target.resource.plural} {target.name}: only deployments are supported here by this kubectl")


async def history(session: Session, parsed: Parsed) -> int:
    for target, obj in await _workloads(session, parsed, "history"):
        found = await _replica_sets(session, target, obj)
        revision = parsed.options.number("revision")
        if revision:
            if revision not in found:
                raise Failure(f"unable to find the specified revision {revision} in history")
            from pybernetes.kubectl.describe.layout import Page
            from pybernetes.kubectl.describe.pods import template_fields

            session.print(f"{target.shown} with revision #{revision}")
            page = Page()
            page.line("Pod Template:")
            template_fields(page, found[revision]["spec"]["template"])
            session.stdout.write(page.text())
            continue
        session.print(f"{target.shown} ")
        if not found:
            session.print("No rollout history found.")
            continue
        rows = [["REVISION", "CHANGE-CAUSE"]]
        for number, replica_set in found.items():
            cause = (replica_set["metadata"].get("annotations") or {}).get(CHANGE_CAUSE, "<none>")
            rows.append([str(number), cause])
        session.print("\n".join(aligned(rows)) + "\n")
    return session.exit_code


async def undo(session: Session, parsed: Parsed) -> int:
    to = parsed.options.number("to-revision")
    for target, obj in await _workloads(session, parsed, "undo"):
        if obj["spec"].get("paused"):
            raise Failure(
                f'you cannot rollback a paused deployment; resume it first with "kubectl rollout resume {target.shown}" and '
                "try again"
            )
        found = await _replica_sets(session, target, obj)
        numbers = sorted(found)
        if to and to not in found:
            raise Failure(f"unable to find specified revision {to} in history")
        if not to and len(numbers) < 2:
            raise Failure(f'no rollout history found for deployment "{target.name}"')
        template = orjson.loads(orjson.dumps(found[to or numbers[-2]]["spec"]["template"]))
        template["metadata"].get("labels", {}).pop("pod-template-hash", None)
        current = obj["spec"]["template"]
        if template.get("spec") == current.get("spec") and (template["metadata"].get("annotations") or {}) == (
            (current.get("metadata") or {}).get("annotations") or {}
        ):
            session.print(f"{target.shown} skipped rollback (current template already matches revision {to or numbers[-2]})")
            continue
        patch = [{"op": "replace", "path": "/spec/template", "value": template}]
        await _patch(session, target, patch, PatchType.JSON)
        session.print(f"{target.shown} rolled back")
    return session.exit_code


async def restart(session: Session, parsed: Parsed) -> int:
    stamp = rfc3339(session.clock.now())
    patch = {"spec": {"template": {"metadata": {"annotations": {RESTARTED_AT: stamp}}}}}
    for target, obj in await _workloads(session, parsed, "restart"):
        if obj["spec"].get("paused"):
            raise Failure("can't restart paused deployment (run rollout resume first)")
        if "template" not in obj["spec"]:
            raise Failure(f"restarting is not supported for {target.resource.plural}")
        try:
            await _patch(session, target, patch, PatchType.STRATEGIC)
        except StatusError as error:
            session.report(error)
            continue
        session.print(f"{target.shown} restarted")
    return session.exit_code


async def pause(session: Session, parsed: Parsed) -> int:
    return await _set_paused(session, parsed, True)


async def resume(session: Session, parsed: Parsed) -> int:
    return await _set_paused(session, parsed, False)


async def _set_paused(session: Session, parsed: Parsed, paused: bool) -> int:
    verb = "paused" if paused else "resumed"
    for target, obj in await _workloads(session, parsed, verb):
        _only_deployments(target)
        if bool(obj["spec"].get("paused")) == paused:
            raise Failure(
                f'{target.resource.plural}.{target.resource.group} "{target.name}" is {"already" if paused else "not"} paused'
            )
        await _patch(session, target, {"spec": {"paused": paused or None}}, PatchType.MERGE)
        session.print(f"{kind_name(target.resource)}/{target.name} {verb}")
    return session.exit_code


async def _patch(session: Session, target: Target, patch: object, patch_type: PatchType) -> Object:
    query = {"fieldManager": "kubectl-rollout"}
    return await session.request(
        "PATCH", target.path, query=query, body=orjson.dumps(patch), headers={"content-type": str(patch_type)}
    )


_SHARED = (*FILENAME_FLAGS, SELECTOR_FLAG)
_USAGE = "(TYPE NAME | TYPE/NAME) [flags]"
_STATUS_FLAGS = (
    Flag("watch", "Wait until it is complete", Kind.BOOL, short="w", default=True),
    Flag("revision", "Only of this revision", Kind.NUMBER),
    Flag("timeout", "How long to wait; 0 for as long as it takes", Kind.DURATION),
)
_REVISION_FLAG = Flag("revision", "Show this one in detail", Kind.NUMBER)
_TO_REVISION_FLAG = Flag("to-revision", "Which; 0 is the last one", Kind.NUMBER)
COMMAND = Command(
    "rollout",
    "Watch and manage the rollout of a workload",
    usage="SUBCOMMAND",
    commands=(
        Command("status", "Show the status of a rollout", _USAGE, (*_SHARED, *_STATUS_FLAGS), status),
        Command("history", "Show past revisions", _USAGE, (*_SHARED, _REVISION_FLAG), history),
        Command("undo", "Go back to a past revision", _USAGE, (*_SHARED, _TO_REVISION_FLAG), undo),
        Command("restart", "Replace all pods", _USAGE, _SHARED, restart),
        Command("pause", "Stop acting on changes of the template", _USAGE, _SHARED, pause),
        Command("resume", "Act on changes of the template again", _USAGE, _SHARED, resume),
    ),
    examples="kubectl rollout status deployment/web\nkubectl rollout undo deployment/web",
)
