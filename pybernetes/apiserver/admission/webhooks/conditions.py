"""`matchConditions`: CEL expressions that must all hold for a hook to be asked.

Variables: `object`, `oldObject` (null where there is none) and `request`, as the hook would see them. `authorizer` is not there
yet: an expression that uses it fails, and `failurePolicy` says what that means.

Source: https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#matching-requests-matchconditions
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pybernetes.apiserver.admission.webhooks.hooks import Hook
from pybernetes.machinery.meta import Object

if TYPE_CHECKING:
    from pybernetes.machinery.cel import Program

REMEMBERED_MAX = 1024
VARIABLES = ("object", "oldObject", "request")


class ConditionsFailed(Exception):
    """Conditions that could not be evaluated, none of the others being false."""


@lru_cache(REMEMBERED_MAX)
def compiled(expression: str) -> Program:
    """Raises `CompileError`."""
    from pybernetes.machinery.cel import CompileError, compile_expression  # loaded by those who use conditions
    from pybernetes.machinery.cel.types import DYN

    program = compile_expression(expression, dict.fromkeys(VARIABLES, DYN))
    if program.result not in ("bool", DYN):
        raise CompileError(expression, 0, "must evaluate to bool")
    return program


def hold(hook: Hook, obj: Object | None, old: Object | None, request: Mapping[str, Any]) -> bool:
    """Whether all of them hold. Raises `ConditionsFailed`."""
    from pybernetes.machinery.cel import CelError, CompileError

    variables = {"object": obj, "oldObject": old, "request": request}
    failures = []
    for _, expression in hook.match_conditions:
        try:
            result, _ = compiled(expression).evaluate(variables)
        except CelError as error:
            failures.append(f"expression '{expression}' resulted in error: {error}")
            continue
        except CompileError as error:
            failures.append(f"expression '{expression}' resulted in error: compilation error: {error}")
            continue
        if result is not True:
            if result is False:
                return False
            failures.append(f"cel expression '{expression}' must evaluate to a bool")
    if failures:
        raise ConditionsFailed(failures[0] if len(failures) == 1 else "[" + ", ".join(failures) + "]")
    return True
