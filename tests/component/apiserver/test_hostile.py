"""Wrong and hostile requests over raw sockets: each gets its answer, and the server goes on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from pybernetes.machinery.clock import SystemClock
from pybernetes.machinery.http import http1
from pybernetes.machinery.http.server import Server

MAPS = "/api/v1/namespaces/default/configmaps"
JSON = b"Content-Type: application/json\r\n"


@dataclass(frozen=True)
class Answer:
    code: int
    body: bytes
    heads: int  # how many answers came

    @property
    def message(self) -> str:
        try:
            return str(json.loads(self.body)["message"])
        except ValueError:
            return self.body.decode()


class Sockets:
    def __init__(self, port: int) -> None:
        self.port = port

    async def send(self, *parts: bytes, pause_s: float = 0.0) -> Answer:
        """Send the bytes, read to the end of the connection; code 0 if it ends without an answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            for part in parts:
                writer.write(part)
                await asyncio.sleep(pause_s)
            data = await asyncio.wait_for(reader.read(), 5)
        finally:
            writer.close()
        head, _, body = data.partition(b"\r\n\r\n")
        return Answer(int(head.split()[1]) if head else 0, body, data.count(b"HTTP/1.1 "))

    async def request(self, method: str, target: str, body: bytes = b"", headers: bytes = b"") -> Answer:
        if body and b"Length" not in headers:
            headers += b"Content-Length: %d\r\n" % len(body)
        start = f"{method} {target} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer test-admin\r\nConnection: close\r\n".encode()
        return await self.send(start + headers + b"\r\n" + body)

    async def create(self, body: bytes, headers: bytes = JSON, query: str = "") -> Answer:
        return await self.request("POST", MAPS + query, body, headers)


@pytest.fixture
async def sockets(server: Any) -> AsyncIterator[Sockets]:
    http = Server(server.api.handle, clock=SystemClock())
    await http.start("127.0.0.1", 0)
    yield Sockets(http.port)
    assert (await server.send("GET", MAPS)).status == 200  # whatever came, it goes on
    await http.stop(1)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b'{"metadata":{"name":"x"},"data":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "exceeded max depth"),
        (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, "exceeded max depth"),
        (b'{"metadata":{"name":"x","generation":' + b"9" * 5000 + b"}}", "json parse error"),
        (b'{"metadata":{"name":"x","generation":1e999999}}', "json parse error"),
        (b'{"metadata":{"name":"x","generation":NaN}}', "invalid character 'N'"),
        (b'{"metadata":{"name":"\xff\xfe"}}', "json parse error"),
        (b'{"metadata":{"name":"x"},"data":{"k":"\\ud800"}}', "json parse error"),
        (b"[]", "cannot unmarshal array"),
        (b"{", "unexpected"),
        (b"\0", "invalid character"),
    ],
    ids=[
        "deep lists",
        "deep objects",
        "huge integer",
        "huge exponent",
        "NaN",
        "not UTF-8",
        "half a pair",
        "array",
        "cut",
        "NUL",
    ],
)
async def test_json_that_cannot_be_read(sockets: Sockets, body: bytes, sentence: str) -> None:
    answer = await sockets.create(body)
    assert answer.code == 400
    assert sentence in answer.message and len(answer.message) < 2000


async def test_duplicate_keys_are_told_and_refused_where_strictness_is_wanted(sockets: Sockets) -> None:
    body = b'{"metadata":{"name":"d1","name":"d2"}}'
    answer = await sockets.create(body, query="?fieldValidation=Strict")
    assert answer.code == 400 and answer.message.endswith('strict decoding error: duplicate field "metadata.name"')
    assert (await sockets.create(body)).code == 201


async def test_a_yaml_bomb_is_not_unfolded(sockets: Sockets) -> None:
    lines = [b"a: &a [x,x,x,x,x,x,x,x,x]\n"]
    lines += [b"%c: &%c [%b]\n" % (98 + n, 98 + n, b",".join([b"*%c" % (97 + n)] * 9)) for n in range(8)]
    answer = await sockets.create(b"".join(lines), b"Content-Type: application/yaml\r\n")
    assert answer.code == 400 and "excessive aliasing" in answer.message


