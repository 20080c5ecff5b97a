"""TLS flags: versions, ciphers, certificates by name."""

import ssl

import pytest

from pybernetes.machinery.http.tls_settings import (
    NamedCertificate,
    Settings,
    addresses_apart,
    by_name,
    lookup,
    parse_named_certificate,
    settings_of,
)


@pytest.mark.parametrize(
    ("version", "suites", "wanted"),
    [
        ("", [], Settings()),
        ("VersionTLS13", [], Settings(ssl.TLSVersion.TLSv1_3)),
        ("VersionTLS12", ["TLS_RSA_WITH_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256",
                          "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"],
         Settings(ciphers="AES128-GCM-SHA256:ECDHE-RSA-CHACHA20-POLY1305")),
        ("", ["TLS_AES_256_GCM_SHA384"], Settings(ssl.TLSVersion.TLSv1_3)),
    ],
)  # fmt: skip
def test_versions_and_suites_go_by_their_names_in_go(version, suites, wanted):
    assert settings_of(version, suites) == wanted


def test_what_there_is_not_is_refused():
    with pytest.raises(ValueError, match='unknown tls version "VersionSSL3"'):
        settings_of("VersionSSL3", ())
    with pytest.raises(ValueError, match="Cipher suite TLS_ROT13 not supported or doesn't exist"):
        settings_of("", ["TLS_ROT13"])


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a.crt,a.key", NamedCertificate("a.crt", "a.key")),
        (" a.crt , a.key : *.foo.com , foo.com", NamedCertificate("a.crt", "a.key", ("*.foo.com", "foo.com"))),
    ],
)
def test_a_named_certificate_is_two_files_and_perhaps_names(text, wanted):
    assert parse_named_certificate(text) == wanted


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a.crt", "expected comma separated certificate and key file paths"),
        ("a.crt,a.key,b.key", "expected comma separated certificate and key file paths"),
        ("a.crt,a.key:", "empty names list is not allowed"),
    ],
)
def test_a_named_certificate_that_is_none_is_refused(text, problem):
    with pytest.raises(ValueError, match=problem):
        parse_named_certificate(text)


def test_given_names_outweigh_those_in_certificates_and_the_first_of_equals_counts():
    names = by_name([((), ["A.com", "b.com"]), ((), ["b.com"]), (["a.com"], ()), (["a.com", "*.c.com"], ())])
    assert names == {"a.com": 2, "b.com": 0, "*.c.com": 3}


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("x.c.com", 1), ("X.C.com", 1), ("c.com", 0), ("y.x.c.com", None), ("localhost", 2), ("", None), (None, None)],
)
def test_a_wildcard_stands_for_the_first_label(name, wanted):
    assert lookup({"c.com": 0, "*.c.com": 1, "*": 2}, name) == wanted


@pytest.mark.parametrize(
    ("bind_address", "apart"),
    [("0.0.0.0", ["10.0.0.1", "127.0.0.2"]), ("::", ["fd00::1"]), ("10.0.0.1", []), ("localhost", [])],
)
def test_addresses_with_certificates_of_their_own_are_listened_on_apart_from_the_others(bind_address, apart):
    certificates = [
        NamedCertificate("a", "a", ("foo.com", "10.0.0.1", "FD00::1")), NamedCertificate("b", "b", ("127.0.0.2", "10.0.0.1")),
        NamedCertificate("c", "c"),
    ]  # fmt: skip
    assert list(addresses_apart(certificates, bind_address)) == apart
