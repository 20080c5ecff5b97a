"""Failures that a user can mend: one sentence, no traceback."""

from __future__ import annotations

import click


class Failure(click.ClickException):
    """Ends the command with `Error: <sentence>` on standard error and exit code 1."""
