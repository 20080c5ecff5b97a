"""From the claims of a verified token to a user, as one entry of an AuthenticationConfiguration says.

`problems` is what is wrong with the entry; of one without any, `Mapping` makes users. Names come from a claim (with a prefix)
or from a CEL expression over `claims`; rules over claims, and over the user that they make, must hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pybernetes.apiserver.attributes import User
from pybernetes.machinery import codec
from pybernetes.machinery.cel import CelError, CompileError, Program, compile_expression
from pybernetes.machinery.cel.tree import Expr
from pybernetes.machinery.cel.types import DYN
from pybernetes.machinery.errors import FieldError, Unauthorized
from pybernetes.machinery.meta import Object
from pybernetes.machinery.validation import domain_prefixed_path_errors

_TEXTS: Final = {"type": "array", "items": {"type": "string"}}
_USER_SCHEMA: Final = {
    "type": "object",
    "properties": {
        "username": {"type": "string"}, "uid": {"type": "string"}, "groups": _TEXTS,
        "extra": {"type": "object", "additionalProperties": _TEXTS},
    },
}  # fmt: skip
_CLAIMS: Final = {"claims": ("map", "string", DYN)}
_USER: Final = {"user": ("object", _USER_SCHEMA, False)}

_NOT_BOTH: Final = "claim and expression can't both be set"


# The entry


def problems(entry: Object, path: str) -> Iterator[FieldError]:
    """What is wrong with an entry's rules and mappings."""
    yield from _claim_rules(entry.get("claimValidationRules") or (), f"{path}.claimValidationRules")
    yield from _mappings(entry, f"{path}.claimMappings")
    yield from _user_rules(entry.get("userValidationRules") or (), f"{path}.userValidationRules")


def _claim_rules(rules: Sequence[Object], path: str) -> Iterator[FieldError]:
    seen: set[tuple[str, str]] = set()
    for place, rule in enumerate(rules):
        at, claim, expression = f"{path}[{place}]", rule.get("claim", ""), rule.get("expression", "")
        if claim and expression:
            yield FieldError.invalid(at, claim, _NOT_BOTH)
            continue
        if not claim and not expression:
            yield FieldError.required(at, "claim or expression is required")
            continue
        kind, other = ("claim", "message") if claim else ("expression", "requiredValue")
        if rule.get(other):
            yield FieldError.invalid(f"{at}.{other}", rule[other], f"may not be specified when {kind} is set")
        if (kind, rule[kind]) in seen:
            yield FieldError.duplicate(f"{at}.{kind}", rule[kind])
        elif expression:
            yield from _compiled(expression, f"{at}.expression", of=_CLAIMS, to="bool")
        seen.add((kind, rule[kind]))


def _mappings(entry: Object, path: str) -> Iterator[FieldError]:
    mappings = entry.get("claimMappings") or {}
    username, uid = mappings.get("username") or {}, mappings.get("uid") or {}
    yield from _prefixed(username, f"{path}.username", required=True)
    yield from _prefixed(mappings.get("groups") or {}, f"{path}.groups", required=False)
    if uid.get("claim") and uid.get("expression"):
        yield FieldError.invalid(f"{path}.uid", "", _NOT_BOTH)
    elif uid.get("expression"):
        yield from _compiled(uid["expression"], f"{path}.uid.expression", of=_CLAIMS)
    yield from _extra(mappings.get("extra") or (), f"{path}.extra")
    if _reads(username.get("expression", ""), "email") and not _reads_email_verified(entry):
        yield FieldError.invalid(
            f"{path}.username.expression", username["expression"],
            "claims.email_verified must be used in claimMappings.username.expression or claimMappings.extra[*].valueExpression "
            "or claimValidationRules[*].expression when claims.email is used in claimMappings.username.expression",
        )  # fmt: skip


def _prefixed(mapping: Object, path: str, *, required: bool) -> Iterator[FieldError]:
    claim, expression, prefix = mapping.get("claim", ""), mapping.get("expression", ""), mapping.get("prefix")
    if claim and expression:
        yield FieldError.invalid(path, "", _NOT_BOTH)
    elif expression:
        if prefix is not None:
            yield FieldError.invalid(f"{path}.prefix", prefix, "may not be specified when expression is set")
        yield from _compiled(expression, f"{path}.expression", of=_CLAIMS)
    elif claim:
        if prefix is None:
            why = "prefix is required when claim is set. It can be set to an empty string to disable prefixing"
            yield FieldError.required(f"{path}.prefix", why)
    elif required:
        yield FieldError.required(path, "claim or expression is required")


