"""The `pyb` command: one module a subcommand, imported when it is called."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import PurePath

import click

import pybernetes

# Name, module, help: in the order in which `pyb --help` shows them.
COMMANDS: tuple[tuple[str, str, str], ...] = (
    ("up", "up", "Start a cluster on this machine."),
    ("down", "down", "Stop the cluster; its data stays unless --purge."),
    ("status", "status", "Show each component and the nodes."),
    ("demo", "demo", "Start a cluster, run an app on it, fetch its answer."),
    ("logs", "logs", "Show a component's log."),
    ("kubectl", "kubectl", "Talk to the cluster, as kubectl does."),
    ("snapshot", "snapshot", "Save the cluster's state to a file, or restore it."),
    ("apiserver", "apiserver", "Run the API server alone."),
    ("scheduler", "scheduler", "Run the scheduler alone."),
    ("controller-manager", "controller_manager", "Run the controller manager alone."),
    ("kubelet", "kubelet", "Run the node agent alone."),
    ("proxy", "proxy", "Run the service proxy alone."),
    ("dns", "dns", "Run the cluster DNS alone."),
    ("etcd", "etcd", "Serve a store as etcd does."),
)


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports only the one that runs: start time is a feature."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # Upstream's flag parser takes `-v=4` too, and that is how people write it.
        return super().parse_args(ctx, [f"-{arg}" if arg.startswith("-v=") else arg for arg in args])

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name, _, _ in COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        for name, module, _ in COMMANDS:
            if name == cmd_name:
                command: click.Command = import_module(f"pybernetes.cli.{module}").command
                return command
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_text) for name, _, help_text in COMMANDS])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(pybernetes.__version__, message=f"pyb %(version)s, Kubernetes {pybernetes.KUBERNETES_VERSION}")
def pyb() -> None:
    """Kubernetes in Python: a whole cluster from one command."""


def main() -> None:
    """The entry point. Invoked under the name `kubectl` (a link), the program is kubectl."""
    if PurePath(sys.argv[0]).name == "kubectl":
        from pybernetes.kubectl.main import main as kubectl

        sys.exit(kubectl(sys.argv[1:]))
    pyb(prog_name="pyb")
