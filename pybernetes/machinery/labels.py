"""Label selectors: the query text of list and watch, and `metav1.LabelSelector` objects.

Contract: concepts, "Labels and Selectors". The error sentences are upstream's; everything that does not parse raises
`BadRequest`, which is what the API answers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from pybernetes.machinery.errors import BadRequest, FieldError
from pybernetes.machinery.validation import label_key_errors, label_value_errors

IN: Final = "in"
NOT_IN: Final = "notin"
EQUALS: Final = "="
DOUBLE_EQUALS: Final = "=="
NOT_EQUALS: Final = "!="
EXISTS: Final = "exists"
DOES_NOT_EXIST: Final = "!"
GREATER_THAN: Final = "gt"
LESS_THAN: Final = "lt"

_OF_EXPRESSION: Final = {"In": IN, "NotIn": NOT_IN, "Exists": EXISTS, "DoesNotExist": DOES_NOT_EXIST}
_INTEGER: Final = re.compile(r"[+-]?[0-9]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one label. `values` are sorted, without repetitions; their number fits the operator."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    @classmethod
    def checked(cls, key: str, operator: str, values: Iterable[str]) -> Requirement:
        """Raises ValueError with upstream's sentence if this is no valid condition."""
        sorted_values = tuple(sorted(set(values)))
        found = list(_requirement_errors(key, operator, sorted_values))
        if found:
            texts = list(dict.fromkeys(str(error) for error in found))
            raise ValueError(texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]")
        return cls(key, operator, sorted_values)

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case "=" | "==" | "in":
                return value is not None and value in self.values
            case "!=" | "notin":
                return value is None or value not in self.values
            case "exists":
                return value is not None
            case "!":
                return value is None
            case _:
                # A value that is no integer matches no comparison.
                if value is None or not _INTEGER.fullmatch(value):
                    return False
                limit = int(self.values[0])
                return int(value) > limit if self.operator == GREATER_THAN else int(value) < limit

    def to_string(self) -> str:
        match self.operator:
            case "!":
                return f"!{self.key}"
            case "exists":
                return self.key
            case "in" | "notin":
                return f"{self.key} {self.operator} ({','.join(self.values)})"
            case "gt" | "lt":
                return f"{self.key}{'>' if self.operator == GREATER_THAN else '<'}{self.values[0]}"
            case _:
                return f"{self.key}{self.operator}{self.values[0]}"


class Selector:
    """A conjunction of requirements, in the order of their keys; without any it matches everything. Immutable."""

    __slots__ = ("_exact", "_other", "matches_nothing", "requirements")

    def __init__(self, requirements: Iterable[Requirement] = (), *, matches_nothing: bool = False) -> None:
        self.requirements: Final = tuple(sorted(requirements, key=lambda requirement: requirement.key))
        self.matches_nothing: Final = matches_nothing
        # Most selectors are equalities alone: keep those as pairs, which compare without a call.
        self._exact = tuple(
            (requirement.key, requirement.values[0])
            for requirement in self.requirements
            if requirement.operator in (EQUALS, DOUBLE_EQUALS)
        )
        self._other = tuple(
            requirement for requirement in self.requirements if requirement.operator not in (EQUALS, DOUBLE_EQUALS)
        )

    @property
    def matches_everything(self) -> bool:
        return not self.requirements and not self.matches_nothing

    def matches(self, labels: Mapping[str, str] | None) -> bool:
        """Absent labels (None) are no labels."""
        if self.matches_nothing:
            return False
        labels = labels or {}
        for key, value in self._exact:
            if labels.get(key) != value:
                return False
        return all(requirement.matches(labels) for requirement in self._other) if self._other else True

    def exact(self, key: str) -> str | None:
        """The only value of that label which can match, where the selector says so: for indexes."""
        for requirement in self.requirements:
            if requirement.key == key and requirement.operator in (EQUALS, DOUBLE_EQUALS, IN) and len(requirement.values) == 1:
                return requirement.values[0]
        return None

    def to_string(self) -> str:
        """What `parse` reads back (nothing to match has no text, and gives ``)."""
        return ",".join(requirement.to_string() for requirement in self.requirements)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Selector)
            and self.requirements == other.requirements
            and self.matches_nothing == other.matches_nothing
        )

    def __hash__(self) -> int:
        return hash((self.requirements, self.matches_nothing))

    def __repr__(self) -> str:
        return "Selector(nothing)" if self.matches_nothing else f"Selector({self.to_string()!r})"


_EVERYTHING: Final = Selector()
_NOTHING: Final = Selector(matches_nothing=True)


def everything() -> Selector:
    return _EVERYTHING


def nothing() -> Selector:
    return _NOTHING


def from_map(labels: Mapping[str, str] | None) -> Selector:
    """The selector of the older kinds (Service, ReplicationController): equality with each pair, unchecked."""
    return Selector(Requirement(key, EQUALS, (value,)) for key, value in (labels or {}).items())


def from_label_selector(selector: Mapping[str, Any] | None) -> Selector:
    """Of a `metav1.LabelSelector`: absent selects nothing, empty selects everything. Raises BadRequest."""
    if selector is None:
        return _NOTHING
    match_labels: Mapping[str, str] = selector.get("matchLabels") or {}
    expressions = selector.get("matchExpressions") or ()
    if not match_labels and not expressions:
        return _EVERYTHING
    try:
        requirements = [Requirement.checked(key, EQUALS, (value,)) for key, value in match_labels.items()]
        for expression in expressions:
            operator = _OF_EXPRESSION.get(expression.get("operator", ""))
            if operator is None:
                raise ValueError(f'"{expression.get("operator", "")}" is not a valid label selector operator')
            requirements.append(Requirement.checked(expression.get("key", ""), operator, expression.get("values") or ()))
    except ValueError as error:
        raise BadRequest(str(error)) from error
    return Selector(requirements)


