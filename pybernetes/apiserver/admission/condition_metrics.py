"""How often match conditions kept a webhook or a policy out, how often they failed, and how long they took."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pybernetes.apiserver.metrics.series import Histogram, Labels, counter, histogram
from pybernetes.machinery.clock import Clock

if TYPE_CHECKING:
    from prometheus_client import Metric

SECONDS: Final = (0.001, 0.005, 0.01, 0.025, 0.1, 0.2, 0.25)
SERIES_MAX: Final = 10_000  # whoever configures webhooks and policies names labels: what is beyond is not counted


class ConditionMetrics:
    def __init__(self, clock: Clock) -> None:
        self.monotonic = clock.monotonic
        self.errors: dict[Labels, float] = {}  # kind, name, operation, type
        self.exclusions: dict[Labels, float] = {}
        self._durations: dict[Labels, Histogram] = {}

    def took(self, labels: Labels, seconds: float) -> None:
        found = self._durations.get(labels)
        if found is None:
            if len(self._durations) >= SERIES_MAX:
                return
            found = self._durations[labels] = Histogram(SECONDS)
        found.observe(seconds)

    def families(self) -> list[Metric]:
        """Call on the loop."""
        head, labels = "apiserver_admission_match_condition", ("kind", "name", "operation", "type")
        durations = [(key, found.copy()) for key, found in self._durations.items()]
        return [
            counter(f"{head}_evaluation_errors", "Match conditions that could not be evaluated.", labels, self.errors),
            counter(f"{head}_exclusions", "Match conditions that were false.", labels, self.exclusions),
            histogram(f"{head}_evaluation_seconds", "Time that match conditions took.", labels, durations),
        ]


@dataclass(frozen=True, slots=True)
class Counted:
    """Where to count the conditions of one webhook or policy, for one request."""

    metrics: ConditionMetrics
    labels: Labels

    def failed(self) -> None:
        _count(self.metrics.errors, self.labels)

    def excluded(self) -> None:
        _count(self.metrics.exclusions, self.labels)

    def took_since(self, began: float) -> None:
        self.metrics.took(self.labels, self.metrics.monotonic() - began)


def _count(series: dict[Labels, float], labels: Labels) -> None:
    if labels in series or len(series) < SERIES_MAX:
        series[labels] = series.get(labels, 0) + 1
