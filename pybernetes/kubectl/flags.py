"""Command lines as Go's pflag reads them: `-oyaml`, `-o=yaml`, `-it`, `--all=false`, flags after arguments, `--`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from pybernetes.kubectl.failure import FlagFailure


class Kind(Enum):
    """What a flag's value is."""

    BOOL = auto()
    TEXT = auto()
    NUMBER = auto()
    DURATION = auto()  # seconds, as float; Go's text (`1m30s`), or a bare 0
    LIST = auto()  # may be repeated, and each value split at commas
    TEXTS = auto()  # may be repeated, values taken as they are


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag. `bare` is the value of a flag given without one (`--dry-run`), if that is allowed."""

    name: str
    help: str
    kind: Kind = Kind.TEXT
    short: str = ""
    default: Any = None
    bare: str | None = None
    hidden: bool = False

    @property
    def initial(self) -> Any:
        if self.default is not None:
            return self.default
        return {Kind.BOOL: False, Kind.TEXT: "", Kind.NUMBER: 0, Kind.DURATION: 0.0}.get(self.kind, [])


class Options:
    """The flags' values, by name, typed by the getter; and which of them were given."""

    def __init__(self, values: Mapping[str, Any], given: frozenset[str]) -> None:
        self._values = values
        self._given = given

    def given(self, name: str) -> bool:
        return name in self._given

    def has(self, name: str) -> bool:
        """Whether the verb has such a flag at all."""
        return name in self._values

    def flag(self, name: str) -> bool:
        return bool(self._values[name])

    def text(self, name: str) -> str:
        return str(self._values[name])

    def number(self, name: str) -> int:
        return int(self._values[name])

    def seconds(self, name: str) -> float:
        return float(self._values[name])

    def texts(self, name: str) -> list[str]:
        return list(self._values[name])


@dataclass(frozen=True, slots=True)
class Parsed:
    options: Options
    args: list[str]
    dash: int  # how many of `args` came before `--`; -1 without one


def parse(argv: Sequence[str], flags: Sequence[Flag], *, stop_at_argument: bool = False) -> Parsed:
    """Read a command line. Raises `FlagFailure`, with pflag's sentences.

    With `stop_at_argument`, the first argument and everything after it is left alone (finding the verb).
    """
    by_name = {flag.name: flag for flag in flags}
    by_short = {flag.short: flag for flag in flags if flag.short}
    values: dict[str, Any] = {flag.name: flag.initial for flag in flags}
    given: set[str] = set()
    args: list[str] = []
    dash = -1
    rest = list(argv)

    def put(flag: Flag, text: str, shown: str) -> None:
        try:
            value = _value(flag, text)
        except ValueError as error:
            raise FlagFailure(f'invalid argument "{text}" for "{shown}" flag: {error}') from error
        if flag.kind in (Kind.LIST, Kind.TEXTS):
            value = (values[flag.name] if flag.name in given else []) + value
        values[flag.name] = value
        given.add(flag.name)

    while rest:
        word = rest.pop(0)
        if word == "--":
            dash = len(args)
            args += rest
            break
        if word.startswith("--"):
            name, has_value, text = word[2:].partition("=")
            flag = by_name.get(name.replace("_", "-"))
            if flag is None:
                raise FlagFailure(f"unknown flag: --{name}")
            bare = "true" if flag.kind is Kind.BOOL else flag.bare
            if not has_value:
                if bare is not None:
                    text = bare
                elif rest:
                    text = rest.pop(0)
                else:
                    raise FlagFailure(f"flag needs an argument: --{name}")
            put(flag, text, _shown(flag))
        elif word.startswith("-") and word != "-":
            _short(word, by_short, rest, put)
        elif stop_at_argument:
            args = [word, *rest]
            break
        else:
            args.append(word)
    return Parsed(Options(values, frozenset(given)), args, dash)


def _short(word: str, by_short: Mapping[str, Flag], rest: list[str], put: Any) -> None:
    letters = word[1:]
    while letters:
        letter, letters = letters[0], letters[1:]
        flag = by_short.get(letter)
        if flag is None:
            raise FlagFailure(f"unknown shorthand flag: '{letter}' in {word}")
        bare = "true" if flag.kind is Kind.BOOL else flag.bare
        if letters.startswith("="):
            put(flag, letters[1:], _shown(flag))
            return
        if bare is not None:
            put(flag, bare, _shown(flag))
            continue
        if not letters and not rest:
            raise FlagFailure(f"flag needs an argument: '{letter}' in {word}")
        put(flag, letters or rest.pop(0), _shown(flag))
        return


def _shown(flag: Flag) -> str:
    return f"-{flag.short}, --{flag.name}" if flag.short else f"--{flag.name}"


def _value(flag: Flag, text: str) -> Any:
    match flag.kind:
        case Kind.BOOL:
            if text in ("1", "t", "T", "true", "TRUE", "True"):
                return True
            if text in ("0", "f", "F", "false", "FALSE", "False"):
                return False
            raise ValueError(f'strconv.ParseBool: parsing "{text}": invalid syntax')
        case Kind.NUMBER:
            if not re.fullmatch(r"[+-]?[0-9]+", text):
                raise ValueError(f'strconv.ParseInt: parsing "{text}": invalid syntax')
            return int(text)
        case Kind.DURATION:
            return duration_s(text)
        case Kind.LIST:
            return text.split(",") if text else []
        case Kind.TEXTS:
            return [text]
        case Kind.TEXT:
            return text


_DURATION_PART = re.compile(r"([0-9]*\.?[0-9]+|[0-9]+\.)(ns|us|µs|ms|s|m|h)")
_UNIT_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def duration_s(text: str) -> float:
    """Go's `time.ParseDuration`, in seconds. Raises ValueError with its sentence."""
    body = text.lstrip("+-")
    sign = -1.0 if text.startswith("-") else 1.0
    if body == "0":
        return 0.0
    parts = _DURATION_PART.findall(body)
    if not parts or "".join(number + unit for number, unit in parts) != body:
        if re.fullmatch(r"[0-9]+", body):
            raise ValueError(f'time: missing unit in duration "{text}"')
        raise ValueError(f'time: invalid duration "{text}"')
    return sign * sum(float(number) * _UNIT_S[unit] for number, unit in parts)
