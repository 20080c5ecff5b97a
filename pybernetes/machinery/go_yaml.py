"""YAML as go-yaml v2 resolves it, on PyYAML's parser (libyaml where it is built in). `codec` comes here when it must."""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Callable
from typing import Any, Final

import yaml

try:
    from yaml import CSafeDumper as _BaseDumper
    from yaml.cyaml import CParser as _Parser  # type: ignore[attr-defined]
except ImportError:  # a PyYAML without libyaml: slower, the same events
    from yaml import SafeDumper as _BaseDumper  # type: ignore[assignment]
    from yaml import SafeLoader as _Parser  # type: ignore[assignment]

# Aliases are expanded into copies; this many nodes is what one document may become.
_NODES_MAX: Final = 1_000_000
_DEPTH_MAX: Final = 240

_WORDS: Final[dict[str, Any]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
}
_INTEGER: Final = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F]+|0[oO]?[0-7]+|0[bB][01]+|0|[1-9][0-9]*)", re.ASCII)
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_TAG: Final = "tag:yaml.org,2002:"
# Times and numbers to base 60 are read as text, but quoted when written: other readers take them for something else.
_LOOKS_OTHER: Final = re.compile(
    r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt ][0-9:. ]+([Zz]|[-+][0-9:]+)?)?|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?", re.ASCII
)


def resolve(text: str) -> Any:
    """The value of a plain scalar."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    plain = text.replace("_", "")
    if _INTEGER.fullmatch(plain):
        number = _integer(plain)
        if -(2**63) <= number < 2**64:
            return number
    if _FLOAT.fullmatch(plain):
        return _json_number(float(plain))
    return text


def _integer(plain: str) -> int:
    digits = plain.lstrip("+-")
    bases = {"x": 16, "o": 8, "b": 2}
    if len(digits) > 1 and digits[0] == "0":
        base = bases.get(digits[1].lower())
        number = int(digits[2:], base) if base else int(digits, 8)
    else:
        number = int(digits)
    return -number if plain[0] == "-" else number


def _json_number(number: float) -> int | float:
    """Go's JSON writes a whole float without a fraction, and so it is read as an integer."""
    return int(number) if math.isfinite(number) and number.is_integer() and abs(number) < 1e21 else number


def load(text: bytes, duplicates: list[str] | None = None) -> Any:
    """The first document; None if there is none. Raises ValueError with Go's sentence."""
    parser = _Parser(text)
    try:
        return _Constructor(parser.get_event, duplicates).document()
    except yaml.MarkedYAMLError as error:
        raise ValueError(_sentence(error)) from error
    except yaml.YAMLError as error:  # the reader: bytes that are no text
        reason = getattr(error, "reason", "") or "unknown problem parsing YAML content"
        raise ValueError(f"yaml: {reason}") from error
    except RecursionError as error:
        raise ValueError("yaml: exceeded max depth") from error
    finally:
        parser.dispose()


def _sentence(error: yaml.MarkedYAMLError) -> str:
    mark = error.context_mark if error.context_mark and error.context_mark.line else error.problem_mark
    line = mark.line if mark else 0
    if line and isinstance(error, yaml.scanner.ScannerError):
        line += 1  # Go's library counts so
    return f"yaml: {f'line {line}: ' if line else ''}{error.problem}"


class Repeated(str):
    """The path of a key that was given before."""

    __slots__ = ("sentence",)
    sentence: str

    def __new__(cls, path: str, line: int, key: str) -> Repeated:
        made = super().__new__(cls, path)
        made.sentence = f"line {line}: key {json.dumps(key, ensure_ascii=False)} already set in map"  # Go's
        return made


