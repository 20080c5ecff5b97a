"""The pieces of a description: `Key:  value` lines aligned per block, maps, conditions, events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from pybernetes.kubectl.tables import aligned
from pybernetes.machinery.clock import parse_time
from pybernetes.machinery.meta import Object

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_LINE_MAX = 140


class Page:
    """Lines in the making. Pairs are aligned with each other until something else is added."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._pairs: list[tuple[int, str, str]] = []

    def pair(self, key: str, value: object, indent: int = 0) -> None:
        """`Key:   value`. Pairs in one run share the column of their values (upstream: a tab writer)."""
        self._pairs.append((indent, f"{key}:", str(value)))

    def more(self, value: object) -> None:
        """Another value of the pair before."""
        self._pairs.append((0, "", str(value)))

    def lines(self, lines: Iterable[str]) -> None:
        self._flush()
        self._lines += lines

    def line(self, text: str) -> None:
        self.lines([text])

    def table(self, rows: Sequence[Sequence[str]], indent: int = 2) -> None:
        self.lines(aligned(rows, indent="  " * (indent // 2)))

    def mapping(self, key: str, values: Mapping[str, str] | None, indent: int = 0, empty: str = "<none>") -> None:
        """`Labels:  a=1` and one line for each further entry."""
        if not values:
            self.pair(key, empty, indent)
            return
        for place, (name, value) in enumerate(sorted(values.items())):
            self._pairs.append((indent, f"{key}:" if place == 0 else "", f"{name}={value}"))

    def annotations(self, metadata: Object) -> None:
        values = {key: value for key, value in (metadata.get("annotations") or {}).items() if key != LAST_APPLIED}
        if not values:
            self.pair("Annotations", "<none>")
            return
        for place, (name, value) in enumerate(sorted(values.items())):
            head = "Annotations:" if place == 0 else ""
            text = value.strip()
            if "\n" in text or len(text) > _LINE_MAX:
                self._pairs.append((0, head, f"{name}:"))
                for line in text.splitlines():
                    self._pairs.append((0, "", "  " + (line if len(line) <= _LINE_MAX else line[:_LINE_MAX] + "...")))
            else:
                self._pairs.append((0, head, f"{name}: {text}"))

    def text(self) -> str:
        self._flush()
        return "\n".join(self._lines) + "\n"

    def _flush(self) -> None:
        if not self._pairs:
            return
        width = max(len("  " * indent + key) for indent, key, _ in self._pairs) + 2
        for indent, key, value in self._pairs:
            self._lines.append(("  " * indent + key).ljust(width) + value)
        self._pairs = []


def labels_and_annotations(page: Page, obj: Object) -> None:
    page.mapping("Labels", obj["metadata"].get("labels"))
    page.annotations(obj["metadata"])


def conditions(page: Page, found: Sequence[Object] | None, columns: Sequence[str] = ("Type", "Status", "Reason")) -> None:
    if not found:
        return
    rows = [list(columns), ["-" * len(column) for column in columns]]
    keys = [column[0].lower() + column[1:] for column in columns]
    rows += [[str(entry.get(key, "")) for key in keys] for entry in found]
    page.line("Conditions:")
    page.table(rows)


def events_table(page: Page, events: Sequence[Object], now: datetime) -> None:
    """The events, oldest first, with how long ago they were and how often."""
    if not events:
        page.pair("Events", "<none>")
        return
    rows = [["Type", "Reason", "Age", "From", "Message"], ["----", "------", "----", "----", "-------"]]
    for event in sorted(events, key=_last_seen):
        source = (event.get("source") or {}).get("component") or event.get("reportingComponent") or ""
        rows.append([
            event.get("type", ""), event.get("reason", ""), _event_age(event, now), source, event.get("message", "").strip(),
        ])  # fmt: skip
    page.line("Events:")
    page.table(rows)


def _last_seen(event: Object) -> str:
    series = event.get("series") or {}
    return str(series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime") or "")


def _event_age(event: Object, now: datetime) -> str:
    series = event.get("series") or {}
    first = event.get("firstTimestamp") or event.get("eventTime")
    last = _last_seen(event)
    count = series.get("count") or event.get("count") or 1
    if count > 1:
        return f"{ago(last, now)} (x{count} over {ago(first, now)})"
    return ago(first or last, now)


def ago(moment: str | None, now: datetime) -> str:
    """How long ago, in upstream's short form (`5m`, `3h12m`); `<unknown>` without a time."""
    if not moment:
        return "<unknown>"
    try:
        return duration((now - parse_time(moment)).total_seconds())
    except ValueError:
        return "<unknown>"


def duration(seconds: float) -> str:
    """apimachinery's HumanDuration."""
    s = int(seconds)
    if s < -1:
        return "<invalid>"
    s = max(s, 0)
    if s < 120:
        return f"{s}s"
    minutes = s // 60
    if minutes < 10:
        return f"{minutes}m{s % 60}s" if s % 60 else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    hours = s // 3600
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    days = hours // 24
    if hours < 192:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    if days < 730:
        return f"{days}d"
    years = days // 365
    if years < 8 and days % 365:
        return f"{years}y{days % 365}d"
    return f"{years}y"


def long_time(moment: str | None) -> str:
    """`Sat, 21 Nov 2026 10:00:00 +0000`."""
    if not moment:
        return "<unset>"
    return parse_time(moment).strftime("%a, %d %b %Y %H:%M:%S +0000")


def selector_text(selector: Object | None) -> str:
    """A LabelSelector, or a plain map, on one line."""
    from pybernetes.machinery.labels import from_label_selector, from_map

    if not selector:
        return "<none>"
    if "matchLabels" in selector or "matchExpressions" in selector:
        return from_label_selector(selector).to_string() or "<none>"
    return from_map(selector).to_string()


def or_none(value: object) -> str:
    return str(value) if value not in (None, "", [], {}) else "<none>"
