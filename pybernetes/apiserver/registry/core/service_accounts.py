"""ServiceAccounts."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pybernetes.apiserver.registry import printing
from pybernetes.apiserver.registry.strategy import AGE, NAME, Strategy
from pybernetes.machinery.meta import Object, name_of
from pybernetes.machinery.resources import SERVICE_ACCOUNTS


def cells(account: Object, now: datetime) -> list[Any]:
    return [name_of(account), printing.age(account, now)]


STRATEGY = Strategy(resource=SERVICE_ACCOUNTS, columns=(NAME, AGE), cells=cells)
