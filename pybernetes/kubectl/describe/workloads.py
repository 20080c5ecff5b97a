"""Deployments, ReplicaSets, DaemonSets, StatefulSets, Jobs."""

from __future__ import annotations

from pybernetes.kubectl.describe.layout import Page, conditions, labels_and_annotations, long_time, or_none, selector_text
from pybernetes.kubectl.describe.pods import template_fields
from pybernetes.kubectl.session import Session
from pybernetes.machinery import errors
from pybernetes.machinery.meta import Object, controller_of
from pybernetes.machinery.resources import PODS, REPLICA_SETS

REVISION = "deployment.kubernetes.io/revision"
HASH = "pod-template-hash"


async def describe_deployment(session: Session, obj: Object, page: Page) -> None:
    spec, status = obj["spec"], obj.get("status") or {}
    page.pair("Name", obj["metadata"]["name"])
    page.pair("Namespace", obj["metadata"]["namespace"])
    page.pair("CreationTimestamp", long_time(obj["metadata"].get("creationTimestamp")))
    labels_and_annotations(page, obj)
    page.pair("Selector", selector_text(spec.get("selector")))
    page.pair(
        "Replicas",
        f"{spec.get('replicas', 1)} desired | {status.get('updatedReplicas', 0)} updated | {status.get('replicas', 0)} total | "
        f"{status.get('availableReplicas', 0)} available | {status.get('unavailableReplicas', 0)} unavailable",
    )
    strategy = spec.get("strategy") or {}
    page.pair("StrategyType", strategy.get("type", ""))
    page.pair("MinReadySeconds", spec.get("minReadySeconds", 0))
    if rolling := strategy.get("rollingUpdate"):
        page.pair(
            "RollingUpdateStrategy", f"{rolling.get('maxUnavailable')} max unavailable, {rolling.get('maxSurge')} max surge"
        )
    _template(page, spec["template"])
    conditions(page, status.get("conditions"))
    old, new = await _replica_sets(session, obj)
    if old or new:
        page.pair("OldReplicaSets", ", ".join(_created(each) for each in old) or "<none>")
        page.pair("NewReplicaSet", _created(new) if new else "<none>")


async def _replica_sets(session: Session, deployment: Object) -> tuple[list[Object], Object | None]:
    metadata = deployment["metadata"]
    query = {"labelSelector": selector_text(deployment["spec"].get("selector"))}
    try:
        answer = await session.request("GET", REPLICA_SETS.path(metadata["namespace"]), query=query)
    except errors.StatusError:
        return [], None
    own = [item for item in answer.get("items") or () if (controller_of(item) or {}).get("uid") == metadata.get("uid")]
    revision = (metadata.get("annotations") or {}).get(REVISION, "")
    new = next((item for item in own if (item["metadata"].get("annotations") or {}).get(REVISION) == revision), None)
    return [item for item in own if item is not new], new


def _created(replica_set: Object) -> str:
    wanted = replica_set["spec"].get("replicas", 0)
    now = (replica_set.get("status") or {}).get("replicas", 0)
    return f"{replica_set['metadata']['name']} ({now}/{wanted} replicas created)"


async def describe_replicaset(session: Session, obj: Object, page: Page) -> None:
    spec, status = obj["spec"], obj.get("status") or {}
    _named(page, obj)
    page.pair("Selector", selector_text(spec.get("selector")))
    labels_and_annotations(page, obj)
    _owner(page, obj)
    page.pair("Replicas", f"{status.get('replicas', 0)} current / {spec.get('replicas', 1)} desired")
    page.pair("Pods Status", await _pods_status(session, obj))
    _template(page, spec["template"])
    conditions(page, status.get("conditions"))


