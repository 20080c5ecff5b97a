"""Calls to webhooks: JSON out, JSON in, over connections that are kept.

Not for admission alone: whatever a `WebhookClientConfig` describes (conversion webhooks, too) is called by `post`. What goes
wrong is told in the words of upstream's client, for people look for those.
"""

from __future__ import annotations

import base64
import binascii
import os
import ssl
from collections import OrderedDict
from typing import Any
from urllib.parse import urlsplit

import orjson

from pybernetes.apiserver.admission.webhooks.hooks import ClientConfig
from pybernetes.apiserver.aggregation.service_resolver import ServiceResolver, Unroutable
from pybernetes.client.http import HttpTransport
from pybernetes.client.transport import ConnectionFailed, RequestTimeout
from pybernetes.machinery import codec
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.errors import Object
from pybernetes.machinery.http.messages import Request, Response

TRANSPORTS_MAX = 256  # one per address, name and authority; the longest unused goes
ANSWER_BYTES_MAX = 16 * 1024 * 1024
_SHOWN_BYTES_MAX = 2048
_BY_STATUS = {
    400: "the server rejected our request for an unknown reason",
    401: "the server has asked for the client to provide credentials",
    404: "the server could not find the requested resource",
    405: "the server does not allow this method on the requested resource",
    409: "the server reported a conflict",
    422: "the server rejected our request due to an error in our request",
    429: "the server has received too many requests and has asked us to try again later",
    503: "the server is currently unable to handle the request",
    504: "the server was unable to return a response in the time allotted, but may still be processing the request",
}


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


def explain(error: ConnectionFailed, name: str) -> str:
    """Go's sentence for what went wrong on the way to a server called `name`."""
    cause = error.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        prefix = "tls: failed to verify certificate: x509: "
        if cause.verify_code in (62, 64):  # hostname mismatch, IP address mismatch
            return f"{prefix}certificate is not valid for any names, but wanted to match {name}"
        if cause.verify_code in (9, 10):
            return f"{prefix}certificate has expired or is not yet valid: {cause.verify_message}"
        return f"{prefix}certificate signed by unknown authority"
    text = str(error.strerror or error)
    if isinstance(cause, ssl.SSLError):
        return f"tls: {cause.reason or cause}"
    if isinstance(cause, OSError) and cause.errno and cause.errno > 0 and text.startswith("dial tcp "):
        address = text.removeprefix("dial tcp ").rpartition(": ")[0]
        return f"dial tcp {address}: connect: {os.strerror(cause.errno).lower()}"
    return "EOF" if text == "unexpected EOF" else text


def _read(response: Response) -> Any:
    body = response.body
    assert isinstance(body, bytes)
    if len(body) > ANSWER_BYTES_MAX:
        raise CallFailed(f"the answer is larger than {ANSWER_BYTES_MAX} bytes")
    if not 200 <= response.status <= 206:
        raise CallFailed(_refusal(response.status, response.headers.get("content-type", ""), body))
    try:
        return codec.load_json(body)
    except ValueError as error:
        raise CallFailed(f"couldn't get version/kind; json parse error: {error}") from error


def _refusal(status: int, content_type: str, body: bytes) -> str:
    """What client-go makes of an answer that is an error: its Status, or a sentence about the code."""
    if content_type.startswith("application/json"):
        try:
            found = orjson.loads(body)
        except orjson.JSONDecodeError:
            found = None
        if isinstance(found, dict) and found.get("kind") == "Status" and found.get("message"):
            return str(found["message"])
    message = "unknown"
    if content_type.startswith("text/"):
        message = body[:_SHOWN_BYTES_MAX].decode(errors="replace").strip()
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status in (403, 406, 415):
        return message
    if status >= 500:
        quoted = orjson.dumps(message).decode()
        return f"an error on the server ({quoted}) has prevented the request from succeeding"
    return f"the server responded with the status code {status} but did not return more information"
