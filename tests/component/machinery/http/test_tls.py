"""Certificates and authorities that are replaced under a running server; certificates by name; versions and ciphers."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from pybernetes.machinery import pki
from pybernetes.machinery.clock import SystemClock
from pybernetes.machinery.http.messages import Request, Response
from pybernetes.machinery.http.server import Server
from pybernetes.machinery.http.tls import server_context, verified_chain
from pybernetes.machinery.http.tls_settings import parse_named_certificate, settings_of

NOW = SystemClock().now()


class Folder:
    """Authorities `ca` and `other-ca`, and certificates of theirs, as files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.authorities = {name: pki.Authority.create(name, NOW) for name in ("ca", "other-ca")}
        for name, authority in self.authorities.items():
            (path / f"{name}.crt").write_bytes(authority.certificate_pem)

    def issue(self, name: str, *dns: str, authority: str = "ca", usages: Any = pki.SERVER, to: str = "") -> None:
        pair = self.authorities[authority].issue(name, (), dns, ["127.0.0.1"], usages=usages, now=NOW)
        pair.save(self.path / f"{to or name}.crt", self.path / f"{to or name}.key")

    def __truediv__(self, name: str) -> str:
        return str(self.path / name)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.setattr("pybernetes.machinery.http.tls.RECHECK_PERIOD_S", 0.0)
    made = Folder(tmp_path)
    made.issue("first", to="tls")
    return made


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async def whoami(request: Request) -> Response:
        return Response(200, {}, _name(request.peer_certificate) if request.peer_certificate else b"nobody")

    made = Server(whoami, clock=SystemClock())
    yield made
    await made.stop(0)


def _name(der: bytes) -> bytes:
    return str(x509.load_der_x509_certificate(der).subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value).encode()


class Client:
    """One connection, HTTP/1.1."""

    def __init__(self, port: int, server_name: str = "", context: ssl.SSLContext | None = None) -> None:
        self.port, self.server_name = port, server_name
        self.context = context or client_context()

    async def __aenter__(self) -> Client:
        self.reader, self.writer = await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=self.context, server_hostname=self.server_name
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()

    @property
    def served(self) -> bytes:
        """The name in the server's certificate."""
        return _name(self.writer.get_extra_info("ssl_object").getpeercert(True))

    async def whoami(self) -> bytes:
        self.writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
        return await self.reader.readexactly(length)


def client_context(certificate: str = "", key: str = "") -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if certificate:
        context.load_cert_chain(certificate, key)
    return context


async def served(port: int, server_name: str = "") -> bytes:
    async with Client(port, server_name) as client:
        return client.served


async def test_a_pair_is_followed_when_it_is_whole_and_open_connections_go_on(folder, server, caplog):
    await server.start("127.0.0.1", 0, server_context(folder / "tls.crt", folder / "tls.key"))
    async with Client(server.port) as old:
        folder.issue("second")
        certificate, key = (folder.path / f"second.{part}" for part in ("crt", "key"))
        for half in (b"", certificate.read_bytes()[:200], certificate.read_bytes()):  # the key is still the old one
            (folder.path / "tls.crt").write_bytes(half)
            with caplog.at_level(logging.WARNING):
                assert await served(server.port) == b"first"
            assert "Cannot load changed files" in caplog.text
            caplog.clear()
        (folder.path / "tls.key").write_bytes(key.read_bytes())
        assert await served(server.port) == b"second"
        assert await old.whoami() == b"nobody"
        (folder.path / "tls.key").unlink()
        assert await served(server.port) == b"second"


