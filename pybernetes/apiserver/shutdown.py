"""The end of a server, in upstream's order, so that clients lose nothing.

1. /readyz fails, and for `--shutdown-delay-duration` all goes on as before: load balancers and endpoints find out.
2. With `--shutdown-send-retry-after` new requests are answered 429 while those under way finish, over open sockets.
3. With `--shutdown-watch-termination-grace-period` watches end one after the other over that time, lest all their clients
   come to another server at once.
4. No more connections; watches that are left end as if they had timed out (their clients go on from where they were),
   requests under way are answered, HTTP/2 clients are told which were not taken (GOAWAY), HTTP/1.1 ones that the connection
   closes.

Source: API server flags; https://kubernetes.io/docs/reference/command-line-tools-reference/kube-apiserver/
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pybernetes.apiserver.watch import Subscription
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.http.server import Server
from pybernetes.machinery.log import logger

if TYPE_CHECKING:
    from pybernetes.apiserver.server import ApiServer

log = logger("apiserver")

POLL_S = 0.05
BATCH = 10  # watches that end at once


@dataclass(frozen=True, slots=True)
class Shutdown:
    """How long each part may take, in seconds."""

    delay_s: float = 0.0
    send_retry_after: bool = False
    watch_termination_grace_s: float = 0.0
    grace_s: float = 10.0  # for requests under way


async def shut_down(api: ApiServer, http: Server, how: Shutdown, clock: Clock) -> None:
    """Returns when nobody is served any more. Cancelled (told to stop once more), the rest is cut short."""
    api.lifecycle.leaving = True
    try:
        if how.delay_s:
            log.info("Stopping", delay_s=how.delay_s)
            await clock.sleep(how.delay_s)
        if how.send_retry_after:
            api.lifecycle.refusing = True
            deadline = clock.monotonic() + how.grace_s
            while api.requests_under_way and clock.monotonic() < deadline:
                await clock.sleep(POLL_S)
        if how.watch_termination_grace_s:
            await _end_watches(api, how.watch_termination_grace_s, clock)
    finally:
        await http.stop(how.grace_s)


async def _end_watches(api: ApiServer, over_s: float, clock: Clock) -> None:
    watches = [watcher for watcher in api.image.watchers if isinstance(watcher, Subscription)]
    for position, watch in enumerate(watches):
        watch.cut()
        if position % BATCH == BATCH - 1:
            await clock.sleep(over_s * BATCH / len(watches))
