"""EventRateLimit: Events come at a bearable rate; off by default.

Limits are of the whole server, of each namespace, of each user, and of each source and object; an Event takes one from the
bucket of every limit, and is refused if any of them is empty. Events of `events.k8s.io` are not counted, as upstream's are not.
Source: https://kubernetes.io/docs/reference/config-api/apiserver-eventratelimit.v1alpha1/
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pybernetes.apiserver.admission.configuration import check_kind, list_of, refuse
from pybernetes.apiserver.admission.interface import AdmissionPlugin, AdmissionRequest, Operation
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.errors import FieldError, TooManyRequests
from pybernetes.machinery.meta import Object
from pybernetes.machinery.recent import Recent
from pybernetes.machinery.resources import EVENTS
from pybernetes.machinery.token_bucket import TokenBucket

VERSIONS: Final = ("eventratelimit.admission.k8s.io/v1alpha1",)
CACHE_SIZE: Final = 4096  # buckets of one limit; the longest unused goes, and is full when it comes again
SERVER: Final = "Server"


def _source_and_object(request: AdmissionRequest) -> str:
    event = request.object or {}
    source, involved = event.get("source") or {}, event.get("involvedObject") or {}
    parts = [source.get("component"), source.get("host")]
    parts += [involved.get(field) for field in ("kind", "namespace", "name", "uid", "apiVersion")]
    return "".join(part or "" for part in parts)


_KEYS: Final[Mapping[str, Callable[[AdmissionRequest], str]]] = {
    SERVER: lambda request: "",
    "Namespace": lambda request: request.namespace,
    "User": lambda request: request.user.name,
    "SourceAndObject": _source_and_object,
}


@dataclass(frozen=True, slots=True)
class Limit:
    type: str
    qps: float
    burst: int
    cache_size: int


def parse(document: Object | None) -> tuple[Limit, ...]:
    """Raises ValueError."""
    if document is not None:
        check_kind(document, "Configuration", VERSIONS)
    limits = list_of(document or {}, "limits")
    refuse(list(_problems(limits)))
    return tuple(Limit(found["type"], found["qps"], found["burst"], found.get("cacheSize") or CACHE_SIZE) for found in limits)


def _problems(limits: list[Object]) -> Iterator[FieldError]:
    if not limits:
        yield FieldError.invalid("limits", limits, "must not be empty")
    for place, limit in enumerate(limits):
        path = f"limits[{place}]"
        if limit.get("type") not in _KEYS:
            yield FieldError.not_supported(f"{path}.type", limit.get("type", ""), sorted(_KEYS))
        for field in ("burst", "qps"):
            if _number(limit, field) <= 0:
                yield FieldError.invalid(f"{path}.{field}", limit.get(field, 0), "must be positive")
        if limit.get("type") != SERVER and _number(limit, "cacheSize") < 0:
            yield FieldError.invalid(f"{path}.cacheSize", limit["cacheSize"], "must not be negative")


def _number(limit: Object, field: str) -> int:
    found: Any = limit.get(field, 0)
    return found if isinstance(found, int) and not isinstance(found, bool) else -1


class EventRateLimit(AdmissionPlugin):
    name = "EventRateLimit"
    resources = (EVENTS,)

    def __init__(self, limits: tuple[Limit, ...], clock: Clock) -> None:
        self._enforced = [_Enforced(limit, clock) for limit in limits]

    async def validate(self, request: AdmissionRequest) -> None:
        if request.dry_run or request.operation not in (Operation.CREATE, Operation.UPDATE):
            return
        refused = [refusal for refusal in [enforced.refusal(request) for enforced in self._enforced] if refusal]
        if refused:
            raise TooManyRequests(f"Too many requests: {refused[-1]}")


class _Enforced:
    """One limit, and its buckets."""

    def __init__(self, limit: Limit, clock: Clock) -> None:
        self._limit = limit
        self._clock = clock
        self._buckets: Recent[str, TokenBucket] = Recent(limit.cache_size)

    def refusal(self, request: AdmissionRequest) -> str:
        """Why the Event is one too many; "" if it is not."""
        limit = self._limit
        key = _KEYS[limit.type](request)
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = TokenBucket(limit.qps, limit.burst, self._clock)
            self._buckets.put(key, bucket)
        return "" if bucket.take() else f"limit reached on type {limit.type} for key {key}"
