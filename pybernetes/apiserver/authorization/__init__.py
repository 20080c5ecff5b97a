"""May they: a `User` and a `RequestInfo` become a verdict.

    Chain(options, reader).authorize(user, info) -> Verdict     `forbidden(user, info)` -> the 403 that says no

    flags or file → `configuration` → `chain` (made, followed) → `union` (asked in order)
    → `rbac`, `node`, `abac`, `webhook` (`conditions`: whether, `questions`: what)

`escalation.py` guards writes of roles and bindings; `reviews.py` answers the four access reviews.

Source: https://kubernetes.io/docs/reference/access-authn-authz/authorization/
"""

from pybernetes.apiserver.authorization.chain import Chain, Options
from pybernetes.apiserver.authorization.configuration import of_modes
from pybernetes.apiserver.authorization.union import forbidden

__all__ = ["Chain", "Options", "forbidden", "of_modes"]
