"""Our certificate for kubelets, and their authority, replaced while the server runs."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from pybernetes.apiserver.proxying.kubelet_tls import KubeletTls
from pybernetes.apiserver.proxying.targets import Kubelets
from pybernetes.client.http import HttpTransport
from pybernetes.client.transport import ConnectionFailed
from pybernetes.machinery import pki
from pybernetes.machinery.clock import SystemClock
from pybernetes.machinery.http.messages import Request, Response
from pybernetes.machinery.http.server import Server
from pybernetes.machinery.http.tls import server_context

NOW = SystemClock().now()


@pytest.fixture
def kubelets(tmp_path: Path) -> Kubelets:
    for name in ("ca", "other-ca"):
        authority = pki.Authority.create(name, NOW)
        (tmp_path / f"{name}.crt").write_bytes(authority.certificate_pem)
        for issued in ("first", "second", "node"):
            usages = pki.SERVER if issued == "node" else pki.CLIENT
            pair = authority.issue(issued, (), [], ["127.0.0.1"], usages=usages, now=NOW)
            pair.save(tmp_path / f"{name}-{issued}.crt", tmp_path / f"{name}-{issued}.key")
    put(tmp_path, "ca-first", "api")
    put(tmp_path, "ca", "trusted")
    return Kubelets(str(tmp_path / "api.crt"), str(tmp_path / "api.key"), str(tmp_path / "trusted.crt"))


def put(folder: Path, source: str, target: str) -> None:
    for part in ("crt", "key"):
        if (folder / f"{source}.{part}").exists():
            (folder / f"{target}.{part}").write_bytes((folder / f"{source}.{part}").read_bytes())


async def test_what_is_replaced_is_used_by_further_connections(kubelets: Kubelets, tmp_path: Path) -> None:
    async def whoami(request: Request) -> Response:
        assert request.peer_certificate is not None
        subject = x509.load_der_x509_certificate(request.peer_certificate).subject
        return Response(200, {}, str(subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value).encode())

    node = Server(whoami, clock=SystemClock())
    await node.start("127.0.0.1", 0, server_context(*(str(tmp_path / f"ca-node.{part}") for part in ("crt", "key")),
                                                    str(tmp_path / "ca.crt")))  # fmt: skip
    tls = KubeletTls(kubelets)

    async def connect() -> bytes:
        transport = HttpTransport(f"https://127.0.0.1:{node.port}", ssl_context=tls.context())
        try:
            answer: Any = (await transport.send(Request("GET", "/"))).body
        finally:
            await transport.close()
        return bytes(answer)

    assert await connect() == b"first"
    (tmp_path / "api.crt").write_text("half")
    assert await connect() == b"first"
    put(tmp_path, "ca-second", "api")
    assert await connect() == b"second"
    (tmp_path / "trusted.crt").write_text("")
    assert await connect() == b"second"
    put(tmp_path, "other-ca", "trusted")
    with pytest.raises(ConnectionFailed) as failed:
        await connect()
    assert isinstance(failed.value.__cause__, ssl.SSLCertVerificationError)
    await node.stop(0)


async def test_pods_at_a_kubelets_address_are_not_shown_our_certificate(server: Any) -> None:
    """A pod on its node's network has the node's address; who may proxy to it must not become us for its kubelet."""
    proxy = server.api._proxy
    for_pods = await proxy._transport("https://192.0.2.1:10250")
    assert await proxy._transport("https://192.0.2.1:10250", kubelet=True) is not for_pods
    assert await proxy._transport("https://192.0.2.1:10250") is for_pods
