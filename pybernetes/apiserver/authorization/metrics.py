"""How authorization goes, in upstream's figures: who decides, how webhooks do, when a configuration was taken over."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

from pybernetes.apiserver.authorization.interface import Decision, Verdict

if TYPE_CHECKING:
    from prometheus_client import Metric

_REQUEST_BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_CONDITION_BUCKETS_S: Final = (0.001, 0.005, 0.01, 0.025, 0.1, 0.2, 0.25)
_TYPE: Final = "Webhook"  # of all that has conditions
_RESULTS: Final = {Decision.ALLOW: "allowed", Decision.DENY: "denied", Decision.NO_OPINION: "no-opinion"}

_Labels: TypeAlias = tuple[str, ...]


class _Histogram:
    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._sum += seconds

    def buckets(self) -> tuple[list[tuple[str, float]], float]:
        """(bound, how many up to it), and the sum."""
        total, found = 0, []
        for bound, count in zip([*map(str, self._bounds), "+Inf"], self._counts, strict=True):
            total += count
            found.append((bound, float(total)))
        return found, self._sum


class Metrics:
    """Counted in plain dicts; made into families when somebody asks."""

    def __init__(self, server_id: str = "") -> None:
        self._server = digest(server_id)
        self._attempts: dict[_Labels, int] = {}
        self._decisions: dict[_Labels, int] = {}
        self._evaluations: dict[_Labels, int] = {}
        self._durations: dict[_Labels, _Histogram] = {}
        self._failed_open: dict[_Labels, int] = {}
        self._condition_errors: dict[_Labels, int] = {}
        self._exclusions: dict[_Labels, int] = {}
        self._condition_durations: dict[_Labels, _Histogram] = {}
        self._reloads: dict[str, tuple[int, float]] = {}
        self._configuration = ""

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
        self._durations.setdefault((name, result), _Histogram(_REQUEST_BUCKETS_S)).observe(seconds)

    def webhook_failed_open(self, name: str, result: str) -> None:
        _count(self._failed_open, name, result)

    def conditions_evaluated(self, name: str, seconds: float, *, excluded: bool = False, failed: bool = False) -> None:
        self._condition_durations.setdefault((name, _TYPE), _Histogram(_CONDITION_BUCKETS_S)).observe(seconds)
        if excluded:
            _count(self._exclusions, name, _TYPE)
        if failed:
            _count(self._condition_errors, name, _TYPE)

    def reloaded(self, status: str, at_s: float) -> None:
        """`status`: success or failure; `at_s` counts from 1970."""
        count, _ = self._reloads.get(status, (0, 0.0))
        self._reloads[status] = (count + 1, at_s)

    def configured(self, data: bytes) -> None:
        """The content of the file that is followed now."""
        self._configuration = digest(data)

    def families(self) -> Sequence[Metric]:
        """For whoever renders them. Take it on the loop: it is a copy."""
        return list(self._families())

    def _families(self) -> Iterator[Metric]:
        from prometheus_client.core import GaugeMetricFamily

        head = "apiserver_authorization"
        yield _counter("authorization_attempts_total", "Requests by result.", ("result",), self._attempts)
        yield _counter(
            f"{head}_decisions_total", "Decisions that ended it, by authorizer.", ("decision", "name", "type"), self._decisions
        )
        outcome = ("name", "result")
        yield _counter(f"{head}_webhook_evaluations_total", "Questions to webhooks.", outcome, self._evaluations)
        yield _counter(
            f"{head}_webhook_evaluations_fail_open_total",
            "Webhooks that failed and so had no opinion.",
            outcome,
            self._failed_open,
        )
        yield _histogram(f"{head}_webhook_duration_seconds", "Time until a webhook answered.", outcome, self._durations)
        condition = ("name", "type")
        conditions = f"{head}_match_condition"
        yield _counter(f"{conditions}_evaluation_errors_total", "Conditions that failed.", condition, self._condition_errors)
        yield _counter(f"{conditions}_exclusions_total", "Webhooks not asked, by conditions.", condition, self._exclusions)
        yield _histogram(f"{conditions}_evaluation_seconds", "Time for conditions.", condition, self._condition_durations)
        if not self._configuration:
            return
        head += "_config_controller"
        info = GaugeMetricFamily(
            f"{head}_last_config_info", "The configuration followed.", labels=["apiserver_id_hash", "hash"]
        )
        info.add_metric([self._server, self._configuration], 1)
        yield info
        reloads: dict[_Labels, int] = {(self._server, status): count for status, (count, _) in self._reloads.items()}
        labels = ("apiserver_id_hash", "status")
        yield _counter(f"{head}_automatic_reloads_total", "Reloads of the configuration.", labels, reloads)
        last = GaugeMetricFamily(
            f"{head}_automatic_reload_last_timestamp_seconds", "When it was reloaded.", labels=list(labels)
        )
        for status, (_, at_s) in self._reloads.items():
            last.add_metric([self._server, status], at_s)
        yield last


def digest(data: str | bytes) -> str:
    """As upstream's labels show what is too long or too private for them; "" stays."""
    if not data:
        return ""
    return f"sha256:{hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()}"


def _count(counts: dict[_Labels, int], *labels: str) -> None:
    counts[labels] = counts.get(labels, 0) + 1


def _counter(name: str, text: str, labels: Sequence[str], counts: Mapping[_Labels, int]) -> Metric:
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(name.removesuffix("_total"), text, labels=labels)
    for values, count in counts.items():
        family.add_metric(values, count)
    return family


def _histogram(name: str, text: str, labels: Sequence[str], found: Mapping[_Labels, _Histogram]) -> Metric:
    from prometheus_client.core import HistogramMetricFamily

    family = HistogramMetricFamily(name, text, labels=labels)
    for values, histogram in found.items():
        buckets, total = histogram.buckets()
        family.add_metric(values, buckets=buckets, sum_value=total)
    return family
