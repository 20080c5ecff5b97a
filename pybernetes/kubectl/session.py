"""What a verb works with: the API client that the flags and kubeconfig describe, the namespace, and the terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from pybernetes.client import kubeconfig
from pybernetes.client.rest import Client, parse_object
from pybernetes.client.transport import Transport
from pybernetes.kubectl.failure import Failure, UsageFailure, sentence
from pybernetes.kubectl.flags import Options, duration_s
from pybernetes.kubectl.mapper import Mapper
from pybernetes.machinery.clock import Clock, SystemClock
from pybernetes.machinery.entropy import Entropy, SystemEntropy
from pybernetes.machinery.http.messages import Repeated, Request, Response, Upgradable
from pybernetes.machinery.meta import Object, Resource

DEFAULT_TIMEOUT_S = 60.0


class Session:
    """One run of kubectl. Nothing is read or sent before it is asked for."""

    def __init__(
        self,
        options: Options,
        *,
        transport: Transport | None = None,
        stdout: IO[str] | None = None,
        stderr: IO[str] | None = None,
        clock: Clock | None = None,
        entropy: Entropy | None = None,
    ) -> None:
        """`transport` replaces the connection that kubeconfig describes (tests, and the simulator)."""
        self.options = options
        self.stdout: IO[str] = stdout or sys.stdout
        self.stderr: IO[str] = stderr or sys.stderr
        self.clock: Clock = clock or SystemClock()
        self.entropy: Entropy = entropy or SystemEntropy()
        self.failed = False
        self.warnings = 0
        self._given_transport = transport
        self._access: kubeconfig.Access | None = None
        self._client: Client | None = None
        self._mapper: Mapper | None = None

    # What the flags and the kubeconfig say.

    @property
    def access(self) -> kubeconfig.Access:
        """Raises `Failure` where the kubeconfig or a flag is wrong."""
        if self._access is None:
            try:
                self._access = self._find_access()
            except kubeconfig.ConfigError as error:
                raise Failure(str(error).removeprefix("error: ")) from error
        return self._access

    def config(self) -> Object:
        """The kubeconfig: the named file, or those of $KUBECONFIG merged, or ~/.kube/config."""
        path = self.options.text("kubeconfig")
        try:
            return kubeconfig.load(path) if path else kubeconfig.load_merged(kubeconfig.default_paths())
        except kubeconfig.ConfigError as error:
            raise Failure(str(error).removeprefix("error: ")) from error

    def config_paths(self) -> list[Path]:
        path = self.options.text("kubeconfig")
        return [Path(path)] if path else kubeconfig.default_paths()

    def _find_access(self) -> kubeconfig.Access:
        text = self.options.text
        access = kubeconfig.Access(self.config(), text("context"), cluster=text("cluster"), user=text("user"))
        access.cluster, access.user = dict(access.cluster), dict(access.user)
        for flag, entry, key in (
            ("server", access.cluster, "server"),
            ("tls-server-name", access.cluster, "tls-server-name"),
            ("certificate-authority", access.cluster, "certificate-authority"),
            ("client-certificate", access.user, "client-certificate"),
            ("client-key", access.user, "client-key"),
            ("token", access.user, "token"),
        ):
            if text(flag):
                entry[key] = text(flag)
                entry.pop(f"{key}-data", None)
        if self.options.flag("insecure-skip-tls-verify"):
            access.cluster["insecure-skip-tls-verify"] = True
        return access

    @property
    def namespace(self) -> str:
        """The namespace to work in: the flag's, the context's, or "default"."""
        return self.options.text("namespace") or (self.access.namespace if self._given_transport is None else "default")

    @property
    def namespace_is_given(self) -> bool:
        return self.options.given("namespace")

    @property
    def host(self) -> str:
        """HOST:PORT of the server, for messages."""
        return urlsplit(self.access.server).netloc if self._given_transport is None else "in-process"

    @property
    def timeout_s(self) -> float | None:
        text = self.options.text("request-timeout")
        try:
            seconds = float(text) if text.isdigit() else duration_s(text)
        except ValueError as error:
            raise UsageFailure(
                "Invalid timeout value. Timeout must be a single integer in seconds, or an integer followed by a corresponding "
                "time unit (e.g. 1s | 2m | 3h)"
            ) from error
        return seconds or None

    # The server.

    @property
    def client(self) -> Client:
        if self._client is None:
            transport: Transport
            if self._given_transport is not None:
                transport = self._given_transport
            else:
                try:
                    transport = self.access.transport(self.clock)
                except kubeconfig.ConfigError as error:
                    raise Failure(str(error)) from error
            transport = _WarningTransport(transport, self)
            self._client = Client(transport, user_agent="kubectl/pybernetes", clock=self.clock, entropy=self.entropy)
        return self._client

    @property
    def mapper(self) -> Mapper:
        if self._mapper is None:
            self._mapper = Mapper(self.client)
        return self._mapper

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Object:
        """One request whose answer is an object. Raises as `Client.raw`."""
        response = await self.raw(method, path, query=query, body=body, headers=headers)
        assert isinstance(response.body, bytes)
        return parse_object(response.body)

    async def raw(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        stream: bool = False,
    ) -> Response:
        return await self.client.raw(
            method, path, query=query, body=body, headers=headers, stream=stream, timeout_s=self.timeout_s or DEFAULT_TIMEOUT_S
        )

    async def get_object(self, resource: Resource, namespace: str, name: str) -> Object:
        return await self.request("GET", resource.path(namespace if resource.namespaced else "", name))

    def impersonation(self) -> dict[str, str]:
        headers = {}
        if user := self.options.text("as"):
            headers["impersonate-user"] = user
        if uid := self.options.text("as-uid"):
            headers["impersonate-uid"] = uid
        if groups := self.options.texts("as-group"):
            headers["impersonate-group"] = Repeated.of(groups)
        return headers

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    # The terminal.

    def print(self, text: str = "") -> None:
        self.stdout.write(text + "\n")

    def write(self, data: bytes) -> None:
        """Bytes to standard output as they are (logs)."""
        buffer: Any = getattr(self.stdout, "buffer", None)
        if buffer is None:
            self.stdout.write(data.decode("utf-8", "replace"))
        else:
            self.stdout.flush()
            buffer.write(data)
            buffer.flush()

    def note(self, text: str) -> None:
        """A line on standard error."""
        self.stdout.flush()
        self.stderr.write(text + "\n")
        self.stderr.flush()

    def report(self, error: Exception, doing: str = "") -> None:
        """Say that something failed and go on; the exit code will be 1."""
        self.failed = True
        self.note(sentence(error, self.host, doing))

    @property
    def exit_code(self) -> int:
        return 1 if self.failed else 0


class _WarningTransport:
    """Prints the server's warnings (RFC 9111 `Warning` headers, KEP-1693), each once, and impersonates where asked to."""

    def __init__(self, transport: Transport, session: Session) -> None:
        self._transport = transport
        self._session = session
        self._seen: set[str] = set()

    async def send(self, request: Request, *, stream: bool = False, timeout_s: float | None = 60) -> Response:
        response = await self._transport.send(self._dressed(request), stream=stream, timeout_s=timeout_s)
        self._warn(response)
        return response

    async def upgrade(self, request: Request, *, timeout_s: float = 30) -> tuple[Response, Upgradable | None]:
        return await self._transport.upgrade(self._dressed(request), timeout_s=timeout_s)

    async def reachable(self) -> bool:
        return await self._transport.reachable()

    async def close(self) -> None:
        await self._transport.close()

    def _dressed(self, request: Request) -> Request:
        extra = self._session.impersonation()
        if extra:
            request.headers = {**request.headers, **extra}
        return request

    def _warn(self, response: Response) -> None:
        header = response.headers.get("warning")
        if header is None:
            return
        for text in warnings_of(header):
            if text not in self._seen:
                self._seen.add(text)
                self._session.warnings += 1
                self._session.note(f"Warning: {text}")


def warnings_of(header: str) -> list[str]:
    """The texts of a `Warning` header: `299 - "text", 299 - "text"`."""
    import re

    return [re.sub(r"\\(.)", r"\1", text) for text in re.findall(r'299 \S+ "((?:[^"\\]|\\.)*)"', header)]
