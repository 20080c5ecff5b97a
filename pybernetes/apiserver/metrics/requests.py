"""Requests as they are counted: how many, how long, how large, how many at once.

The hot path looks up one `_Series` and does a few additions. Only what is served becomes a label: a stranger must not be able
to make series.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Awaitable, Callable, Container, Mapping
from typing import TYPE_CHECKING, Final

from pybernetes.apiserver import deadlines
from pybernetes.apiserver.attributes import RequestInfo
from pybernetes.apiserver.followed import Followed
from pybernetes.apiserver.metrics.series import Histogram, Labels, counter, gauge, histogram
from pybernetes.machinery.http.health import ROOTS
from pybernetes.machinery.http.messages import Request, Response, Upgradable

if TYPE_CHECKING:
    from prometheus_client import Metric

SECONDS: Final = (0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60)
BYTES: Final = (1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9)
_NAMES: Final = ("group", "version", "resource", "subresource", "verb", "scope", "dry_run", "component")
_READS: Final = frozenset(("get", "list", "watch"))
_VERBS: Final = {
    "get": "GET", "list": "LIST", "watch": "WATCH", "create": "POST", "update": "PUT", "patch": "PATCH", "delete": "DELETE",
    "deletecollection": "DELETECOLLECTION",
}  # fmt: skip
_APPLY: Final = "application/apply-patch+yaml"


class _Series:
    """The requests of one set of labels."""

    __slots__ = ("buckets", "codes", "seconds", "sizes")

    def __init__(self, *, sized: bool) -> None:
        self.codes: dict[int, int] = {}
        self.buckets = [0] * (len(SECONDS) + 1)
        self.seconds = 0.0
        self.sizes = Histogram(BYTES) if sized else None

    def durations(self) -> Histogram:
        made = Histogram(SECONDS)
        made.buckets, made.total = list(self.buckets), self.seconds
        return made


class RequestMetrics:
    """`known`: group, version and plural of what is served; it may change."""

    def __init__(self, known: Container[tuple[str, str, str]]) -> None:
        self._known = known
        self._series: dict[Labels, _Series] = {}
        self._plain: dict[tuple[object, ...], _Series] = {}  # those of requests without parameters, found at a glance
        self._corrections: dict[Labels, Histogram] = {}  # of the SLI: what requests that waited took less
        self.long_running: dict[Labels, int] = {}
        self.deprecated: set[Labels] = set()  # group, version, resource, subresource
        self._reading = self._writing = 0  # at the moment
        self._most_reading = self._most_writing = 0  # in this second
        self._at_once = {("readOnly",): 0, ("mutating",): 0}  # in the second before

    def begin(self, info: RequestInfo) -> bool:
        """A short request starts; give what this returns to `end`."""
        reads = info.verb in _READS
        if reads:
            self._reading = running = self._reading + 1
            if running > self._most_reading:
                self._most_reading = running
        else:
            self._writing = running = self._writing + 1
            if running > self._most_writing:
                self._most_writing = running
        return reads

    def end(self, reads: bool) -> None:
        if reads:
            self._reading -= 1
        else:
            self._writing -= 1

    def tick(self) -> None:
        """A second is over."""
        self._at_once = {("readOnly",): self._most_reading, ("mutating",): self._most_writing}
        self._most_reading, self._most_writing = self._reading, self._writing

    def observe(
        self, request: Request, info: RequestInfo, query: Mapping[str, str], response: Response, seconds: float, waited_s: float
    ) -> None:
        """An answer begins. `waited_s` of `seconds` it waited for a place."""
        series = self._series_of(request, info, query)
        status = response.status
        series.codes[status] = series.codes.get(status, 0) + 1
        body, verb = response.body, info.verb
        if verb == "watch" or info.subresource in deadlines.LONG_RUNNING_SUBRESOURCES:
            self._follow(self._labels(request, info, query), response)
            return
        series.buckets[0 if seconds <= SECONDS[0] else bisect_left(SECONDS, seconds)] += 1
        series.seconds += seconds
        if waited_s:
            self._correct(self._labels(request, info, query), seconds, waited_s)
        sizes = series.sizes
        if sizes is None:
            return
        if isinstance(body, bytes):
            size = len(body)
            sizes.buckets[0 if size <= BYTES[0] else bisect_left(BYTES, size)] += 1
            sizes.total += size
        else:
            response.body = Followed(body, sizes.observe)

    def _series_of(self, request: Request, info: RequestInfo, query: Mapping[str, str]) -> _Series:
        verb = info.verb
        if query or verb == "patch" or not info.is_resource:
            return self._labelled(request, info, query)
        # What the labels depend on, as it comes.
        key = (verb, info.group, info.version, info.resource, info.subresource, not info.name, not info.namespace)
        series = self._plain.get(key)
        if series is None:
            series = self._labelled(request, info, query)
            if (info.group, info.version, info.resource) in self._known:
                self._plain[key] = series
        return series

    def _labelled(self, request: Request, info: RequestInfo, query: Mapping[str, str]) -> _Series:
        labels = self._labels(request, info, query)
        series = self._series.get(labels)
        if series is None:
            # As upstream: sizes of what is read.
            series = self._series[labels] = _Series(sized=labels[4] in ("GET", "LIST") and bool(labels[2]))
        return series

    def _labels(self, request: Request, info: RequestInfo, query: Mapping[str, str]) -> Labels:
        verb = info.verb
        if not info.is_resource:
            path = info.path
            root = path if path in ROOTS else ""
            return ("", "", "", root, verb.upper() if verb in ("get", "post") else "OTHER", "", "", "apiserver")
        if (info.group, info.version, info.resource) not in self._known:
            return ("", "", "", "", "OTHER", "", "", "apiserver")
        scope = "resource" if info.name or verb == "create" else "namespace" if info.namespace else "cluster"
        named = _VERBS.get(verb, "OTHER")
        dry_run = ""
        if info.subresource in deadlines.LONG_RUNNING_SUBRESOURCES and info.subresource != "log":
            named = "CONNECT"
        elif verb == "patch" and request.headers.get("content-type", "").startswith(_APPLY):
            named = "APPLY"
        elif verb == "watch" and "sendInitialEvents" in query:
            named = "WATCHLIST"
        if query and verb not in _READS and query.get("dryRun"):
            dry_run = "All" if query["dryRun"] == "All" else "invalid"
        return (info.group, info.version, info.resource, info.subresource, named, scope, dry_run, "apiserver")

    def _correct(self, labels: Labels, seconds: float, waited_s: float) -> None:
        correction = self._corrections.get(labels)
        if correction is None:
            correction = self._corrections[labels] = Histogram(SECONDS)
        correction.buckets[bisect_left(SECONDS, seconds)] -= 1
        correction.observe(seconds - waited_s)
        correction.total -= seconds

    def _follow(self, labels: Labels, response: Response) -> None:
        """Count a stream or an upgraded connection until it ends."""
        body, upgrade = response.body, response.upgrade
        if isinstance(body, bytes) and upgrade is None:
            return
        self.long_running[labels] = self.long_running.get(labels, 0) + 1

        def ended(_size: int = 0) -> None:
            self.long_running[labels] -= 1

        if upgrade is not None:
            response.upgrade = _until(upgrade, ended)
        elif not isinstance(body, bytes):
            response.body = Followed(body, ended)

    def families(self) -> list[Metric]:
        """Call on the loop."""
        totals = {(*labels, str(code)): n for labels, series in self._series.items() for code, n in series.codes.items()}
        durations = {labels: series.durations() for labels, series in self._series.items() if any(series.buckets)}
        slis = {labels: _sum(found, self._corrections.get(labels)) for labels, found in durations.items()}
        sizes = [
            (labels, series.sizes.copy())
            for labels, series in self._series.items()
            if series.sizes and any(series.sizes.buckets)
        ]
        without_dry_run = (*_NAMES[:6], "component")
        return [
            counter("apiserver_request", "Requests by verb, resource and code.", (*_NAMES, "code"), totals),
            histogram("apiserver_request_duration_seconds", "Time to answer.", _NAMES, durations.items()),
            histogram("apiserver_request_sli_duration_seconds", "Without the wait for a place.", _NAMES, slis.items()),
            histogram(
                "apiserver_response_sizes", "Bytes of what was read.", without_dry_run,
                [((*labels[:6], labels[7]), found) for labels, found in sizes],
            ),
            gauge(
                "apiserver_longrunning_requests", "Watches, logs and the like under way.", without_dry_run,
                {(*labels[:6], labels[7]): count for labels, count in self.long_running.items()},
            ),
            gauge("apiserver_current_inflight_requests", "Most at once in the last second.", ("request_kind",), self._at_once),
            gauge(
                "apiserver_requested_deprecated_apis", "Deprecated resources that were asked for.",
                ("group", "version", "resource", "subresource", "removed_release"), dict.fromkeys(self.deprecated, 1),
            ),
        ]  # fmt: skip


def _sum(found: Histogram, correction: Histogram | None) -> Histogram:
    if correction is None:
        return found
    made = Histogram(found.bounds)
    made.buckets = [one + other for one, other in zip(found.buckets, correction.buckets, strict=True)]
    made.total = found.total + correction.total
    return made


def _until(
    upgrade: Callable[[Upgradable], Awaitable[None]], ended: Callable[[], None]
) -> Callable[[Upgradable], Awaitable[None]]:
    async def run(connection: Upgradable) -> None:
        try:
            await upgrade(connection)
        finally:
            ended()

    return run
