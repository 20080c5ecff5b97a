"""kubectl's JSONPath templates: `{.items[*].metadata.name}`, `{range .items[*]}{.a}{"\\n"}{end}`, filters.

Reference: https://kubernetes.io/docs/reference/kubectl/jsonpath/
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pybernetes.kubectl.failure import Failure

Step = Callable[[list[Any]], list[Any]]


@dataclass(frozen=True, slots=True)
class _Text:
    text: str


@dataclass(frozen=True, slots=True)
class _Path:
    steps: tuple[Step, ...]
    from_root: bool
    source: str


@dataclass(frozen=True, slots=True)
class _Range:
    path: _Path
    body: tuple[_Node, ...]


_Node = _Text | _Path | _Range


class MissingField(Exception):
    """A path led nowhere (`metadata.x is not found`)."""


class Template:
    """A parsed template. Raises `Failure` where it is malformed."""

    def __init__(self, text: str, *, allow_missing: bool = True) -> None:
        self._nodes, rest = _parse_nodes(list(_tokens(text)), inside_range=False)
        if rest:
            raise Failure(f"error parsing jsonpath {text}, not in range, nothing to end")
        self._allow_missing = allow_missing

    def render(self, data: Any) -> str:
        return "".join(self._render(self._nodes, data, data))

    def _render(self, nodes: tuple[_Node, ...], data: Any, root: Any) -> Iterator[str]:
        for node in nodes:
            if isinstance(node, _Text):
                yield node.text
            elif isinstance(node, _Path):
                yield " ".join(shown(value) for value in self._find(node, data, root))
            else:
                for value in self._find(node.path, data, root):
                    yield from self._render(node.body, value, root)

    def _find(self, path: _Path, data: Any, root: Any) -> list[Any]:
        values = _walk(path.steps, root if path.from_root else data)
        if not values and not self._allow_missing:
            raise Failure(
                f"error executing jsonpath {json.dumps('{' + path.source + '}')}: {path.source.strip('.')} is not found"
            )
        return values


def find(expression: str, data: Any) -> list[Any]:
    """The values at a bare path: `.metadata.name`, `metadata.name` or `{.metadata.name}`."""
    return compile_path(expression)(data)


def compile_path(expression: str) -> Callable[[Any], list[Any]]:
    """As `find`, parsed once."""
    text = expression.strip()
    if text.startswith("{") and text.endswith("}"):
        text = text[1:-1]
    if text and text[0] not in ".[$@":
        text = "." + text
    path = _parse_path(text)
    return lambda data: _walk(path.steps, data)


def shown(value: Any) -> str:
    """A value as templates print it: text bare, the rest as JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _walk(steps: tuple[Step, ...], data: Any) -> list[Any]:
    values = [data]
    for step in steps:
        values = step(values)
    return values


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    """("text", …) outside braces, ("path", …) inside."""
    at = 0
    while at < len(text):
        start = text.find("{", at)
        if start < 0:
            yield "text", text[at:]
            return
        if start > at:
            yield "text", text[at:start]
        end = _closing(text, start)
        yield "path", text[start + 1 : end].strip()
        at = end + 1


def _closing(text: str, start: int) -> int:
    quote = ""
    at = start + 1
    while at < len(text):
        character = text[at]
        if character == "\\":
            at += 1
        elif quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character == "}":
            return at
        at += 1
    raise Failure(f"error parsing jsonpath {text}, unclosed action")


def _parse_nodes(tokens: list[tuple[str, str]], *, inside_range: bool) -> tuple[tuple[_Node, ...], list[tuple[str, str]]]:
    nodes: list[_Node] = []
    while tokens:
        (kind, text), *tokens = tokens
        if kind == "text":
            nodes.append(_Text(text))
        elif text == "end":
            return tuple(nodes), (tokens if inside_range else [(kind, text)])
        elif text.startswith("range"):
            body, tokens = _parse_nodes(tokens, inside_range=True)
            nodes.append(_Range(_parse_path(text.removeprefix("range").strip()), body))
        else:
            nodes += _parse_action(text)
    if inside_range:
        raise Failure("error parsing jsonpath, unexpected end of range: {end} is missing")
    return tuple(nodes), []


_PART = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'(?![\]])|(?:\[[^\]]*\]|[^\s"\',\[])+')


def _parse_action(text: str) -> Iterator[_Node]:
    """Several expressions may share braces: `{.a" "}`, `{.a, .b}`."""
    if left := _PART.sub("", text).strip(" ,\t\n"):
        raise Failure(f"error parsing jsonpath {{{text}}}, unexpected {left!r}")
    for part in _PART.findall(text):
        if part[0] in "'\"":
            yield _Text(_unquote(part))
        else:
            yield _parse_path(part)


def _unquote(part: str) -> str:
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


def _parse_path(text: str) -> _Path:
    steps: list[Step] = []
    from_root = text.startswith("$")
    at = 0
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None:
            if at == 0 and re.match(r"[A-Za-z_]", text):
                raise Failure(
                    f"error parsing jsonpath {{{text}}}, unrecognized identifier {re.split(r'[^A-Za-z0-9_]', text)[0]}"
                )
            raise Failure(f"error parsing jsonpath {{{text}}}, invalid expression at {text[at:]!r}")
        at = match.end()
        if match["deep"] is not None:
            steps.append(_descend)
            if match["deep"]:
                steps.append(_field(match["deep"]))
        elif match["field"] is not None:
            steps.append(_field(match["field"]))
        elif match["bracket"] is not None:
            steps.append(_bracket(match["bracket"].strip(), text))
    return _Path(tuple(steps), from_root, text)


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
    raise Failure(f"error parsing jsonpath {{{whole}}}, invalid array index {text}")


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
        path = _parse_path(text[1:])
        return lambda item: _walk(path.steps, item)
    if text[:1] in "'\"":
        literal: Any = _unquote(text)
    else:
        try:
            literal = json.loads(text)
        except ValueError as error:
            raise Failure(f"error parsing jsonpath filter, unrecognized operand {text}") from error
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
