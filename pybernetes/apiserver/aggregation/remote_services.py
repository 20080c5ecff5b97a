"""Connections to extension servers: who is asked, with which trust, as whom."""

from __future__ import annotations

import base64
import binascii
import ssl
from collections import OrderedDict
from collections.abc import Mapping

from pybernetes.apiserver.aggregation.front_proxy import FrontProxy
from pybernetes.apiserver.aggregation.service_resolver import ServiceResolver
from pybernetes.apiserver.registry.strategy import Reader
from pybernetes.client.http import HttpTransport
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.files import FollowedFiles
from pybernetes.machinery.http.tls import certificate_files, load_certificate
from pybernetes.machinery.meta import Object
from pybernetes.machinery.resources import API_SERVICES

TRANSPORTS_MAX = 128


class Misconfigured(Exception):
    """Trust that cannot be set up; the message says why."""


class RemoteServices:
    """The APIServices that name a Service, by group and version, and how to reach them. `close` when the server ends."""

    def __init__(self, reader: Reader, resolver: ServiceResolver, front_proxy: FrontProxy, clock: Clock) -> None:
        self._reader = reader
        self._resolver = resolver
        self._certificate: FollowedFiles | None = None
        if front_proxy.proxy_client_cert_file:
            self._certificate = certificate_files(front_proxy.proxy_client_cert_file, front_proxy.proxy_client_key_file)
        self._clock = clock
        self._generation = -1
        self._by_version: dict[tuple[str, str], Object] = {}
        self._transports: OrderedDict[tuple[str, str, str, bool, int], HttpTransport] = OrderedDict()

    def all(self) -> Mapping[tuple[str, str], Object]:
        """By (group, version)."""
        generation = self._reader.generation(API_SERVICES)
        if generation != self._generation:
            self._by_version = {
                (service["spec"].get("group", ""), service["spec"]["version"]): service
                for service in self._reader.list(API_SERVICES)
                if service["spec"].get("service") is not None
            }
            self._generation = generation
        return self._by_version

    def base_url(self, service: Object) -> str:
        """Raises `Unroutable`."""
        reference = service["spec"]["service"]
        return f"https://{self._resolver.resolve(reference['namespace'], reference['name'], reference.get('port') or 443)}"

    def transport(self, service: Object) -> HttpTransport:
        """Raises `Unroutable`, `Misconfigured`."""
        spec = service["spec"]
        name = f"{spec['service']['name']}.{spec['service']['namespace']}.svc"
        ca_bundle, insecure = spec.get("caBundle") or "", bool(spec.get("insecureSkipTLSVerify"))
        base_url = self.base_url(service)
        try:
            key = (base_url, name, ca_bundle, insecure, self._certificate.look() if self._certificate else 0)
            known = self._transports.get(key)
            if known is not None:
                self._transports.move_to_end(key)
                return known
            context = self._context(ca_bundle, insecure=insecure)
        except (OSError, ValueError, binascii.Error) as error:  # ssl.SSLError included
            raise Misconfigured(str(error)) from error
        made = HttpTransport(base_url, ssl_context=context, server_hostname=name, clock=self._clock)
        self._transports[key] = made
        while len(self._transports) > TRANSPORTS_MAX:
            self._transports.popitem(last=False)  # it goes when its last exchange is over
        return made

    def _context(self, ca_bundle: str, *, insecure: bool) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if insecure:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        elif ca_bundle:
            context.load_verify_locations(cadata=base64.b64decode(ca_bundle).decode("ascii"))
        else:
            context.load_default_certs()
        if self._certificate is not None:
            load_certificate(context, *self._certificate.content)
        return context

    async def close(self) -> None:
        transports, self._transports = self._transports, OrderedDict()
        for transport in transports.values():
            await transport.close()
