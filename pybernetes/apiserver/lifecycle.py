"""Where a server is in its life: what of its start is done, whether it is about to end.

starting ──every hook done──▶ serving ──stop asked for──▶ leaving (/readyz fails, all is served as before)
                                    ──delay over──▶ refusing (`--shutdown-send-retry-after`: new requests get 429) ──▶ gone
"""

from __future__ import annotations

from typing import Final

from pybernetes.machinery.clock import Clock
from pybernetes.machinery.http.messages import Response

# What a start does, in its order, by upstream's names: each is a check of /healthz, /livez and /readyz.
HOOKS: Final = (
    "generic-apiserver-start-informers",
    "start-system-namespaces-controller",
    "rbac/bootstrap-roles",
    "scheduling/bootstrap-system-priority-classes",
    "priority-and-fairness-config-producer",
    "priority-and-fairness-config-consumer",
    "start-service-ip-repair-controllers",
    "start-legacy-token-tracking-controller",
    "start-apiextensions-controllers",
    "crd-informer-synced",
    "start-kube-aggregator-informers",
    "apiservice-registration-controller",
)
_REFUSED: Final = b"The apiserver is shutting down, please try again later.\n"
RETRY_AFTER_S: Final = 5


class Lifecycle:
    """`leaving` and `refusing` are set by whoever ends the server."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began = clock.monotonic()
        self._done: set[str] = set()
        self.leaving = False
        self.refusing = False

    def done(self, *hooks: str) -> None:
        assert all(hook in HOOKS for hook in hooks)
        self._done.update(hooks)

    def is_done(self, hook: str) -> bool:
        return hook in self._done

    @property
    def age_s(self) -> float:
        return self._clock.monotonic() - self._began

    def refusal(self) -> Response:
        """What a request gets that came too late; the client goes to another server, over another connection."""
        headers = {
            "Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff",
            "Retry-After": str(RETRY_AFTER_S), "Connection": "close",
        }  # fmt: skip
        return Response(429, headers, _REFUSED)
