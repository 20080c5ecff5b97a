"""The TokenRequest subresource: signing service-account tokens.

Source: https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-request-v1/, KEP-1205, KEP-4193
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import NamedTuple

import jwt

from pybernetes.apiserver.authentication.issuer_discovery import KEYS_PATH, is_discoverable
from pybernetes.apiserver.authentication.options import Options
from pybernetes.apiserver.authentication.service_account import account_user_name
from pybernetes.apiserver.registry.strategy import Reader
from pybernetes.machinery import errors
from pybernetes.machinery.clock import Clock, rfc3339
from pybernetes.machinery.entropy import Entropy
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object, Resource, name_of, namespace_of, parse_api_version, uid_of
from pybernetes.machinery.resources import NODES, PODS, SECRETS, SERVICE_ACCOUNTS
from pybernetes.machinery.signing_keys import read_public_keys, read_signing_key

GROUP = "authentication.k8s.io"
DEFAULT_EXPIRATION_S = 3600
EXPIRATION_MIN_S = 600
EXPIRATION_MAX_S = 1 << 32
# The lifetime that the ServiceAccount admission plugin asks for: a mark by which such tokens are known, and extended, so that
# old clients which never read the file again go on working.
PROJECTED_EXPIRATION_S = 3607
EXTENDED_EXPIRATION_S = 365 * 24 * 3600


class Issued(NamedTuple):
    """`answer` is the TokenRequest with its token; the credential's id is for the audit log."""

    answer: Object
    credential_id: str
    warnings: Sequence[str]


