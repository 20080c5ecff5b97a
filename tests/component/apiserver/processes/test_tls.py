"""Certificates for addresses."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

from cryptography import x509

from pybernetes.machinery import pki
from pybernetes.machinery.clock import SystemClock


async def served(address: str, port: int, name: str | None = None) -> str:
    """The common name of the certificate that a client gets; `name`: what it asks for."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    # Without a name of a host, as clients of an address do.
    _, writer = await asyncio.open_connection(address, port, ssl=context, server_hostname=name or "")
    certificate = x509.load_der_x509_certificate(writer.get_extra_info("ssl_object").getpeercert(True))
    writer.close()
    return str(certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value)


async def test_a_client_of_an_address_gets_the_certificate_for_it(start, tmp_path: Path):
    now = SystemClock().now()
    authority = pki.Authority.create("ca", now)
    for name in ("second", "absent"):
        authority.issue(name, (), (), ["127.0.0.2"], usages=pki.SERVER, now=now).save(
            tmp_path / f"{name}.crt", tmp_path / f"{name}.key"
        )
    server = await start(
        "--bind-address=0.0.0.0", f"--tls-sni-cert-key={tmp_path / 'second.crt'},{tmp_path / 'second.key'}:127.0.0.2,foo.com",
        f"--tls-sni-cert-key={tmp_path / 'absent.crt'},{tmp_path / 'absent.key'}:192.0.2.1",
    )  # fmt: skip
    assert await served("127.0.0.1", server.port) == "kube-apiserver"
    assert await served("127.0.0.2", server.port) == "second"
    assert await served("127.0.0.2", server.port, "bar.com") == "kube-apiserver"
    assert await served("127.0.0.1", server.port, "foo.com") == "second"
    assert "Cannot listen on the address of a certificate" in server.errors.read_text()


async def test_a_server_of_one_address_has_the_certificate_for_it(start, tmp_path: Path):
    pki.Authority.create("ca", SystemClock().now()).issue(
        "own", (), (), ["127.0.0.1"], usages=pki.SERVER, now=SystemClock().now()
    ).save(tmp_path / "own.crt", tmp_path / "own.key")
    server = await start(f"--tls-sni-cert-key={tmp_path / 'own.crt'},{tmp_path / 'own.key'}:127.0.0.1", ready=False)
    assert await served("127.0.0.1", server.port) == "own"
