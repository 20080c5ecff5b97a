"""Kinds of flag values that several commands have."""

from __future__ import annotations

import re
from typing import Any

import click


class Duration(click.ParamType):  # type: ignore[type-arg]  # generic in some releases of click only
    """A duration as Go writes it (`1h30m`, `40s`, `500ms`), as seconds."""

    name = "duration"
    _UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}  # noqa: RUF012

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float | int):
            return float(value)
        parts = re.findall(r"(\d+(?:\.\d+)?)(h|ms|us|µs|ns|m|s)", value)
        if value == "0":
            return 0.0
        if not parts or "".join(number + unit for number, unit in parts) != value:
            self.fail(f"{value!r} is not a duration like 40s or 1h30m", param, ctx)
        return sum(float(number) * self._UNITS[unit] for number, unit in parts)


DURATION = Duration()