async def describe_daemonset(session: Session, obj: Object, page: Page) -> None:
    status = obj.get("status") or {}
    _named(page, obj)
    page.pair("Selector", selector_text(obj["spec"].get("selector")))
    page.pair("Node-Selector", or_none(selector_text(obj["spec"]["template"]["spec"].get("nodeSelector"))))
    labels_and_annotations(page, obj)
    page.pair("Desired Number of Nodes Scheduled", status.get("desiredNumberScheduled", 0))
    page.pair("Current Number of Nodes Scheduled", status.get("currentNumberScheduled", 0))
    page.pair("Number of Nodes Scheduled with Up-to-date Pods", status.get("updatedNumberScheduled", 0))
    page.pair("Number of Nodes Scheduled with Available Pods", status.get("numberAvailable", 0))
    page.pair("Number of Nodes Misscheduled", status.get("numberMisscheduled", 0))
    page.pair("Pods Status", await _pods_status(session, obj))
    _template(page, obj["spec"]["template"])


async def describe_statefulset(session: Session, obj: Object, page: Page) -> None:
    spec, status = obj["spec"], obj.get("status") or {}
    _named(page, obj)
    page.pair("CreationTimestamp", long_time(obj["metadata"].get("creationTimestamp")))
    page.pair("Selector", selector_text(spec.get("selector")))
    labels_and_annotations(page, obj)
    page.pair("Replicas", f"{spec.get('replicas', 1)} desired | {status.get('replicas', 0)} total")
    strategy = spec.get("updateStrategy") or {}
    page.pair("Update Strategy", strategy.get("type", ""))
    if partition := (strategy.get("rollingUpdate") or {}).get("partition"):
        page.pair("Partition", partition, 1)
    page.pair("Pods Status", await _pods_status(session, obj))
    _template(page, spec["template"])
    claims = [claim["metadata"]["name"] for claim in spec.get("volumeClaimTemplates") or ()]
    page.pair("Volume Claims", ", ".join(claims) or "<none>")


async def describe_job(session: Session, obj: Object, page: Page) -> None:
    spec, status = obj["spec"], obj.get("status") or {}
    _named(page, obj)
    page.pair("Selector", selector_text(spec.get("selector")))
    labels_and_annotations(page, obj)
    _owner(page, obj)
    page.pair("Parallelism", spec.get("parallelism", 1))
    page.pair("Completions", spec.get("completions", "<unset>"))
    page.pair("Completion Mode", spec.get("completionMode", "NonIndexed"))
    page.pair("Suspend", "true" if spec.get("suspend") else "false")
    page.pair("Backoff Limit", spec.get("backoffLimit", 6))
    if status.get("startTime"):
        page.pair("Start Time", long_time(status["startTime"]))
    if status.get("completionTime"):
        page.pair("Completed At", long_time(status["completionTime"]))
    page.pair(
        "Pods Statuses",
        f"{status.get('active', 0)} Active ({status.get('ready', 0)} Ready) / {status.get('succeeded', 0)} Succeeded / "
        f"{status.get('failed', 0)} Failed",
    )
    _template(page, spec["template"])


def _named(page: Page, obj: Object) -> None:
    page.pair("Name", obj["metadata"]["name"])
    page.pair("Namespace", obj["metadata"]["namespace"])


def _owner(page: Page, obj: Object) -> None:
    owner = controller_of(obj)
    if owner is not None:
        page.pair("Controlled By", f"{owner['kind']}/{owner['name']}")


def _template(page: Page, template: Object) -> None:
    page.line("Pod Template:")
    template_fields(page, template)


async def _pods_status(session: Session, obj: Object) -> str:
    query = {"labelSelector": selector_text(obj["spec"].get("selector"))}
    try:
        answer = await session.request("GET", PODS.path(obj["metadata"]["namespace"]), query=query)
    except errors.StatusError as error:
        return f"error in fetching pods: {error}"
    counts = dict.fromkeys(("Running", "Waiting", "Succeeded", "Failed"), 0)
    for pod in answer.get("items") or ():
        if (controller_of(pod) or {}).get("uid") == obj["metadata"].get("uid"):
            phase = (pod.get("status") or {}).get("phase", "Pending")
            counts["Waiting" if phase == "Pending" else phase] = counts.get("Waiting" if phase == "Pending" else phase, 0) + 1
    return " / ".join(f"{counts[name]} {name}" for name in ("Running", "Waiting", "Succeeded", "Failed"))
