"""An OpenID Connect provider over TLS, with keys of its own."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from pybernetes.machinery.http.messages import Request, Response
from pybernetes.machinery.http.server import Server as HttpServer

JSON = {"Content-Type": "application/json"}


class Provider:
    """Serves discovery and keys as `documents` says, and counts who comes for what."""

    def __init__(self) -> None:
        self.http: HttpServer | None = None
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.keys: dict[str, Any] = {}
        self.documents: dict[str, Callable[[], Response]] = {
            "/.well-known/openid-configuration": lambda: self.answer(self.discovery()),
            "/keys": lambda: self.answer({"keys": [self._public(name) for name in self.keys]}),
        }
        self.add_key("first")

    @property
    def url(self) -> str:
        assert self.http is not None
        return f"https://127.0.0.1:{self.http.port}"

    async def handle(self, request: Request) -> Response:
        self.asked.append(request.path)
        self.headers.append(dict(request.headers))
        document = self.documents.get(request.path)
        return Response(404, {}, b"no such thing") if document is None else document()

    def answer(self, document: Any) -> Response:
        return Response(200, dict(JSON), json.dumps(document).encode())

    def discovery(self) -> Any:
        return {"issuer": self.url, "jwks_uri": f"{self.url}/keys", "id_token_signing_alg_values_supported": ["RS256"]}

    def add_key(self, name: str, algorithm: str = "RS256") -> None:
        elliptic = algorithm.startswith("ES")
        self.keys[name] = ec.generate_private_key(ec.SECP256R1()) if elliptic else rsa.generate_private_key(65537, 2048)

    def _public(self, name: str) -> Any:
        key = self.keys[name]
        family = jwt.algorithms.ECAlgorithm if isinstance(key, ec.EllipticCurvePrivateKey) else jwt.algorithms.RSAAlgorithm
        return {**json.loads(family.to_jwk(key.public_key())), "kid": name, "use": "sig"}

    def token(self, key: str = "first", algorithm: str = "RS256", *, signed_by: Any = None, **claims: Any) -> str:
        """An ID token for `me`, but for the claims given (None leaves one out)."""
        now = int(time.time())
        said = {"iss": self.url, "aud": "kubernetes", "sub": "jane", "iat": now, "exp": now + 600, **claims}
        said = {name: value for name, value in said.items() if value is not None}
        return jwt.encode(said, signed_by or self.keys[key], algorithm=algorithm, headers={"kid": key})
