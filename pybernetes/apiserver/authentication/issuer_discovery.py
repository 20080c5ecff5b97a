"""How others find out which keys sign service-account tokens: the OpenID discovery document and the key set.

Source: https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/#service-account-issuer-discovery
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import orjson

from pybernetes.machinery.errors import NotAcceptable
from pybernetes.machinery.http.messages import Request, Response

if TYPE_CHECKING:
    from pybernetes.apiserver.authentication.tokens import Issuer

KEYS_PATH: Final = "/openid/v1/jwks"
PATHS: Final = ("/.well-known/openid-configuration", KEYS_PATH)
_KEYS_MEDIA: Final = "application/jwk-set+json"


def is_discoverable(issuer: str) -> bool:
    """Whether relying parties could follow the issuer's name to its documents (OpenID Connect Discovery, section 3)."""
    parts = urlsplit(issuer)
    return parts.scheme == "https" and bool(parts.netloc) and not parts.query and not parts.fragment


def serve(request: Request, issuer: Issuer) -> Response:
    """One of `PATHS`. Raises `NotAcceptable`."""
    keys = request.path == KEYS_PATH
    media = _KEYS_MEDIA if keys else "application/json"
    _check_accepted(request.headers.get("accept", ""), media)
    document = issuer.jwks() if keys else issuer.openid_configuration()
    return Response(200, {"Content-Type": media, "Cache-Control": "public, max-age=3600"}, orjson.dumps(document))


def _check_accepted(accept: str, media: str) -> None:
    ranges = {part.partition(";")[0].strip().lower() for part in accept.split(",") if part.strip()}
    if ranges and not ranges & {media, "*/*", f"{media.partition('/')[0]}/*"}:
        error = NotAcceptable(f"406: Not Acceptable\n\nAvailable representations: {media}")
        error.status["details"] = {}
        raise error
