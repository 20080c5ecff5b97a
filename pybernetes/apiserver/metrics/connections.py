"""What goes wrong before there is a request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pybernetes.apiserver.metrics.series import counter
from pybernetes.machinery.http.server import Server

if TYPE_CHECKING:
    from prometheus_client import Metric


def handshake_families(server: Server) -> list[Metric]:
    errors = {(): float(server.handshake_errors)}
    return [counter("apiserver_tls_handshake_errors", "TLS handshakes that did not end well.", (), errors)]