def _extra(mappings: Sequence[Object], path: str) -> Iterator[FieldError]:
    seen: set[str] = set()
    for place, mapping in enumerate(mappings):
        at, key, expression = f"{path}[{place}]", mapping.get("key", ""), mapping.get("valueExpression", "")
        if not key:
            yield FieldError.required(f"{at}.key")
        else:
            for why in domain_prefixed_path_errors(key):
                yield FieldError.invalid(f"{at}.key", key, why)
        if key != key.lower():
            yield FieldError.invalid(f"{at}.key", key, "must be lowercase")
        if _is_reserved(key):
            why = "k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use"
            yield FieldError.invalid(f"{at}.key", key, why)
        if key in seen:
            yield FieldError.duplicate(f"{at}.key", key)
            continue
        seen.add(key)
        if not expression:
            yield FieldError.required(f"{at}.valueExpression")
        else:
            yield from _compiled(expression, f"{at}.valueExpression", of=_CLAIMS)


def _is_reserved(key: str) -> bool:
    domain, slash, _ = key.partition("/")
    return bool(slash) and any(domain == own or domain.endswith(f".{own}") for own in ("kubernetes.io", "k8s.io"))


def _user_rules(rules: Sequence[Object], path: str) -> Iterator[FieldError]:
    seen: set[str] = set()
    for place, rule in enumerate(rules):
        at, expression = f"{path}[{place}].expression", rule.get("expression", "")
        if not expression:
            yield FieldError.required(at)
        elif expression in seen:
            yield FieldError.duplicate(at, expression)
        else:
            yield from _compiled(expression, at, of=_USER, to="bool")
        seen.add(expression)


def _compiled(expression: str, path: str, *, of: Any, to: str = "") -> Iterator[FieldError]:
    """What is wrong with an expression over the variable `of`; `to` is the type that it must have, if one."""
    try:
        program = compile_expression(expression, of)
    except CompileError as error:
        yield FieldError.invalid(path, expression, f"compilation failed: {error}")
        return
    if to and program.result != to:
        yield FieldError.invalid(path, expression, f"must evaluate to {to}")


def _reads_email_verified(entry: Object) -> bool:
    mappings = entry.get("claimMappings") or {}
    expressions = [(mappings.get("username") or {}).get("expression", "")]
    expressions += [mapping.get("valueExpression", "") for mapping in mappings.get("extra") or ()]
    expressions += [rule.get("expression", "") for rule in entry.get("claimValidationRules") or ()]
    return any(_reads(expression, "email_verified") for expression in expressions)


def _reads(expression: str, claim: str) -> bool:
    """Whether `claims.NAME`, or `claims.?NAME`, is somewhere in an expression."""
    try:
        return bool(expression) and _selects(compile_expression(expression, _CLAIMS).tree, claim)
    except CompileError:
        return False


def _selects(part: Expr, claim: str) -> bool:
    if part.kind in ("select", "has", "opt_select") and part.name == claim:
        (target,) = part.parts
        if target.kind == "ident" and target.name == "claims":
            return True
    return any(_selects(below, claim) for below in part.parts)


# The user


@dataclass(frozen=True, slots=True)
class _Rule:
    expression: str
    message: str
    program: Program


