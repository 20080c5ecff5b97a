"""Cross-origin requests of browsers, from the origins that `--cors-allowed-origins` names by regular expressions.

Outermost, since a browser asks first (OPTIONS) and without credentials. Source: Fetch Standard, section 3.2 ("CORS protocol").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pybernetes.machinery.go_regexp import Pattern, compile_pattern
from pybernetes.machinery.http.messages import Handler, Request, Response

_ALLOWED: Final = {
    "Access-Control-Allow-Methods": "POST, GET, OPTIONS, PUT, DELETE, PATCH",
    "Access-Control-Allow-Headers": (
        "Content-Type, Content-Length, Accept-Encoding, X-CSRF-Token, Authorization, X-Requested-With, If-Modified-Since"
    ),
    "Access-Control-Expose-Headers": "Date",
    "Access-Control-Allow-Credentials": "true",
}


def allowing(patterns: Sequence[str], handler: Handler) -> Handler:
    """`handler`, and its answers marked for allowed origins; itself without patterns. Raises ValueError for a bad pattern."""
    if not patterns:
        return handler
    origins = [_compiled(pattern) for pattern in patterns]

    async def handle(request: Request) -> Response:
        origin = request.headers.get("origin", "")
        if not origin or not any(allowed.matches(origin) for allowed in origins):
            return await handler(request)
        response = Response(204) if request.method == "OPTIONS" else await handler(request)
        response.headers = {**response.headers, "Access-Control-Allow-Origin": origin, **_ALLOWED}
        return response

    return handle


def _compiled(pattern: str) -> Pattern:
    try:
        return compile_pattern(pattern)
    except ValueError as error:
        raise ValueError(f"--cors-allowed-origins has an invalid regular expression: {error}") from error
