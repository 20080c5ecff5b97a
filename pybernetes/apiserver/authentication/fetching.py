"""Small documents of others, by HTTPS: bounded in size, time and redirects."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import urljoin, urlsplit

from pybernetes.client.failures import explain
from pybernetes.client.http import HttpTransport
from pybernetes.client.transport import ConnectionFailed, RequestTimeout, close_stream
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.http.messages import Request, Response

BYTES_MAX: Final = 1024 * 1024
TIMEOUT_S: Final = 30.0  # redirects included
REDIRECTS_MAX: Final = 10
_REDIRECTS: Final = frozenset((301, 302, 303, 307, 308))


class FetchFailed(Exception):
    """No document; the message says why."""


class Fetcher:
    """Gets documents from servers that `context` trusts. `close` when it is no longer used."""

    def __init__(self, context: ssl.SSLContext, clock: Clock) -> None:
        self._context = context
        self._clock = clock
        self._transports: dict[str, HttpTransport] = {}  # by origin

    async def get(self, url: str, headers: Mapping[str, str] | None = None) -> bytes:
        """The document at `url`. Raises `FetchFailed`; an answer other than 200 is one."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await self._get(url, headers or {})
        except (TimeoutError, RequestTimeout) as error:
            raise FetchFailed(f'Get "{url}": context deadline exceeded') from error
        except ConnectionFailed as error:
            raise FetchFailed(f'Get "{url}": {explain(error, urlsplit(url).hostname or "")}') from error
        except ValueError as error:  # no URL, or none that fits into a request
            raise FetchFailed(f'Get "{url}": {error}') from error

    async def close(self) -> None:
        transports, self._transports = self._transports, {}
        for transport in transports.values():
            await transport.close()

    async def _get(self, url: str, headers: Mapping[str, str]) -> bytes:
        first_origin = _origin(url)
        for _ in range(REDIRECTS_MAX + 1):
            # Credentials are for whom they were meant.
            sent = headers if _origin(url) == first_origin else {}
            parts = urlsplit(url)
            request = Request("GET", parts.path or "/", parts.query, {"accept": "application/json", **sent})
            response = await self._transport(url).send(request, stream=True, timeout_s=TIMEOUT_S)
            body = await _bounded(response)
            if response.status == 200:
                return body
            if response.status not in _REDIRECTS or not response.headers.get("location"):
                raise FetchFailed(f"{_status(response.status)}: {body[:1024].decode(errors='replace')}")
            url = urljoin(url, response.headers["location"])
        raise FetchFailed(f'Get "{url}": stopped after {REDIRECTS_MAX} redirects')

    def _transport(self, url: str) -> HttpTransport:
        origin = _origin(url)
        if origin not in self._transports:
            self._transports[origin] = HttpTransport(origin, ssl_context=self._context, clock=self._clock)
        return self._transports[origin]


def _origin(url: str) -> str:
    """Raises ValueError for what is no https URL."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        raise ValueError("URL scheme must be https")
    return f"https://{parts.netloc.rpartition('@')[2]}"


async def _bounded(response: Response) -> bytes:
    """The body of a streamed answer. Raises `FetchFailed` for one that is too large."""
    assert not isinstance(response.body, bytes)
    parts: list[bytes] = []
    size = 0
    try:
        async for chunk in response.body:
            parts.append(chunk)
            size += len(chunk)
            if size > BYTES_MAX:
                raise FetchFailed(f"the answer is larger than {BYTES_MAX} bytes")
    finally:
        await close_stream(response.body)
    return b"".join(parts)


def _status(code: int) -> str:
    """As Go shows it: `404 Not Found`."""
    try:
        return f"{code} {HTTPStatus(code).phrase}"
    except ValueError:
        return str(code)
