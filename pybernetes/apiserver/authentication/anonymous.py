"""Who has no credential: nobody in particular, where the server lets such requests in.

Source: https://kubernetes.io/docs/reference/access-authn-authz/authentication/#anonymous-requests
"""

from __future__ import annotations

from urllib.parse import unquote

from pybernetes.apiserver.attributes import ALL_UNAUTHENTICATED, ANONYMOUS, User
from pybernetes.machinery.http.messages import Request

_NOBODY = User(ANONYMOUS, groups=(ALL_UNAUTHENTICATED,))


class Anonymous:
    def __init__(self, *, enabled: bool, paths: tuple[str, ...] = ()) -> None:
        """`paths`: exactly these; none is all of them."""
        self._enabled = enabled
        self._paths = frozenset(paths)

    def user(self, request: Request) -> User | None:
        if not self._enabled or (self._paths and unquote(request.path) not in self._paths):
            return None
        return _NOBODY