async def test_client_authorities_are_followed_whatever_the_certificate_does(folder, server):
    for authority in ("ca", "other-ca"):
        folder.issue(f"of-{authority}", authority=authority, usages=pki.CLIENT)
    (folder.path / "clients.crt").write_bytes((folder.path / "ca.crt").read_bytes())
    await server.start("127.0.0.1", 0, server_context(folder / "tls.crt", folder / "tls.key", folder / "clients.crt"))

    async def known(authority: str) -> bytes:
        context = client_context(folder / f"of-{authority}.crt", folder / f"of-{authority}.key")
        async with Client(server.port, context=context) as client:
            return await client.whoami()

    assert await known("ca") == b"of-ca"
    with pytest.raises((OSError, EOFError)):
        await known("other-ca")

    (folder.path / "clients.crt").write_text("half a cert")
    folder.issue("second", to="tls")
    assert await served(server.port) == b"second"
    assert await known("ca") == b"of-ca"

    (folder.path / "clients.crt").write_bytes((folder.path / "other-ca.crt").read_bytes())
    assert await known("other-ca") == b"of-other-ca"
    with pytest.raises((OSError, EOFError)):
        await known("ca")


async def test_a_certificate_is_chosen_by_the_name_that_is_asked_for(folder, server):
    folder.issue("own.example.com", "www.example.com", "*.apps.example.com", to="own")
    folder.issue("given", "ignored.example.com", to="given")
    named = [
        parse_named_certificate(f"{folder / 'own.crt'},{folder / 'own.key'}"),
        parse_named_certificate(f"{folder / 'given.crt'},{folder / 'given.key'}:*.foo.com, WWW.example.com"),
    ]
    await server.start("127.0.0.1", 0, server_context(folder / "tls.crt", folder / "tls.key", named=named))
    wanted = {
        "": b"first", "unknown.org": b"first", "ignored.example.com": b"first", "foo.com": b"first",
        "own.example.com": b"own.example.com", "a.apps.example.com": b"own.example.com", "a.b.apps.example.com": b"first",
        "www.example.com": b"given", "a.foo.com": b"given", "A.FOO.com": b"given",
    }  # fmt: skip
    assert {name: await served(server.port, name) for name in wanted} == wanted
    folder.issue("given-again", to="given")
    assert await served(server.port, "a.foo.com") == b"given-again"


async def test_versions_and_ciphers_are_those_of_the_flags(folder, server):
    settings = settings_of("VersionTLS12", ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"])
    await server.start("127.0.0.1", 0, server_context(folder / "tls.crt", folder / "tls.key", settings=settings))
    older = client_context()
    older.maximum_version = ssl.TLSVersion.TLSv1_2
    async with Client(server.port, context=older) as client:
        assert client.writer.get_extra_info("cipher")[0] == "ECDHE-ECDSA-AES256-GCM-SHA384"

    strict = Server(server.handler, clock=SystemClock())
    context = server_context(folder / "tls.crt", folder / "tls.key", settings=settings_of("VersionTLS13", ()))
    await strict.start("127.0.0.1", 0, context)
    with pytest.raises(OSError):
        await Client(strict.port, context=older).__aenter__()
    assert await served(strict.port) == b"first"
    await strict.stop(0)


async def test_a_port_is_shared_by_those_who_both_permit_it(server):
    await server.start("127.0.0.1", 0, shared=True)
    other = Server(server.handler, clock=SystemClock())
    await other.start("127.0.0.1", server.port, shared=True)
    with pytest.raises(OSError, match="address already in use"):
        await other.start("127.0.0.1", server.port)
    await other.stop(0)


def test_a_resumed_session_still_has_its_chain(folder):
    """Else a client that resumes would lose its identity: who vouched for it is asked for each connection."""
    folder.issue("alice", usages=pki.CLIENT)
    context = server_context(folder / "tls.crt", folder / "tls.key", folder / "ca.crt")
    context.sni_callback = None
    client = client_context(folder / "alice.crt", folder / "alice.key")
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    session = None
    for _ in range(2):
        sides = _handshake(context, client, session)
        assert len(verified_chain(sides[0])) == 2
        session = sides[1].session


def _handshake(
    server: ssl.SSLContext, client: ssl.SSLContext, session: ssl.SSLSession | None
) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    server_side = server.wrap_bio(up, down, server_side=True)
    client_side = client.wrap_bio(down, up, session=session)
    for _ in range(6):
        for side in (client_side, server_side):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                pass
    return server_side, client_side
