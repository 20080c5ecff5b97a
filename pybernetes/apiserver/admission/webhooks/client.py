"""Calls to webhooks: JSON out, JSON in, over connections that are kept.

Not for admission alone: whatever a `WebhookClientConfig` describes (conversion webhooks, too) is called by `post`. What goes
wrong is told in the words of upstream's client, for people look for those.
"""

from __future__ import annotations

import base64
import binascii
import ssl
from collections import OrderedDict
from typing import Any
from urllib.parse import urlsplit

import orjson

from pybernetes.apiserver.admission.webhooks.hooks import ClientConfig
from pybernetes.apiserver.aggregation.service_resolver import ServiceResolver, Unroutable
from pybernetes.client.failures import explain, refusal
from pybernetes.client.http import HttpTransport
from pybernetes.client.transport import ConnectionFailed, RequestTimeout
from pybernetes.machinery import codec
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.errors import Object
from pybernetes.machinery.http.messages import Request, Response

TRANSPORTS_MAX = 256  # one per address, name and authority; the longest unused goes
ANSWER_BYTES_MAX = 16 * 1024 * 1024


class CallFailed(Exception):
    """No answer, or none that is JSON; the message says why."""


class WebhookClient:
    """One per server. `close` when it ends."""

    def __init__(self, resolver: ServiceResolver, clock: Clock) -> None:
        self._resolver = resolver
        self._clock = clock
        self._transports: OrderedDict[tuple[str, str, str], HttpTransport] = OrderedDict()

    async def post(self, config: ClientConfig, body: Object, timeout_s: float) -> Any:
        """What the webhook answers. Raises `CallFailed`."""
        if config.service is not None:
            service = config.service
            name = f"{service.name}.{service.namespace}.svc"
            authority, path = f"{name}:{service.port}", "/" + service.path.lstrip("/")
        else:
            parts = urlsplit(config.url)
            name, authority, path = parts.hostname or "", parts.netloc, parts.path or "/"
        seconds = int(timeout_s) + (timeout_s > int(timeout_s))
        query = f"timeout={seconds}s"  # so that it need not go on after we have gone
        where = f'Post "https://{authority}{path}?{query}"'
        try:
            transport = await self._transport(config, name)
            headers = {"host": authority, "content-type": "application/json", "accept": "application/json, */*"}
            request = Request("POST", path, query, headers, orjson.dumps(body))
            response = await transport.send(request, timeout_s=timeout_s)
        except Unroutable as error:
            raise CallFailed(f"{where}: {error}") from error
        except RequestTimeout as error:
            raise CallFailed(f"{where}: context deadline exceeded") from error
        except ConnectionFailed as error:
            raise CallFailed(f"{where}: {explain(error, name)}") from error
        return _read(response)

    async def close(self) -> None:
        transports, self._transports = self._transports, OrderedDict()
        for transport in transports.values():
            await transport.close()

    async def _transport(self, config: ClientConfig, name: str) -> HttpTransport:
        """Raises `Unroutable`, `CallFailed`."""
        if config.service is not None:
            address = self._resolver.resolve(config.service.namespace, config.service.name, config.service.port)
            base_url = f"https://{address}"
        else:
            base_url = f"https://{urlsplit(config.url).netloc}"
        key = (base_url, name, config.ca_bundle)
        known = self._transports.get(key)
        if known is not None:
            self._transports.move_to_end(key)
            return known
        made = HttpTransport(
            base_url, ssl_context=tls_context(config.ca_bundle), server_hostname=name, clock=self._clock
        )  # fmt: skip
        self._transports[key] = made
        if len(self._transports) > TRANSPORTS_MAX:
            _, oldest = self._transports.popitem(last=False)
            await oldest.close()
        return made


def tls_context(ca_bundle: str) -> ssl.SSLContext:
    """Trusts the authorities in `ca_bundle` (base64 of PEM), the system's if it is empty. Raises `CallFailed`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not ca_bundle:
        context.load_default_certs()
        return context
    try:
        context.load_verify_locations(cadata=base64.b64decode(ca_bundle).decode("ascii"))
    except (ssl.SSLError, ValueError, binascii.Error) as error:
        raise CallFailed("unable to load root certificates: unable to parse bytes as PEM block") from error
    return context


def _read(response: Response) -> Any:
    body = response.body
    assert isinstance(body, bytes)
    if len(body) > ANSWER_BYTES_MAX:
        raise CallFailed(f"the answer is larger than {ANSWER_BYTES_MAX} bytes")
    if not 200 <= response.status <= 206:
        raise CallFailed(refusal(response.status, response.headers.get("content-type", ""), body))
    try:
        return codec.load_json(body)
    except ValueError as error:
        raise CallFailed(f"couldn't get version/kind; json parse error: {error}") from error