class Mapping:
    """An entry without problems, compiled."""

    def __init__(self, entry: Object) -> None:
        mappings = entry.get("claimMappings") or {}
        self._username, self._groups, self._uid = (mappings.get(name) or {} for name in ("username", "groups", "uid"))
        self._programs = {
            name: compile_expression(mapping["expression"], _CLAIMS)
            for name, mapping in (("username", self._username), ("groups", self._groups), ("uid", self._uid))
            if mapping.get("expression")
        }
        self._extra = [
            (mapping["key"], compile_expression(mapping["valueExpression"], _CLAIMS)) for mapping in mappings.get("extra") or ()
        ]
        rules = entry.get("claimValidationRules") or ()
        self._required = {rule["claim"]: rule.get("requiredValue", "") for rule in rules if rule.get("claim")}
        self._claim_rules = [_rule(rule, _CLAIMS) for rule in rules if rule.get("expression")]
        self._user_rules = [_rule(rule, _USER) for rule in entry.get("userValidationRules") or ()]

    @property
    def groups_claim(self) -> str:
        return str(self._groups.get("claim", ""))

    def user(self, claims: Object) -> User:
        """Evaluated `by_turns`. Raises `Unauthorized`, saying why, for claims that make none."""
        user = User(self._name(claims), self._uid_of(claims), self._groups_of(claims), self._extra_of(claims))
        for claim, wanted in self._required.items():
            if claim not in claims:
                raise Unauthorized(f"oidc: required claim {claim} not present in ID token")
            found = _text(claims, claim, f"oidc: parse claim {claim}")
            if found != wanted:
                raise Unauthorized(f"oidc: required claim {claim} value does not match. Got = {found}, want = {wanted}")
        _check(self._claim_rules, {"claims": claims}, "claim validation expression")
        if self._user_rules:
            extra = {key: list(values) for key, values in user.extra.items()}
            info = {"username": user.name, "uid": user.uid, "groups": list(user.groups), "extra": extra}
            _check(self._user_rules, {"user": info}, "user info validation rule")
        return user

    def _name(self, claims: Object) -> str:
        if "username" in self._programs:
            name = self._evaluated_text("username", claims)
            if not name:
                raise Unauthorized("oidc: empty username via CEL expression is not allowed")
            return name
        claim = self._username["claim"]
        name = _text(claims, claim, f'oidc: parse username claims "{claim}"')
        if claim == "email" and "email_verified" in claims and not _verified(claims["email_verified"]):
            raise Unauthorized("oidc: email not verified")
        return str(self._username.get("prefix") or "") + name

    def _groups_of(self, claims: Object) -> tuple[str, ...]:
        claim = self.groups_claim
        if claim and claim in claims:
            prefix = str(self._groups.get("prefix") or "")
            return tuple(prefix + group for group in _text_or_texts(claims[claim], f'oidc: parse groups claim "{claim}"'))
        if "groups" not in self._programs:
            return ()
        what = "oidc: error evaluating group claim expression"
        return _texts_of(_evaluate(self._programs["groups"], {"claims": claims}, what), what)

    def _uid_of(self, claims: Object) -> str:
        claim = self._uid.get("claim", "")
        if claim:
            return _text(claims, claim, f'oidc: parse uid claim "{claim}"')
        return self._evaluated_text("uid", claims) if "uid" in self._programs else ""

    def _extra_of(self, claims: Object) -> dict[str, tuple[str, ...]]:
        extra = {}
        for key, program in self._extra:
            what = f"oidc: error evaluating extra claim expression: {program.text}"
            values = _texts_of(_evaluate(program, {"claims": claims}, ""), what)
            if values:
                extra[key] = values
        return extra

    def _evaluated_text(self, name: str, claims: Object) -> str:
        what = f"oidc: error evaluating {name} claim expression"
        found = _evaluate(self._programs[name], {"claims": claims}, what)
        if not isinstance(found, str):
            raise Unauthorized(f"{what}: {name} claim expression must return a string")
        return found


def _rule(rule: Object, variables: Any) -> _Rule:
    return _Rule(rule["expression"], rule.get("message", ""), compile_expression(rule["expression"], variables))


def _evaluate(program: Program, variables: Object, what: str) -> Any:
    try:
        return program.evaluate(variables)[0]
    except CelError as error:
        prefix = f"{what}: " if what else ""
        raise Unauthorized(f"{prefix}expression '{program.text}' resulted in error: {error}") from error


def _check(rules: Sequence[_Rule], variables: Object, what: str) -> None:
    what = f"oidc: error evaluating {what}"
    for rule in rules:
        holds = _evaluate(rule.program, variables, what)
        if not isinstance(holds, bool):
            raise Unauthorized(f"{what}: validation expression must return a boolean")
        if not holds:
            raise Unauthorized(f"{what}: validation expression '{rule.expression}' failed: {rule.message}")


def _text(claims: Object, claim: str, what: str) -> str:
    if claim not in claims:
        raise Unauthorized(f"{what}: claim not present")
    return _as_text(claims[claim], what)


def _as_text(value: Any, what: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Unauthorized(f"{what}: json: cannot unmarshal {codec.go_name(value)} into Go value of type string")
    return value


def _text_or_texts(value: Any, what: str) -> list[str]:
    """Some issuers name one group, without a list."""
    if value is None:
        return []
    if isinstance(value, list) and all(item is None or isinstance(item, str) for item in value):
        return [item or "" for item in value]
    return [_as_text(value, what)]


def _verified(value: Any) -> bool:
    if value is None or isinstance(value, bool):
        return bool(value)
    why = f"json: cannot unmarshal {codec.go_name(value)} into Go value of type bool"
    raise Unauthorized(f"oidc: parse 'email_verified' claim: {why}")


def _texts_of(value: Any, what: str) -> tuple[str, ...]:
    """A string or a list of strings as such a list, what is empty left out."""
    found = [value] if isinstance(value, str) else [] if value is None else value
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise Unauthorized(f"{what}: expression must return a string or a list of strings")
    return tuple(item for item in found if item)
