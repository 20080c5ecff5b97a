"""Server-side TLS: optional client certificates, and files that may be replaced while the server runs."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import tempfile
from pathlib import Path

from pybernetes.machinery.clock import Clock
from pybernetes.machinery.log import logger

log = logger("tls")

RECHECK_PERIOD_S = 10.0
ALPN_PROTOCOLS = ("h2", "http/1.1")


def server_context(cert_file: str, key_file: str, client_ca_file: str | None = None) -> ssl.SSLContext:
    """A context whose certificate, key and client CA follow their files (looked at every 10 s, at a handshake).

    With a `client_ca_file` a client may present a certificate; one that does not verify fails the handshake. Raises OSError
    and ssl.SSLError for files that cannot be read.
    """
    files = _Files(cert_file, key_file, client_ca_file)
    files.front.sni_callback = files.choose
    return files.front


def self_signed_context(clock: Clock) -> ssl.SSLContext:
    """A context with a certificate of our own making for this host, which lives as long as the process."""
    from pybernetes.machinery.pki import SERVER, Authority

    now = clock.now()
    host = socket.gethostname().lower()
    pair = Authority.create(f"{host}-ca", now).issue(
        host, dns_names=(host, "localhost"), ip_addresses=("127.0.0.1",), usages=SERVER, now=now
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    with tempfile.TemporaryDirectory() as folder:  # readable by us only; ssl takes nothing but files
        pair.save(Path(folder, "tls.crt"), Path(folder, "tls.key"))
        context.load_cert_chain(Path(folder, "tls.crt"), Path(folder, "tls.key"))
    return context


class _Files:
    def __init__(self, cert_file: str, key_file: str, client_ca_file: str | None) -> None:
        self._cert_file, self._key_file, self._client_ca_file = cert_file, key_file, client_ca_file
        self._stamp = self._stamps()
        self.front = self._load()  # what the listener holds; replaced certificates are swapped in per handshake
        self._current = self.front
        self._recheck_at = 0.0

    def _stamps(self) -> tuple[tuple[int, int], ...]:
        found = []
        for path in (self._cert_file, self._key_file, self._client_ca_file):
            if path:
                status = os.stat(path)
                found.append((status.st_mtime_ns, status.st_ino))
        return tuple(found)

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self._cert_file, self._key_file)
        context.set_alpn_protocols(ALPN_PROTOCOLS)
        context.num_tickets = 0  # client certificates are checked anew; tickets would only cost memory
        if self._client_ca_file:
            context.load_verify_locations(self._client_ca_file)
            context.verify_mode = ssl.CERT_OPTIONAL
        return context

    def choose(self, tls: ssl.SSLObject | ssl.SSLSocket, server_name: str, context: ssl.SSLContext) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._recheck_at:
            self._recheck_at = now + RECHECK_PERIOD_S
            try:
                stamp = self._stamps()
                if stamp != self._stamp:
                    self._current, self._stamp = self._load(), stamp
                    log.info("Loaded new serving certificate", file=self._cert_file)
            except (OSError, ssl.SSLError) as error:
                # Half-written files: keep what works and look again.
                log.warning("Cannot load serving certificate", file=self._cert_file, err=str(error))
        if self._current is not self.front:
            tls.context = self._current
