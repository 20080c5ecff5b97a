"""Durations as Go writes them: `1h30m`, `-1.5s`, `300ms`. In nanoseconds, exact."""

from __future__ import annotations

import re
from typing import Final

_UNITS: Final = {
    "ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9,
}  # fmt: skip
_LONG_UNITS: Final = {
    "d": 24 * 3600 * 10**9,
    "day": 24 * 3600 * 10**9,
    "w": 7 * 24 * 3600 * 10**9,
    "week": 7 * 24 * 3600 * 10**9,
}
_TERM: Final = re.compile(r"(?=\.?\d)(\d*)(?:\.(\d*))?(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_LENIENT: Final = re.compile(r"(\d+)\s*([A-Za-zµμ]+)", re.ASCII)
_MAX: Final = 2**63 - 1


def parse(text: str) -> int:
    """Nanoseconds, as Go's `time.ParseDuration`. Raises ValueError with Go's sentence."""
    body = text[1:] if text[:1] in ("+", "-") else text
    if body == "0":
        return 0
    nanos = at = 0
    while term := _TERM.match(body, at):
        whole, part, unit = term.groups()
        nanos += int(whole or "0") * _UNITS[unit]
        if part:
            nanos += int(part) * _UNITS[unit] // 10 ** len(part)
        at = term.end()
    if not body or at < len(body) or nanos > _MAX:
        raise ValueError(f'time: invalid duration "{text}"')
    return -nanos if text.startswith("-") else nanos


def parse_lenient(text: str) -> int:
    """As the `duration` format of schemas reads them: Go's, and days and weeks (`2 days`, `1w`). Raises ValueError."""
    try:
        return parse(text)
    except ValueError:
        found = _LENIENT.fullmatch(text.strip())
        if found is not None:
            unit = found[2].rstrip("s") if len(found[2]) > 2 else found[2]
            scale = _LONG_UNITS.get(unit) or _UNITS.get(unit)
            if scale:
                return int(found[1]) * scale
        raise


def text_of(nanos: int) -> str:
    """As Go prints it: `1h30m0s`, `1.5s`, `300ms`, `0s`."""
    if nanos == 0:
        return "0s"
    sign, rest = ("-", -nanos) if nanos < 0 else ("", nanos)
    if rest < 10**9:
        for unit, scale in (("ms", 10**6), ("µs", 10**3), ("ns", 1)):
            if rest >= scale:
                return f"{sign}{decimal(rest, scale)}{unit}"
    minutes, seconds = divmod(rest, 60 * 10**9)
    hours, minutes = divmod(minutes, 60)
    head = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{sign}{head}{decimal(seconds, 10**9)}s"


def decimal(value: int, scale: int) -> str:
    whole, part = divmod(value, scale)
    if not part:
        return str(whole)
    return f"{whole}.{str(part).zfill(len(str(scale)) - 1).rstrip('0')}"
