"""ABAC: a file of policies, one JSON object a line; a request is allowed if one of them matches. Read once, at the start.

Source: https://kubernetes.io/docs/reference/access-authn-authz/abac/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pybernetes.apiserver.attributes import ALL_AUTHENTICATED, RequestInfo, User
from pybernetes.apiserver.authorization.interface import Decision, Rules, Verdict
from pybernetes.machinery import codec
from pybernetes.machinery.errors import DecodeError
from pybernetes.machinery.log import logger
from pybernetes.machinery.meta import Object

log = logger("apiserver")

API_VERSION: Final = "abac.authorization.kubernetes.io/v1beta1"
LINE_BYTES_MAX: Final = 64 * 1024
_READS: Final = frozenset(("get", "list", "watch"))
_ALL: Final = "*"
# name on the wire -> name here
_OLD_FORM: Final = {name: name for name in ("user", "group", "readonly", "resource", "namespace")}
_SPEC: Final = {**_OLD_FORM, "apiGroup": "api_group", "nonResourcePath": "non_resource_path"}

ALLOW: Final = Verdict(Decision.ALLOW)
NO_OPINION: Final = Verdict(Decision.NO_OPINION, "No policy matched.")


class PolicyError(ValueError):
    """A file that is no list of policies; the message names the line."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The `spec` of a policy. "*" is anything; an empty field matches nothing but itself."""

    user: str = ""
    group: str = ""
    readonly: bool = False
    api_group: str = ""
    resource: str = ""
    namespace: str = ""
    non_resource_path: str = ""

    def concerns(self, user: User) -> bool:
        """Both of user and group count, where both are given; without either nobody is meant."""
        if self.user and self.user not in (_ALL, user.name):
            return False
        if self.group and self.group != _ALL and self.group not in user.groups:
            return False
        return bool(self.user or self.group)

    def allows(self, info: RequestInfo) -> bool:
        if self.readonly and info.verb not in _READS:
            return False
        if info.is_resource:
            return (
                self.namespace in (_ALL, info.namespace)
                and self.resource in (_ALL, info.resource)
                and self.api_group in (_ALL, info.group)
            )
        path = self.non_resource_path
        return path in (_ALL, info.path) or (path.endswith(_ALL) and info.path.startswith(path.rstrip(_ALL)))


class ABAC:
    """The ABAC authorizer."""

    def __init__(self, policies: Iterable[Policy]) -> None:
        self._policies = tuple(policies)

    async def authorize(self, user: User, info: RequestInfo) -> Verdict:
        if any(policy.concerns(user) and policy.allows(info) for policy in self._policies):
            return ALLOW
        return NO_OPINION

    def rules_for(self, user: User, namespace: str) -> Rules:
        """What the user may do in a namespace, as RBAC would say it."""
        return Rules(list(self._rules_for(user, namespace)))

    def _rules_for(self, user: User, namespace: str) -> Iterator[Object]:
        for policy in self._policies:
            if not policy.concerns(user) or policy.namespace not in (_ALL, namespace):
                continue
            verbs = ["get", "list", "watch"] if policy.readonly else [_ALL]
            if policy.resource:
                yield {"verbs": verbs, "apiGroups": [policy.api_group], "resources": [policy.resource]}
            if policy.non_resource_path:
                yield {"verbs": verbs, "nonResourceURLs": [policy.non_resource_path]}


def load(path: str) -> ABAC:
    """The authorizer of a policy file. Raises `PolicyError`, and OSError for a file that cannot be read."""
    policies = []
    unversioned = False
    for number, line in enumerate(Path(path).read_bytes().split(b"\n"), start=1):
        if len(line) >= LINE_BYTES_MAX:
            raise PolicyError(f"error reading policy file {path}: bufio.Scanner: token too long")
        text = line.strip()
        if not text or text.startswith(b"#"):
            continue
        try:
            obj, _ = codec.decode(line, codec.JSON if text.startswith(b"{") else codec.YAML)
            unversioned = unversioned or not obj.get("apiVersion")
            policies.append(policy_of(obj))
        except (DecodeError, PolicyError) as error:
            why = error.why if isinstance(error, DecodeError) else error
            shown = line.removesuffix(b"\r").decode(errors="replace")
            raise PolicyError(f"error reading policy file {path}, line {number}: {shown}: {why}") from error
    if unversioned:
        log.warning("The policy file contains unversioned rules", file=path)
    return ABAC(policies)


def policy_of(obj: Object) -> Policy:
    """The policy of one line: v1beta1, or the older form without a version. Raises `PolicyError`."""
    version, kind = obj.get("apiVersion") or "", obj.get("kind") or ""
    if not version or not kind:
        return _unversioned(obj)
    if (version, kind) != (API_VERSION, "Policy"):
        raise PolicyError(f'no kind "{kind}" is registered for version "{version}"')
    spec = obj.get("spec") or {}
    if not isinstance(spec, dict):
        raise PolicyError(
            f"json: cannot unmarshal {codec.go_name(spec)} into Go struct field Policy.spec of type v1beta1.PolicySpec"
        )
    given = _checked(spec, "PolicySpec.spec", _SPEC)
    return Policy(**given | _all_authenticated(given))


def _unversioned(obj: Object) -> Policy:
    """The old form: what is left out there is not limited."""
    given = _checked(obj, "Policy", _OLD_FORM)
    everyone = {"group": ALL_AUTHENTICATED} if not (given.get("user") or given.get("group")) else _all_authenticated(given)
    resource, namespace = given.get("resource") or _ALL, given.get("namespace") or _ALL
    path = _ALL if not (given.get("resource") or given.get("namespace")) else ""
    limits = {"api_group": _ALL, "resource": resource, "namespace": namespace, "non_resource_path": path}
    return Policy(**given | everyone | limits)


def _all_authenticated(given: Object) -> Object:
    """Anybody is anybody who is known: an anonymous request is never meant."""
    return {"user": "", "group": ALL_AUTHENTICATED} if _ALL in (given.get("user"), given.get("group")) else {}


def _checked(obj: Object, where: str, names: Mapping[str, str]) -> dict[str, Any]:
    """The fields that are there; unknown ones are passed over, as upstream does. Raises `PolicyError`."""
    found = {name: obj[name] for name in names if obj.get(name) is not None}
    for name, value in found.items():
        wanted, shown = (bool, "bool") if name == "readonly" else (str, "string")
        if type(value) is not wanted:
            raise PolicyError(
                f"json: cannot unmarshal {codec.go_name(value)} into Go struct field {where}.{name} of type {shown}"
            )
    return {names[name]: value for name, value in found.items()}
