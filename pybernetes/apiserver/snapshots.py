"""GET /pybernetes/snapshot: the whole store as a file, for `pyb snapshot save`.

It holds every Secret, so it takes the right to `get` this path, which administrators alone have by default.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

from pybernetes.apiserver.registry import rendering
from pybernetes.machinery.http.messages import Response
from pybernetes.store.interface import Store

PATH = "/pybernetes/snapshot"


async def serve(store: Store) -> Response:
    """Made before the answer begins, so that a failure is an answer."""
    from pybernetes.store.snapshot import pieces  # loads protobuf

    found = pieces(store)
    first = await anext(found)
    response = rendering.respond(200, b"", (), "application/octet-stream")
    response.headers["X-Pybernetes-Revision"] = str(first.revision)

    async def body() -> AsyncGenerator[bytes, None]:
        try:
            yield first.data
            async for piece in found:
                yield piece.data
        finally:
            await found.aclose()

    response.body = body()
    return response
