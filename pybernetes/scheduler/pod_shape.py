"""What scheduling reads of a pod, worked out once for all pods of a template.

A pod's *shape* is those parts of its spec that decide where it fits: pods of one shape have the same answers of every plugin
that reads nothing else (`Reads.SHAPE`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import orjson

from pybernetes.machinery.meta import Object
from pybernetes.machinery.pod_resources import is_sidecar, pod_requests

# What a container that asks for nothing is taken to use when nodes are compared (upstream: GetNonzeroRequests).
DEFAULT_MILLI_CPU = 100
DEFAULT_MEMORY = 200 * 2**20
_DEFAULTS = {"cpu": f"{DEFAULT_MILLI_CPU}m", "memory": str(DEFAULT_MEMORY)}
# Larger requests fit nowhere; without a bound a few of them would overflow the sums.
AMOUNT_MOST = 2**56

HostPort = tuple[str, str, int]  # (host IP, protocol, port)
ANY_IP = "0.0.0.0"

ShapeKey = tuple[bytes, bytes]
_PLACEMENT_FIELDS = ("nodeSelector", "affinity", "tolerations", "topologySpreadConstraints", "schedulerName")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a pod takes from its node: amounts by resource (cpu in thousandths), and host ports."""

    requests: Mapping[str, int]
    nonzero: tuple[int, int]  # cpu (thousandths) and memory, with defaults for containers that ask for nothing
    ports: tuple[HostPort, ...] = ()


def usage_of(pod: Object) -> Usage:
    """Pods with the same requests and ports get the same object. Raises ValueError for a quantity that is none."""
    return _usage(_usage_key(pod["spec"]))


def shape_of(pod: Object) -> ShapeKey:
    """The key of the pod's shape; it holds for one profile (its scheduler name is part of it)."""
    spec = pod["spec"]
    images = [container.get("image") for container in _all_containers(spec)]
    placement = [spec.get(name) for name in _PLACEMENT_FIELDS]
    return _usage_key(spec), orjson.dumps([placement, images, pod["metadata"].get("namespace")])


def _usage_key(spec: Object) -> bytes:
    inits, mains = (
        [(c.get("resources"), c.get("ports"), c.get("restartPolicy")) for c in spec.get(which) or ()]
        for which in ("initContainers", "containers")
    )
    return orjson.dumps([inits, mains, spec.get("overhead"), spec.get("resources")])


def _all_containers(spec: Object) -> Iterator[Object]:
    yield from spec.get("initContainers") or ()
    yield from spec["containers"]


@lru_cache(maxsize=4096)
def _usage(key: bytes) -> Usage:
    inits, mains, overhead, resources = orjson.loads(key)
    fields = ("resources", "ports", "restartPolicy")
    spec = {
        "initContainers": [dict(zip(fields, each, strict=True)) for each in inits],
        "containers": [dict(zip(fields, each, strict=True)) for each in mains],
        "overhead": overhead,
        "resources": resources,
    }
    requests = _amounts(spec)
    # Where the pod as a whole says what it needs, its containers need not.
    whole = requests if (resources or {}).get("requests") else {}
    defaults = {name: amount for name, amount in _DEFAULTS.items() if name not in whole}
    for which in ("initContainers", "containers"):
        spec[which] = [_with_defaults(each, defaults) for each in spec[which]]
    assumed = _amounts(spec)
    return Usage(requests, (assumed["cpu"], assumed["memory"]), tuple(_host_ports(spec)))


def _amounts(spec: Object) -> dict[str, int]:
    requests = pod_requests({"spec": spec})
    return {name: min(q.milli if name == "cpu" else q.value, AMOUNT_MOST) for name, q in requests.items()}


def _with_defaults(container: Object, defaults: Mapping[str, str]) -> Object:
    own = (container["resources"] or {}).get("requests") or {}
    return {**container, "resources": {"requests": {**defaults, **own}}}


def _host_ports(spec: Object) -> Iterator[HostPort]:
    long_running = [*spec["containers"], *filter(is_sidecar, spec["initContainers"])]
    for container in long_running:
        for port in container.get("ports") or ():
            if port.get("hostPort"):
                yield port.get("hostIP") or ANY_IP, port.get("protocol") or "TCP", port["hostPort"]
