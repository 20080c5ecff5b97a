"""Parts of Table cells, as upstream's printers render them (`kubectl get`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from pybernetes.machinery import labels
from pybernetes.machinery.clock import parse_time
from pybernetes.machinery.meta import Object, name_of

NONE = "<none>"
UNKNOWN = "<unknown>"
UNSET = "<unset>"


def human_duration(elapsed: timedelta) -> str:
    """Two units at most, coarser as time goes on: `5s`, `3m20s`, `47h`, `8d`, `2y3d`."""
    seconds = int(elapsed.total_seconds())
    if seconds < -1:
        return "<invalid>"
    if seconds < 120:
        return f"{max(seconds, 0)}s"
    minutes, hours = seconds // 60, seconds // 3600
    if minutes < 10:
        return _two(minutes, "m", seconds % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if hours < 24 * 8:
        return _two(hours // 24, "d", hours % 24, "h")
    days = hours // 24
    if days < 365 * 2:
        return f"{days}d"
    if days < 365 * 8:
        return _two(days // 365, "y", days % 365, "d")
    return f"{days // 365}y"


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}{small}{small_unit}" if small else f"{large}{large_unit}"


def since(moment: str | None, now: datetime) -> str:
    """How long ago an RFC 3339 time was; `<unknown>` without one."""
    return human_duration(now - parse_time(moment)) if moment else UNKNOWN


def age(obj: Object, now: datetime) -> str:
    return since(obj["metadata"].get("creationTimestamp"), now)


def created_at(obj: Object) -> Any:
    """For the kinds that upstream prints by its default columns: the time itself."""
    return obj["metadata"].get("creationTimestamp")


def name(obj: Object) -> str:
    return name_of(obj)


def joined_labels(found: Mapping[str, str] | None) -> str:
    """`a=b,c=d`, or `<none>`."""
    return ",".join(f"{key}={value}" for key, value in sorted(found.items())) if found else NONE


def selector_text(selector: Object | None) -> str:
    """A `metav1.LabelSelector` in the syntax of `-l`; `<none>` for the one that selects everything or nothing."""
    if not selector:
        return NONE
    return labels.from_label_selector(selector).to_string() or NONE


def container_cells(pod_template: Object) -> tuple[str, str]:
    """The wide columns Containers and Images."""
    containers: Iterable[Object] = (pod_template.get("spec") or {}).get("containers") or ()
    pairs = [(container.get("name", ""), container.get("image", "")) for container in containers]
    return ",".join(pair[0] for pair in pairs), ",".join(pair[1] for pair in pairs)