@lru_cache(maxsize=1024)
def parse(text: str) -> Selector:
    """Read a selector as in `?labelSelector=`. Raises BadRequest."""
    if not text.strip():
        return _EVERYTHING
    try:
        return Selector(_Parser(text).requirements())
    except ValueError as error:
        raise BadRequest(str(error)) from error


def _requirement_errors(key: str, operator: str, values: tuple[str, ...]) -> Iterator[FieldError]:
    yield from _key_errors(key)
    match operator:
        case "in" | "notin":
            if not values:
                yield FieldError.invalid("values", list(values), "for 'in', 'notin' operators, values set can't be empty")
        case "=" | "==" | "!=":
            if len(values) != 1:
                yield FieldError.invalid("values", list(values), "exact-match compatibility requires one single value")
        case "exists" | "!":
            if values:
                yield FieldError.invalid("values", list(values), "values set must be empty for exists and does not exist")
        case "gt" | "lt":
            if len(values) != 1:
                yield FieldError.invalid("values", list(values), "for 'Gt', 'Lt' operators, exactly one value is required")
            for index, value in enumerate(values):
                if not _INTEGER.fullmatch(value):
                    sentence = "for 'Gt', 'Lt' operators, the value must be an integer"
                    yield FieldError.invalid(f"values[{index}]", value, sentence)
    for index, value in enumerate(values):
        if found := label_value_errors(value):
            yield FieldError.invalid(f"values[{index}][{key}]", value, "; ".join(found))


def _key_errors(key: str) -> Iterator[FieldError]:
    if found := label_key_errors(key):
        yield FieldError.invalid("<nil>", key, "; ".join(found))


_TOKEN: Final = re.compile(r"\s*(?:(==|!=|[=!(),<>])|([^=!(),<>\s]+)|$)")
_BINARY_OPERATORS: Final = "in, notin, =, ==, !=, gt, lt"
_END: Final = ("end", "")


class _Parser:
    """Upstream's recursive descent, for the sake of its error sentences. Tokens are (kind, text)."""

    def __init__(self, text: str) -> None:
        self._tokens = [
            ("symbol", matched[1]) if matched[1] else ("word", matched[2])
            for matched in _TOKEN.finditer(text)
            if matched[0].strip()
        ]
        self._position = 0

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._position] if self._position < len(self._tokens) else _END

    def _next(self) -> tuple[str, str]:
        token = self._peek()
        self._position += 1
        return token

    def requirements(self) -> Iterator[Requirement]:
        while True:
            kind, text = self._peek()
            if kind == "end":
                return
            if kind != "word" and text != "!":
                raise ValueError(f"found '{text}', expected: !, identifier, or 'end of string'")
            try:
                requirement = self._requirement()
            except ValueError as error:
                raise ValueError(f"unable to parse requirement: {error}") from error
            yield requirement
            kind, text = self._next()
            if kind == "end":
                return
            if text != ",":
                raise ValueError(f"found '{text}', expected: ',' or 'end of string'")
            kind, text = self._peek()
            if kind != "word" and text != "!":
                raise ValueError(f"found '{text}', expected: identifier after ','")

    def _requirement(self) -> Requirement:
        operator = ""
        kind, key = self._next()
        if key == "!":
            operator = DOES_NOT_EXIST
            kind, key = self._next()
        if kind != "word":
            raise ValueError(f"found '{key}', expected: identifier")
        for error in _key_errors(key):
            raise ValueError(str(error))
        if not operator and self._peek() in (_END, ("symbol", ",")):
            operator = EXISTS
        if operator:
            return Requirement.checked(key, operator, ())
        operator = self._operator()
        values = self._value_set() if operator in (IN, NOT_IN) else [self._exact_value()]
        return Requirement.checked(key, operator, values)

    def _operator(self) -> str:
        _, text = self._next()
        if text in (IN, NOT_IN, EQUALS, DOUBLE_EQUALS, NOT_EQUALS):
            return text
        if text in ("<", ">"):
            return GREATER_THAN if text == ">" else LESS_THAN
        raise ValueError(f"found '{text}', expected: {_BINARY_OPERATORS}")

    def _exact_value(self) -> str:
        kind, text = self._peek()
        if kind == "end" or text == ",":
            return ""
        self._next()
        if kind != "word":
            raise ValueError(f"found '{text}', expected: identifier")
        return text

    def _value_set(self) -> list[str]:
        _, text = self._next()
        if text != "(":
            raise ValueError(f"found '{text}' expected: '('")
        kind, text = self._peek()
        if text == ")":
            self._next()
            return [""]
        if kind != "word" and text != ",":
            raise ValueError(f"found '{text}', expected: ',', ')' or identifier")
        values = self._values()
        _, text = self._next()
        if text != ")":
            raise ValueError(f"found '{text}', expected: ')'")
        return values

    def _values(self) -> list[str]:
        """Up to the closing parenthesis, which is left; commas without a value between them stand for ""."""
        values: list[str] = []
        while True:
            kind, text = self._next()
            if kind == "word":
                values.append(text)
                _, following = self._peek()
                if following == ")":
                    return values
                if following != ",":
                    raise ValueError(f"found '{following}', expected: ',' or ')'")
            elif text == ",":
                if not values:
                    values.append("")
                _, following = self._peek()
                if following == ")":
                    return [*values, ""]
                if following == ",":
                    self._next()
                    values.append("")
            else:
                raise ValueError(f"found '{text}', expected: ',', or identifier")
