"""Flags of `pyb apiserver` about how it is run: its end, its limits, what operators see of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import click

from pybernetes.cli.parameters import DURATION


def _chance(_context: click.Context, _parameter: click.Parameter, value: float) -> float:
    if not 0 <= value <= 0.02:
        raise click.BadParameter("must be between 0 and 0.02")
    return value


def _must(_context: click.Context, _parameter: click.Parameter, value: bool) -> bool:
    if not value:
        raise click.BadParameter("cannot be false: use the PodSecurity admission")
    return value


def _texts(_context: click.Context, _parameter: click.Parameter, value: Sequence[str]) -> tuple[str, ...]:
    """Of a flag that may be repeated, with commas between."""
    return tuple(part.strip() for text in value for part in text.split(",") if part.strip())


def _gates(context: click.Context, parameter: click.Parameter, value: Sequence[str]) -> tuple[str, ...]:
    """`Name=true` pairs, with commas between."""
    pairs = _texts(context, parameter, value)
    for pair in pairs:
        name, _, switch = pair.partition("=")
        if switch.lower() not in ("true", "false", "1", "0", "t", "f"):
            raise click.BadParameter(f"invalid value of {name}: {switch}, err: must be true or false")
    return pairs


def _runtime_config(context: click.Context, parameter: click.Parameter, value: Sequence[str]) -> tuple[str, ...]:
    pairs = _texts(context, parameter, value)
    for pair in pairs:
        key, _, switch = pair.partition("=")
        if not re.fullmatch(r"[a-z0-9.-]+(/[a-z0-9]+){0,2}", key) or switch.lower() not in ("", "true", "false"):
            raise click.BadParameter(f"{pair!r} is not like apps/v1=true or api/all=true")
        if switch.lower() == "false" and key not in ("api/alpha", "api/beta"):
            raise click.BadParameter(f"{key} cannot be switched off")
    return pairs


def _lasting(flag: str, name: str, default: str, what: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option(flag, name, type=DURATION, default=default, show_default=True, help=what)


_OPTIONS = (
    _lasting("--event-ttl", "event_ttl_s", "1h0m0s", "How long to keep Events."),
    click.option("--external-hostname", default="", help="How clients call us, in discovery; default: the advertised address."),
    click.option(
        "--min-request-timeout", default=1800, show_default=True,
        help="Seconds that a watch lasts at least, if its client does not say; at most twice that.",
    ),
    click.option(
        "--goaway-chance", default=0.0, callback=_chance, help="How often to send an HTTP/2 client elsewhere; up to 0.02."
    ),
    click.option(
        "--endpoint-reconciler-type", type=click.Choice(("lease", "master-count", "none")), default="lease", show_default=True,
        help="none: leave the endpoints of the Service kubernetes alone. The others: they are this server.",
    ),
    _lasting("--etcd-healthcheck-timeout", "etcd_healthcheck_timeout_s", "2s", "How long the check `etcd` waits."),
    _lasting("--etcd-readycheck-timeout", "etcd_readycheck_timeout_s", "2s", "How long `etcd-readiness` waits."),
    _lasting("--livez-grace-period", "livez_grace_period_s", "0s", "For how long /livez forgives an unfinished start."),
    _lasting("--shutdown-delay-duration", "shutdown_delay_duration_s", "0s", "How long to serve on after SIGTERM."),
    click.option(
        "--shutdown-send-retry-after", type=bool, default=False, is_flag=False, flag_value=True,
        help="Then answer new requests with 429 until those under way are finished.",
    ),
    _lasting(
        "--shutdown-watch-termination-grace-period", "shutdown_watch_termination_grace_period_s", "0s",
        "How long watches may take to end, one after the other.",
    ),
    click.option(
        "--strict-transport-security-directives", multiple=True, callback=_texts,
        help="Directives of the Strict-Transport-Security header: max-age=N, includeSubDomains, preload.",
    ),
    click.option("--disabled-metrics", multiple=True, callback=_texts, help="Metrics not to show."),
    click.option(
        "--default-not-ready-toleration-seconds", default=300, show_default=True, help="How long pods stay on a node not ready."
    ),
    click.option(
        "--default-unreachable-toleration-seconds", default=300, show_default=True, help="And on one that is unreachable."
    ),
    click.option(
        "--logging-format", type=click.Choice(("text", "json")), default="text", show_default=True, help="Of lines in the log."
    ),
    click.option(
        "--profiling", type=bool, default=True, is_flag=False, flag_value=True, show_default=True, help="Serve /debug/pprof/."
    ),
    click.option(
        "--contention-profiling", type=bool, default=False, is_flag=False, flag_value=True, expose_value=False,
        help="No meaning here: there are no locks to contend for.",
    ),
    click.option(
        "--enable-logs-handler", type=bool, default=False, is_flag=False, flag_value=True,
        help="Serve the files of /var/log at /logs/.",
    ),
    click.option(
        "--allow-privileged", type=bool, default=True, is_flag=False, flag_value=True, callback=_must, expose_value=False,
        help="Taken as true only: privileged containers are for admission to refuse.",
    ),
    click.option(
        "--feature-gates", multiple=True, callback=_gates, expose_value=False,
        help="Taken, and without effect: features are as in 1.36 by default.",
    ),
    click.option(
        "--runtime-config", multiple=True, callback=_runtime_config, expose_value=False,
        help="Versions to serve, e.g. resource.k8s.io/v1beta1=true. All that there are are served; none can be switched off.",
    ),
)  # fmt: skip


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the flags to a command, in their order."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
