"""What a pod's fields say about it: phase, readiness, availability, ports; and the hash of a pod template.

Source: API reference, `PodStatus`; concept "Pod Lifecycle".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import datetime, timedelta

from pybernetes.machinery.clock import parse_time
from pybernetes.machinery.entropy import NAME_ALPHABET
from pybernetes.machinery.meta import Object, condition, is_being_deleted

PENDING = "Pending"
RUNNING = "Running"
SUCCEEDED = "Succeeded"
FAILED = "Failed"
UNKNOWN = "Unknown"


def phase(pod: Object) -> str:
    """`status.phase`, "" while nobody has said."""
    return (pod.get("status") or {}).get("phase") or ""


def is_terminal(pod: Object) -> bool:
    """Whether all its containers are done for good."""
    return phase(pod) in (SUCCEEDED, FAILED)


def is_active(pod: Object) -> bool:
    """Whether it counts as a replica: neither finished nor being deleted."""
    return not is_terminal(pod) and not is_being_deleted(pod)


def pod_condition(pod: Object, type_: str) -> Object | None:
    return condition((pod.get("status") or {}).get("conditions"), type_)


def is_ready(pod: Object) -> bool:
    ready = pod_condition(pod, "Ready")
    return ready is not None and ready.get("status") == "True"


def ready_since(pod: Object) -> datetime | None:
    """When it became ready; None if it is not, or does not say since when."""
    ready = pod_condition(pod, "Ready")
    if ready is None or ready.get("status") != "True" or not ready.get("lastTransitionTime"):
        return None
    return parse_time(ready["lastTransitionTime"])


def is_available(pod: Object, min_ready_seconds: int, now: datetime) -> bool:
    """Whether it has been ready for at least `min_ready_seconds`."""
    return available_in(pod, min_ready_seconds, now) == timedelta(0)


def available_in(pod: Object, min_ready_seconds: int, now: datetime) -> timedelta | None:
    """How long until it is available, if it stays ready: zero if it is, None if it is not ready."""
    if not is_ready(pod):
        return None
    if min_ready_seconds <= 0:
        return timedelta(0)
    since = ready_since(pod)
    if since is None:
        return None
    return max(since + timedelta(seconds=min_ready_seconds) - now, timedelta(0))


def pod_ips(pod: Object) -> list[str]:
    """Its addresses, the primary one first."""
    status = pod.get("status") or {}
    ips = [entry["ip"] for entry in status.get("podIPs") or () if entry.get("ip")]
    if not ips and status.get("podIP"):
        ips = [status["podIP"]]
    return ips


def restart_count(pod: Object) -> int:
    """The most restarts of any of its containers."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return max((int(status.get("restartCount", 0)) for status in statuses), default=0)


def is_restartable_init(container: Object) -> bool:
    """Whether an init container is a sidecar (KEP-753)."""
    return container.get("restartPolicy") == "Always"


def serving_containers(pod: Object) -> Iterator[Object]:
    """The containers whose ports a Service may name: regular ones, then sidecars."""
    spec = pod.get("spec") or {}
    yield from spec.get("containers") or ()
    yield from (container for container in spec.get("initContainers") or () if is_restartable_init(container))


def find_port(pod: Object, service_port: Object) -> int | None:
    """The pod's port behind a ServicePort: `targetPort`, by number or by the name of a container's port.

    None if the pod has no port of that name and protocol: then it does not serve this ServicePort.
    """
    target = service_port.get("targetPort")
    if target is None or target in (0, ""):
        return int(service_port["port"])
    if isinstance(target, int):
        return target
    protocol = service_port.get("protocol") or "TCP"
    for container in serving_containers(pod):
        for port in container.get("ports") or ():
            if port.get("name") == target and (port.get("protocol") or "TCP") == protocol:
                return int(port["containerPort"])
    return None


def safe_encode(text: str) -> str:
    """Map each character into the alphabet of generated names, as upstream renders hashes."""
    return "".join(NAME_ALPHABET[ord(char) % len(NAME_ALPHABET)] for char in text)


def template_hash(template: Object, collision_count: int = 0) -> str:
    """A stable label value for a pod template; another `collision_count` gives another one."""
    digest = hashlib.blake2s(digest_size=4)
    digest.update(json.dumps(template, sort_keys=True, separators=(",", ":")).encode())
    if collision_count:
        digest.update(collision_count.to_bytes(8, "little"))
    return safe_encode(str(int.from_bytes(digest.digest(), "little")))
