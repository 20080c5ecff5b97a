"""`kubectl describe`: what is known of an object, laid out for people, its events last.

`describe.DESCRIBERS` names the kinds with a layout of their own; `generic` lays out the rest.
"""

from __future__ import annotations

from pybernetes.kubectl.describe.verb import COMMAND, DESCRIBERS

__all__ = ["COMMAND", "DESCRIBERS"]
