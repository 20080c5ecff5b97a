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
from pybernetes.machinery import jsonpath
from pybernetes.machinery.jsonpath import Malformed, Path, unquote


@dataclass(frozen=True, slots=True)
class _Text:
    text: str


@dataclass(frozen=True, slots=True)
class _Range:
    path: Path
    body: tuple[_Node, ...]


_Node = _Text | Path | _Range


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
            elif isinstance(node, Path):
                yield " ".join(shown(value) for value in self._find(node, data, root))
            else:
                for value in self._find(node.path, data, root):
                    yield from self._render(node.body, value, root)

    def _find(self, path: Path, data: Any, root: Any) -> list[Any]:
        values = path.find(root if path.from_root else data)
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
    try:
        return jsonpath.compile_path(expression)
    except Malformed as error:
        raise Failure(str(error)) from error


def _parse_path(text: str) -> Path:
    try:
        return jsonpath.parse_path(text)
    except Malformed as error:
        raise Failure(str(error)) from error


def shown(value: Any) -> str:
    """A value as templates print it: text bare, the rest as JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


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
            yield _Text(unquote(part))
        else:
            yield _parse_path(part)
