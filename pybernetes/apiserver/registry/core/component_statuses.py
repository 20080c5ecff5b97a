"""ComponentStatuses: deprecated, read-only, and empty here: nothing is asked how it is."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pybernetes.apiserver.registry.strategy import NAME, Column, Strategy
from pybernetes.machinery.meta import Object, condition, name_of
from pybernetes.machinery.resources import COMPONENT_STATUSES


def cells(component: Object, _: datetime) -> list[Any]:
    healthy = condition(component.get("conditions"), "Healthy") or {}
    status = {"True": "Healthy", "False": "Unhealthy"}.get(healthy.get("status", ""), "Unknown")
    return [name_of(component), status, healthy.get("message", ""), healthy.get("error", "")]


STRATEGY = Strategy(
    resource=COMPONENT_STATUSES,
    deprecation="v1 ComponentStatus is deprecated in v1.19+",
    columns=(NAME, Column("Status"), Column("Message"), Column("Error")),
    cells=cells,
)
