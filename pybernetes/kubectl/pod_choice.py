"""Which pod and which container `logs`, `exec` and `port-forward` mean: `NAME`, `deployment/NAME`, `service/NAME`."""

from __future__ import annotations

import asyncio

from pybernetes.kubectl.failure import Failure
from pybernetes.kubectl.session import Session
from pybernetes.machinery.labels import from_label_selector, from_map
from pybernetes.machinery.meta import Object
from pybernetes.machinery.resources import PODS

DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"


async def pod_for(session: Session, name: str, *, timeout_s: float = 0) -> Object:
    """The pod, or the best of a workload's: running and ready before others, then the oldest.

    Waits up to `timeout_s` for a workload to have one.
    """
    kind, slash, rest = name.partition("/")
    resource = await session.mapper.find(kind) if slash else PODS
    target = rest if slash else name
    if not target or "/" in target:
        raise Failure("arguments in resource/name form must have a single resource and name")
    if resource.plural == "pods":
        return await session.get_object(PODS, session.namespace, target)
    owner = await session.get_object(resource, session.namespace, target)
    selector = selector_of(owner)
    try:
        async with asyncio.timeout(timeout_s or None):
            while True:
                found = await pods(session, selector)
                if found:
                    return found[0]
                if not timeout_s:
                    raise Failure(f"no pods found for {resource.plural}/{target}")
                await session.clock.sleep(0.5)
    except TimeoutError:
        raise Failure("timed out waiting for the condition") from None


def selector_of(owner: Object) -> str:
    """The label selector of a workload's or Service's pods. Raises `Failure`."""
    selector = (owner.get("spec") or {}).get("selector")
    if not selector:
        raise Failure(f"cannot attach to *{owner.get('kind')}: selector for {owner['metadata']['name']} is empty")
    if "matchLabels" in selector or "matchExpressions" in selector:
        return from_label_selector(selector).to_string()
    return from_map(selector).to_string()


async def pods(session: Session, selector: str) -> list[Object]:
    """The pods that a selector selects, the best first."""
    answer = await session.request("GET", PODS.path(session.namespace), query={"labelSelector": selector})
    head = {"kind": "Pod", "apiVersion": "v1"}
    return sorted(({**head, **item} for item in answer.get("items") or ()), key=_rank)


def _rank(pod: Object) -> tuple[bool, bool, bool, str]:
    status = pod.get("status") or {}
    ready = any(each.get("type") == "Ready" and each.get("status") == "True" for each in status.get("conditions") or ())
    return (
        not (pod.get("spec") or {}).get("nodeName"),
        status.get("phase") != "Running",
        not ready,
        pod["metadata"].get("creationTimestamp", ""),
    )


def container_of(pod: Object, wanted: str, session: Session, *, quiet: bool = False) -> str:
    """The container to use; says so where there are several and none was asked for."""
    spec = pod["spec"]
    names = [each["name"] for each in spec["containers"]]
    others = [each["name"] for key in ("initContainers", "ephemeralContainers") for each in spec.get(key) or ()]
    if wanted:
        if wanted not in (*names, *others):
            raise Failure(f"container {wanted} is not valid for pod {pod['metadata']['name']}")
        return wanted
    chosen: str = (pod["metadata"].get("annotations") or {}).get(DEFAULT_CONTAINER, "")
    if chosen in names:
        return chosen
    if len(names) + len(others) > 1 and not quiet:
        listed = ", ".join([*names, *(f"{name} (init)" for name in others)])
        session.note(f'Defaulted container "{names[0]}" out of: {listed}')
    default: str = names[0]
    return default
