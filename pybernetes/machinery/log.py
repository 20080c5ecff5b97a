"""Structured logs: one line an event, `key=value` with upstream's keys, quiet by default.

`log = logger("kubelet"); log.info("Started container", pod=key_of(pod), container="web")`
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any


class Logger:
    """A named logger whose keyword arguments become `key=value` pairs."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(f"pybernetes.{name}")

    def _log(self, level: int, message: str, pairs: dict[str, Any], *, exc_info: bool = False) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.log(level, message, exc_info=exc_info, extra={"pairs": pairs}, stacklevel=3)

    def debug(self, message: str, **pairs: Any) -> None:
        self._log(logging.DEBUG, message, pairs)

    def info(self, message: str, **pairs: Any) -> None:
        self._log(logging.INFO, message, pairs)

    def warning(self, message: str, **pairs: Any) -> None:
        self._log(logging.WARNING, message, pairs)

    def error(self, message: str, **pairs: Any) -> None:
        self._log(logging.ERROR, message, pairs)

    def exception(self, message: str, **pairs: Any) -> None:
        """As `error`, with the traceback of the exception being handled."""
        self._log(logging.ERROR, message, pairs, exc_info=True)


def logger(name: str) -> Logger:
    return Logger(name)


class _LineFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        parts = [moment, record.levelname[0], record.name.removeprefix("pybernetes."), json.dumps(record.getMessage())]
        parts += [f"{key}={_value(value)}" for key, value in getattr(record, "pairs", {}).items()]
        if record.exc_info:
            parts.append("traceback=" + json.dumps(self.formatException(record.exc_info)))
        return " ".join(parts)


class _JsonFormatter(logging.Formatter):
    """As upstream's components write JSON: the time in milliseconds, the message, then keys and values."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "ts": round(record.created * 1000, 3), "caller": f"{record.filename}:{record.lineno}",
            "logger": record.name.removeprefix("pybernetes."), "msg": record.getMessage(),
        }  # fmt: skip
        if record.levelno < logging.ERROR:
            line["v"] = 0 if record.levelno >= logging.INFO else 4
        line |= getattr(record, "pairs", {})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def _value(value: Any) -> str:
    if isinstance(value, str | bool | int | float | None):
        return json.dumps(value)
    return json.dumps(str(value))


def configure(verbosity: int = 0) -> None:
    """Log to standard error. Verbosity 0 shows warnings and the few events of life (info), 4 and more shows debug."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_LineFormatter())
    root = logging.getLogger("pybernetes")
    root.handlers[:] = [handler]
    root.propagate = False
    set_verbosity(verbosity)


def log_lines_as(format_: str) -> None:
    """ "text" or "json", from now on."""
    for handler in logging.getLogger("pybernetes").handlers:
        handler.setFormatter(_JsonFormatter() if format_ == "json" else _LineFormatter())


def set_verbosity(verbosity: int) -> None:
    """See `configure`."""
    logging.getLogger("pybernetes").setLevel(logging.DEBUG if verbosity >= 4 else logging.INFO)
