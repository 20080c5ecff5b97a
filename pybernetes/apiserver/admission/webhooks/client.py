"""Calls to webhooks: JSON out, JSON in, over connections that are kept.

Not for admission alone: whatever a `WebhookClientConfig` describes (conversion webhooks, too) is called by `post`. What goes
wrong is told in the words of upstream's client, for people look for those.
"""

from __future__ import annotations

import base64
import binascii
import ssl
from collections import OrderedDict
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson

from pybernetes.apiserver.admission.webhooks.hooks import ClientConfig
from pybernetes.apiserver.aggregation.service_resolver import ServiceResolver, Unroutable
from pybernetes.client.failures import explain, refusal
from pybernetes.client.http import HttpTransport
from pybernetes.client.kubeconfig import ConfigError
from pybernetes.client.transport import ConnectionFailed, RequestTimeout, Transport
from pybernetes.machinery import codec
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.errors import Object
from pybernetes.machinery.files import Stamp
from pybernetes.machinery.http.messages import Request, Response

if TYPE_CHECKING:
    from pybernetes.apiserver.admission.webhooks.credentials import Credentials

TRANSPORTS_MAX = 256  # one per address, name and authority; the longest unused goes
ANSWER_BYTES_MAX = 16 * 1024 * 1024
# Webhooks that extension servers offer as part of the API: we ask ourselves, and the aggregator passes it on.
OWN = "kubernetes.default.svc:443"


_Key = tuple[str, str, str, str, Stamp | None]


class CallFailed(Exception):
    """No answer, or none that is JSON; the message says why."""


class WebhookClient:
    """One per server. `close` when it ends."""

    def __init__(self, resolver: ServiceResolver, clock: Clock, own: Transport, credentials: Credentials | None = None) -> None:
        """`own` leads to this very server, as its own user; `credentials`: as whom others are called; None: as nobody."""
        self._resolver = resolver
        self._clock = clock
        self._own = own
        self._credentials = credentials
        self._transports: OrderedDict[_Key, HttpTransport] = OrderedDict()

    def presenting(self, credentials: Credentials) -> WebhookClient:
        """Another client, with these credentials and connections of its own."""
        return WebhookClient(self._resolver, self._clock, self._own, credentials)

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
        except ConfigError as error:  # credentials that cannot be read any more
            raise CallFailed(f"{where}: {error}") from error
        return _read(response)

    async def close(self) -> None:
        transports, self._transports = self._transports, OrderedDict()
        for transport in transports.values():
            await transport.close()

    async def _transport(self, config: ClientConfig, name: str) -> Transport:
        """Raises `Unroutable`, `CallFailed`, `ConfigError`."""
        target = _target(config)
        if target == OWN:
            return self._own
        if config.service is not None:
            address = self._resolver.resolve(config.service.namespace, config.service.name, config.service.port)
            base_url = f"https://{address}"
        else:
            base_url = f"https://{urlsplit(config.url).netloc}"
        user, stamp, token = "", None, None
        if self._credentials is not None:
            user = self._credentials.name_for(target)
            if user:
                stamp, token = self._credentials.stamp(user), self._credentials.token(user)
        key = (base_url, name, config.ca_bundle, user, stamp)
        known = self._transports.get(key)
        if known is not None:
            self._transports.move_to_end(key)
            return known
        context = tls_context(config.ca_bundle)
        if self._credentials is not None and user:
            self._credentials.present(user, context)
        made = HttpTransport(base_url, ssl_context=context, server_hostname=name, token=token, clock=self._clock)
        self._transports[key] = made
        if len(self._transports) > TRANSPORTS_MAX:
            _, oldest = self._transports.popitem(last=False)
            await oldest.close()
        return made


def _target(config: ClientConfig) -> str:
    """`host:port`, as credentials know the server."""
    if config.service is not None:
        return f"{config.service.name}.{config.service.namespace}.svc:{config.service.port}"
    netloc = urlsplit(config.url).netloc.rpartition("@")[2]
    return netloc if urlsplit(config.url).port else f"{netloc}:443"


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
