"""One HTTP GET as probes and lifecycle hooks make it: no certificate check, a bounded body, redirects only on the same host."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import httptools

BODY_BYTES_MAX = 10 * 1024
REDIRECTS_MAX = 10


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    redirected_away: bool = False  # to another host, which is not followed


class _Reply:
    """httptools' callbacks."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.complete = False
        self.head = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.head = True

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.complete = True


async def http_get(scheme: str, host: str, port: int, path: str, headers: list[tuple[str, str]], timeout_s: float) -> Answer:
    """Raises OSError (TimeoutError included) if there is no answer."""
    async with asyncio.timeout(timeout_s):
        url = f"{scheme}://{_bracketed(host)}:{port}{path if path.startswith('/') else '/' + path}"
        for _ in range(REDIRECTS_MAX):
            reply, status = await _once(url, headers)
            location = reply.headers.get("location")
            if status not in (301, 302, 303, 307, 308) or not location:
                return Answer(status, bytes(reply.body[:BODY_BYTES_MAX]))
            following = urljoin(url, location)
            if urlsplit(following).hostname != urlsplit(url).hostname:
                return Answer(status, bytes(reply.body[:BODY_BYTES_MAX]), redirected_away=True)
            url = following
        raise OSError(f"stopped after {REDIRECTS_MAX} redirects")


async def _once(url: str, headers: list[tuple[str, str]]) -> tuple[_Reply, int]:
    parts = urlsplit(url)
    context = None
    if parts.scheme == "https":
        context = ssl.create_default_context()
        context.check_hostname = False  # a probe asks whether it lives, not who it is
        context.verify_mode = ssl.CERT_NONE
    port = parts.port or (443 if context else 80)
    reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=context)
    try:
        given = {name.lower() for name, _ in headers}
        lines = [f"GET {parts.path or '/'}{'?' + parts.query if parts.query else ''} HTTP/1.1"]
        defaults = (("Host", parts.netloc), ("User-Agent", "kube-probe/1.36"), ("Accept", "*/*"), ("Connection", "close"))
        lines += [f"{name}: {value}" for name, value in defaults if name.lower() not in given]
        lines += [f"{name}: {value}" for name, value in headers if value]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        reply = _Reply()
        parser = httptools.HttpResponseParser(reply)
        while not reply.complete and len(reply.body) < BODY_BYTES_MAX:
            data = await reader.read(16384)
            if not data:
                break
            try:
                parser.feed_data(data)
            except httptools.HttpParserError as error:
                raise OSError(f"malformed HTTP response: {error}") from error
        if not reply.head:
            raise OSError("EOF")
        return reply, parser.get_status_code()
    finally:
        writer.close()


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
