"""How authorization goes, in upstream's figures: who decides, how webhooks do, when a configuration was taken over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from pybernetes.apiserver.authorization.interface import Decision, Verdict
from pybernetes.apiserver.metrics.reloads import Reloads
from pybernetes.apiserver.metrics.series import Histogram, Labels, counter, histogram

if TYPE_CHECKING:
    from prometheus_client import Metric

_REQUEST_BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_CONDITION_BUCKETS_S: Final = (0.001, 0.005, 0.01, 0.025, 0.1, 0.2, 0.25)
_TYPE: Final = "Webhook"  # of all that has conditions
_RESULTS: Final = {Decision.ALLOW: "allowed", Decision.DENY: "denied", Decision.NO_OPINION: "no-opinion"}


class Metrics:
    """Counted in plain dicts; made into families when somebody asks."""

    def __init__(self, server_id: str = "") -> None:
        self.reloads = Reloads("authorization", server_id)
        self._attempts: dict[Labels, int] = {}
        self._decisions: dict[Labels, int] = {}
        self._evaluations: dict[Labels, int] = {}
        self._durations: dict[Labels, Histogram] = {}
        self._failed_open: dict[Labels, int] = {}
        self._condition_errors: dict[Labels, int] = {}
        self._exclusions: dict[Labels, int] = {}
        self._condition_durations: dict[Labels, Histogram] = {}

    def attempted(self, verdict: Verdict) -> None:
        """Of a request, which is asked about once."""
        result = _RESULTS[verdict.decision]
        _count(self._attempts, "error" if verdict.error and verdict.decision is not Decision.ALLOW else result)

    def decided(self, decision: Decision, name: str, kind: str) -> None:
        key = (_RESULTS[decision], name, kind)
        self._decisions[key] = self._decisions.get(key, 0) + 1

    def webhook_asked(self, name: str, result: str, seconds: float) -> None:
        """`result`: success, timeout, error or canceled."""
        _count(self._evaluations, name, result)
        self._durations.setdefault((name, result), Histogram(_REQUEST_BUCKETS_S)).observe(seconds)

    def webhook_failed_open(self, name: str, result: str) -> None:
        _count(self._failed_open, name, result)

    def conditions_evaluated(self, name: str, seconds: float, *, excluded: bool = False, failed: bool = False) -> None:
        self._condition_durations.setdefault((name, _TYPE), Histogram(_CONDITION_BUCKETS_S)).observe(seconds)
        if excluded:
            _count(self._exclusions, name, _TYPE)
        if failed:
            _count(self._condition_errors, name, _TYPE)

    def families(self) -> Sequence[Metric]:
        """For whoever renders them. Take it on the loop: it is a copy."""
        return list(self._families())

    def _families(self) -> Iterator[Metric]:
        head = "apiserver_authorization"
        yield counter("authorization_attempts", "Requests by result.", ("result",), self._attempts)
        decision = ("decision", "name", "type")
        yield counter(f"{head}_decisions", "Decisions that ended it, by authorizer.", decision, self._decisions)
        hook, outcome = f"{head}_webhook", ("name", "result")
        yield counter(f"{hook}_evaluations", "Questions to webhooks.", outcome, self._evaluations)
        text = "Webhooks that failed and so had no opinion."
        yield counter(f"{hook}_evaluations_fail_open", text, outcome, self._failed_open)
        yield histogram(f"{hook}_duration_seconds", "Time until a webhook answered.", outcome, self._durations.items())
        condition, conditions = f"{head}_match_condition", ("name", "type")
        yield counter(f"{condition}_evaluation_errors", "Conditions that failed.", conditions, self._condition_errors)
        yield counter(f"{condition}_exclusions", "Webhooks not asked, by conditions.", conditions, self._exclusions)
        taken = self._condition_durations.items()
        yield histogram(f"{condition}_evaluation_seconds", "Time for conditions.", conditions, taken)
        yield from self.reloads.families()


def _count(counts: dict[Labels, int], *labels: str) -> None:
    counts[labels] = counts.get(labels, 0) + 1
