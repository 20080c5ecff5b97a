"""Run one component as a process: event loop, logging, signals, exit code."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

from pybernetes.cli.failure import leaves
from pybernetes.machinery import log

Options = TypeVar("Options")

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def run_component(name: str, run: Callable[[Options], Awaitable[None]], options: Options, verbosity: int = 0) -> None:
    """Run until it ends or SIGTERM/SIGINT cancels it. Exits the process: 0 after a signal, 1 after a failure."""
    import uvloop

    log.configure(verbosity)
    logger = log.logger(name)

    async def until_stopped() -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(run(options))
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await task

    try:
        uvloop.run(until_stopped())
    except Exception as error:
        causes = leaves(error)
        if all(isinstance(cause, OSError | ValueError) for cause in causes):
            # What an operator can mend (a port in use, a file not there) is a sentence; the rest is a bug with its traceback.
            for cause in causes:
                logger.error("Cannot run", err=cause)
                print(f"pyb {name}: {cause}", file=sys.stderr)  # noqa: T201
        else:
            logger.exception("Failed", err=error)
        sys.exit(1)
