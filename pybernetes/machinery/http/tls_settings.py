"""TLS as flags describe it: versions and cipher suites by their names in Go, certificates by server name. All pure.

Source: https://kubernetes.io/docs/reference/command-line-tools-reference/kube-apiserver/ (`--tls-*`)
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pybernetes.machinery.validation import parse_ip

VERSIONS: Final = {
    "VersionTLS10": ssl.TLSVersion.TLSv1, "VersionTLS11": ssl.TLSVersion.TLSv1_1, "VersionTLS12": ssl.TLSVersion.TLSv1_2,
    "VersionTLS13": ssl.TLSVersion.TLSv1_3,
}  # fmt: skip
# Of TLS 1.3, where all are good and none can be chosen.
_SUITES_13: Final = frozenset(("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"))
# OpenSSL's name of each suite that Go knows; those that OpenSSL no longer has are passed over by it.
_SUITES: Final[Mapping[str, str]] = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256": "ECDHE-ECDSA-AES128-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA": "ECDHE-ECDSA-RC4-SHA",
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA": "ECDHE-RSA-DES-CBC3-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256": "ECDHE-RSA-AES128-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_RC4_128_SHA": "ECDHE-RSA-RC4-SHA",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA": "DES-CBC3-SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA": "AES128-SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256": "AES128-SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256": "AES128-GCM-SHA256",
    "TLS_RSA_WITH_AES_256_CBC_SHA": "AES256-SHA",
    "TLS_RSA_WITH_AES_256_GCM_SHA384": "AES256-GCM-SHA384",
    "TLS_RSA_WITH_RC4_128_SHA": "RC4-SHA",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """What a TLS server speaks. `ciphers`: OpenSSL's list, for versions up to 1.2; "" is the library's."""

    minimum_version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2
    ciphers: str = ""


@dataclass(frozen=True, slots=True)
class NamedCertificate:
    """A certificate for certain server names: `*.foo.com` and the like; without `names` those in the certificate."""

    cert_file: str
    key_file: str
    names: tuple[str, ...] = ()


def settings_of(min_version: str, cipher_suites: Sequence[str]) -> Settings:
    """Of `--tls-min-version` ("" is the default) and `--tls-cipher-suites`. Raises ValueError."""
    if min_version and min_version not in VERSIONS:
        raise ValueError(f'unknown tls version "{min_version}"')
    minimum = VERSIONS.get(min_version, ssl.TLSVersion.TLSv1_2)
    for suite in cipher_suites:
        if suite not in _SUITES and suite not in _SUITES_13:
            raise ValueError(f"Cipher suite {suite} not supported or doesn't exist")
    chosen = list(dict.fromkeys(_SUITES[suite] for suite in cipher_suites if suite in _SUITES))
    if cipher_suites and not chosen:
        minimum = ssl.TLSVersion.TLSv1_3  # nothing is left of the versions below
    return Settings(minimum, ":".join(chosen))


def parse_named_certificate(text: str) -> NamedCertificate:
    """`CERT,KEY` or `CERT,KEY:NAME,NAME…` (`--tls-sni-cert-key`). Raises ValueError."""
    files, colon, names = (part.strip() for part in text.partition(":"))
    if colon and not names:
        raise ValueError("empty names list is not allowed")
    parts = [part.strip() for part in files.split(",")]
    if len(parts) != 2:
        raise ValueError("expected comma separated certificate and key file paths")
    return NamedCertificate(parts[0], parts[1], tuple(name.strip() for name in names.split(",")) if names else ())


def addresses_apart(certificates: Iterable[NamedCertificate], bind_address: str) -> Sequence[str]:
    """Addresses with a certificate of their own that a server at `bind_address` ("0.0.0.0", say) listens on among others.

    Which of them a client came to is not known when a certificate is chosen: each takes a socket of its own.
    """
    everywhere = parse_ip(bind_address)
    if everywhere is None or not everywhere.is_unspecified:
        return ()
    names = dict.fromkeys(name.lower() for certificate in certificates for name in certificate.names)
    return [name for name in names if (ip := parse_ip(name)) is not None and ip.version == everywhere.version]


def by_name(certificates: Iterable[tuple[Sequence[str], Sequence[str]]]) -> Mapping[str, int]:
    """Server name -> place of the certificate for it. Each has (names given, names in it).

    Given names outweigh those in certificates, and of equals the first is taken.
    """
    found: dict[str, int] = {}
    listed = list(enumerate(certificates))
    for place, (given, own) in reversed(listed):
        if not given:
            found.update((name.lower(), place) for name in own)
    for place, (given, _) in reversed(listed):
        found.update((name.lower(), place) for name in given)
    return found


def lookup(names: Mapping[str, int], server_name: str | None) -> int | None:
    """The certificate for a name: by itself, or by `*` in place of its first label."""
    if not server_name or not names:
        return None
    name = server_name.lower()
    if name in names:
        return names[name]
    _, dot, rest = name.partition(".")
    return names.get(f"*{dot}{rest}")