def raw(*lines: bytes, body: bytes = b"") -> bytes:
    first = b"POST %b HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer test-admin\r\nContent-Type: application/json\r\n"
    return first % MAPS.encode() + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


SMUGGLED = b"0\r\n\r\nGET /version HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.mark.parametrize(
    "data",
    [
        raw(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=SMUGGLED),
        raw(b"Transfer-Encoding: chunked", b"Content-Length: 5", body=SMUGGLED),
        raw(b"Transfer-Encoding: chunked, identity", body=SMUGGLED),
        raw(b"Transfer-Encoding: xchunked", body=SMUGGLED),
        raw(b"Transfer-Encoding : chunked", body=SMUGGLED),
        raw(b"Content-Length: 2", b"Content-Length: 3", body=b"{}x"),
        raw(b"Content-Length: 2, 2", body=b"{}"),
        raw(b"Content-Length: -1"),
        raw(b"Content-Length: +2", body=b"{}"),
        raw(b"Content-Length: 0x2", body=b"{}"),
        raw(b"Content-Length: " + b"9" * 30),
        raw(b"Transfer-Encoding: chunked", body=b"zz\r\n"),
        raw(b"Transfer-Encoding: chunked", body=b"-1\r\n"),
        raw(b"Transfer-Encoding: chunked", body=b"fffffffffffffffff\r\n"),
        raw(b"X-A: b", b" c"),
        raw(b"X-A: b\rX-B: c"),
        raw(b"X-A: b\0c"),
        raw(b"X A: b"),
        raw(b": b"),
        raw(b"Host: other"),
        b"GET /version HTTP/1.1\nHost: h\n\n",
        b"GET /version HTTP/1.1\r\n\r\n",
        b"GET /version\r\n\r\n",
        b"GET /version HTTP/3.0\r\nHost: h\r\n\r\n",
        b"BREW /version HTTP/1.1\r\nHost: h\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(50),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
async def test_what_could_be_read_in_two_ways_is_not_read_at_all(sockets: Sockets, data: bytes) -> None:
    """One answer, 400, and the connection ends: a proxy before us and we cannot disagree on where a request ends."""
    answer = await sockets.send(data)
    assert (answer.code, answer.heads) == (400, 1)


async def test_a_bad_request_behind_a_good_one_is_answered_after_it(sockets: Sockets) -> None:
    good = b"GET /version HTTP/1.1\r\nHost: h\r\n\r\n"
    answer = await sockets.send(good + b"nonsense\r\n\r\n" + good)
    assert (answer.code, answer.heads) == (200, 2)
    assert b"HTTP/1.1 400 Bad Request" in answer.body


@pytest.mark.parametrize(
    "data",
    [
        b"GET /version HTTP/1.1\r\nHost: h\r\nX: %b\r\n\r\n" % (b"a" * 200_000),
        b"GET /version HTTP/1.1\r\nHost: h\r\n%b\r\n" % (b"X: aaaaaaaaaa\r\n" * 20_000),
        b"GET /version?%b HTTP/1.1\r\nHost: h\r\n\r\n" % (b"a" * 200_000),
        b"GET /version HTTP/1.1\r\nHost: h\r\nX: " + b"a" * 600_000,
    ],
    ids=["a header", "many headers", "a path", "no end"],
)
async def test_heads_are_bounded(sockets: Sockets, data: bytes) -> None:
    assert (await sockets.send(data)).code == 431


async def test_bodies_are_bounded_announced_or_not(sockets: Sockets) -> None:
    announced = await sockets.send(raw(b"Content-Length: 4000000"))
    assert (announced.code, announced.message) == (413, "Request entity too large: limit is 3145728")
    chunk = b"10000\r\n" + bytes(65536) + b"\r\n"
    assert (await sockets.send(raw(b"Transfer-Encoding: chunked"), chunk * 60)).code == 413


async def test_slow_heads_and_bodies_are_cut_off(sockets: Sockets, monkeypatch: pytest.MonkeyPatch) -> None:
    from pybernetes.machinery.http import server as http_server

    monkeypatch.setattr(http1, "HEAD_TIMEOUT_S", 0.2)
    monkeypatch.setattr(http1, "BODY_TIMEOUT_S", 0.2)
    monkeypatch.setattr(http_server, "SWEEP_PERIOD_S", 0.1)
    quick = Server((lambda _: asyncio.sleep(0)), clock=SystemClock())  # type: ignore[arg-type, return-value]
    await quick.start("127.0.0.1", 0)
    slow = Sockets(quick.port)
    try:
        for data in (b"GET / HTTP/1.1\r\nHost: h\r\nX: a", raw(b"Content-Length: 10", body=b"{"), b""):
            with pytest.raises((ConnectionError, AssertionError)):
                assert (await slow.send(data)).code
    finally:
        await quick.stop(0)


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("//api/v1/configmaps", 200),  # leading slashes are one, as upstream splits paths
        ("/api//v1/configmaps", 404),
        ("/api/v1/../v1/configmaps", 404),
        ("/api/v1/%2e%2e/v1/configmaps", 404),
        ("/api/v1/namespaces/default/configmaps/..", 400),
        ("/api/v1/namespaces/default/configmaps/%2e%2e", 400),
        ("/api/v1/namespaces/default/configmaps/.", 400),
        ("/api/v1/namespaces/default/configmaps/a%2525b", 400),
        ("/api/v1/namespaces/default/configmaps/a%00b", 404),
        ("/api/v1/namespaces/default/configmaps/%ff%fe", 404),
        ("/api/v1/namespaces/default%2fconfigmaps", 200),  # what it says once decoded, as upstream reads it
        ("/api/v1/namespaces/default/configmaps/..%2f..%2fkube-system%2fconfigmaps%2fx", 400),
        ("/healthz/../api", 404),
        ("/healthz/%2e%2e/api", 404),
        ("http://elsewhere/api/v1/configmaps", 200),
        ("*", 404),
        ("/api/v1/configmaps?limit=abc", 400),
        ("/api/v1/configmaps?limit=99999999999999999999", 400),
        ("/api/v1/configmaps?resourceVersion=x", 422),
        ("/api/v1/configmaps?continue=%00", 400),
        ("/api/v1/configmaps?labelSelector=%28%28", 400),
        ("/api/v1/configmaps?labelSelector=%zz", 400),
        ("/api/v1/configmaps?fieldSelector=a", 400),
        ("/api/v1/configmaps?watch=1&timeoutSeconds=x", 400),
    ],
)
async def test_paths_mean_one_thing(sockets: Sockets, target: str, code: int) -> None:
    assert (await sockets.request("GET", target)).code == code


