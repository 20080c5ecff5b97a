"""OpenAPI documents.

Not served yet: 404 makes clients skip client-side schema checks (the server checks every field anyway, `fieldValidation`).
"""

from __future__ import annotations

from pybernetes.apiserver.discovery import Discovery
from pybernetes.machinery.http.messages import Request, Response


class OpenApi:
    def __init__(self, discovery: Discovery) -> None:
        self._discovery = discovery

    async def serve(self, request: Request) -> Response:
        return Response(404, {}, b"")
