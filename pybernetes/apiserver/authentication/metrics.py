"""How authentication goes, in upstream's figures: attempts, who (by kind of name), how long; issuers and their file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

from pybernetes.apiserver.metrics import series
from pybernetes.apiserver.metrics.reloads import Reloads, digest
from pybernetes.apiserver.metrics.series import Histogram

if TYPE_CHECKING:
    from prometheus_client import Metric

BUCKETS_S: Final = tuple(0.001 * 2**power for power in range(15))
_KNOWN_NAMES: Final = frozenset(("admin", "client", "kube_proxy", "kubelet", "system:serviceaccount:kube-system:default"))

_Labels: TypeAlias = tuple[str, ...]


class Metrics:
    def __init__(self, server_id: str = "") -> None:
        self.reloads = Reloads("authentication", server_id)
        self._users: dict[str, int] = {}
        self._attempts: dict[_Labels, Histogram] = {}
        self._tokens: dict[_Labels, Histogram] = {}

    def authenticated(self, name: str, seconds: float) -> None:
        shown = shown_name(name)
        self._users[shown] = self._users.get(shown, 0) + 1
        _observe(self._attempts, ("success",), seconds)

    def refused(self, seconds: float, *, wrong: bool) -> None:
        """`wrong`: there was a credential."""
        _observe(self._attempts, ("error" if wrong else "failure",), seconds)

    def token_judged(self, issuer: str, seconds: float, *, accepted: bool) -> None:
        """A JWT of an issuer that is trusted."""
        _observe(self._tokens, ("success" if accepted else "failure", digest(issuer)), seconds)

    def families(self) -> Sequence[Metric]:
        """For whoever renders them. Take it on the loop: it is a copy."""
        return list(self._families())

    def _families(self) -> Iterator[Metric]:
        from prometheus_client import Metric

        # Upstream's names of these counters do not end in `_total`, and the library knows no such counters.
        users = Metric("authenticated_user_requests", "Requests by kind of user name.", "unknown")
        for name, count in self._users.items():
            users.add_sample("authenticated_user_requests", {"username": name}, count)
        attempts = Metric("authentication_attempts", "Attempts by result.", "unknown")
        for (result,), found in self._attempts.items():
            attempts.add_sample("authentication_attempts", {"result": result}, sum(found.buckets))
        yield from (users, attempts)
        yield series.histogram("authentication_duration_seconds", "Time to authenticate.", ("result",), self._attempts.items())
        head = "apiserver_authentication"
        yield series.histogram(
            f"{head}_jwt_authenticator_latency_seconds",
            "Time to judge JWTs.",
            ("result", "jwt_issuer_hash"),
            self._tokens.items(),
        )
        yield from self.reloads.families()


def _observe(found: dict[_Labels, Histogram], labels: _Labels, seconds: float) -> None:
    histogram = found.get(labels)
    if histogram is None:
        histogram = found[labels] = Histogram(BUCKETS_S)
    histogram.observe(seconds)


def shown_name(name: str) -> str:
    """A user name as a label: names are without end, and nobody else's business."""
    if name in _KNOWN_NAMES:
        return name
    return "email_id" if "@" in name else "other"
