"""The webhook backend: batches are POSTed as an `EventList` to the server that a kubeconfig names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from pybernetes.apiserver.audit.backends import Losses
from pybernetes.apiserver.audit.policy import API_VERSION
from pybernetes.apiserver.kubeconfig_webhook import WebhookFailed
from pybernetes.machinery.meta import Object

PLUGIN: Final = "webhook"


class Remote(Protocol):
    """The server: `KubeconfigWebhook`, over the network."""

    async def deliver(self, body: Object) -> None:
        """Raises `WebhookFailed` after the last attempt."""
        ...

    async def close(self) -> None: ...


class WebhookBackend:
    def __init__(self, remote: Remote, losses: Losses) -> None:
        self._remote = remote
        self._losses = losses

    async def process(self, events: Sequence[Object]) -> bool:
        try:
            await self._remote.deliver({
                "kind": "EventList", "apiVersion": API_VERSION, "metadata": {}, "items": list(events)
            })  # fmt: skip
        except WebhookFailed as failure:
            self._losses.lost(PLUGIN, str(failure), len(events))
            return False
        return True

    async def close(self) -> None:
        await self._remote.close()
