"""Server-side TLS: optional client certificates, and files that may be replaced while the server runs."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache

from pybernetes.machinery.clock import Clock
from pybernetes.machinery.files import FollowedFiles
from pybernetes.machinery.http.tls_settings import NamedCertificate, Settings, by_name, lookup
from pybernetes.machinery.validation import dns_1123_subdomain_errors, parse_ip

RECHECK_PERIOD_S = 10.0
ALPN_PROTOCOLS = ("h2", "http/1.1")
RESUMABLE_MAX = 1024  # who is forgotten is refused once, and connects anew

_resumable: dict[bytes, tuple[bytes, ...]] = {}  # certificates of clients that may resume a session -> their chains


def server_context(
    cert_file: str,
    key_file: str,
    *client_ca_files: str,
    named: Sequence[NamedCertificate] = (),
    address: str = "",
    settings: Settings | None = None,
) -> ssl.SSLContext:
    """A context whose certificates, keys and client CAs follow their files (looked at every 10 s, at a handshake).

    With `client_ca_files` ("" is none) a client may present a certificate; one that none of them verifies fails the handshake.
    Which of them did is told by `verified_chain`. `named` are further certificates, for clients that ask for their names, and
    for those that ask for none and came to `address`, if it is among the names.
    Raises OSError (ssl.SSLError is one) and ValueError for files that are of no use.
    """
    pairs = [NamedCertificate(cert_file, key_file), *named]
    return _Serving(pairs, [path for path in client_ca_files if path], address, settings or Settings()).front


def certificate_files(cert_file: str, key_file: str) -> FollowedFiles:
    """A certificate and its key, followed. Raises OSError."""
    return FollowedFiles("certificate", (cert_file, key_file), lambda content: load_certificate(_scratch(), *content))


def authority_files(path: str) -> FollowedFiles:
    """Certificates of authorities, followed. Raises OSError."""
    return FollowedFiles("authorities", (path,), lambda content: load_authorities(_scratch(), *content))


def load_certificate(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """PEM into a context. Raises ssl.SSLError."""
    with _as_file(certificate + b"\n" + key) as path:
        context.load_cert_chain(path)


def load_authorities(context: ssl.SSLContext, certificates: bytes) -> None:
    """Make a context trust them (PEM). Raises ssl.SSLError."""
    with _as_file(certificates) as path:
        context.load_verify_locations(path)


@contextmanager
def _as_file(data: bytes) -> Iterator[str]:
    """A path to read it from: ssl takes nothing else. It is in memory, so that keys do not get on a disk."""
    descriptor = os.memfd_create("pem", os.MFD_CLOEXEC)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        yield f"/proc/self/fd/{descriptor}"


def _scratch() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)


def verified_chain(tls: ssl.SSLObject) -> tuple[bytes, ...]:
    """DER of the peer's certificate and of those above it, up to one that we trust; () if it presented none."""
    leaf = tls.getpeercert(True)
    if leaf is None:
        return ()
    if tls.session_reused:  # TLS 1.2: nothing was verified anew, and OpenSSL keeps the certificate alone with a session
        return _resumable.get(leaf, ())
    # Public from Python 3.13 on, as bytes; the same function is below it before.
    if hasattr(tls, "get_verified_chain"):
        chain = tuple(_shared(der) for der in tls.get_verified_chain())
    else:
        found = tls._sslobj.get_verified_chain() or ()  # type: ignore[attr-defined]
        chain = tuple(_shared(ssl.PEM_cert_to_DER_cert(certificate.public_bytes())) for certificate in found)
    if tls.version() != "TLSv1.3":
        while len(_resumable) >= RESUMABLE_MAX:
            del _resumable[next(iter(_resumable))]
        _resumable[leaf] = chain
    return chain


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
    load_certificate(context, pair.certificate_pem, pair.key_pem)
    return context


class _Serving:
    """The contexts of a server, one for each certificate; the first is for clients that ask for no name we know."""

    def __init__(
        self, certificates: Sequence[NamedCertificate], client_ca_files: Sequence[str], address: str, settings: Settings
    ) -> None:
        self._given = [certificate.names for certificate in certificates]
        self._pairs = [certificate_files(certificate.cert_file, certificate.key_file) for certificate in certificates]
        self._authorities = [authority_files(path) for path in client_ca_files]
        self._address = address
        self._settings = settings
        self._generations = self._look()
        self._recheck_at = 0.0
        self._contexts: list[ssl.SSLContext] = []
        self._names: Mapping[str, int] = {}
        self._make()
        self.front = self._contexts[0]  # what the listener holds; another is swapped in at a handshake
        self.front.sni_callback = self.choose

    def choose(self, tls: ssl.SSLObject | ssl.SSLSocket, server_name: str | None, _: ssl.SSLContext) -> None:
        """Called in each handshake, with a name or without."""
        now = asyncio.get_running_loop().time()
        if now >= self._recheck_at:
            self._recheck_at = now + RECHECK_PERIOD_S
            generations = self._look()
            if generations != self._generations:
                self._make()
                self._generations = generations
        place = lookup(self._names, server_name) if server_name else self._names.get(self._address)
        context = self._contexts[place or 0]
        if context is not self.front:
            tls.context = context

    def _look(self) -> list[int]:
        return [files.look() for files in (*self._pairs, *self._authorities)]

    def _make(self) -> None:
        self._contexts = [self._context(pair) for pair in self._pairs]
        if len(self._pairs) > 1:
            named = [
                (given, () if given else names_in(pair.content[0]))
                for given, pair in zip(self._given[1:], self._pairs[1:], strict=True)
            ]
            self._names = {name: place + 1 for name, place in by_name(named).items()}

    def _context(self, pair: FollowedFiles) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with warnings.catch_warnings():  # of versions that only who names them gets
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = self._settings.minimum_version
        if self._settings.ciphers:
            context.set_ciphers(self._settings.ciphers)
        load_certificate(context, *pair.content)
        context.set_alpn_protocols(ALPN_PROTOCOLS)
        context.num_tickets = 0  # client certificates are checked anew; tickets would only cost memory
        context.options |= ssl.OP_NO_TICKET  # the same for TLS 1.2
        for authorities in self._authorities:
            load_authorities(context, *authorities.content)
            context.verify_mode = ssl.CERT_OPTIONAL
        # As Go: whatever is in the files is trusted, be it an intermediate authority.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return context


def _is_domain(name: str) -> bool:
    return not dns_1123_subdomain_errors(name.removeprefix("*.").lower()) and not parse_ip(name)


def names_in(certificate: bytes) -> Sequence[str]:
    """The server names that a certificate (PEM) is for: its common name, if that is one, and its DNS names."""
    from cryptography import x509  # loaded by those who have certificates by name

    found = x509.load_pem_x509_certificate(certificate)
    names = [str(attribute.value) for attribute in found.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)]
    names = [name for name in names if name == "*" or _is_domain(name)]
    try:
        alternatives = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return names
    return [*names, *alternatives.get_values_for_type(x509.DNSName)]
