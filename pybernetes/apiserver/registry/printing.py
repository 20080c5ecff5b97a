"""Parts of Table cells, as upstream's printers render them (`kubectl get`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from pybernetes.machinery import labels
from pybernetes.machinery.meta import Object, name_of
from pybernetes.machinery.table import since

NONE = "<none>"
UNKNOWN = "<unknown>"
UNSET = "<unset>"


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
