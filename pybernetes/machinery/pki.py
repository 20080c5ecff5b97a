"""X.509 for a cluster: an authority, the certificates it issues, and signing requests (EC P-256 throughout).

Every PEM is bytes. Times are passed in; a certificate starts five minutes early, since clocks of machines differ.
Requirements: https://kubernetes.io/docs/setup/best-practices/certificates/
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

BACKDATED = timedelta(minutes=5)
AUTHORITY_LIFETIME = timedelta(days=3650)
CERTIFICATE_LIFETIME = timedelta(days=365)


class Usage(StrEnum):
    """Key usages as CertificateSigningRequests name them."""

    DIGITAL_SIGNATURE = "digital signature"
    KEY_ENCIPHERMENT = "key encipherment"
    CLIENT_AUTH = "client auth"
    SERVER_AUTH = "server auth"


_EXTENDED = {
    Usage.CLIENT_AUTH: ExtendedKeyUsageOID.CLIENT_AUTH,
    Usage.SERVER_AUTH: ExtendedKeyUsageOID.SERVER_AUTH,
}
CLIENT = (Usage.DIGITAL_SIGNATURE, Usage.CLIENT_AUTH)
SERVER = (Usage.DIGITAL_SIGNATURE, Usage.SERVER_AUTH)


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its private key."""

    certificate_pem: bytes
    key_pem: bytes = field(repr=False)

    def save(self, certificate_path: Path, key_path: Path) -> None:
        """The key is readable by its owner only."""
        write_private(key_path, self.key_pem)
        write_public(certificate_path, self.certificate_pem)


class Authority:
    """A certificate authority: the certificate that verifiers trust, and the key that signs."""

    def __init__(self, certificate_pem: bytes, key_pem: bytes) -> None:
        self.certificate_pem = certificate_pem
        self.key_pem = key_pem
        self._certificate = x509.load_pem_x509_certificate(certificate_pem)
        self._key = _load_key(key_pem)

    @classmethod
    def create(cls, common_name: str, now: datetime, lifetime: timedelta = AUTHORITY_LIFETIME) -> Authority:
        """A new self-signed authority."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name(common_name)
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATED)
            .not_valid_after(now + lifetime)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .add_extension(identifier, critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(common_name)]), critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(certificate.public_bytes(serialization.Encoding.PEM), _key_pem(key))

    def issue(
        self,
        common_name: str,
        organizations: Sequence[str] = (),
        dns_names: Sequence[str] = (),
        ip_addresses: Sequence[str] = (),
        *,
        usages: Sequence[Usage] = CLIENT,
        lifetime: timedelta = CERTIFICATE_LIFETIME,
        now: datetime,
    ) -> KeyPair:
        """A new key with a certificate for it. In Kubernetes the common name is the user, organizations are groups."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _name(common_name, organizations)
        names = _alternative_names(dns_names, ip_addresses)
        certificate = self._certify(subject, key.public_key(), names, usages, lifetime, now)
        return KeyPair(certificate, _key_pem(key))

    def sign(self, csr_pem: bytes, *, usages: Sequence[Usage], lifetime: timedelta, now: datetime) -> bytes:
        """The certificate (PEM) for a signing request: its subject and names, but our usages and lifetime.

        Raises ValueError for a request that is malformed or not signed by its own key.
        """
        request = x509.load_pem_x509_csr(csr_pem)
        if not request.is_signature_valid:
            raise ValueError("the certificate request is not signed by its key")
        try:
            names = list(request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
        except x509.ExtensionNotFound:
            names = []
        public_key = request.public_key()
        return self._certify(request.subject, public_key, names, usages, lifetime, now)

    def _certify(
        self,
        subject: x509.Name,
        public_key: object,
        names: Sequence[x509.GeneralName],
        usages: Sequence[Usage],
        lifetime: timedelta,
        now: datetime,
    ) -> bytes:
        expires = min(now + lifetime, self._certificate.not_valid_after_utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._certificate.subject)
            .public_key(public_key)  # type: ignore[arg-type]
            .serial_number(x509.random_serial_number())
            .not_valid_before(max(now - BACKDATED, self._certificate.not_valid_before_utc))
            .not_valid_after(expires)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(key_encipherment=Usage.KEY_ENCIPHERMENT in usages), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        extended = [_EXTENDED[usage] for usage in usages if usage in _EXTENDED]
        if extended:
            builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def new_key_pem() -> bytes:
    """A new EC private key, PKCS#8."""
    return _key_pem(ec.generate_private_key(ec.SECP256R1()))


def public_key_pem(key_pem: bytes) -> bytes:
    """The public half of a private key (for `--service-account-key-file`)."""
    return (
        _load_key(key_pem)
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def signing_request(
    key_pem: bytes,
    common_name: str,
    organizations: Sequence[str] = (),
    dns_names: Sequence[str] = (),
    ip_addresses: Sequence[str] = (),
) -> bytes:
    """A PKCS#10 request, PEM, for that key."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(_name(common_name, organizations))
    names = _alternative_names(dns_names, ip_addresses)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(_load_key(key_pem), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def expires_at(certificate_pem: bytes) -> datetime:
    """The end of validity of the (first) certificate."""
    return x509.load_pem_x509_certificate(certificate_pem).not_valid_after_utc


def validity(certificate_pem: bytes) -> tuple[datetime, datetime]:
    """From when until when the (first) certificate is valid."""
    certificate = x509.load_pem_x509_certificate(certificate_pem)
    return certificate.not_valid_before_utc, certificate.not_valid_after_utc


def common_name(certificate_pem: bytes) -> str:
    """The subject's common name, "" if it has none: in Kubernetes, the user."""
    names = x509.load_pem_x509_certificate(certificate_pem).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""


def write_private(path: Path, data: bytes) -> None:
    """Write a secret whole or not at all, readable by its owner only."""
    _write(path, data, 0o600)


def write_public(path: Path, data: bytes) -> None:
    """Write whole or not at all, readable by all."""
    _write(path, data, 0o644)


def _write(path: Path, data: bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
    try:
        os.fchmod(descriptor, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _name(common_name: str, organizations: Sequence[str] = ()) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, name) for name in organizations]
    attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
    return x509.Name(attributes)


def _alternative_names(dns_names: Sequence[str], ip_addresses: Sequence[str]) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in dns_names]
    names += [x509.IPAddress(ipaddress.ip_address(address)) for address in ip_addresses]
    return names


def _key_usage(*, signs_certificates: bool = False, key_encipherment: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=key_encipherment,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _load_key(key_pem: bytes) -> ec.EllipticCurvePrivateKey:
    """Any private key that can sign X.509 would do; ours are EC, a user's authority may be RSA."""
    return serialization.load_pem_private_key(key_pem, password=None)  # type: ignore[return-value]


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
