"""Acting as someone else: the Impersonate-* headers.

Source: https://kubernetes.io/docs/reference/access-authn-authz/authentication/#user-impersonation
"""

from __future__ import annotations

from collections.abc import Mapping

from pybernetes.apiserver.attributes import RequestInfo, User
from pybernetes.apiserver.authorization.interface import Authorizer


async def impersonate(user: User, headers: Mapping[str, str], info: RequestInfo, authorizer: Authorizer) -> User:
    """The user to serve the request for: `user` itself where no Impersonate-* header is.

    Raises `BadRequest` for headers that miss the user, `Forbidden` where `user` may not.
    """
    raise NotImplementedError
