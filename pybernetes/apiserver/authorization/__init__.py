"""May they: a `User` and a `RequestInfo` become a verdict.

    build(modes, reader).authorize(user, info) -> Verdict     `forbidden(user, info)` -> the 403 that says no

Start at `union.py` (modes, order), then `rbac.py` and `node.py`. `escalation.py` guards writes of roles and bindings;
`reviews.py` answers the four access reviews.

Source: https://kubernetes.io/docs/reference/access-authn-authz/authorization/
"""

from pybernetes.apiserver.authorization.union import build, forbidden

__all__ = ["build", "forbidden"]
