"""What a JWT says before anybody has looked at its signature: only to find out whose it may be."""

from __future__ import annotations

import base64
import binascii

import orjson

from pybernetes.machinery.meta import Object


def unverified_claims(token: str) -> Object | None:
    """What a token says, whoever may have signed it; None for what is no JWT."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = orjson.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (orjson.JSONDecodeError, binascii.Error, ValueError):
        return None
    return claims if isinstance(claims, dict) else None


def unverified_issuer(token: str) -> str:
    """Whom a token names as its issuer; "" for what is no JWT."""
    issuer = (unverified_claims(token) or {}).get("iss")
    return issuer if isinstance(issuer, str) else ""
