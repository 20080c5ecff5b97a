"""Builders for flow control's tests: the default objects, and a gate over them."""

from __future__ import annotations

import copy
from typing import Any

from pybernetes.apiserver.attributes import ALL_AUTHENTICATED, RequestInfo, User
from pybernetes.apiserver.bootstrap.objects import flow_control_objects
from pybernetes.apiserver.flow_control.configuration import Configuration, read
from pybernetes.apiserver.flow_control.gate import Gate
from pybernetes.machinery.clock import SystemClock
from pybernetes.machinery.meta import Object, name_of
from pybernetes.machinery.resources import FLOW_SCHEMAS

PODS = RequestInfo("list", "/api/v1/pods", True, "", "v1", "pods")
NODES = RequestInfo("update", "/api/v1/nodes/n/status", True, "", "v1", "nodes", "status", "", "n")
LEASE = RequestInfo("update", "/…", True, "coordination.k8s.io", "v1", "leases", "", "kube-system", "l")
MAP = RequestInfo("get", "/…", True, "", "v1", "configmaps", "", "default", "m")


def user(name: str, *groups: str) -> User:
    return User(name, groups=(*groups, ALL_AUTHENTICATED))


def defaults() -> tuple[list[Object], list[Object]]:
    """(schemas, levels) of a new cluster, with UIDs."""
    found: tuple[list[Object], list[Object]] = ([], [])
    for resource, obj in flow_control_objects():
        obj["metadata"]["uid"] = f"{resource.kind}-{name_of(obj)}"
        found[resource is not FLOW_SCHEMAS].append(copy.deepcopy(obj))
    return found


def level(name: str, shares: int, *, queues: int = 0, hand: int = 1, length: int = 50, **limited: Any) -> Object:
    response: Object = {"type": "Reject"}
    if queues:
        response = {"type": "Queue", "queuing": {"queues": queues, "handSize": hand, "queueLengthLimit": length}}
    spec = {"type": "Limited", "limited": {"nominalConcurrencyShares": shares, "limitResponse": response, **limited}}
    return {"metadata": {"name": name, "uid": f"uid-{name}"}, "spec": spec}


def schema(name: str, of: str, who: str, *, precedence: int = 500, method: str = "") -> Object:
    rule = {
        "subjects": [{"kind": "User", "user": {"name": who}}],
        "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": True}],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
    }
    spec: Object = {"matchingPrecedence": precedence, "priorityLevelConfiguration": {"name": of}, "rules": [rule]}
    if method:
        spec["distinguisherMethod"] = {"type": method}
    return {"metadata": {"name": name, "uid": f"uid-{name}"}, "spec": spec}


def configuration(schemas: list[Object] | None = None, levels: list[Object] | None = None) -> Configuration:
    """The defaults and these."""
    default_schemas, default_levels = defaults()
    return read([*default_schemas, *(schemas or ())], [*default_levels, *(levels or ())])


def gate(seats: int = 600, *, wait_s: float = 15.0, wanted: Configuration | None = None) -> Gate:
    made = Gate(seats, SystemClock(), lambda info: None, wait_s=wait_s)
    made.configure(wanted or configuration())
    return made
