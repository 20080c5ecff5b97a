"""What header fields say whatever is asked for: read once for all requests of a connection that carry the same ones."""

from __future__ import annotations

from collections.abc import Mapping

from pybernetes.apiserver import compression, indenting
from pybernetes.apiserver.attributes import User
from pybernetes.machinery.http.messages import Memo, Request


class Habits:
    """`user` is whom the fields prove, where nothing but a restart changes that; None: ask the authenticators each time."""

    __slots__ = ("compresses", "impersonates", "indents", "user")

    def __init__(self, headers: Mapping[str, str]) -> None:
        self.compresses = compression.accepted(headers.get("accept-encoding", ""))
        self.impersonates = any(name.startswith("impersonate-") for name in headers)
        self.indents = indenting.for_people(headers.get("user-agent", ""))
        self.user: User | None = None


def of(request: Request) -> Habits:
    memo = request.memo
    if memo is None:  # nobody shares it, and this request asks several times
        memo = request.memo = Memo()
    kept = memo.kept
    if type(kept) is not Habits:
        kept = memo.kept = Habits(request.headers)
    return kept
