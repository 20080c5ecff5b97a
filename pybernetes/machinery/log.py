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
            self._logger.log(level, message, exc_info=exc_info, extra={"pairs": pairs})

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


def set_verbosity(verbosity: int) -> None:
    """See `configure`."""
    logging.getLogger("pybernetes").setLevel(logging.DEBUG if verbosity >= 4 else logging.INFO)
