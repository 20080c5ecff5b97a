"""Front proxies: they have authenticated the user, and say by headers who it is.

Their own certificate proves them: it must come from the authority for front proxies and bear an allowed name. The headers are
taken off the request then, so that nothing behind sees them.

Source: https://kubernetes.io/docs/reference/access-authn-authz/authentication/#authenticating-proxy
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import unquote

from pybernetes.apiserver.attributes import User
from pybernetes.apiserver.authentication.authorities import Authorities
from pybernetes.apiserver.authentication.options import RequestHeaderOptions
from pybernetes.apiserver.authentication.x509 import read
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.errors import Unauthorized
from pybernetes.machinery.http.messages import Request, lines_of


class FrontProxies:
    def __init__(self, options: RequestHeaderOptions, authorities: Authorities, clock: Clock) -> None:
        """Raises ValueError for a header without a name."""
        self._authorities = authorities
        self._clock = clock
        self._allowed_names = frozenset(options.allowed_names)
        self._username = _names(options.username_headers)
        self._uid = _names(options.uid_headers)
        self._groups = _names(options.group_headers)
        self._extra_prefixes = _names(options.extra_headers_prefix)
        self._identity = IdentityHeaders(options)

    async def authenticate(self, request: Request) -> User | None:
        headers = request.headers
        if not request.peer_chain:
            return None
        name = _first(headers, self._username)
        if not name:  # before the certificate is looked at: most requests come from users, whose certificates are others
            return None
        self._check_certificate(request)
        groups = (line for header in self._groups if header in headers for line in lines_of(headers[header]) if line)
        user = User(name, _first(headers, self._uid), tuple(groups), self._extra(headers))
        self._identity.take_off(request)
        return user

    def _check_certificate(self, request: Request) -> None:
        if not self._authorities.have_vouched_for(request):
            raise Unauthorized("x509: certificate signed by unknown authority")
        certificate = read(request.peer_chain[0])
        certificate.check_time(self._clock.now())
        if self._allowed_names and certificate.common_name not in self._allowed_names:
            raise Unauthorized(f"x509: subject with cn={certificate.common_name} is not in the allowed list")

    def _extra(self, headers: Mapping[str, str]) -> Mapping[str, tuple[str, ...]]:
        extra: dict[str, tuple[str, ...]] = {}
        for prefix in self._extra_prefixes:
            for header, value in headers.items():
                if header.startswith(prefix):
                    key = unquote(header.removeprefix(prefix))
                    extra[key] = (*extra.get(key, ()), *lines_of(value))
        return extra


class IdentityHeaders:
    """All headers by which somebody might say that another asks: the usual ones, and those of the flags."""

    def __init__(self, options: RequestHeaderOptions | None) -> None:
        own: tuple[str, ...] = ()
        self._prefixes: tuple[str, ...] = ("x-remote-extra-",)
        if options is not None:
            own = _names((*options.username_headers, *options.uid_headers, *options.group_headers))
            self._prefixes += _names(options.extra_headers_prefix)
        self._headers = frozenset(("x-remote-user", "x-remote-uid", "x-remote-group", *own))

    def take_off(self, request: Request) -> None:
        request.headers = {
            name: value
            for name, value in request.headers.items()
            if name not in self._headers and not name.startswith(self._prefixes)
        }


def _names(given: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_checked(given))


def _checked(given: tuple[str, ...]) -> Iterator[str]:
    for name in given:
        if not name.strip():
            raise ValueError(f'empty header "{name}"')
        yield name.strip().lower()


def _first(headers: Mapping[str, str], names: tuple[str, ...]) -> str:
    """The first line of the first header that says something."""
    for name in names:
        value = headers.get(name)
        if value and (first := lines_of(value)[0]):
            return first
    return ""
