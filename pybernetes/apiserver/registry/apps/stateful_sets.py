"""StatefulSets."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pybernetes.apiserver.registry import checks, printing, replicas
from pybernetes.apiserver.registry.core import persistent_volume_claims
from pybernetes.apiserver.registry.core.pod_spec import template
from pybernetes.apiserver.registry.strategy import AGE, NAME, Column, Strategy
from pybernetes.machinery import validation
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object, name_of
from pybernetes.machinery.resources import STATEFUL_SETS

_COUNTS = (
    "replicas", "readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas", "observedGeneration",
    "collisionCount",
)  # fmt: skip
_MUTABLE = frozenset((
    "replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit", "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
))  # fmt: skip
_FROZEN = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
    "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)


def default(stateful_set: Object) -> None:
    spec = stateful_set.setdefault("spec", {})
    template.set_template(spec)
    put = spec.setdefault
    put("podManagementPolicy", "OrderedReady")
    strategy = put("updateStrategy", {})
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
        strategy.setdefault("rollingUpdate", {})
    if strategy["type"] == "RollingUpdate" and strategy.get("rollingUpdate") is not None:
        strategy["rollingUpdate"].setdefault("partition", 0)
    retention = put("persistentVolumeClaimRetentionPolicy", {})
    for field in ("whenDeleted", "whenScaled"):
        if not retention.get(field):
            retention[field] = "Retain"
    put("replicas", 1)
    put("revisionHistoryLimit", 10)
    for claim in spec.get("volumeClaimTemplates") or ():
        claim.setdefault("kind", "PersistentVolumeClaim")
        claim.setdefault("apiVersion", "v1")
        persistent_volume_claims.default(claim)


def validate(stateful_set: Object) -> Iterator[FieldError]:
    spec = stateful_set["spec"]
    policy = spec.get("podManagementPolicy", "")
    if not policy:
        yield FieldError.required("spec.podManagementPolicy")
    elif policy not in ("OrderedReady", "Parallel"):
        yield FieldError.invalid("spec.podManagementPolicy", policy, "must be 'OrderedReady' or 'Parallel'")
    yield from _validate_strategy(spec.get("updateStrategy") or {}, "spec.updateStrategy")
    for field, value in (spec.get("persistentVolumeClaimRetentionPolicy") or {}).items():
        if value not in ("Retain", "Delete"):
            path = f"spec.persistentVolumeClaimRetentionPolicy.{field}"
            yield FieldError.not_supported(path, value, ("Retain", "Delete"))
    for field in ("replicas", "minReadySeconds", "revisionHistoryLimit"):
        yield from checks.not_negative(spec.get(field), f"spec.{field}")
    yield from checks.not_negative((spec.get("ordinals") or {}).get("start"), "spec.ordinals.start")
    if spec.get("serviceName"):
        yield from checks.invalid_by("spec.serviceName", spec["serviceName"], validation.dns_1123_label_errors)
    yield from replicas.validate_selector(spec.get("selector"), "statefulset")
    if spec.get("selector") is not None:
        yield from template.validate_for_selector(spec["template"], spec["selector"], "spec.template", "StatefulSet")


def _validate_strategy(strategy: Object, path: str) -> Iterator[FieldError]:
    type_, rolling = strategy.get("type", ""), strategy.get("rollingUpdate")
    if not type_:
        yield FieldError.required(path)
    elif type_ == "OnDelete":
        if rolling is not None:
            fields = {"Partition": 0, "MaxUnavailable": None}
            sentence = "only allowed for updateStrategy 'RollingUpdate'"
            yield checks.invalid_struct(path + ".rollingUpdate", rolling, fields, sentence)
    elif type_ == "RollingUpdate":
        if rolling is not None:
            yield from checks.not_negative(rolling.get("partition"), path + ".rollingUpdate.partition")
            if rolling.get("maxUnavailable") is not None:
                yield from checks.int_or_percent(rolling["maxUnavailable"], path + ".rollingUpdate.maxUnavailable")
    else:
        shown: Object = {"Type": "", "RollingUpdate": None}
        yield checks.invalid_struct(path, strategy, shown, "must be 'RollingUpdate' or 'OnDelete'")


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    now, before = new["spec"], old["spec"]
    if any(now.get(field) != before.get(field) for field in (now.keys() | before.keys()) - _MUTABLE):
        yield FieldError.forbidden("spec", _FROZEN)


def validate_status_update(new: Object, _: Object) -> Iterator[FieldError]:
    status = new.get("status") or {}
    yield from replicas.validate_counts(new, _COUNTS)
    fields = ("readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas")
    yield from replicas.validate_not_above(status, fields, "replicas")
    yield from replicas.validate_not_above(status, ("availableReplicas",), "readyReplicas")


def cells(stateful_set: Object, now: datetime) -> list[Any]:
    spec, status = stateful_set["spec"], stateful_set.get("status") or {}
    ready = f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}"
    return [name_of(stateful_set), ready, printing.age(stateful_set, now), *printing.container_cells(spec["template"])]


STRATEGY = Strategy(
    resource=STATEFUL_SETS,
    default=default,
    prepare_for_create=replicas.starts_with_status(replicas=0, availableReplicas=0),
    validate=validate,
    validate_update=validate_update,
    bumps_generation=True,
    has_status=True,
    validate_status_update=validate_status_update,
    scale=replicas.SCALE,
    columns=(NAME, Column("Ready"), AGE, Column("Containers", priority=1), Column("Images", priority=1)),
    cells=cells,
)