@pytest.mark.parametrize(
    ("method", "target", "code"),
    [
        ("PUT", MAPS, 405),
        ("POST", f"{MAPS}/x", 405),
        ("PATCH", MAPS, 405),
        ("PROPFIND", MAPS, 405),
        ("TRACE", MAPS, 405),
        ("OPTIONS", MAPS, 405),
        ("DELETE", "/version", 405),
        ("CONNECT", "h:80", 404),
    ],
)
async def test_wrong_methods(sockets: Sockets, method: str, target: str, code: int) -> None:
    body = b"{}" if method in ("PUT", "POST", "PATCH") else b""
    assert (await sockets.request(method, target, body, JSON)).code == code


async def test_an_encoded_slash_does_not_lead_around_authorization(server: Any, sockets: Sockets) -> None:
    """Who may only see one namespace's config maps must not get at another's by a name that decodes to a path."""
    rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
    rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}
    await server.ask("POST", f"{rbac}/roles", {"metadata": {"name": "r"}, "rules": [rule]})
    subject = {"kind": "User", "name": "nobody", "apiGroup": "rbac.authorization.k8s.io"}
    ref = {"kind": "Role", "name": "r", "apiGroup": "rbac.authorization.k8s.io"}
    await server.ask("POST", f"{rbac}/rolebindings", {"metadata": {"name": "r"}, "subjects": [subject], "roleRef": ref})
    await server.ask("POST", "/api/v1/namespaces/kube-system/configmaps", {"metadata": {"name": "x"}, "data": {"k": "hidden"}})
    for target in ("kube-system/x", "..%2fkube-system%2fx", "..%2f..%2fsecrets%2fkube-system%2fx", "x/../../kube-system/x"):
        start = f"GET {MAPS}/{target} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer nobody\r\nConnection: close\r\n\r\n"
        answer = await sockets.send(start.encode())
        assert answer.code in (400, 403, 404) and b"hidden" not in answer.body
