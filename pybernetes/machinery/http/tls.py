"""Server-side TLS: optional client certificates, and files that may be replaced while the server runs."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from pybernetes.machinery.clock import Clock
from pybernetes.machinery.log import logger

log = logger("tls")

RECHECK_PERIOD_S = 10.0
ALPN_PROTOCOLS = ("h2", "http/1.1")


def server_context(cert_file: str, key_file: str, *client_ca_files: str) -> ssl.SSLContext:
    """A context whose certificate, key and client CAs follow their files (looked at every 10 s, at a handshake).

    With `client_ca_files` ("" is none) a client may present a certificate; one that none of them verifies fails the handshake.
    Which of them did is told by `verified_chain`. Raises OSError and ssl.SSLError for files that cannot be read.
    """
    files = _Files(cert_file, key_file, [path for path in client_ca_files if path])
    files.front.sni_callback = files.choose
    return files.front


def verified_chain(tls: ssl.SSLObject) -> tuple[bytes, ...]:
    """DER of the peer's certificate and of those above it, up to one that we trust; () if it presented none."""
    if tls.getpeercert(True) is None:
        return ()
    # Public from Python 3.13 on, as bytes; the same function is below it before.
    if hasattr(tls, "get_verified_chain"):
        return tuple(_shared(der) for der in tls.get_verified_chain())
    found = tls._sslobj.get_verified_chain() or ()  # type: ignore[attr-defined]
    return tuple(_shared(ssl.PEM_cert_to_DER_cert(certificate.public_bytes())) for certificate in found)


@lru_cache(256)
def _shared(certificate: bytes) -> bytes:
    """One copy of an authority's certificate, however many connections it vouches for."""
    return certificate


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
    def __init__(self, cert_file: str, key_file: str, client_ca_files: Sequence[str]) -> None:
        self._cert_file, self._key_file, self._client_ca_files = cert_file, key_file, client_ca_files
        self._stamp = self._stamps()
        self.front = self._load()  # what the listener holds; replaced certificates are swapped in per handshake
        self._current = self.front
        self._recheck_at = 0.0

    def _stamps(self) -> tuple[tuple[int, int], ...]:
        found = []
        for path in (self._cert_file, self._key_file, *self._client_ca_files):
            status = os.stat(path)
            found.append((status.st_mtime_ns, status.st_ino))
        return tuple(found)

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self._cert_file, self._key_file)
        context.set_alpn_protocols(ALPN_PROTOCOLS)
        context.num_tickets = 0  # client certificates are checked anew; tickets would only cost memory
        for path in self._client_ca_files:
            context.load_verify_locations(path)
            context.verify_mode = ssl.CERT_OPTIONAL
        # As Go: whatever is in the files is trusted, be it an intermediate authority.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
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
