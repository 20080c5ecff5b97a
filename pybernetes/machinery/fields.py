"""Field selectors: `metadata.name=web,spec.nodeName!=`.

Contract: concepts, "Field Selectors". Which fields a kind offers is the registry's business; here is only the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from pybernetes.machinery.errors import BadRequest

_TERM: Final = re.compile(r"((?:[^\\,]|\\.)*)(?:,|$)", re.DOTALL)
_SPLIT: Final = re.compile(r"(.*?)(!=|==|=)(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Requirement:
    """`operator` is `=` or `!=`."""

    field: str
    operator: str
    value: str

    def matches(self, value: str) -> bool:
        return (value == self.value) == (self.operator == "=")

    def to_string(self) -> str:
        return f"{self.field}{self.operator}{escape(self.value)}"


class Selector:
    """A conjunction of requirements; without any it matches everything. Immutable."""

    __slots__ = ("requirements",)

    def __init__(self, requirements: Iterable[Requirement] = ()) -> None:
        self.requirements: Final = tuple(requirements)

    @property
    def matches_everything(self) -> bool:
        return not self.requirements

    def matches(self, fields: Mapping[str, str] | Callable[[str], str]) -> bool:
        """`fields` gives the value of a field by its name; one that the mapping does not have is ""."""
        read = (lambda name: fields.get(name, "")) if isinstance(fields, Mapping) else fields
        return all(requirement.matches(read(requirement.field)) for requirement in self.requirements)

    def exact(self, field: str) -> str | None:
        """The only value of that field which can match, where the selector says so: for indexes."""
        for requirement in self.requirements:
            if requirement.field == field and requirement.operator == "=":
                return requirement.value
        return None

    def to_string(self) -> str:
        return ",".join(requirement.to_string() for requirement in self.requirements)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Selector) and self.requirements == other.requirements

    def __hash__(self) -> int:
        return hash(self.requirements)

    def __repr__(self) -> str:
        return f"Selector({self.to_string()!r})"


_EVERYTHING: Final = Selector()


def everything() -> Selector:
    return _EVERYTHING


def escape(value: str) -> str:
    """A value as it must be written inside a selector."""
    return value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")


@lru_cache(maxsize=1024)
def parse(text: str) -> Selector:
    """Read a selector as in `?fieldSelector=`. Raises BadRequest."""
    requirements = []
    for matched in _TERM.finditer(text):
        term = matched[1]
        if not term:
            continue
        parts = _SPLIT.fullmatch(term)
        if parts is None:
            raise BadRequest(f"invalid selector: '{text}'; can't understand '{term}'")
        field, operator, value = parts.groups()
        requirements.append(Requirement(field, "!=" if operator == "!=" else "=", _unescape(value)))
    return Selector(requirements) if requirements else _EVERYTHING


def _unescape(value: str) -> str:
    plain = []
    characters = iter(value)
    for character in characters:
        if character == "\\":
            escaped = next(characters, "")
            if not escaped or escaped not in "\\,=":
                raise BadRequest(f"invalid field selector: invalid escape sequence: \\{escaped}")
            plain.append(escaped)
        elif character in ",=":
            raise BadRequest(f"invalid field selector: unescaped character in value: {character}")
        else:
            plain.append(character)
    return "".join(plain)
