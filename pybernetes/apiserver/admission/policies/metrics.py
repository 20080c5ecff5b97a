"""How often policies were asked, what came of it, and how long it took. Counted in plain dicts; names are upstream's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from pybernetes.apiserver.metrics.series import Histogram, Labels, counter, histogram

if TYPE_CHECKING:
    from prometheus_client import Metric

BUCKETS_S: Final = (0.0000005, 0.001, 0.01, 0.1, 1.0)
SERIES_MAX: Final = 10_000  # names of policies are labels: what is beyond is not counted


def error_type(message: str) -> str:
    """Of what a check came to, "" for nothing: upstream counts a denial as an error, too."""
    if not message:
        return "no_error"
    if message.startswith("compilation"):
        return "compile_error"
    if message.startswith("validation failed due to running out of cost budget"):
        return "out_of_budget"
    return "invalid_error"


class PolicyMetrics:
    """`name`_check_total and `name`_check_duration_seconds, by `labels`."""

    def __init__(self, name: str, labels: Sequence[str]) -> None:
        self.name = name
        self.labels = tuple(labels)
        self._series: dict[Labels, Histogram] = {}

    def observe(self, labels: Labels, seconds: float) -> None:
        found = self._series.get(labels)
        if found is None:
            if len(self._series) >= SERIES_MAX:
                return
            found = self._series[labels] = Histogram(BUCKETS_S)
        found.observe(seconds)

    def families(self) -> Sequence[Metric]:
        """Call on the loop."""
        checks: dict[Labels, float] = {key: sum(found.buckets) for key, found in self._series.items()}
        durations = [(key, found.copy()) for key, found in self._series.items()]
        return [
            counter(f"{self.name}_check", "Checks by what came of them.", self.labels, checks),
            histogram(f"{self.name}_check_duration_seconds", "Time of checks.", self.labels, durations),
        ]


class PoliciesMetrics:
    """Those of both kinds of policies."""

    def __init__(self) -> None:
        outcome = ("policy", "policy_binding", "error_type")
        self.validating = PolicyMetrics("apiserver_validating_admission_policy", (*outcome, "enforcement_action"))
        self.mutating = PolicyMetrics("apiserver_mutating_admission_policy", outcome)

    def families(self) -> Sequence[Metric]:
        return [*self.validating.families(), *self.mutating.families()]
