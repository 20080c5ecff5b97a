"""`Strict-Transport-Security` on all answers, as `--strict-transport-security-directives` has it (RFC 6797)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pybernetes.machinery.http.messages import Handler, Request, Response


def announcing(directives: Sequence[str], handler: Handler) -> Handler:
    """`handler` itself without directives. Raises ValueError for one that there is not."""
    if not directives:
        return handler
    for directive in directives:
        if directive not in ("includeSubDomains", "preload") and not re.fullmatch(r"max-age=\d+", directive):
            raise ValueError(
                f"--strict-transport-security-directives invalid, allowed values: max-age=expireTime, "
                f"includeSubDomains, preload: {directive}"
            )
    value = "; ".join(directives)

    async def handle(request: Request) -> Response:
        response = await handler(request)
        response.headers["Strict-Transport-Security"] = value
        return response

    return handle
