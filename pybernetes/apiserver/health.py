"""/healthz, /livez, /readyz: upstream's checks by upstream's names, as far as they mean something here; each asks for real.

Contract: API concepts, "Kubernetes API health endpoints".
"""

from __future__ import annotations

import asyncio
import select
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from pybernetes.apiserver.image import Image
from pybernetes.apiserver.lifecycle import HOOKS, Lifecycle
from pybernetes.apiserver.metrics.series import counter, gauge
from pybernetes.machinery.http.health import ROOTS, Check, health
from pybernetes.machinery.http.messages import Request, Response
from pybernetes.store.interface import Store, Unavailable

if TYPE_CHECKING:
    from prometheus_client import Metric

HEALTHZ, LIVEZ, READYZ = (root[1:] for root in ROOTS)
_AUTOREGISTRATION: Final = "apiservice-registration-controller"


@dataclass(frozen=True, slots=True)
class Options:
    livez_grace_period_s: float = 0.0  # for which /livez takes an unfinished start for a finished one
    etcd_healthcheck_timeout_s: float = 2.0
    etcd_readycheck_timeout_s: float = 2.0


class Health:
    """`further` checks are asked on all three paths."""

    def __init__(
        self, store: Store, image: Image, lifecycle: Lifecycle, options: Options, further: Mapping[str, Check] | None = None
    ) -> None:
        self._store = store
        self._image = image
        self._lifecycle = lifecycle
        self._options = options
        self._further = further or {}  # checks of what the server was made with
        self.last: dict[tuple[str, str], bool] = {}
        self.counts: dict[tuple[str, str, bool], int] = {}
        self._checks = {root: self._of(root) for root in (HEALTHZ, LIVEZ, READYZ)}

    async def serve(self, request: Request) -> Response | None:
        """The answer to a health path, None for any other path."""
        root = request.path.split("/", 2)[1]
        checks = self._checks.get(root)
        if checks is None:
            return None
        return await health(request, checks, partial(self._note, root))

    def paths(self) -> list[str]:
        return [f"/{root}/{name}" for root, checks in self._checks.items() for name in ("ping", *checks)]

    def families(self) -> list[Metric]:
        """What probes have found, for /metrics/slis."""
        last = {(name, root): float(well) for (root, name), well in self.last.items()}
        counts = {(name, "success" if well else "error", root): float(n) for (root, name, well), n in self.counts.items()}
        return [
            gauge("kubernetes_healthcheck", "Whether a check was well, the last time.", ("name", "type"), last),
            counter("kubernetes_healthchecks", "What checks have found.", ("name", "status", "type"), counts),
        ]

    def _note(self, root: str, name: str, well: bool) -> None:
        self.last[root, name] = well
        self.counts[root, name, well] = self.counts.get((root, name, well), 0) + 1

    def _of(self, root: str) -> Mapping[str, Check]:
        options = self._options
        found: dict[str, Check] = {"log": _log, "etcd": self._stored(options.etcd_healthcheck_timeout_s)}
        found |= self._further
        if root == READYZ:
            found |= {
                "etcd-readiness": self._stored(options.etcd_readycheck_timeout_s),
                "informer-sync": _when(lambda: self._image.synced, "informers not started yet"),
            }
        grace_s = options.livez_grace_period_s if root == LIVEZ else 0.0
        found |= {f"poststarthook/{name}": self._hook(name, grace_s) for name in HOOKS}
        found["autoregister-completion"] = self._hook(_AUTOREGISTRATION, grace_s)
        if root == READYZ:
            found["shutdown"] = _when(lambda: not self._lifecycle.leaving, "process is shutting down")
        return found

    def _hook(self, name: str, grace_s: float) -> Check:
        life = self._lifecycle
        return _when(lambda: life.is_done(name) or life.age_s < grace_s, "not finished")

    def _stored(self, timeout_s: float) -> Check:
        async def check() -> str | None:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._store.writable()
            except Unavailable as error:
                return f"error getting data from etcd: {error}"
            except TimeoutError:
                return "error getting data from etcd: context deadline exceeded"
            return None

        return check


def _when(well: Callable[[], bool], otherwise: str) -> Check:
    async def check() -> str | None:
        return None if well() else otherwise

    return check


async def _log() -> str | None:
    """Whether anybody takes what we log: a full pipe would stop the server at its next line."""
    try:
        _, writable, _ = select.select([], [sys.stderr.fileno()], [], 0)
    except (OSError, ValueError):
        return None  # no file: nothing can block
    return None if writable else "logging blocked"
