"""CSIDrivers, CSINodes and CSIStorageCapacities: what CSI drivers tell the cluster."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pybernetes.apiserver.registry import checks, printing
from pybernetes.apiserver.registry.core.pod_spec.volumes import validate_csi_driver_name
from pybernetes.apiserver.registry.strategy import AGE, NAME, Column, Strategy
from pybernetes.machinery import validation
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object, name_of
from pybernetes.machinery.quantity import parse
from pybernetes.machinery.resources import CSI_DRIVERS, CSI_NODES, CSI_STORAGE_CAPACITIES

_DRIVER_DEFAULTS = (
    ("attachRequired", True), ("fsGroupPolicy", "ReadWriteOnceWithFSType"), ("podInfoOnMount", False),
    ("requiresRepublish", False), ("seLinuxMount", False), ("storageCapacity", False),
)  # fmt: skip
_NODE_ID_MAX = 192


def default_driver(driver: Object) -> None:
    spec = driver.setdefault("spec", {})
    for field, value in _DRIVER_DEFAULTS:
        if spec.get(field) is None:
            spec[field] = value
    if not spec.get("volumeLifecycleModes"):
        spec["volumeLifecycleModes"] = ["Persistent"]


def validate_driver(driver: Object) -> Iterator[FieldError]:
    spec = driver["spec"]
    yield from validate_csi_driver_name(name_of(driver), "metadata.name")
    for mode in spec.get("volumeLifecycleModes") or ():
        yield from checks.one_of(mode, ("Persistent", "Ephemeral"), "spec.volumeLifecycleModes")
    yield from checks.one_of(spec["fsGroupPolicy"], ("File", "None", "ReadWriteOnceWithFSType"), "spec.fsGroupPolicy")
    seen = set()
    for i, request in enumerate(spec.get("tokenRequests") or ()):
        audience, seconds = request.get("audience", ""), request.get("expirationSeconds")
        if audience in seen:
            yield FieldError.duplicate(f"spec.tokenRequests[{i}].audience", audience)
        seen.add(audience)
        if seconds is not None and seconds < 600:
            sentence = "may not specify a duration less than 10 minutes"
            yield FieldError.invalid(f"spec.tokenRequests[{i}].expirationSeconds", seconds, sentence)


def validate_driver_update(new: Object, old: Object) -> Iterator[FieldError]:
    for field in ("attachRequired", "volumeLifecycleModes"):
        yield from checks.immutable(new["spec"].get(field), old["spec"].get(field), f"spec.{field}")


def driver_cells(driver: Object, now: datetime) -> list[Any]:
    spec = driver["spec"]
    tokens = ",".join(request.get("audience", "") for request in spec.get("tokenRequests") or ()) or printing.UNSET
    return [
        name_of(driver), bool(spec.get("attachRequired", True)), bool(spec.get("podInfoOnMount")),
        bool(spec.get("storageCapacity")), tokens, bool(spec.get("requiresRepublish")),
        ",".join(spec.get("volumeLifecycleModes") or ()) or printing.NONE, printing.age(driver, now),
    ]  # fmt: skip


CSI_DRIVER_STRATEGY = Strategy(
    resource=CSI_DRIVERS,
    default=default_driver,
    validate=validate_driver,
    validate_update=validate_driver_update,
    columns=(
        NAME, Column("AttachRequired", "boolean"), Column("PodInfoOnMount", "boolean"), Column("StorageCapacity", "boolean"),
        Column("TokenRequests"), Column("RequiresRepublish", "boolean"), Column("Modes"), AGE,
    ),
    cells=driver_cells,
)  # fmt: skip


def default_node(node: Object) -> None:
    """Go writes these lists whether they are set or not."""
    spec = node.setdefault("spec", {})
    for driver in spec.setdefault("drivers", None) or ():
        driver.setdefault("topologyKeys", None)


def validate_node(node: Object) -> Iterator[FieldError]:
    seen = set()
    for i, driver in enumerate(node["spec"].get("drivers") or ()):
        path, name = f"spec.drivers[{i}]", driver.get("name", "")
        yield from validate_csi_driver_name(name, path + ".name")
        if not driver.get("nodeID"):
            yield FieldError.required(path + ".nodeID")
        elif len(driver["nodeID"]) > _NODE_ID_MAX:
            sentence = f"must be {_NODE_ID_MAX} characters or less"
            yield FieldError.invalid(path + ".nodeID", driver["nodeID"], sentence)
        count = (driver.get("allocatable") or {}).get("count")
        yield from checks.not_negative(count, path + ".allocatable.count")
        for key in driver.get("topologyKeys") or ():
            yield from checks.invalid_by(path + ".topologyKeys", key, validation.label_key_errors)
        if name in seen:
            yield FieldError.duplicate(path + ".name", name)
        seen.add(name)


def node_cells(node: Object, now: datetime) -> list[Any]:
    return [name_of(node), len(node["spec"].get("drivers") or ()), printing.age(node, now)]


CSI_NODE_STRATEGY = Strategy(
    resource=CSI_NODES,
    default=default_node,
    validate=validate_node,
    columns=(NAME, Column("Drivers", "integer"), AGE),
    cells=node_cells,
)


def validate_capacity(capacity: Object) -> Iterator[FieldError]:
    class_ = capacity.get("storageClassName", "")
    yield from checks.invalid_by("storageClassName", class_, validation.dns_1123_subdomain_errors)
    for field in ("capacity", "maximumVolumeSize"):
        if capacity.get(field) is not None and parse(capacity[field]).nanos < 0:
            yield FieldError.invalid(field, parse(capacity[field]).canonical(), checks.NOT_NEGATIVE)
    yield from checks.label_selector(capacity.get("nodeTopology"), "nodeTopology")


def validate_capacity_update(new: Object, old: Object) -> Iterator[FieldError]:
    for field in ("nodeTopology", "storageClassName"):
        yield from checks.immutable(new.get(field), old.get(field), field)


def capacity_cells(capacity: Object, _: datetime) -> list[Any]:
    return [name_of(capacity), printing.created_at(capacity)]


CSI_STORAGE_CAPACITY_STRATEGY = Strategy(
    resource=CSI_STORAGE_CAPACITIES,
    validate=validate_capacity,
    validate_update=validate_capacity_update,
    columns=(NAME, Column("Created At", "date")),
    cells=capacity_cells,
)
