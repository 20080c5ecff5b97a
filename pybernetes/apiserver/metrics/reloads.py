"""How it goes with a configuration file that is followed: upstream's `…_config_controller_…` series."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pybernetes.apiserver.metrics.series import Labels, counter, gauge

if TYPE_CHECKING:
    from prometheus_client import Metric


class Reloads:
    """Of one kind of file; there are no series before `configured`, for there is no file then."""

    def __init__(self, kind: str, server_id: str) -> None:
        """`kind`: authentication, authorization."""
        self._head = f"apiserver_{kind}_config_controller"
        self._server = digest(server_id)
        self._configuration = ""
        self._tries: dict[Labels, tuple[int, float]] = {}

    def configured(self, data: bytes) -> None:
        """The content of the file that is followed now."""
        self._configuration = digest(data)

    def reloaded(self, status: str, at_s: float) -> None:
        """`status`: success or failure; `at_s` counts from 1970."""
        count, _ = self._tries.get((self._server, status), (0, 0.0))
        self._tries[self._server, status] = (count + 1, at_s)

    @property
    def count(self) -> int:
        """How often it was tried."""
        return sum(count for count, _ in self._tries.values())

    def families(self) -> Iterator[Metric]:
        if not self._configuration:
            return
        labels, head = ("apiserver_id_hash", "status"), self._head
        info = {(self._server, self._configuration): 1}
        yield gauge(f"{head}_last_config_info", "The configuration followed.", ("apiserver_id_hash", "hash"), info)
        counts = {key: count for key, (count, _) in self._tries.items()}
        times = {key: at_s for key, (_, at_s) in self._tries.items()}
        yield counter(f"{head}_automatic_reloads", "Reloads of the configuration.", labels, counts)
        yield gauge(f"{head}_automatic_reload_last_timestamp_seconds", "When it was reloaded.", labels, times)


def digest(data: str | bytes) -> str:
    """As upstream's labels show what is too long or too private for them; "" stays."""
    if not data:
        return ""
    return f"sha256:{hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()}"
