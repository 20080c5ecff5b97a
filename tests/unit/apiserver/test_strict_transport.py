"""The Strict-Transport-Security header (RFC 6797)."""

from __future__ import annotations

import pytest

from pybernetes.apiserver.strict_transport import announcing
from pybernetes.machinery.http.messages import Request, Response


async def handler(_: Request) -> Response:
    return Response(200)


async def test_directives_are_on_every_answer() -> None:
    made = announcing(["max-age=31536000", "includeSubDomains"], handler)
    answer = await made(Request("GET", "/"))
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"
    assert announcing((), handler) is handler


def test_an_unknown_directive_is_refused() -> None:
    with pytest.raises(ValueError, match="includeSubdomains"):
        announcing(["includeSubdomains"], handler)
