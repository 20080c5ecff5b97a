"""The admission chain with a watch in its hand: how long each plugin took, and each phase."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final

from pybernetes.apiserver.admission.chain import Chain
from pybernetes.apiserver.admission.interface import AdmissionPlugin, AdmissionRequest
from pybernetes.apiserver.metrics.series import Histogram, Labels, histogram
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import Resource

if TYPE_CHECKING:
    from prometheus_client import Metric

SECONDS: Final = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5)
_Ask = Callable[[AdmissionRequest], Awaitable[None]]


class _Phase:
    """Whom to ask about one operation on one resource; each with the series of its time, found once."""

    __slots__ = ("steps", "whole")

    def __init__(self, steps: Sequence[tuple[str, _Ask, Histogram]], whole: Histogram) -> None:
        self.steps = steps
        self.whole = whole


class MeasuredChain(Chain):
    def __init__(self, plugins: Sequence[AdmissionPlugin], clock: Clock) -> None:
        super().__init__(plugins)
        self._monotonic = clock.monotonic
        self._measured: dict[tuple[Resource, str], tuple[_Phase, _Phase]] = {}
        self._controllers: dict[Labels, Histogram] = {}  # name, operation, rejected, type
        self._steps: dict[Labels, Histogram] = {}  # operation, rejected, type

    def _phases_for(self, request: AdmissionRequest) -> tuple[_Phase, _Phase]:
        operation = request.operation.value
        key = (request.resource, operation)
        found = self._measured.get(key)
        if found is None:
            mutating, validating = self._phases_of(request.resource)
            found = self._phase(mutating, operation, "admit"), self._phase(validating, operation, "validate")
            self._measured[key] = found
        return found

    def _phase(self, asked: Sequence[_Ask], operation: str, phase: str) -> _Phase:
        names: dict[_Ask, str] = {ask: plugin.name for plugin in self.plugins for ask in (plugin.admit, plugin.validate)}
        steps = [(names[ask], ask, _series(self._controllers, (names[ask], operation, "false", phase))) for ask in asked]
        return _Phase(steps, _series(self._steps, (operation, "false", phase)))

    async def admit(self, request: AdmissionRequest) -> None:
        mutating, _ = self._phases_for(request)
        await self._timed(mutating, request, "admit")
        reinvocation = request.reinvocation
        if reinvocation is not None and reinvocation.wanted:
            reinvocation.active = True
            await self._timed(mutating, request, "admit")

    async def validate(self, request: AdmissionRequest) -> None:
        await self._timed(self._phases_for(request)[1], request, "validate")

    async def _timed(self, phase: _Phase, request: AdmissionRequest, type_: str) -> None:
        monotonic = self._monotonic
        began = at = monotonic()
        name = ""
        try:
            for name, ask, series in phase.steps:  # noqa: B007  # who it was that refused
                await ask(request)
                now = monotonic()
                spent = now - at
                series.buckets[0 if spent <= SECONDS[0] else bisect_left(SECONDS, spent)] += 1
                series.total += spent
                at = now
        except StatusError:
            now, operation = monotonic(), request.operation.value
            _series(self._controllers, (name, operation, "true", type_)).observe(now - at)
            _series(self._steps, (operation, "true", type_)).observe(now - began)
            raise
        phase.whole.observe(at - began)

    def families(self) -> list[Metric]:
        """Call on the loop."""
        labels = ("operation", "rejected", "type")
        return [
            histogram(
                "apiserver_admission_controller_admission_duration_seconds", "Time that a plugin took.", ("name", *labels),
                _used(self._controllers),
            ),
            histogram(
                "apiserver_admission_step_admission_duration_seconds", "Time that a phase took.", labels,
                _used(self._steps),
            ),
        ]  # fmt: skip


def _series(series: dict[Labels, Histogram], labels: Labels) -> Histogram:
    found = series.get(labels)
    if found is None:
        found = series[labels] = Histogram(SECONDS)
    return found


def _used(series: dict[Labels, Histogram]) -> list[tuple[Labels, Histogram]]:
    return [(key, found.copy()) for key, found in series.items() if any(found.buckets)]
