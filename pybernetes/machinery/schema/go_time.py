"""Times as Go's `time.Parse` reads them, with its sentences for what it refuses (RFC 3339, and six digits for MicroTime)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from pybernetes.machinery.clock import rfc3339, rfc3339_micro

_LAYOUT: Final = "2006-01-02T15:04:05Z07:00"
_MICRO_LAYOUT: Final = "2006-01-02T15:04:05.000000Z07:00"
_ELEMENTS: Final = (
    ("2006", "[0-9]{4}", ""), ("-", "-", ""), ("01", "[0-9]{2}", "month"), ("-", "-", ""), ("02", "[0-9]{2}", "day"),
    ("T", "T", ""), ("15", "[0-9]{2}", "hour"), (":", ":", ""), ("04", "[0-9]{2}", "minute"), (":", ":", ""),
    ("05", "[0-9]{2}", "second"),
)  # fmt: skip
_RANGES: Final = {"month": (1, 12), "day": (1, 31), "hour": (0, 23), "minute": (0, 59), "second": (0, 59)}


def canonical_time(text: str, *, micro: bool) -> str:
    """The same moment as the API writes it: UTC, to the second or the microsecond. Raises ValueError with Go's sentence."""
    layout = _MICRO_LAYOUT if micro else _LAYOUT
    rest = text

    def refuse(element: str) -> ValueError:
        return ValueError(f'parsing time "{text}" as "{layout}": cannot parse "{rest}" as "{element}"')

    for element, pattern, part in _ELEMENTS:
        matched = re.match(pattern, rest, re.ASCII)
        if matched is None:
            raise refuse(element)
        if part and not _RANGES[part][0] <= int(matched[0]) <= _RANGES[part][1]:
            raise ValueError(f'parsing time "{text}": {part} out of range')
        rest = rest[matched.end() :]
    fraction = re.match(r"\.[0-9]{6}(?![0-9])" if micro else r"([.,][0-9]+)?", rest, re.ASCII)
    if fraction is None:
        raise refuse(".000000")
    rest = rest[fraction.end() :]
    zone = re.match(r"Z|[+-][0-9]{2}:[0-9]{2}", rest, re.ASCII)
    if zone is None:
        raise refuse("Z07:00")
    if rest[zone.end() :]:
        raise ValueError(f'parsing time "{text}": extra text: "{rest[zone.end() :]}"')
    digits = fraction[0][1:7]
    try:
        moment = datetime.fromisoformat(f"{text[:19]}{'.' + digits.ljust(6, '0') if digits else ''}{zone[0]}").astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f'parsing time "{text}": day out of range') from None
    return rfc3339_micro(moment) if micro else rfc3339(moment)
