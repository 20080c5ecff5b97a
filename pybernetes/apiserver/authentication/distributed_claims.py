"""Distributed claims: groups that a token does not hold, but says where to ask for (OpenID Connect Core, section 5.6.2).

    "_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": "https://…", "access_token": "…"}}

The endpoint answers with a token of its own issuer, which must be for the same audiences. Aggregated claims are not resolved,
as upstream does not.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from typing import Any, Final

from pybernetes.apiserver.authentication.fetching import FetchFailed
from pybernetes.apiserver.authentication.issuer_keys import IssuerKeys
from pybernetes.apiserver.authentication.unverified import unverified_issuer
from pybernetes.apiserver.authentication.verifier import Verifier
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.entropy import Entropy
from pybernetes.machinery.errors import Unauthorized
from pybernetes.machinery.meta import Object

ISSUERS_MAX: Final = 16  # the longest unused goes


class DistributedClaims:
    """Of one issuer's tokens. `close` when they are no longer accepted."""

    def __init__(
        self, claim: str, issuer: Object, keys: IssuerKeys, *, signing_algs: Collection[str], clock: Clock, entropy: Entropy
    ) -> None:
        """`claim`: the one that may be distributed. `issuer` and its `keys`: whose authorities and audiences hold here too."""
        self._claim = claim
        self._issuer = issuer
        self._fetcher = keys.fetcher
        self._signing_algs = signing_algs
        self._clock = clock
        self._entropy = entropy
        self._others: OrderedDict[str, IssuerKeys] = OrderedDict()

    async def expanded(self, claims: Object) -> Object:
        """The claims with the distributed one. Raises `Unauthorized` where it is named but cannot be got."""
        if self._claim in claims or "_claim_names" not in claims:
            return claims
        endpoint = self._endpoint(claims)
        if endpoint is None:
            return claims
        try:
            return {**claims, self._claim: await self._resolved(endpoint["endpoint"], endpoint.get("access_token", ""))}
        except Unauthorized as error:
            raise Unauthorized(f"oidc: could not expand distributed claims: {error.message}") from error

    async def close(self) -> None:
        for keys in self._others.values():
            await keys.close()

    def _endpoint(self, claims: Object) -> Object | None:
        names, sources = claims["_claim_names"], claims.get("_claim_sources")
        if not isinstance(names, dict):
            raise Unauthorized("oidc: could not expand distributed claims: oidc: error parsing distributed claim names")
        if sources is None:
            raise Unauthorized("oidc: could not expand distributed claims: oidc: no claim sources")
        if not isinstance(sources, dict):
            raise Unauthorized("oidc: could not expand distributed claims: oidc: could not parse claim sources")
        source = names.get(self._claim)
        if source is None:
            return None
        endpoint = sources.get(source) if isinstance(source, str) else None
        if not isinstance(endpoint, dict):
            raise Unauthorized(
                "oidc: could not expand distributed claims: "
                f"id token _claim_names contained a source {source} missing in _claims_sources"
            )
        return endpoint if isinstance(endpoint.get("endpoint"), str) and endpoint["endpoint"] else None

    async def _resolved(self, url: str, access_token: str) -> Any:
        headers = {"authorization": f"Bearer {access_token}"} if access_token else {}
        try:
            token = (await self._fetcher.get(url, headers)).decode(errors="replace").strip()
        except FetchFailed as error:
            raise Unauthorized(f'while getting distributed claim "{self._claim}": {error}') from error
        issuer = unverified_issuer(token)
        keys = await self._keys_of(issuer)
        try:
            found = await Verifier(issuer, keys, self._issuer["audiences"], self._signing_algs, self._clock).claims(token)
        except Unauthorized as error:
            raise Unauthorized(f"verify distributed claim token: {error.message}") from error
        if self._claim not in found:
            raise Unauthorized(f'jwt returned by distributed claim endpoint "{url}" did not contain claim: {self._claim}')
        return found[self._claim]

    async def _keys_of(self, issuer: str) -> IssuerKeys:
        keys = self._others.get(issuer)
        if keys is None:
            described = {"url": issuer, "certificateAuthority": self._issuer.get("certificateAuthority", "")}
            keys = self._others[issuer] = IssuerKeys(described, clock=self._clock, entropy=self._entropy)
            if len(self._others) > ISSUERS_MAX:
                _, oldest = self._others.popitem(last=False)
                await oldest.close()
        self._others.move_to_end(issuer)
        try:
            await keys.discover_once()
        except FetchFailed as error:
            raise Unauthorized(f"verifying untrusted issuer {issuer} failed: {error}") from error
        return keys
