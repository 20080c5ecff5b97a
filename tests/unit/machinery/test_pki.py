from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store

from pybernetes.machinery import pki

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)


def test_an_issued_server_certificate_verifies_against_its_authority():
    authority = pki.Authority.create("kubernetes", NOW)
    pair = authority.issue("kube-apiserver", dns_names=["kubernetes.default"], usages=pki.SERVER, now=NOW)
    store = Store([x509.load_pem_x509_certificate(authority.certificate_pem)])
    verifier = PolicyBuilder().store(store).time(NOW).build_server_verifier(x509.DNSName("kubernetes.default"))
    assert verifier.verify(x509.load_pem_x509_certificate(pair.certificate_pem), [])


def test_a_signed_request_keeps_its_subject_and_takes_the_signers_usages():
    authority = pki.Authority.create("kubernetes", NOW)
    request = pki.signing_request(pki.new_key_pem(), "system:node:a", ["system:nodes"])
    signed = authority.sign(request, usages=pki.CLIENT, lifetime=timedelta(hours=1), now=NOW)
    certificate = x509.load_pem_x509_certificate(signed)
    assert certificate.subject.rfc4514_string() == "CN=system:node:a,O=system:nodes"
    extended = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert [usage._name for usage in extended] == ["clientAuth"]
    assert pki.expires_at(signed) == NOW + timedelta(hours=1)


def test_no_certificate_outlives_its_authority():
    authority = pki.Authority.create("kubernetes", NOW, timedelta(days=1))
    pair = authority.issue("admin", now=NOW, lifetime=timedelta(days=30))
    assert pki.expires_at(pair.certificate_pem) == NOW + timedelta(days=1)


def test_garbage_is_refused():
    with pytest.raises(ValueError):
        pki.Authority.create("kubernetes", NOW).sign(b"junk", usages=pki.CLIENT, lifetime=timedelta(1), now=NOW)


def test_a_private_file_is_for_its_owner_only(tmp_path: Path):
    path = tmp_path / "pki" / "ca.key"
    pki.write_private(path, b"secret")
    assert path.read_bytes() == b"secret"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["ca.key"]
