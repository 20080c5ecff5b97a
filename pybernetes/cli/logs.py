"""`pyb logs COMPONENT`: the log that the supervisor keeps of a component."""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path

import click

from pybernetes.cli.failure import Failure
from pybernetes.cli.layout import Layout
from pybernetes.cli.up import layout_options

FOLLOW_POLL_S = 0.2


@click.command("logs")
@click.argument("component")
@click.option("-f", "--follow", is_flag=True, help="Go on as it grows.")
@click.option("--tail", type=int, default=-1, help="Only the last lines.")
@layout_options
def command(component: str, follow: bool, tail: int, data_dir: Path, run_dir: Path, log_dir: Path) -> None:
    """Show the log of a component (apiserver, kubelet, …; supervisor for the one that starts them)."""
    layout = Layout(data_dir, run_dir, log_dir)
    path = layout.log(component)
    if not path.exists():
        known = sorted(each.stem for each in layout.logs.glob("*.log"))
        hint = f"there are logs of {', '.join(known)}" if known else "no cluster has run here"
        raise Failure(f"No log of {component!r} in {layout.logs}: {hint}.")
    with path.open(errors="replace") as log:
        lines = deque(log, tail) if tail >= 0 else log
        for line in lines:
            click.echo(line, nl=False)
        while follow:
            if line := log.readline():
                click.echo(line, nl=False)
            else:
                time.sleep(FOLLOW_POLL_S)
