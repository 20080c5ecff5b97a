"""The keys that sign service-account tokens: read from PEM, named as upstream names them, published as a JWK set."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from pybernetes.machinery.meta import Object

_ALGORITHMS = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}


@dataclass(frozen=True, slots=True)
class PublicKey:
    """`id` is the digest of the key itself, so that all servers of a cluster agree on it."""

    id: str
    algorithm: str
    key: EllipticCurvePublicKey | RSAPublicKey

    def to_jwk(self) -> Object:
        jwk: Object = {"use": "sig", "kid": self.id, "alg": self.algorithm}
        if isinstance(self.key, RSAPublicKey):
            rsa = self.key.public_numbers()
            return {**jwk, "kty": "RSA", "n": _number(rsa.n, (rsa.n.bit_length() + 7) // 8), "e": _number(rsa.e, 3)}
        point, size = self.key.public_numbers(), (self.key.curve.key_size + 7) // 8
        curve = _CURVES[self.algorithm]
        return {**jwk, "kty": "EC", "crv": curve, "x": _number(point.x, size), "y": _number(point.y, size)}


@dataclass(frozen=True, slots=True)
class SigningKey:
    key: EllipticCurvePrivateKey | RSAPrivateKey
    public: PublicKey

    def __repr__(self) -> str:
        return f"SigningKey({self.public.id})"


def read_signing_key(path: Path) -> SigningKey:
    """Raises OSError, and ValueError for what is no RSA or EC private key."""
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ValueError(f"{path}: no private key that we can sign with: {error}") from error
    if not isinstance(key, EllipticCurvePrivateKey | RSAPrivateKey):
        raise ValueError(f"{path}: neither an RSA nor an EC key")
    return SigningKey(key, public_key(key.public_key()))


def read_public_keys(paths: Iterable[Path]) -> list[PublicKey]:
    """The verifying keys, without repeats; a private key's file stands for its public key. Raises as `read_signing_key`."""
    keys: dict[str, PublicKey] = {}
    for path in paths:
        pem = path.read_bytes()
        if b"PRIVATE KEY" in pem:
            found = read_signing_key(path).public
        else:
            try:
                key = load_pem_public_key(pem)
            except (ValueError, UnsupportedAlgorithm) as error:
                raise ValueError(f"{path}: no public key: {error}") from error
            if not isinstance(key, EllipticCurvePublicKey | RSAPublicKey):
                raise ValueError(f"{path}: neither an RSA nor an EC key")
            found = public_key(key)
        keys[found.id] = found
    return list(keys.values())


def public_key(key: EllipticCurvePublicKey | RSAPublicKey) -> PublicKey:
    algorithm = "RS256" if isinstance(key, RSAPublicKey) else _ALGORITHMS.get(key.curve.name, "")
    if not algorithm:
        raise ValueError("an EC key must be on P-256, P-384 or P-521")
    digest = hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
    return PublicKey(_base64url(digest), algorithm, key)


def _number(value: int, size: int) -> str:
    return _base64url(value.to_bytes(size, "big"))


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
