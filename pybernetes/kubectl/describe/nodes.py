"""Nodes: what they are, what runs there, what is left."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from pybernetes.kubectl.describe.layout import Page, ago, conditions, labels_and_annotations, long_time
from pybernetes.kubectl.session import Session
from pybernetes.machinery import errors, quantity
from pybernetes.machinery.meta import Object
from pybernetes.machinery.resources import LEASES, PODS

ROLE_PREFIX = "node-role.kubernetes.io/"


async def describe_node(session: Session, obj: Object, page: Page) -> None:
    metadata, spec, status = obj["metadata"], obj.get("spec") or {}, obj.get("status") or {}
    page.pair("Name", metadata["name"])
    roles = [label.removeprefix(ROLE_PREFIX) for label in metadata.get("labels") or {} if label.startswith(ROLE_PREFIX)]
    page.pair("Roles", ",".join(sorted(roles)) or "<none>")
    labels_and_annotations(page, obj)
    page.pair("CreationTimestamp", long_time(metadata.get("creationTimestamp")))
    taints = [_taint(taint) for taint in spec.get("taints") or ()]
    page.pair("Taints", taints[0] if taints else "<none>")
    for taint in taints[1:]:
        page.more(taint)
    page.pair("Unschedulable", "true" if spec.get("unschedulable") else "false")
    await _lease(session, metadata["name"], page)
    if status.get("conditions"):
        columns = ("Type", "Status", "LastHeartbeatTime", "LastTransitionTime", "Reason", "Message")
        shown = [
            {**each, **{key: long_time(each.get(key)) for key in ("lastHeartbeatTime", "lastTransitionTime")}}
            for each in status["conditions"]
        ]
        conditions(page, shown, columns)
    page.line("Addresses:")
    for address in status.get("addresses") or ():
        page.pair(address["type"], address["address"], 1)
    for key in ("capacity", "allocatable"):
        if status.get(key):
            page.line(f"{key.capitalize()}:")
            for name, amount in sorted(status[key].items()):
                page.pair(name, amount, 1)
    _system_info(page, status.get("nodeInfo") or {})
    if spec.get("podCIDR"):
        page.pair("PodCIDR", spec["podCIDR"])
    if spec.get("podCIDRs"):
        page.pair("PodCIDRs", ",".join(spec["podCIDRs"]))
    if spec.get("providerID"):
        page.pair("ProviderID", spec["providerID"])
    await _pods(session, metadata["name"], status.get("allocatable") or status.get("capacity") or {}, page)


def _taint(taint: Object) -> str:
    value = f"={taint['value']}" if taint.get("value") else ""
    return f"{taint['key']}{value}:{taint['effect']}"


async def _lease(session: Session, name: str, page: Page) -> None:
    try:
        lease = await session.get_object(LEASES, "kube-node-lease", name)
    except errors.StatusError:
        page.pair("Lease", "Failed to get lease")
        return
    spec = lease.get("spec") or {}
    page.line("Lease:")
    page.pair("HolderIdentity", spec.get("holderIdentity", "<unset>"), 1)
    page.pair("AcquireTime", long_time(spec.get("acquireTime")), 1)
    page.pair("RenewTime", long_time(spec.get("renewTime")), 1)


def _system_info(page: Page, info: Object) -> None:
    page.line("System Info:")
    for key, title in (
        ("machineID", "Machine ID"), ("systemUUID", "System UUID"), ("bootID", "Boot ID"), ("kernelVersion", "Kernel Version"),
        ("osImage", "OS Image"), ("operatingSystem", "Operating System"), ("architecture", "Architecture"),
        ("containerRuntimeVersion", "Container Runtime Version"), ("kubeletVersion", "Kubelet Version"),
    ):  # fmt: skip
        page.pair(title, info.get(key, ""), 1)


async def _pods(session: Session, node: str, allocatable: Object, page: Page) -> None:
    query = {"fieldSelector": f"spec.nodeName={node},status.phase!=Succeeded,status.phase!=Failed"}
    try:
        pods: Sequence[Object] = (await session.request("GET", PODS.path(), query=query)).get("items") or ()
    except errors.StatusError:
        page.pair("Pods", "not authorized")
        return
    from pybernetes.machinery import pod_resources

    page.pair("Non-terminated Pods", f"({len(pods)} in total)")
    rows = [
        ["Namespace", "Name", "CPU Requests", "CPU Limits", "Memory Requests", "Memory Limits", "Age"],
        ["---------", "----", "------------", "----------", "---------------", "-------------", "---"],
    ]
    totals: dict[tuple[str, str], quantity.Quantity] = {}
    for pod in sorted(pods, key=lambda each: (each["metadata"]["namespace"], each["metadata"]["name"])):
        requests, limits = pod_resources.pod_requests(pod), pod_resources.pod_limits(pod)
        cells = []
        for name in ("cpu", "memory"):
            for kind, amounts in (("requests", requests), ("limits", limits)):
                amount = amounts.get(name) or quantity.parse("0")
                cells.append(f"{amount.canonical()} ({_percent(amount, allocatable.get(name))}%)")
                totals[name, kind] = totals.get((name, kind), quantity.parse("0")) + amount
        created = pod["metadata"].get("creationTimestamp")
        rows.append([pod["metadata"]["namespace"], pod["metadata"]["name"], *cells, ago(created, session.clock.now())])
    page.table(rows)
    page.line("Allocated resources:")
    page.line("  (Total limits may be over 100 percent, i.e., overcommitted.)")
    rows = [["Resource", "Requests", "Limits"], ["--------", "--------", "------"]]
    for name in ("cpu", "memory"):
        cells = []
        for kind in ("requests", "limits"):
            amount = totals.get((name, kind), quantity.parse("0"))
            cells.append(f"{amount.canonical()} ({_percent(amount, allocatable.get(name))}%)")
        rows.append([name, *cells])
    page.table(rows)


def _percent(amount: quantity.Quantity, whole: str | None) -> int:
    total = quantity.parse(whole).milli if whole else 0
    return int(Fraction(amount.milli * 100, total)) if total else 0
