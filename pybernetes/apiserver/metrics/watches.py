"""What is sent to watchers, by served resource."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final, Protocol

from pybernetes.apiserver.metrics.series import Histogram, counter, histogram
from pybernetes.machinery.meta import Resource

if TYPE_CHECKING:
    from prometheus_client import Metric

_SHIFT: Final = 10
BYTES: Final = tuple(float(1 << _SHIFT + step) for step in range(8))  # 1 KiB to 128 KiB, doubling


class WatchCounts:
    __slots__ = ("initial", "sizes")

    def __init__(self) -> None:
        self.initial = 0  # events that watches began with
        self.sizes = Histogram(BYTES)  # of all events

    def sent(self, sizes: Iterable[int]) -> None:
        """Events of these sizes."""
        buckets, last = self.sizes.buckets, len(BYTES)
        total = 0
        for size in sizes:
            buckets[min((size - 1 >> _SHIFT).bit_length(), last)] += 1
            total += size
        self.sizes.total += total


class Watched(Protocol):
    watched: WatchCounts


def families(kinds: Mapping[Resource, Watched]) -> list[Metric]:
    """Call on the loop."""
    names = ("group", "version", "resource")
    used = {
        (one.group, one.version, one.plural): kind.watched for one, kind in kinds.items() if any(kind.watched.sizes.buckets)
    }
    initial: dict[tuple[str, ...], float] = {}
    for resource, kind in kinds.items():
        if kind.watched.initial:
            key = (resource.group, resource.plural)
            initial[key] = initial.get(key, 0) + kind.watched.initial
    return [
        counter("apiserver_watch_events", "Events sent.", names, {key: sum(one.sizes.buckets) for key, one in used.items()}),
        histogram(
            "apiserver_watch_events_sizes", "Their bytes.", names, [(key, one.sizes.copy()) for key, one in used.items()]
        ),
        counter("apiserver_init_events", "Events that watches began with.", ("group", "resource"), initial),
    ]
