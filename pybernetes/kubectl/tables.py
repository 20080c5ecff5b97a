"""Tables for people: columns as wide as their widest cell, three spaces between."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import IO

from pybernetes.machinery.meta import Object

PADDING = 3
WIDTH_MIN = 6


class TableWriter:
    """Aligns rows that come in batches. Widths grow and are remembered, so that a watch's later rows stay in line."""

    def __init__(self, out: IO[str]) -> None:
        self._out = out
        self._widths: list[int] = []

    def write(self, rows: Iterable[Sequence[str]]) -> None:
        batch = [list(row) for row in rows]
        for row in batch:
            for place, cell in enumerate(row[:-1]):
                if place == len(self._widths):
                    self._widths.append(WIDTH_MIN)
                self._widths[place] = max(self._widths[place], len(cell) + PADDING)
        for row in batch:
            cells = [cell.ljust(width) for cell, width in zip(row, self._widths, strict=False)]
            line = "".join(cells[: len(row) - 1]) + (row[-1] if row else "")
            self._out.write(line + "\n")


def aligned(rows: Iterable[Sequence[str]], *, indent: str = "", padding: int = 2) -> list[str]:
    """Rows as lines, for the tables inside `describe`: cells padded by `padding`, trailing blanks left off."""
    batch = [list(row) for row in rows]
    columns = max((len(row) for row in batch), default=0)
    widths = [max((len(row[place]) for row in batch if len(row) > place), default=0) + padding for place in range(columns)]
    return [(indent + "".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False))).rstrip() for row in batch]


def cell_text(value: object) -> str:
    """A cell of a server's Table as text, on one line."""
    if value is None:
        return "<none>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + " ".join(cell_text(item) for item in value) + "]"
    text = str(value)
    if "\n" in text or "\r" in text:
        return text.splitlines()[0] + "..."
    return text


def labels_text(metadata: Object) -> str:
    """`a=1,b=2`, or `<none>`."""
    labels = metadata.get("labels") or {}
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items())) or "<none>"
