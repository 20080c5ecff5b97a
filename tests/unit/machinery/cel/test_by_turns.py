"""Expressions that take long let others on the loop have their turn, and come to what they would have come to at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pybernetes.machinery.cel import CelError, compile_expression
from pybernetes.machinery.cel.compiler import COST_LIMIT
from pybernetes.machinery.cel.rules import Rules
from pybernetes.machinery.turns import by_turns

TEXTS = [f"a text of some length {n}" for n in range(200)]
# Each takes long; the last ones end by their cost, or by an error late in the evaluation.
LONG = {
    "each with each": "l.all(a, l.all(b, a != b || a == b))",
    "found late": "l.exists(a, l.exists(b, a.endsWith(' 199') && b.endsWith(' 199')))",
    "mapped": "l.map(a, l.filter(b, b > a).size())",
    "one call": "(l + l).distinct().size()",
    "too much": "l.all(a, l.all(b, l.all(c, a != b || b != c || true)))",
    "an error": "l.map(a, l.map(b, int(b.substring(22)))).map(a, 1 / (a[0] - a[0]))",
}


def turns(seen: list[int]) -> asyncio.Task[None]:
    """Somebody else, who counts in `seen[0]` how often it is their turn."""

    async def count() -> None:
        while True:
            seen[0] += 1
            await asyncio.sleep(0)

    return asyncio.create_task(count())


def outcome(text: str, limit: int = COST_LIMIT) -> Any:
    """The value and the cost, or the error and the cost."""
    program = compile_expression(text, {"l": ("list", "string")})
    try:
        return program.evaluate({"l": TEXTS}, limit=limit)
    except CelError as error:
        return type(error), str(error), error.cost


@pytest.mark.parametrize("limit", [COST_LIMIT, 100_000, 5_001, 4_999])
@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
async def test_an_evaluation_by_turns_comes_to_the_same(text: str, limit: int) -> None:
    at_once = outcome(text, limit)
    seen = [0]
    counting = turns(seen)
    assert await by_turns(lambda: outcome(text, limit)) == at_once
    counting.cancel()
    if limit == COST_LIMIT:
        assert seen[0] > 0


RULE = "self.all(a, self.all(b, a != b || size(a) > {}))"
SCHEMA = {
    "type": "array", "items": {"type": "string"},
    "x-kubernetes-validations": [{"rule": RULE.format(n), "message": f"rule {n}"} for n in (0, 100, 5, 200)],
}  # fmt: skip


async def test_rules_asked_by_turns_say_the_same():
    rules = Rules(SCHEMA)
    at_once = list(rules.validate(TEXTS))
    assert [error.body for error in at_once] == ["Invalid value: rule 100", "Invalid value: rule 200"]
    seen = [0]
    counting = turns(seen)
    assert await by_turns(lambda: list(rules.validate(TEXTS))) == at_once
    counting.cancel()
    assert seen[0] > 50


@pytest.mark.parametrize("schema", [
    {"type": "array", "items": {"type": "object", "properties": {"a": {"x-kubernetes-validations": [{"rule": "true"}]}}}},
    {"type": "array", "items": {"type": "string", "format": "date-time"}, "x-kubernetes-validations": [{"rule": "true"}]},
])  # fmt: skip
async def test_what_rules_only_look_at_or_read_takes_turns_too(schema: Any) -> None:
    rules = Rules(schema)
    item: Any = {} if schema["items"]["type"] == "object" else "2026-01-01T00:00:00Z"
    seen = [0]
    counting = turns(seen)
    await by_turns(lambda: list(rules.validate([item] * 20_000)))
    counting.cancel()
    assert seen[0] > 3


async def test_a_long_expression_is_compiled_by_turns():
    text = "[" + ", ".join("l.all(a, a == '')" for _ in range(4000)) + "].size() > 0"
    seen = [0]
    counting = turns(seen)
    program = await by_turns(lambda: compile_expression(text, {"l": ("list", "string")}))
    counting.cancel()
    assert program.result == "bool" and seen[0] > 20
