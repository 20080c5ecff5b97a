"""JSONPath expressions as Kubernetes writes them: `.metadata.name`, `.items[*].a`, `.conditions[?(@.type=="Ready")].status`.

Reference: https://kubernetes.io/docs/reference/kubectl/jsonpath/. Paths alone; kubectl has the templates around them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Step = Callable[[list[Any]], list[Any]]


class Malformed(ValueError):
    """No path; `str()` is what to say of it."""


@dataclass(frozen=True, slots=True)
class Path:
    """A parsed path; `from_root` where it begins with `$`."""

    steps: tuple[Step, ...]
    from_root: bool
    source: str

    def find(self, data: Any) -> list[Any]:
        values = [data]
        for step in self.steps:
            values = step(values)
        return values


def compile_path(expression: str) -> Callable[[Any], list[Any]]:
    """The values at a bare path (`.metadata.name`, `metadata.name` or `{.metadata.name}`), parsed once. Raises Malformed."""
    text = expression.strip()
    if text.startswith("{") and text.endswith("}"):
        text = text[1:-1]
    if text and text[0] not in ".[$@":
        text = "." + text
    return parse_path(text).find


def unquote(part: str) -> str:
    """The text of a quoted literal."""
    body = part[1:-1]
    escapes = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'", "/": "/"}
    return re.sub(r"\\(.)", lambda match: escapes.get(match[1], match[0]), body)


_STEP = re.compile(
    r"""\.\.(?P<deep>(?:[^.\[\]\\]|\\.)*)      # recursive descent
      | \.(?P<field>(?:[^.\[\]\\]|\\.)+)        # .field, with \. for a dot
      | \.(?=\[|$)                              # a dot before a bracket, or alone
      | (?P<root>[$@])
      | \[(?P<bracket>\?\((?:[^()'"]|'[^']*'|"[^"]*"|\([^)]*\))*\)|(?:'[^']*'|"[^"]*"|[^\]'"])*)\]
    """,
    re.VERBOSE,
)


def parse_path(text: str) -> Path:
    """Raises Malformed."""
    steps: list[Step] = []
    from_root = text.startswith("$")
    at = 0
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None:
            if at == 0 and re.match(r"[A-Za-z_]", text):
                raise Malformed(
                    f"error parsing jsonpath {{{text}}}, unrecognized identifier {re.split(r'[^A-Za-z0-9_]', text)[0]}"
                )
            raise Malformed(f"error parsing jsonpath {{{text}}}, invalid expression at {text[at:]!r}")
        at = match.end()
        if match["deep"] is not None:
            steps.append(_descend)
            if match["deep"]:
                steps.append(_field(match["deep"]))
        elif match["field"] is not None:
            steps.append(_field(match["field"]))
        elif match["bracket"] is not None:
            steps.append(_bracket(match["bracket"].strip(), text))
    return Path(tuple(steps), from_root, text)


def _field(name: str) -> Step:
    name = re.sub(r"\\(.)", r"\1", name)
    if name == "*":
        return _every

    def step(values: list[Any]) -> list[Any]:
        return [value[name] for value in values if isinstance(value, dict) and name in value]

    return step


def _every(values: list[Any]) -> list[Any]:
    found: list[Any] = []
    for value in values:
        if isinstance(value, dict):
            found += value.values()
        elif isinstance(value, list):
            found += value
    return found


def _descend(values: list[Any]) -> list[Any]:
    found: list[Any] = []
    for value in values:
        found.append(value)
        if isinstance(value, dict | list):
            found += _descend(_every([value]))
    return found


def _bracket(text: str, whole: str) -> Step:
    if text == "*":
        return _every
    if text.startswith("?("):
        return _filter(text[2:-1])
    if text[:1] in "'\"" and text:
        names = [name[1:-1] for name in re.findall(r"'[^']*'|\"[^\"]*\"", text)]
        return lambda values: [value[name] for value in values if isinstance(value, dict) for name in names if name in value]
    if re.fullmatch(r"-?\d*(:-?\d*){1,2}", text):
        bounds = slice(*(int(part) if part else None for part in text.split(":")))
        return lambda values: [item for value in values if isinstance(value, list) for item in value[bounds]]
    if re.fullmatch(r"-?\d+(\s*,\s*-?\d+)*", text):
        places = [int(part) for part in text.split(",")]
        return lambda values: [
            value[place] for value in values if isinstance(value, list) for place in places if -len(value) <= place < len(value)
        ]
    raise Malformed(f"error parsing jsonpath {{{whole}}}, invalid array index {text}")


_COMPARISON = re.compile(r"^(?P<left>.+?)\s*(?P<operator>==|!=|<=|>=|<|>)\s*(?P<right>.+)$")


def _filter(text: str) -> Step:
    match = _COMPARISON.match(text.strip())
    if match is None:
        exists = _operand(text.strip())
        return lambda values: [item for item in _every(values) if exists(item)]
    left, right, operator = _operand(match["left"]), _operand(match["right"]), match["operator"]

    def step(values: list[Any]) -> list[Any]:
        return [item for item in _every(values) if _compare(left(item), right(item), operator)]

    return step


def _operand(text: str) -> Callable[[Any], list[Any]]:
    text = text.strip()
    if text[:1] in "@$":
        path = parse_path(text[1:])
        return path.find
    if text[:1] in "'\"":
        literal: Any = unquote(text)
    else:
        try:
            literal = json.loads(text)
        except ValueError as error:
            raise Malformed(f"error parsing jsonpath filter, unrecognized operand {text}") from error
    return lambda item: [literal]


def _compare(left: list[Any], right: list[Any], operator: str) -> bool:
    if len(left) != 1 or len(right) != 1:
        return operator == "!=" and bool(left) and bool(right)
    a, b = left[0], right[0]
    if operator in ("==", "!="):
        return bool((a == b and isinstance(a, bool) == isinstance(b, bool)) == (operator == "=="))
    try:
        return {"<": a < b, ">": a > b, "<=": a <= b, ">=": a >= b}[operator]  # type: ignore[no-any-return]
    except TypeError:
        return False
