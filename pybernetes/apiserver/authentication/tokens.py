"""The TokenRequest subresource: signing service-account tokens.

Source: https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-request-v1/
"""

from __future__ import annotations

from pybernetes.apiserver.authentication.union import Options
from pybernetes.apiserver.registry.strategy import Reader
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.entropy import Entropy
from pybernetes.machinery.meta import Object


class Issuer:
    """Signs tokens with the server's key."""

    def __init__(self, options: Options, *, reader: Reader, clock: Clock, entropy: Entropy) -> None:
        raise NotImplementedError

    def issue(self, namespace: str, name: str, token_request: Object) -> Object:
        """Answer `serviceaccounts/NAME/token`: the TokenRequest with its spec completed and `status.token`.

        Raises `NotFound` (account or bound object), `Conflict` (uid differs), `Invalid`.
        """
        raise NotImplementedError

    def openid_configuration(self) -> Object:
        """`/.well-known/openid-configuration`."""
        raise NotImplementedError

    def jwks(self) -> Object:
        """`/openid/v1/jwks`: the public keys."""
        raise NotImplementedError
