"""Whether an AuthenticationConfiguration makes sense: upstream's checks in its order, and its sentences."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final
from urllib.parse import urlsplit

from pybernetes.apiserver.authentication import claim_mapping
from pybernetes.apiserver.authentication.authorities import authorities_context
from pybernetes.apiserver.authentication.configuration import Configuration
from pybernetes.machinery.errors import FieldError, aggregate
from pybernetes.machinery.meta import Object

ISSUERS_MAX: Final = 64
MATCH_ANY: Final = "MatchAny"


def check(configuration: Configuration, own_issuers: Collection[str], initial: Configuration | None = None) -> None:
    """Raises ValueError with all that is wrong. `own_issuers`: those of service-account tokens; `initial`: what the server has
    started with, if this is a later one."""
    problems = list(_problems(configuration, own_issuers))
    if initial is not None and configuration.anonymous != initial.anonymous:
        problems.append(FieldError.forbidden("anonymous", "changed from initial configuration file"))
    if problems:
        raise ValueError(aggregate(map(str, problems)))


def _problems(configuration: Configuration, own_issuers: Collection[str]) -> Iterator[FieldError]:
    if len(configuration.jwt) > ISSUERS_MAX:
        yield FieldError.too_many("jwt", len(configuration.jwt), ISSUERS_MAX)
        return
    seen: dict[str, set[str]] = {"url": set(), "discoveryURL": set()}
    for place, entry in enumerate(configuration.jwt):
        path = f"jwt[{place}]"
        issuer = entry.get("issuer") or {}
        yield from _issuer(issuer, own_issuers, f"{path}.issuer")
        yield from claim_mapping.problems(entry, path)
        for field, known in seen.items():
            url = issuer.get(field, "")
            if url in known:
                yield FieldError.duplicate(f"{path}.issuer.{field}", url)
            if url or field == "url":
                known.add(url)
    anonymous = configuration.anonymous or {}
    if anonymous.get("conditions") and not anonymous.get("enabled"):
        shown = [{"Path": condition.get("path", "")} for condition in anonymous["conditions"]]
        yield FieldError.invalid("anonymous.conditions", shown, "enabled should be set to true when conditions are defined")


def _issuer(issuer: Object, own_issuers: Collection[str], path: str) -> Iterator[FieldError]:
    url, discovery_url = issuer.get("url", ""), issuer.get("discoveryURL", "")
    if not url:
        yield FieldError.required(f"{path}.url")
    else:
        yield from _url(url, own_issuers, f"{path}.url")
    if discovery_url:
        if url and url.rstrip("/") == discovery_url.rstrip("/"):
            yield FieldError.invalid(f"{path}.discoveryURL", discovery_url, "discoveryURL must be different from URL")
        yield from _url(discovery_url, (), f"{path}.discoveryURL")
    yield from _audiences(issuer.get("audiences") or (), issuer.get("audienceMatchPolicy", ""), path)
    if issuer.get("certificateAuthority"):
        try:
            authorities_context(issuer["certificateAuthority"])
        except ValueError as error:
            yield FieldError.invalid(f"{path}.certificateAuthority", "<omitted>", str(error))
    selector = issuer.get("egressSelectorType", "")
    if selector in ("controlplane", "cluster"):
        # Upstream looks it up in --egress-selector-config-file, which this server does not have.
        yield FieldError.invalid(f"{path}.egressSelectorType", selector, "no egress selector is configured")
    elif selector:
        yield FieldError.invalid(
            f"{path}.egressSelectorType", selector, "egress selector must be either controlplane or cluster"
        )


def _url(url: str, own_issuers: Collection[str], path: str) -> Iterator[FieldError]:
    if url in own_issuers:
        listed = " ".join(sorted(own_issuers))
        yield FieldError.invalid(path, url, f"URL must not overlap with disallowed issuers: [{listed}]")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        yield FieldError.invalid(path, url, f'parse "{url}": {error}')
        return
    if parts.scheme != "https":
        yield FieldError.invalid(path, url, "URL scheme must be https")
    if "@" in parts.netloc:
        yield FieldError.invalid(path, url, "URL must not contain a username or password")
    if parts.query:
        yield FieldError.invalid(path, url, "URL must not contain a query")
    if parts.fragment:
        yield FieldError.invalid(path, url, "URL must not contain a fragment")


def _audiences(audiences: Collection[str], policy: str, path: str) -> Iterator[FieldError]:
    field = f"{path}.audiences"
    if not audiences:
        yield FieldError.required(field, f"at least one {field} is required")
        return
    seen: set[str] = set()
    for place, audience in enumerate(audiences):
        if not audience:
            yield FieldError.required(f"{field}[{place}]")
        if audience in seen:
            yield FieldError.duplicate(f"{field}[{place}]", audience)
        seen.add(audience)
    if len(audiences) > 1 and policy != MATCH_ANY:
        why = "audienceMatchPolicy must be MatchAny for multiple audiences"
        yield FieldError.invalid(f"{path}.audienceMatchPolicy", policy, why)
    if len(audiences) == 1 and policy not in ("", MATCH_ANY):
        why = "audienceMatchPolicy must be empty or MatchAny for single audience"
        yield FieldError.invalid(f"{path}.audienceMatchPolicy", policy, why)
