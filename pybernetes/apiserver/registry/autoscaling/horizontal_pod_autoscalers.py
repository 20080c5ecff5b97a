"""HorizontalPodAutoscalers: v2 is stored; v1 knows one metric and carries the rest in annotations."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pybernetes.apiserver.registry import checks, printing
from pybernetes.apiserver.registry.strategy import AGE, NAME, Column, Context, Strategy
from pybernetes.machinery import validation
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object, name_of
from pybernetes.machinery.quantity import parse
from pybernetes.machinery.resources import HORIZONTAL_POD_AUTOSCALERS, HORIZONTAL_POD_AUTOSCALERS_V1

DEFAULT_UTILIZATION = 80
_PREFIX = "autoscaling.alpha.kubernetes.io/"
_SOURCES = {
    "Resource": "resource",
    "ContainerResource": "containerResource",
    "Pods": "pods",
    "Object": "object",
    "External": "external",
}


def default_v1(autoscaler: Object) -> None:
    spec = autoscaler.setdefault("spec", {})
    spec.setdefault("minReplicas", 1)
    autoscaler.setdefault("status", {"currentReplicas": 0, "desiredReplicas": 0})


def default(autoscaler: Object) -> None:
    spec = autoscaler.setdefault("spec", {})
    spec.setdefault("minReplicas", 1)
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": DEFAULT_UTILIZATION}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    behavior = spec.get("behavior")
    if behavior is not None:
        up = behavior.setdefault("scaleUp", {})
        up.setdefault("stabilizationWindowSeconds", 0)
        up.setdefault("selectPolicy", "Max")
        if not up.get("policies"):
            up["policies"] = [
                {"type": "Pods", "value": 4, "periodSeconds": 15},
                {"type": "Percent", "value": 100, "periodSeconds": 15},
            ]
        down = behavior.setdefault("scaleDown", {})
        down.setdefault("selectPolicy", "Max")
        if not down.get("policies"):
            down["policies"] = [{"type": "Percent", "value": 100, "periodSeconds": 15}]


def prepare_for_create(_: Context, autoscaler: Object) -> None:
    autoscaler["status"] = {"currentMetrics": None, "desiredReplicas": 0}


def prepare_for_create_v1(_: Context, autoscaler: Object) -> None:
    autoscaler["status"] = {"currentReplicas": 0, "desiredReplicas": 0}


def validate(autoscaler: Object) -> Iterator[FieldError]:
    spec = autoscaler["spec"]
    low, high = spec.get("minReplicas"), spec.get("maxReplicas", 0)
    if low is not None and low < 1:
        yield FieldError.invalid("spec.minReplicas", low, "must be greater than or equal to 1")
    if high < 1:
        yield FieldError.invalid("spec.maxReplicas", high, checks.POSITIVE)
    if low is not None and high < low:
        yield FieldError.invalid("spec.maxReplicas", high, "must be greater than or equal to `minReplicas`")
    target = spec.get("scaleTargetRef") or {}
    for field in ("kind", "name"):
        if not target.get(field):
            yield FieldError.required(f"spec.scaleTargetRef.{field}")
        else:
            yield from checks.invalid_by(f"spec.scaleTargetRef.{field}", target[field], validation.path_segment_errors)
    for i, metric in enumerate(spec.get("metrics") or ()):
        yield from _validate_metric(metric, f"spec.metrics[{i}]")
    behavior = spec.get("behavior") or {}
    for direction in ("scaleUp", "scaleDown"):
        if behavior.get(direction) is not None:
            yield from _validate_rules(behavior[direction], f"spec.behavior.{direction}")


def _validate_metric(metric: Object, path: str) -> Iterator[FieldError]:
    type_ = metric.get("type", "")
    if not type_:
        yield FieldError.required(path + ".type", "must specify a metric source type")
        return
    if type_ not in _SOURCES:
        yield FieldError.not_supported(path + ".type", type_, sorted(_SOURCES))
        return
    source = metric.get(_SOURCES[type_])
    if source is None:
        yield FieldError.required(f"{path}.{_SOURCES[type_]}", "must populate information for the given metric source")
        return
    here = f"{path}.{_SOURCES[type_]}"
    if type_ in ("Resource", "ContainerResource"):
        if not source.get("name"):
            yield FieldError.required(here + ".name", "must specify a resource name")
        if type_ == "ContainerResource" and not source.get("container"):
            yield FieldError.required(here + ".container", "must specify a container")
    elif not (source.get("metric") or {}).get("name"):
        yield FieldError.required(here + ".metric.name", "must specify a metric name")
    target = source.get("target") or {}
    yield from _validate_target(target, here + ".target", type_)


def _validate_target(target: Object, path: str, source: str) -> Iterator[FieldError]:
    type_ = target.get("type", "")
    if not type_:
        yield FieldError.required(path + ".type", "must specify a metric target type")
    elif type_ not in ("Utilization", "Value", "AverageValue"):
        yield FieldError.invalid(path + ".type", type_, "must be either Utilization, Value, or AverageValue")
    for field in ("value", "averageValue"):
        if target.get(field) is not None and parse(target[field]).nanos <= 0:
            yield FieldError.invalid(f"{path}.{field}", parse(target[field]).canonical(), "must be positive")
    utilization = target.get("averageUtilization")
    if utilization is not None and utilization < 1:
        yield FieldError.invalid(path + ".averageUtilization", utilization, checks.POSITIVE)
    if source in ("Resource", "ContainerResource"):
        if utilization is None and target.get("averageValue") is None:
            yield FieldError.required(
                path + ".averageUtilization", "must set either a target raw value or a target utilization"
            )
        if utilization is not None and target.get("averageValue") is not None:
            sentence = "may not set both a target raw value and a target utilization"
            yield FieldError.forbidden(path + ".averageValue", sentence)


def _validate_rules(rules: Object, path: str) -> Iterator[FieldError]:
    window = rules.get("stabilizationWindowSeconds")
    if window is not None and not 0 <= window <= 3600:
        sentence = "must be greater than or equal to zero" if window < 0 else "must be less than or equal to 3600"
        yield FieldError.invalid(path + ".stabilizationWindowSeconds", window, sentence)
    if rules.get("selectPolicy") is not None:
        yield from checks.one_of(rules["selectPolicy"], ("Disabled", "Max", "Min"), path + ".selectPolicy")
    policies = rules.get("policies") or ()
    if not policies:
        yield FieldError.required(path + ".policies", "must specify at least one Policy")
    for i, policy in enumerate(policies):
        here = f"{path}.policies[{i}]"
        yield from checks.one_of(policy.get("type", ""), ("Percent", "Pods"), here + ".type")
        for field, most in (("value", 0), ("periodSeconds", 1800)):
            number = policy.get(field, 0)
            if number <= 0:
                yield FieldError.invalid(f"{here}.{field}", number, "must be greater than zero")
            elif most and number > most:
                yield FieldError.invalid(f"{here}.{field}", number, f"must be less than or equal to {most}")


def to_storage(_: str, autoscaler: Object) -> Object:
    """v1 -> v2."""
    metadata, annotations = dict(autoscaler["metadata"]), dict(autoscaler["metadata"].get("annotations") or {})
    parts = {name: annotations.pop(_PREFIX + name, None) for name in ("metrics", "behavior", "current-metrics", "conditions")}
    metadata.pop("annotations", None)
    if annotations:
        metadata["annotations"] = annotations
    spec, status = dict(autoscaler.get("spec") or {}), dict(autoscaler.get("status") or {})
    percent = spec.pop("targetCPUUtilizationPercentage", None)
    metrics = _read(parts["metrics"]) or []
    if percent is not None:
        target = {"type": "Utilization", "averageUtilization": percent}
        metrics = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}, *metrics]
    if metrics:
        spec["metrics"] = metrics
    if behavior := _read(parts["behavior"]):
        spec["behavior"] = behavior
    current_percent = status.pop("currentCPUUtilizationPercentage", None)
    current = _read(parts["current-metrics"]) or []
    if current_percent is not None:
        usage = {"averageUtilization": current_percent}
        current = [{"type": "Resource", "resource": {"name": "cpu", "current": usage}}, *current]
    status["currentMetrics"] = current or None
    if not status.get("currentReplicas"):
        status.pop("currentReplicas", None)
    if conditions := _read(parts["conditions"]):
        status["conditions"] = conditions
    converted = {**autoscaler, "apiVersion": "autoscaling/v2", "metadata": metadata, "spec": spec, "status": status}
    default(converted)
    return converted


def from_storage(_: str, autoscaler: Object) -> Object:
    """v2 -> v1."""
    metadata, annotations = dict(autoscaler["metadata"]), dict(autoscaler["metadata"].get("annotations") or {})
    spec, status = dict(autoscaler.get("spec") or {}), dict(autoscaler.get("status") or {})
    cpu, others = _split(spec.pop("metrics", None) or (), "target")
    if cpu is not None:
        spec["targetCPUUtilizationPercentage"] = cpu
    current_cpu, current_others = _split(status.pop("currentMetrics", None) or (), "current")
    if current_cpu is not None:
        status["currentCPUUtilizationPercentage"] = current_cpu
    behavior, conditions = spec.pop("behavior", None), status.pop("conditions", None)
    parts = (("metrics", others), ("current-metrics", current_others), ("behavior", behavior), ("conditions", conditions))
    for name, part in parts:
        if part:
            annotations[_PREFIX + name] = json.dumps(part, separators=(",", ":"))
    if annotations:
        metadata["annotations"] = annotations
    status.setdefault("currentReplicas", 0)
    status.setdefault("desiredReplicas", 0)
    return {**autoscaler, "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": spec, "status": status}


def _read(text: str | None) -> Any:
    try:
        return json.loads(text) if text else None
    except ValueError:
        return None


def _split(metrics: Any, field: str) -> tuple[int | None, list[Object]]:
    """The CPU utilization, which v1 has a field for, and the other metrics."""
    cpu, others = None, []
    for metric in metrics:
        resource = metric.get("resource") or {}
        percent = (resource.get(field) or {}).get("averageUtilization")
        if cpu is None and metric.get("type") == "Resource" and resource.get("name") == "cpu" and percent is not None:
            cpu = percent
        else:
            others.append(metric)
    return cpu, others


def validate_v1(autoscaler: Object) -> Iterator[FieldError]:
    for error in validate(to_storage("", autoscaler)):
        if error.field.startswith("spec.metrics[0].resource.target") and "targetCPUUtilizationPercentage" in autoscaler["spec"]:
            yield FieldError(error.type, "spec.targetCPUUtilizationPercentage", error.body)
        else:
            yield error


def cells(autoscaler: Object, now: datetime) -> list[Any]:
    spec, status = autoscaler["spec"], autoscaler.get("status") or {}
    target = spec.get("scaleTargetRef") or {}
    low = spec.get("minReplicas")
    return [
        name_of(autoscaler), f"{target.get('kind', '')}/{target.get('name', '')}",
        _metrics_text(spec.get("metrics") or (), status.get("currentMetrics") or ()),
        printing.UNSET if low is None else str(low), spec.get("maxReplicas", 0), status.get("currentReplicas", 0),
        printing.age(autoscaler, now),
    ]  # fmt: skip


def _metrics_text(metrics: Any, current: Any) -> str:
    if not metrics:
        return printing.NONE
    shown = []
    for i, metric in enumerate(metrics):
        source = metric.get(_SOURCES.get(metric.get("type", ""), "")) or {}
        now = current[i] if i < len(current) else {}
        usage = (now.get(_SOURCES.get(metric.get("type", ""), "")) or {}).get("current") or {}
        shown.append(_metric_text(metric.get("type", ""), source, usage))
    more = f" + {len(shown) - 2} more..." if len(shown) > 2 else ""
    return ", ".join(shown[:2]) + more


def _metric_text(type_: str, source: Object, usage: Object) -> str:
    target = source.get("target") or {}
    if target.get("averageUtilization") is not None:
        percent = usage.get("averageUtilization")
        now = f"{percent}%" if percent is not None else printing.UNKNOWN
        text = f"{now}/{target['averageUtilization']}%"
    elif target.get("averageValue") is not None:
        suffix = "" if type_ in ("Resource", "ContainerResource", "Pods") else " (avg)"
        text = f"{usage.get('averageValue') or printing.UNKNOWN}/{target['averageValue']}{suffix}"
    else:
        text = f"{usage.get('value') or printing.UNKNOWN}/{target.get('value') or printing.UNKNOWN}"
    return f"{source.get('name', '')}: {text}" if type_ in ("Resource", "ContainerResource") else text


def cells_v1(autoscaler: Object, now: datetime) -> list[Any]:
    return cells(to_storage("", autoscaler), now)


_COLUMNS = (
    NAME, Column("Reference"), Column("Targets"), Column("MinPods"), Column("MaxPods"), Column("Replicas"), AGE,
)  # fmt: skip

STRATEGY = Strategy(
    resource=HORIZONTAL_POD_AUTOSCALERS,
    default=default,
    prepare_for_create=prepare_for_create,
    validate=validate,
    has_status=True,
    columns=_COLUMNS,
    cells=cells,
)
V1_STRATEGY = Strategy(
    resource=HORIZONTAL_POD_AUTOSCALERS_V1,
    storage_version="v2",
    to_storage=to_storage,
    from_storage=from_storage,
    default=default_v1,
    prepare_for_create=prepare_for_create_v1,
    validate=validate_v1,
    has_status=True,
    columns=_COLUMNS,
    cells=cells_v1,
)
