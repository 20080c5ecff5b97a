"""The match conditions of webhooks, compiled when they are first needed. They see no parameters and no variables."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pybernetes.machinery.cel.admission import Expression

REMEMBERED_MAX = 1024


@lru_cache(REMEMBERED_MAX)
def compiled(text: str) -> Expression:
    from pybernetes.machinery.cel.admission import Environment, expression  # loaded by those who use conditions

    return expression(text, Environment(), ("bool",))
