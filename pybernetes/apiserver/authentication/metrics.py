"""How authentication goes, in upstream's figures: attempts, who (by kind of name), how long."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from prometheus_client import Metric

BUCKETS_S: Final = tuple(0.001 * 2**power for power in range(15))
_KNOWN_NAMES: Final = frozenset(("admin", "client", "kube_proxy", "kubelet", "system:serviceaccount:kube-system:default"))


class Metrics:
    def __init__(self) -> None:
        self._users: dict[str, int] = {}
        self._buckets: dict[str, list[int]] = {}
        self._sums_s: dict[str, float] = {}

    def authenticated(self, name: str, seconds: float) -> None:
        shown = shown_name(name)
        self._users[shown] = self._users.get(shown, 0) + 1
        self._attempt("success", seconds)

    def refused(self, seconds: float, *, wrong: bool) -> None:
        """`wrong`: there was a credential."""
        self._attempt("error" if wrong else "failure", seconds)

    def _attempt(self, result: str, seconds: float) -> None:
        buckets = self._buckets.setdefault(result, [0] * (len(BUCKETS_S) + 1))
        buckets[bisect_left(BUCKETS_S, seconds)] += 1
        self._sums_s[result] = self._sums_s.get(result, 0.0) + seconds

    def families(self) -> Sequence[Metric]:
        """For whoever renders them. Take it on the loop: it is a copy."""
        from prometheus_client import Metric
        from prometheus_client.core import HistogramMetricFamily

        # Upstream's names of these counters do not end in `_total`, and the library knows no such counters.
        users = Metric("authenticated_user_requests", "Requests by kind of user name.", "unknown")
        for name, count in self._users.items():
            users.add_sample("authenticated_user_requests", {"username": name}, count)
        attempts = Metric("authentication_attempts", "Attempts by result.", "unknown")
        durations = HistogramMetricFamily("authentication_duration_seconds", "Time to authenticate.", labels=["result"])
        for result, buckets in self._buckets.items():
            attempts.add_sample("authentication_attempts", {"result": result}, sum(buckets))
            cumulative, found = 0, []
            for bound, count in zip([*map(str, BUCKETS_S), "+Inf"], buckets, strict=True):
                cumulative += count
                found.append((bound, cumulative))
            durations.add_metric([result], buckets=found, sum_value=self._sums_s[result])
        return [users, attempts, durations]


def shown_name(name: str) -> str:
    """A user name as a label: names are without end, and nobody else's business."""
    if name in _KNOWN_NAMES:
        return name
    return "email_id" if "@" in name else "other"
