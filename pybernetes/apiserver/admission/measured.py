"""The admission chain with a watch in its hand: how long each plugin took, and each phase."""

from __future__ import annotations

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
_Step = tuple[str, _Ask]


class MeasuredChain(Chain):
    def __init__(self, plugins: Sequence[AdmissionPlugin], clock: Clock) -> None:
        super().__init__(plugins)
        self._monotonic = clock.monotonic
        self._steps_of: dict[Resource, tuple[Sequence[_Step], Sequence[_Step]]] = {}
        self._controllers: dict[Labels, Histogram] = {}  # name, operation, rejected, type
        self._steps: dict[Labels, Histogram] = {}  # operation, rejected, type

    def _named(self, resource: Resource) -> tuple[Sequence[_Step], Sequence[_Step]]:
        found = self._steps_of.get(resource)
        if found is None:
            names: dict[_Ask, str] = {ask: plugin.name for plugin in self.plugins for ask in (plugin.admit, plugin.validate)}
            mutating, validating = self._phases_of(resource)
            found = tuple((names[ask], ask) for ask in mutating), tuple((names[ask], ask) for ask in validating)
            self._steps_of[resource] = found
        return found

    async def admit(self, request: AdmissionRequest) -> None:
        mutating, _ = self._named(request.resource)
        await self._timed(mutating, request, "admit")
        reinvocation = request.reinvocation
        if reinvocation is not None and reinvocation.wanted:
            reinvocation.active = True
            await self._timed(mutating, request, "admit")

    async def validate(self, request: AdmissionRequest) -> None:
        await self._timed(self._named(request.resource)[1], request, "validate")

    async def _timed(self, steps: Sequence[_Step], request: AdmissionRequest, phase: str) -> None:
        monotonic, operation = self._monotonic, request.operation.value
        began = at = monotonic()
        name = ""
        try:
            for name, ask in steps:
                await ask(request)
                now = monotonic()
                _observe(self._controllers, (name, operation, "false", phase), now - at)
                at = now
        except StatusError:
            now = monotonic()
            _observe(self._controllers, (name, operation, "true", phase), now - at)
            _observe(self._steps, (operation, "true", phase), now - began)
            raise
        _observe(self._steps, (operation, "false", phase), at - began)

    def families(self) -> list[Metric]:
        """Call on the loop."""
        labels = ("operation", "rejected", "type")
        return [
            histogram(
                "apiserver_admission_controller_admission_duration_seconds", "Time that a plugin took.", ("name", *labels),
                [(key, found.copy()) for key, found in self._controllers.items()],
            ),
            histogram(
                "apiserver_admission_step_admission_duration_seconds", "Time that a phase took.", labels,
                [(key, found.copy()) for key, found in self._steps.items()],
            ),
        ]  # fmt: skip


def _observe(series: dict[Labels, Histogram], labels: Labels, seconds: float) -> None:
    found = series.get(labels)
    if found is None:
        found = series[labels] = Histogram(SECONDS)
    found.observe(seconds)
