"""Resource quantities (`resource.Quantity`): exact fixed-point numbers with a suffix, `500m`, `1536Mi`, `12e6`.

Contract: API reference, "Quantity". Precision ends at 10^-9 (what is finer is rounded up, away from zero); text too large for
a signed 64-bit integer of whole units is capped there. Arithmetic is on integers of billionths: never floats.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache, total_ordering
from typing import Final

_UNIT: Final = 10**9  # nanos in one whole unit
_MAX_WHOLE: Final = 2**63 - 1
# 10^±40 is far outside what can be represented, so that no exponent makes us compute a giant power.
_EXPONENT_LIMIT: Final = 40
_FAST_DIGITS: Final = 18  # decimal text of up to that many digits is not capped, as upstream has it

WRONG_FORMAT: Final = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
WRONG_NUMBER: Final = "unable to parse numeric part of quantity"
WRONG_SUFFIX: Final = "unable to parse quantity's suffix"

_TEXT: Final = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?([eEinumkKMGTP]*[-+]?[0-9]*)", re.ASCII)
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY: Final = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL_SUFFIX: Final = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_BINARY_SUFFIX: Final = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")


class Format(IntEnum):
    """The family of suffixes in which a quantity was written, and is written again."""

    DECIMAL_SI = 0
    BINARY_SI = 1
    DECIMAL_EXPONENT = 2


@total_ordering
@dataclass(frozen=True, slots=True, eq=False)
class Quantity:
    """An exact amount: `nanos` billionths. Two quantities are equal if their amounts are, however they are written."""

    nanos: int
    format: Format = Format.DECIMAL_SI

    @property
    def value(self) -> int:
        """Whole units, rounded up (away from zero)."""
        return _divide_up(self.nanos, _UNIT)

    @property
    def milli(self) -> int:
        """Thousandths, rounded up (away from zero): how CPU is counted."""
        return _divide_up(self.nanos, 10**6)

    def round_up(self, scale: int) -> Quantity:
        """Without precision finer than 10^scale (-3: thousandths), away from zero."""
        step = 10 ** (9 + scale)
        return Quantity(_divide_up(self.nanos, step) * step, self.format)

    def canonical(self) -> str:
        """The shortest text without a fraction: the largest suffix of its family that keeps the number whole."""
        if self.nanos == 0:
            return "0"
        if self.format == Format.BINARY_SI and abs(self.nanos) >= 1024 * _UNIT and self.nanos % _UNIT == 0:
            whole, power = self.nanos // _UNIT, 0
            while whole % 1024 == 0 and power < 6:
                whole, power = whole // 1024, power + 1
            return f"{whole}{_BINARY_SUFFIX[power]}"
        # Small or fractional binary quantities are written in decimal: precision goes before family.
        number, exponent = self.nanos, -9
        while number % 1000 == 0 and exponent < 18:
            number, exponent = number // 1000, exponent + 3
        if self.format == Format.DECIMAL_EXPONENT:
            return f"{number}e{exponent}" if exponent else str(number)
        return f"{number}{_DECIMAL_SUFFIX[exponent]}"

    __str__ = canonical

    def __bool__(self) -> bool:
        return self.nanos != 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantity) and self.nanos == other.nanos

    def __lt__(self, other: Quantity) -> bool:
        return self.nanos < other.nanos

    def __hash__(self) -> int:
        return hash(self.nanos)

    def __add__(self, other: Quantity) -> Quantity:
        return Quantity(self.nanos + other.nanos, self.format if self.nanos else other.format)

    def __sub__(self, other: Quantity) -> Quantity:
        return Quantity(self.nanos - other.nanos, self.format if self.nanos else other.format)

    def __neg__(self) -> Quantity:
        return Quantity(-self.nanos, self.format)

    def __mul__(self, factor: int) -> Quantity:
        return Quantity(self.nanos * factor, self.format)


ZERO: Final = Quantity(0)


def of(whole: int, format: Format = Format.DECIMAL_SI) -> Quantity:
    return Quantity(whole * _UNIT, format)


def of_milli(thousandths: int, format: Format = Format.DECIMAL_SI) -> Quantity:
    return Quantity(thousandths * 10**6, format)


def parse(text: str | int | float) -> Quantity:
    """Read a quantity; JSON numbers are quantities, too. Raises ValueError with upstream's sentence."""
    return _parse(text if isinstance(text, str) else _number_text(text))


def canonical_resource(text: str | int | float) -> str:
    """An entry of a `v1.ResourceList` as the API stores it: rounded up to thousandths, canonical. Raises ValueError."""
    return _canonical_resource(text if isinstance(text, str) else _number_text(text))


def _number_text(number: float) -> str:
    if isinstance(number, bool):  # JSON's true is no number, though Python's is
        raise ValueError(WRONG_FORMAT)
    return repr(number)


@lru_cache(maxsize=8192)
def _canonical_resource(text: str) -> str:
    return _parse(text).round_up(-3).canonical()


@lru_cache(maxsize=8192)
def _parse(text: str) -> Quantity:
    matched = _TEXT.fullmatch(text.strip())
    if matched is None:
        raise ValueError(WRONG_FORMAT)
    sign, whole, fraction, suffix = matched.groups()
    fraction = fraction or ""
    if not whole and not fraction:
        raise ValueError(WRONG_FORMAT)
    digits = int(whole + fraction) * (-1 if sign == "-" else 1)
    if suffix in _BINARY:
        return Quantity(_bounded(digits << _BINARY[suffix], -len(fraction)), Format.BINARY_SI)
    if suffix in _DECIMAL:
        exponent, format = _DECIMAL[suffix], Format.DECIMAL_SI
    elif suffix[0] in "eE" and re.fullmatch(r"[+-]?[0-9]{1,18}", suffix[1:]):
        exponent, format = int(suffix[1:]), Format.DECIMAL_EXPONENT
    else:
        raise ValueError(WRONG_SUFFIX)
    scale = exponent - len(fraction)
    if -9 <= scale <= 18 and len(whole) + len(fraction) <= _FAST_DIGITS:
        return Quantity(digits * 10 ** (9 + scale), format)
    return Quantity(_bounded(digits, scale), format)


def _bounded(digits: int, scale: int) -> int:
    """`digits * 10^scale` in nanos: rounded up to one of them, capped at the largest 64-bit number of units."""
    exponent = max(min(scale, _EXPONENT_LIMIT), -_EXPONENT_LIMIT - len(str(abs(digits)))) + 9
    nanos = digits * 10**exponent if exponent >= 0 else _divide_up(digits, 10**-exponent)
    limit = _MAX_WHOLE * _UNIT
    return max(-limit, min(limit, nanos))


def _divide_up(number: int, divisor: int) -> int:
    return -(-number // divisor) if number >= 0 else number // divisor
