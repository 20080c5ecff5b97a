"""Nodes: registered by kubelets, status and all."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pybernetes.apiserver.registry import checks, printing
from pybernetes.apiserver.registry.core.pod_spec import resources as resource_checks
from pybernetes.apiserver.registry.core.pod_spec.scheduling import TAINT_EFFECTS
from pybernetes.apiserver.registry.strategy import AGE, NAME, Column, Context, Strategy
from pybernetes.machinery import validation
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object, condition, labels_of, name_of
from pybernetes.machinery.quantity import parse
from pybernetes.machinery.resources import NODES

_ROLE = "node-role.kubernetes.io/"
_INFO = (
    "architecture", "bootID", "containerRuntimeVersion", "kernelVersion", "kubeProxyVersion", "kubeletVersion", "machineID",
    "operatingSystem", "osImage", "systemUUID",
)  # fmt: skip


def default(node: Object) -> None:
    spec = node.setdefault("spec", {})
    # `podCIDR` is the first of `podCIDRs`, whichever was written.
    if spec.get("podCIDRs"):
        spec["podCIDR"] = spec["podCIDRs"][0]
    elif spec.get("podCIDR"):
        spec["podCIDRs"] = [spec["podCIDR"]]
    status = node.setdefault("status", {})
    if status.get("capacity") and not status.get("allocatable"):
        status["allocatable"] = dict(status["capacity"])
    status.setdefault("daemonEndpoints", {}).setdefault("kubeletEndpoint", {}).setdefault("Port", 0)
    info = status.setdefault("nodeInfo", {})
    for field in _INFO:
        info.setdefault(field, "")


def prepare_for_status_update(_: Context, new: Object, __: Object) -> None:
    default(new)


def validate(node: Object) -> Iterator[FieldError]:
    spec, status = node["spec"], node.get("status") or {}
    if spec.get("taints"):
        yield from _validate_taints(spec["taints"])
    cidrs = spec.get("podCIDRs") or ()
    for i, cidr in enumerate(cidrs):
        yield from checks.invalid_by(f"spec.podCIDRs[{i}]", cidr, validation.cidr_errors)
    if len(cidrs) > 2:
        sentence = "may specify no more than one CIDR for each IP family"
        yield FieldError.invalid("spec.podCIDRs", list(cidrs), sentence)
    for field in ("capacity", "allocatable"):
        yield from _validate_amounts(status.get(field) or {}, f"status.{field}")


def _validate_taints(taints: list[Object]) -> Iterator[FieldError]:
    seen = set()
    for i, taint in enumerate(taints):
        here, key, value, effect = f"spec.taints[{i}]", taint.get("key", ""), taint.get("value", ""), taint.get("effect", "")
        yield from checks.invalid_by(here + ".key", key, validation.label_key_errors)
        if sentences := validation.label_value_errors(value):
            yield FieldError.invalid(here + ".value", value, ";".join(sentences))
        yield from checks.required_one_of(effect, TAINT_EFFECTS, here + ".effect")
        if (key, effect) in seen:
            fields = {"Key": "", "Value": "", "Effect": "", "TimeAdded": None}
            body = checks.invalid_struct(here, taint, fields, "").body
            shown = body.removeprefix("Invalid value: ").removesuffix(": ")
            message = f"Duplicate value: {shown}: taints must be unique by key and effect pair"
            yield FieldError("FieldValueDuplicate", here, message)
        seen.add((key, effect))


def _validate_amounts(amounts: Object, path: str) -> Iterator[FieldError]:
    for name, text in amounts.items():
        yield from resource_checks.validate_resource_name(name, f"{path}[{name}]")
        yield from resource_checks.validate_amount(name, parse(text), f"{path}[{name}]")


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    spec, before = new["spec"], old["spec"]
    if before.get("podCIDRs") and spec.get("podCIDRs") != before["podCIDRs"]:
        yield FieldError.forbidden("spec.podCIDRs", 'node updates may not change podCIDR except from "" to valid')
    if before.get("providerID") and spec.get("providerID") != before["providerID"]:
        yield FieldError.forbidden("spec.providerID", 'node updates may not change providerID except from "" to valid')


def validate_status_update(new: Object, _: Object) -> Iterator[FieldError]:
    status = new.get("status") or {}
    for field in ("capacity", "allocatable"):
        yield from _validate_amounts(status.get(field) or {}, f"status.{field}")
    seen = set()
    for i, address in enumerate(status.get("addresses") or ()):
        key = (address.get("type"), address.get("address"))
        if key in seen:
            body = f'Duplicate value: {{"Type":"{key[0]}","Address":"{key[1]}"}}'
            yield FieldError("FieldValueDuplicate", f"status.addresses[{i}]", body)
        seen.add(key)


def cells(node: Object, now: datetime) -> list[Any]:
    status = node.get("status") or {}
    info = status.get("nodeInfo") or {}
    ready = condition(status.get("conditions"), "Ready")
    shown = ["Unknown" if ready is None else "Ready" if ready.get("status") == "True" else "NotReady"]
    if (node.get("spec") or {}).get("unschedulable"):
        shown.append("SchedulingDisabled")
    return [
        name_of(node), ",".join(shown), ",".join(roles(node)) or printing.NONE, printing.age(node, now),
        info.get("kubeletVersion", ""), _address(status, "InternalIP"), _address(status, "ExternalIP"),
        info.get("osImage") or printing.UNKNOWN, info.get("kernelVersion") or printing.UNKNOWN,
        info.get("containerRuntimeVersion") or printing.UNKNOWN,
    ]  # fmt: skip


def roles(node: Object) -> list[str]:
    found = set()
    for key, value in labels_of(node).items():
        if key.startswith(_ROLE) and len(key) > len(_ROLE):
            found.add(key.removeprefix(_ROLE))
        elif key == "kubernetes.io/role" and value:
            found.add(value)
    return sorted(found)


def _address(status: Object, type_: str) -> str:
    for address in status.get("addresses") or ():
        if address.get("type") == type_:
            found: str = address.get("address", "")
            return found
    return printing.NONE


STRATEGY = Strategy(
    resource=NODES,
    storage_path="minions",
    default=default,
    validate=validate,
    validate_update=validate_update,
    has_status=True,
    status_on_create=True,
    prepare_for_status_update=prepare_for_status_update,
    validate_status_update=validate_status_update,
    selectable_fields={"spec.unschedulable": lambda node: "true" if node["spec"].get("unschedulable") else "false"},
    columns=(
        NAME, Column("Status"), Column("Roles"), AGE, Column("Version"), Column("Internal-IP", priority=1),
        Column("External-IP", priority=1), Column("OS-Image", priority=1), Column("Kernel-Version", priority=1),
        Column("Container-Runtime", priority=1),
    ),
    cells=cells,
)  # fmt: skip
