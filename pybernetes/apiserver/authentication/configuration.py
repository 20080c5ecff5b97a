"""AuthenticationConfiguration: the file of `--authentication-config`, or what the `--oidc-*` flags say, in its shape.

Entries stay the plain objects of the file; `configuration_checks` judges them, `claim_mapping` carries them out.
Source: https://kubernetes.io/docs/reference/config-api/apiserver-config.v1/
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from pybernetes.apiserver.authentication.options import OidcOptions
from pybernetes.machinery import config_file
from pybernetes.machinery.meta import Object

KIND: Final = "AuthenticationConfiguration"
GROUP: Final = "apiserver.config.k8s.io"
ALGORITHMS: Final = ("ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512")


@dataclass(frozen=True, slots=True)
class Configuration:
    jwt: tuple[Object, ...] = ()  # JWTAuthenticators
    anonymous: Object | None = None  # None: as the flag says
    signing_algs: tuple[str, ...] = ALGORITHMS


def _object(**fields: Any) -> Object:
    return {"type": "object", "properties": fields}


def _list(items: Object) -> Object:
    return {"type": "array", "items": items}


_TEXT: Final = {"type": "string"}
_MAPPING: Final = _object(claim=_TEXT, prefix=_TEXT, expression=_TEXT)
_JWT: Final = _object(
    issuer=_object(
        url=_TEXT, discoveryURL=_TEXT, certificateAuthority=_TEXT, audiences=_list(_TEXT), audienceMatchPolicy=_TEXT,
        egressSelectorType=_TEXT,
    ),
    claimValidationRules=_list(_object(claim=_TEXT, requiredValue=_TEXT, expression=_TEXT, message=_TEXT)),
    claimMappings=_object(
        username=_MAPPING, groups=_MAPPING, uid=_object(claim=_TEXT, expression=_TEXT),
        extra=_list(_object(key=_TEXT, valueExpression=_TEXT)),
    ),
    userValidationRules=_list(_object(expression=_TEXT, message=_TEXT)),
)  # fmt: skip
_SCHEMA: Final = _object(
    kind=_TEXT, apiVersion=_TEXT, jwt=_list(_JWT),
    anonymous=_object(enabled={"type": "boolean"}, conditions=_list(_object(path=_TEXT))),
)  # fmt: skip


def load(data: bytes) -> Configuration:
    """Raises ValueError for what is no such file; whether what it says makes sense is another question."""
    if not data:
        raise ValueError("empty config data")
    versions = {f"{GROUP}/{version}": _SCHEMA for version in ("v1", "v1beta1", "v1alpha1")}
    read = config_file.read(data, KIND, versions)
    return Configuration(tuple(read.get("jwt") or ()), read.get("anonymous"))


def of_flags(options: OidcOptions) -> Configuration:
    """Raises ValueError for flags that miss others, OSError for a file that cannot be read."""
    if not options.issuer_url or not options.client_id:
        raise ValueError("oidc-issuer-url and oidc-client-id must be specified together when any oidc-* flags are set")
    for algorithm in options.signing_algs:
        if algorithm not in ALGORITHMS:
            raise ValueError(f'oidc: unsupported signing alg: "{algorithm}"')
    issuer: Object = {"url": options.issuer_url, "audiences": [options.client_id]}
    if options.ca_file is not None:
        issuer["certificateAuthority"] = options.ca_file.read_text()
    mappings: Object = {"username": {"claim": options.username_claim, "prefix": _username_prefix(options)}}
    if options.groups_claim:
        mappings["groups"] = {"claim": options.groups_claim, "prefix": options.groups_prefix}
    rules = [{"claim": claim, "requiredValue": value} for claim, value in options.required_claim.items()]
    entry = {"issuer": issuer, "claimMappings": mappings, "claimValidationRules": rules}
    return Configuration((entry,), signing_algs=options.signing_algs or ("RS256",))


def _username_prefix(options: OidcOptions) -> str:
    if options.username_prefix == "-":
        return ""
    if not options.username_prefix and options.username_claim != "email":
        return f"{options.issuer_url}#"  # names of several issuers must not meet
    return options.username_prefix
