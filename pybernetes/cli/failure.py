"""Failures that a user can mend: one sentence, no traceback."""

from __future__ import annotations

import click


class Failure(click.ClickException):
    """Ends the command with `Error: <sentence>` on standard error and exit code 1."""


def leaves(error: BaseException) -> list[BaseException]:
    """The exceptions of a group, and of the groups in it; one that is no group alone."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for member in error.exceptions for leaf in leaves(member)]
    return [error]
