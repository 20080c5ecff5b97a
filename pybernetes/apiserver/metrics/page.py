"""GET /metrics: the families as text, written in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Container, Sequence
from typing import TYPE_CHECKING

from pybernetes.machinery.http.health import METRICS_CONTENT_TYPE
from pybernetes.machinery.http.messages import Response

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Metric


async def page(
    families: Sequence[Metric],
    registries: Sequence[CollectorRegistry] = (),
    disabled: Container[str] = frozenset(),
    *,
    process: bool = True,
) -> Response:
    """With what `registries` have and, with `process`, what the operating system knows of us; without the `disabled` ones."""
    families = [one for one in families if one.name not in disabled and f"{one.name}_total" not in disabled]
    body = await asyncio.to_thread(_render, families, registries, process=process)
    return Response(200, {"Content-Type": METRICS_CONTENT_TYPE}, body)


def _render(families: Sequence[Metric], registries: Sequence[CollectorRegistry], *, process: bool) -> bytes:
    from prometheus_client import PROCESS_COLLECTOR, generate_latest
    from prometheus_client.registry import Collector
    from prometheus_client.registry import CollectorRegistry as Registry

    class Ours(Collector):
        def collect(self):  # type: ignore[no-untyped-def]
            return families

    registry = Registry()
    registry.register(Ours())
    if process:
        registry.register(PROCESS_COLLECTOR)
    return b"".join(map(generate_latest, (registry, *registries)))