class Issuer:
    """Signs tokens with the server's key."""

    def __init__(self, options: Options, *, reader: Reader, clock: Clock, entropy: Entropy) -> None:
        """Raises ValueError without issuer or signing key, and as `read_signing_key`."""
        if not options.service_account_issuer or options.service_account_signing_key_file is None:
            raise ValueError("--service-account-issuer and --service-account-signing-key-file are required to issue tokens")
        self._options = options
        self._issuer = options.service_account_issuer[0]
        self._key = read_signing_key(options.service_account_signing_key_file)
        public = [self._key.public, *read_public_keys(options.service_account_key_file)]
        self._public = list({key.id: key for key in public}.values())
        self._reader = reader
        self._clock = clock
        self._entropy = entropy

    def completed(self, namespace: str, name: str, token_request: Object) -> Object:
        """The TokenRequest that is asked of `serviceaccounts/NAME/token`, in order and with what goes without saying.

        Raises `NotFound` (account), `Conflict` (its uid differs), `BadRequest`, `Invalid`.
        """
        metadata = _checked_metadata(token_request.get("metadata") or {}, namespace, name)
        account = self._account(namespace, name)
        uid = metadata.get("uid") or uid_of(account)
        if uid != uid_of(account):
            why = f"the UID in the token request ({uid}) does not match the UID of the service account ({uid_of(account)})"
            raise errors.conflict(GROUP, "TokenRequest", name, why)
        spec = dict(token_request.get("spec") or {})
        spec.setdefault("expirationSeconds", DEFAULT_EXPIRATION_S)
        if not spec.get("audiences"):
            spec["audiences"] = list(self._options.audiences)
        problems = list(_spec_errors(spec))
        if problems:
            raise errors.invalid(GROUP, "TokenRequest", "", problems)
        created = rfc3339(self._clock.now())
        return {
            "kind": "TokenRequest",
            "apiVersion": f"{GROUP}/v1",
            "metadata": {**metadata, "name": name, "namespace": namespace, "uid": uid, "creationTimestamp": created},
            "spec": spec,
            "status": {"expirationTimestamp": None, "token": ""},
        }

    def issue(self, token_request: Object) -> Issued:
        """Sign what a completed TokenRequest asks for. Raises `NotFound` and `Conflict` (bound object), `BadRequest`."""
        account = self._account(namespace_of(token_request), name_of(token_request))
        spec, warnings = dict(token_request["spec"]), []
        bound = self._bound_claims(account, spec.get("boundObjectRef"))
        asked_s, longest_s = spec["expirationSeconds"], int(self._options.service_account_max_token_expiration_s)
        if longest_s and asked_s > longest_s:
            warnings.append(f"requested expiration of {asked_s} seconds shortened to {longest_s} seconds")
            spec["expirationSeconds"] = longest_s
        claims = self._claims(account, spec, bound)
        token = jwt.encode(claims, self._key.key, algorithm=self._key.public.algorithm, headers={"kid": self._key.public.id})
        expires = rfc3339(self._clock.now() + timedelta(seconds=spec["expirationSeconds"]))
        answer = {**token_request, "spec": spec, "status": {"token": token, "expirationTimestamp": expires}}
        return Issued(answer, f"JTI={claims['jti']}", warnings)

    def _account(self, namespace: str, name: str) -> Object:
        account = self._reader.get(SERVICE_ACCOUNTS, namespace, name)
        if account is None:
            raise errors.not_found("", SERVICE_ACCOUNTS.plural, name)
        return account

    def _claims(self, account: Object, spec: Object, bound: Object) -> Object:
        issued = int(self._clock.now().timestamp())
        lifetime = spec["expirationSeconds"]
        kubernetes: Object = {
            "namespace": namespace_of(account),
            **bound,
            "serviceaccount": {"name": name_of(account), "uid": uid_of(account)},
        }
        extended = (
            self._options.service_account_extend_token_expiration
            and "pod" in bound
            and lifetime == PROJECTED_EXPIRATION_S
            and set(spec["audiences"]) <= set(self._options.audiences)
        )
        if extended:
            kubernetes["warnafter"] = issued + lifetime
            lifetime = EXTENDED_EXPIRATION_S
        return {
            "aud": spec["audiences"],
            "exp": issued + lifetime,
            "iat": issued,
            "iss": self._issuer,
            "jti": self._entropy.uid(),
            "kubernetes.io": kubernetes,
            "nbf": issued,
            "sub": account_user_name(namespace_of(account), name_of(account)),
        }

    def _bound_claims(self, account: Object, reference: Object | None) -> Object:
        """The claims on the object that the token shall die with; a pod's node is said besides."""
        if reference is None:
            return {}
        namespace = namespace_of(account)
        group, version = parse_api_version(reference.get("apiVersion", ""))
        kind = reference.get("kind", "")
        if group or kind not in _BINDABLE:
            raise errors.BadRequest(f"cannot bind token to object of type {group}/{version}, Kind={kind}")
        resource = _BINDABLE[kind]
        found = self._reader.get(resource, namespace if resource.namespaced else "", reference["name"])
        if found is None:
            raise errors.not_found("", resource.plural, reference["name"])
        if kind == "Pod" and found["spec"].get("serviceAccountName", "") != name_of(account):
            raise errors.BadRequest(
                f'cannot bind token for serviceaccount "{name_of(account)}" to pod running with different serviceaccount name.'
            )
        uid = reference.get("uid", "")
        if uid and uid != uid_of(found):
            raise errors.conflict(
                group, kind, reference["name"],
                f"the UID in the bound object reference ({uid}) does not match the UID in record. "
                "The object might have been deleted and then recreated",
            )  # fmt: skip
        bound: Object = {kind.lower(): {"name": name_of(found), "uid": uid_of(found)}}
        node_name = found["spec"].get("nodeName", "") if kind == "Pod" else ""
        if node_name:
            node = self._reader.get(NODES, "", node_name)
            bound["node"] = {"name": node_name, **({} if node is None else {"uid": uid_of(node)})}
        return bound

    @property
    def is_discoverable(self) -> bool:
        """Whether the issuer's name leads relying parties to its documents."""
        return is_discoverable(self._issuer)

    def openid_configuration(self) -> Object:
        """`/.well-known/openid-configuration`."""
        return {
            "issuer": self._issuer,
            "jwks_uri": self._options.service_account_jwks_uri or self._issuer.rstrip("/") + KEYS_PATH,
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": sorted({key.algorithm for key in self._public}),
        }

    def jwks(self) -> Object:
        """`/openid/v1/jwks`: the public keys."""
        return {"keys": [key.to_jwk() for key in self._public]}


_BINDABLE: dict[str, Resource] = {"Pod": PODS, "Secret": SECRETS, "Node": NODES}


def _checked_metadata(metadata: Object, namespace: str, name: str) -> Object:
    if metadata.get("namespace", namespace) not in ("", namespace):
        raise errors.BadRequest("the namespace of the provided object does not match the namespace sent on the request")
    given = metadata.get("name", "")
    if given not in ("", name):
        problem = FieldError.invalid("metadata.name", given, "must match the service account name if specified")
        raise errors.invalid(GROUP, "TokenRequest", name, [problem])
    return metadata


def _spec_errors(spec: Object) -> Iterator[FieldError]:
    field, seconds = "spec.expirationSeconds", spec["expirationSeconds"]
    if seconds < EXPIRATION_MIN_S:
        yield FieldError.invalid(field, seconds, "may not specify a duration less than 10 minutes")
    if seconds > EXPIRATION_MAX_S:
        yield FieldError.invalid(field, seconds, "may not specify a duration larger than 2^32 seconds")
