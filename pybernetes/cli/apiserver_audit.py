"""Flags of `pyb apiserver` about the audit log: which there are for each backend, and the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from pybernetes.cli.parameters import DURATION

_Option = Callable[[Callable[..., Any]], Callable[..., Any]]


def _switch(flag: str, default: bool, what: str) -> _Option:
    return click.option(flag, type=bool, default=default, is_flag=False, flag_value=True, show_default=True, help=what)


def _number(flag: str, default: float, what: str) -> _Option:
    return click.option(flag, default=default, show_default=True, help=what)


def _backend(name: str, mode: str, size: int, wait: str, throttled: bool) -> tuple[_Option, ...]:
    """What the log and the webhook have both."""
    qps, burst = (10.0, 15) if throttled else (0.0, 0)
    flag, variable = f"--audit-{name}", f"audit_{name}"
    return (
        click.option(f"{flag}-mode", default=mode, show_default=True, help="batch, blocking or blocking-strict."),
        _number(f"{flag}-batch-buffer-size", 10000, "Events that may wait; further ones are lost. Of mode batch."),
        _number(f"{flag}-batch-max-size", size, "Events of a batch. Of mode batch."),
        click.option(
            f"{flag}-batch-max-wait", f"{variable}_batch_max_wait_s", type=DURATION, default=wait, show_default=True,
            help="After how long a batch goes that is not full. Of mode batch.",
        ),
        _switch(f"{flag}-batch-throttle-enable", throttled, "Send so many batches a second only. Of mode batch."),
        _number(f"{flag}-batch-throttle-qps", qps, "How many. Of mode batch."),
        _number(f"{flag}-batch-throttle-burst", burst, "How many at once. Of mode batch."),
        _switch(f"{flag}-truncate-enabled", False, "Cut events and batches that are too large."),
        _number(f"{flag}-truncate-max-batch-size", 10485760, "Bytes of a batch; larger ones are split."),
        _number(f"{flag}-truncate-max-event-size", 102400, "Bytes of an event; larger ones lose their objects."),
        click.option(f"{flag}-version", default="audit.k8s.io/v1", show_default=True, help="Of the events."),
    )  # fmt: skip


_OPTIONS: tuple[_Option, ...] = (
    click.option("--audit-policy-file", default="", help="What is recorded (audit.k8s.io/v1 Policy); default: nothing."),
    click.option("--audit-log-path", default="", help="The file it is recorded in, a line an event; - for standard output."),
    click.option("--audit-log-format", default="json", show_default=True, help="json, or legacy: a text with part of it."),
    _number("--audit-log-maxage", 0, "Days to keep old audit logs; 0: for ever."),
    _number("--audit-log-maxbackup", 0, "How many old ones to keep; 0: all."),
    _number("--audit-log-maxsize", 0, "Megabytes before a new one; 0: 100."),
    _switch("--audit-log-compress", False, "Compress the old ones."),
    *_backend("log", mode="blocking", size=1, wait="0s", throttled=False),
    click.option("--audit-webhook-config-file", default="", help="Send it to the server in this kubeconfig."),
    click.option(
        "--audit-webhook-initial-backoff", "--audit-webhook-batch-initial-backoff", "audit_webhook_initial_backoff_s",
        type=DURATION, default="10s", show_default=True, help="How long to wait before trying again.",
    ),
    *_backend("webhook", mode="batch", size=400, wait="30s", throttled=True),
)  # fmt: skip


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the flags to a command, in their order."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