class _Constructor:
    """Events to JSON values. Mappings and sequences are built directly; anchored ones are copied where an alias names them."""

    def __init__(self, next_event: Callable[[], Any], duplicates: list[str] | None) -> None:
        self._next = next_event
        self._duplicates = duplicates
        self._anchors: dict[str, Any] = {}
        self._nodes = 0

    def document(self) -> Any:
        while True:
            event = self._next()
            if isinstance(event, yaml.StreamEndEvent):
                return None
            if not isinstance(event, yaml.StreamStartEvent | yaml.DocumentStartEvent):
                return self._value(event, "", 0)

    def _count(self, depth: int) -> None:
        self._nodes += 1
        if self._nodes > _NODES_MAX:
            raise ValueError("yaml: document contains excessive aliasing")
        if depth > _DEPTH_MAX:
            raise ValueError("yaml: exceeded max depth")

    def _value(self, event: Any, path: str, depth: int) -> Any:
        self._count(depth)
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                raise ValueError(f"yaml: unknown anchor '{event.anchor}' referenced")
            return self._copy(self._anchors[event.anchor], depth)
        value: Any
        if isinstance(event, yaml.ScalarEvent):
            value = _scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = []
            while not isinstance(item := self._next(), yaml.SequenceEndEvent):
                value.append(self._value(item, f"{path}[{len(value)}]", depth + 1))
        else:
            value = self._mapping(path, depth)
        if event.anchor:
            self._anchors[event.anchor] = value
        return value

    def _mapping(self, path: str, depth: int) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        merged: list[Any] = []
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            is_merge = isinstance(event, yaml.ScalarEvent) and event.value == "<<" and not event.style
            key = _key(self._value(event, path, depth + 1))
            below = f"{path}.{key}" if path else key
            value = self._value(self._next(), below, depth + 1)
            if is_merge:
                merged += value if isinstance(value, list) else [value]
                continue
            if key in mapping and self._duplicates is not None and below not in self._duplicates:
                self._duplicates.append(Repeated(below, event.start_mark.line + 1, key))
            mapping[key] = value
        for source in merged:
            if not isinstance(source, dict):
                raise ValueError("yaml: map merge requires map or sequence of maps as the value")
            for key, value in source.items():
                mapping.setdefault(key, value)
        return mapping

    def _copy(self, value: Any, depth: int) -> Any:
        self._count(depth)
        if isinstance(value, dict):
            return {key: self._copy(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list):
            return [self._copy(item, depth + 1) for item in value]
        return value


def _scalar(event: Any) -> Any:
    text, tag = event.value, event.tag
    if tag == f"{_TAG}binary":
        try:
            return base64.b64decode(text).decode()
        except ValueError as error:
            raise ValueError("yaml: !!binary value contains invalid base64 data") from error
    if tag == f"{_TAG}str" or (tag is None and event.style) or tag == "!":
        return text
    value = resolve(text)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"json: unsupported value: {'NaN' if math.isnan(value) else '+Inf' if value > 0 else '-Inf'}")
    return value


def _key(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, int | float):
        return str(value)
    kind = "[]interface {}" if isinstance(value, list) else "map[interface {}]interface {}" if value is not None else "<nil>"
    raise ValueError(f"unsupported map key of type: {kind}")


class _Dumper(_BaseDumper):
    """Plain text only where `resolve` gives the same text back."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own shape


class _NotText:
    """Stands for a pattern in PyYAML's table of implicit types: matches what would not be read as text."""

    def match(self, text: str) -> bool:
        return not isinstance(resolve(text), str) or text == "<<" or _LOOKS_OTHER.fullmatch(text) is not None


def _represent_text(dumper: Any, text: str) -> Any:
    if "\n" in text:
        return dumper.represent_scalar(f"{_TAG}str", text, style="|")
    return dumper.represent_scalar(f"{_TAG}str", text, style='"' if _NotText().match(text) else None)


_Dumper.add_representer(str, _represent_text)
for _first in ["", *map(chr, range(32, 127))]:
    _Dumper.yaml_implicit_resolvers[_first] = [(f"{_TAG}not-text", _NotText())]  # type: ignore[list-item]


def _represent_plain(tag: str, text: Callable[[Any], str]) -> Callable[[Any, Any], Any]:
    def represent(dumper: Any, value: Any) -> Any:
        return dumper.represent_scalar(f"{_TAG}not-text", text(value))

    return represent


_Dumper.add_representer(bool, _represent_plain("bool", lambda value: "true" if value else "false"))
_Dumper.add_representer(int, _represent_plain("int", str))
_Dumper.add_representer(float, _represent_plain("float", repr))
_Dumper.add_representer(type(None), _represent_plain("null", lambda _: "null"))
_Dumper.ignore_aliases = lambda self, data: True  # type: ignore[method-assign]


def dump(value: Any) -> bytes:
    """Block style, keys sorted, no line folding."""
    encoded: bytes = yaml.dump(
        value, Dumper=_Dumper, encoding="utf-8", allow_unicode=True, default_flow_style=False, width=2**31 - 1, sort_keys=True
    )
    return encoded
