"""`apiserver_admission_webhook_admission_duration_seconds`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pybernetes.apiserver.metrics.series import Histogram, Labels, histogram
from pybernetes.machinery.clock import Clock

if TYPE_CHECKING:
    from prometheus_client import Metric

SECONDS: Final = (0.005, 0.025, 0.1, 0.5, 1, 2.5, 10, 25)


class WebhookMetrics:
    """How long each webhook took to answer."""

    def __init__(self, clock: Clock) -> None:
        self.monotonic = clock.monotonic
        self._durations: dict[Labels, Histogram] = {}  # name, operation, rejected, type

    def observe(self, name: str, operation: str, began: float, *, rejected: bool, mutating: bool) -> None:
        labels = (name, operation, str(rejected).lower(), "admit" if mutating else "validating")
        found = self._durations.get(labels)
        if found is None:
            found = self._durations[labels] = Histogram(SECONDS)
        found.observe(self.monotonic() - began)

    def families(self) -> list[Metric]:
        """Call on the loop."""
        return [
            histogram(
                "apiserver_admission_webhook_admission_duration_seconds", "Time that a webhook took.",
                ("name", "operation", "rejected", "type"), [(key, found.copy()) for key, found in self._durations.items()],
            )
        ]  # fmt: skip
