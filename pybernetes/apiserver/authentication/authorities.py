"""Whose client certificates count for what.

TLS verifies a certificate against all authorities together, for it must let in users and front proxies alike. Each kind counts
for its own purpose only: here is said whether one purpose's authorities are among those that vouched.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from pybernetes.machinery.files import stamp_of
from pybernetes.machinery.http.messages import Request
from pybernetes.machinery.log import logger

log = logger("authentication")

_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


class Authorities:
    """The certificates in a PEM file, which may be replaced."""

    def __init__(self, path: Path) -> None:
        """Raises OSError, and ValueError for a file without certificates."""
        self._path = path
        self._stamp = stamp_of(str(path))
        self._certificates = read_certificates(path)

    def have_vouched_for(self, request: Request) -> bool:
        """Whether one of them is in the chain that TLS has verified."""
        return not self._certificates.isdisjoint(request.peer_chain)

    def reload(self) -> None:
        """Read the file again if it has changed; one that cannot be read changes nothing."""
        stamp = stamp_of(str(self._path))
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._certificates = read_certificates(self._path)
        except (OSError, ValueError) as error:
            log.warning("Cannot load client authorities", file=str(self._path), err=str(error))
        else:
            log.info("Loaded new client authorities", file=str(self._path))


def read_certificates(path: Path) -> frozenset[bytes]:
    """DER of the certificates in a PEM file. Raises OSError, ValueError."""
    try:
        return frozenset(certificates_in(path.read_text()))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def certificates_in(pem: str) -> list[bytes]:
    """DER of each certificate. Raises ValueError where there is none, or one is no base64."""
    found = [part.partition(_END)[0] for part in pem.split(_BEGIN)[1:]]
    if not found:
        raise ValueError("data does not contain any valid RSA or ECDSA certificates")
    return [ssl.PEM_cert_to_DER_cert(f"{_BEGIN}{body}{_END}") for body in found]


def authorities_context(pem: str) -> ssl.SSLContext:
    """For connections to a server whose authorities are `pem`; the system's where that is empty. Raises ValueError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not pem:
        context.load_default_certs()
        return context
    for certificate in certificates_in(pem):
        try:
            context.load_verify_locations(cadata=certificate)
        except ssl.SSLError as error:
            raise ValueError(f"x509: malformed certificate: {error.reason}") from error
    return context
