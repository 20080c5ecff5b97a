"""What PodSecurity asks of namespaces whose labels say nothing, and whom it lets pass.

Source: https://kubernetes.io/docs/tasks/configure-pod-container/enforce-standards-admission-controller/
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pybernetes.apiserver.admission.pod_security_checks import LEVELS
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object
from pybernetes.machinery.validation import dns_1123_label_errors, dns_1123_subdomain_errors

VERSION: Final = re.compile(r"latest|v1\.(0|[1-9][0-9]*)")
MODES: Final = ("enforce", "audit", "warn")
_VERSIONS: Final = tuple(f"pod-security.admission.config.k8s.io/{version}" for version in ("v1", "v1beta1", "v1alpha1"))


@dataclass(frozen=True, slots=True)
class Level:
    level: str = "privileged"
    version: str = "latest"

    def __str__(self) -> str:
        return f"{self.level}:{self.version}"


PRIVILEGED: Final = Level()


@dataclass(frozen=True, slots=True)
class Policy:
    enforce: Level = PRIVILEGED
    audit: Level = PRIVILEGED
    warn: Level = PRIVILEGED


@dataclass(frozen=True, slots=True)
class Configuration:
    defaults: Policy = Policy()
    usernames: frozenset[str] = frozenset()
    runtime_classes: frozenset[str] = frozenset()
    namespaces: frozenset[str] = frozenset()


def of(document: Object | None) -> Configuration:
    """Raises ValueError."""
    if document is None:
        return Configuration()
    from pybernetes.apiserver.admission.configuration import check_kind, refuse

    check_kind(document, "PodSecurityConfiguration", _VERSIONS)
    defaults, exemptions = document.get("defaults") or {}, document.get("exemptions") or {}
    if not isinstance(defaults, dict) or not isinstance(exemptions, dict):
        raise ValueError("defaults and exemptions must be mappings")
    refuse([*_default_errors(defaults), *_exemption_errors(exemptions)])
    levels = (Level(defaults.get(mode) or "privileged", defaults.get(f"{mode}-version") or "latest") for mode in MODES)
    return Configuration(Policy(*levels), *(frozenset(exemptions.get(field) or ()) for field in _EXEMPTIONS))


def level_error(field: str, level: str) -> FieldError:
    return FieldError.invalid(field, level, f"must be one of {', '.join(LEVELS)}")


def version_error(field: str, version: str) -> FieldError:
    return FieldError.invalid(field, version, 'must be "latest" or "v1.x"')


def _default_errors(defaults: Object) -> Iterator[FieldError]:
    for mode in ("enforce", "warn", "audit"):
        level, version = defaults.get(mode) or "privileged", defaults.get(f"{mode}-version") or "latest"
        if level not in LEVELS:
            yield level_error(f"defaults.{mode}", level)
        if not isinstance(version, str) or not VERSION.fullmatch(version):
            yield version_error(f"defaults.{mode}-version", version)


def _nothing_wrong(_: str) -> Sequence[str]:
    return ()


_EXEMPTIONS: Final[dict[str, Callable[[str], Sequence[str]]]] = {
    "usernames": _nothing_wrong,
    "runtimeClasses": dns_1123_subdomain_errors,
    "namespaces": dns_1123_label_errors,
}


def _exemption_errors(exemptions: Object) -> Iterator[FieldError]:
    for field in ("namespaces", "runtimeClasses", "usernames"):
        seen: set[Any] = set()
        for place, name in enumerate(exemptions.get(field) or ()):
            path = f"exemptions.{field}[{place}]"
            problems = _EXEMPTIONS[field](str(name))
            if field == "usernames" and not name:
                yield FieldError.required(path)
            elif problems:
                yield FieldError.invalid(path, name, ", ".join(problems))
            elif name in seen:
                yield FieldError.duplicate(path, name)
            seen.add(name)
