"""`pyb kubectl`: kubectl, talking to the cluster that `pyb up` made unless a kubeconfig is named."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

ADMIN_KUBECONFIG = Path("/var/lib/pybernetes/admin.kubeconfig")


# Click is to pass everything on, `--` included, which it does only behind the first argument.
_AS_TYPED = {"ignore_unknown_options": True, "allow_interspersed_args": False, "help_option_names": []}


@click.command("kubectl", context_settings=_AS_TYPED, add_help_option=False)
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def command(words: tuple[str, ...]) -> None:
    """Talk to the cluster, as kubectl does."""
    from pybernetes.kubectl.main import main

    if not os.environ.get("KUBECONFIG") and ADMIN_KUBECONFIG.exists():
        os.environ["KUBECONFIG"] = str(ADMIN_KUBECONFIG)
    sys.exit(main(list(words)))
