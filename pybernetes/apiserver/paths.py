"""Paths that name no resource: health, metrics, discovery, documents, and what operators look into a server with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

import orjson

from pybernetes.apiserver import refusals, requests, snapshots, version
from pybernetes.apiserver.aggregation.aggregator import Aggregator
from pybernetes.apiserver.attributes import User
from pybernetes.apiserver.authentication import issuer_discovery
from pybernetes.apiserver.discovery import AGGREGATED, Discovery
from pybernetes.apiserver.health import Health
from pybernetes.apiserver.openapi import OpenApi
from pybernetes.apiserver.registry import rendering
from pybernetes.machinery.http.health import ROOTS
from pybernetes.machinery.http.messages import Request, Response
from pybernetes.store.interface import Store

if TYPE_CHECKING:
    from pybernetes.apiserver.authentication.tokens import Issuer

_READ_ONLY = ("/", "/version", "/version/", snapshots.PATH)

Page = Callable[[Request], Awaitable[Response]]


class Paths:
    """`pages` are further ones: by path, or by a prefix that ends with "/"."""

    def __init__(
        self,
        *,
        store: Store,
        health: Health,
        discovery: Discovery,
        openapi: OpenApi,
        aggregator: Aggregator,
        tokens: Issuer | None,
        pages: Mapping[str, Page],
    ) -> None:
        self._store = store
        self._health = health
        self._discovery = discovery
        self._openapi = openapi
        self._aggregator = aggregator
        self._tokens = tokens
        self._pages = pages
        self._below = tuple((prefix, page) for prefix, page in pages.items() if prefix.endswith("/"))

    async def serve(self, request: Request, user: User) -> Response:
        """Raises `NotFound`, `MethodNotAllowed`."""
        path = request.path
        if path.startswith(ROOTS):
            return await self.health(request)
        page = self._pages.get(path) or next((page for prefix, page in self._below if path.startswith(prefix)), None)
        if page is not None:
            return await page(request)
        if path.startswith("/openapi/"):
            return await self._aggregator.openapi(request, user, self._openapi.serve)
        if path in issuer_discovery.PATHS and self._tokens is not None and self._tokens.is_discoverable:
            return issuer_discovery.serve(request, self._tokens)
        if (path.startswith(("/api", "/apis")) or path in _READ_ONLY) and request.method not in ("GET", "HEAD"):
            raise refusals.not_allowed()
        if path in ("/version", "/version/"):
            return rendering.respond(200, orjson.dumps(version.INFO, option=orjson.OPT_INDENT_2))
        if path == snapshots.PATH:
            return await snapshots.serve(self._store)
        if path == "/":
            return rendering.respond(200, orjson.dumps({"paths": self._index()}))
        return self._document(request)

    async def health(self, request: Request) -> Response:
        return await self._health.serve(request) or refusals.page_not_found()

    def _index(self) -> list[str]:
        paths = ["/api", "/apis", *(f"/apis/{name}" for name in self._discovery.versions() if "/" in name)]
        paths += sorted({f"/apis/{name.partition('/')[0]}" for name in self._discovery.versions() if "/" in name})
        paths += [*ROOTS, *self._health.paths(), "/openapi/v2", "/openapi/v3", "/version"]
        if self._tokens is not None and self._tokens.is_discoverable:
            paths += issuer_discovery.PATHS
        return sorted([*paths, *(path for path in self._pages if not path.startswith("/debug"))])

    def _document(self, request: Request) -> Response:
        path = request.path
        aggregated = (
            path.rstrip("/") in ("/api", "/apis") and requests.negotiate(request.headers.get("accept", "")).api_discovery
        )
        found = self._discovery.document(path, aggregated=aggregated)
        found = self._aggregator.discovery(path, found, aggregated=aggregated)
        if found is not None:
            return rendering.respond(200, found, (), AGGREGATED if aggregated else requests.JSON)
        if path.startswith(("/api/", "/apis/")):
            raise refusals.unknown_path()
        return refusals.page_not_found()
