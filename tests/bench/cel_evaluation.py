"""CEL: how long compiling and evaluating take: `python tests/bench/cel_evaluation.py [SECONDS]` (2 for each load).

A rule as definitions have them, one over a list of 1,000, the rules of a whole object; and what spends its limit as slowly as
it can: how much processor time one call (1,000,000 units) and the rules of one object (10,000,000) may take.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from pybernetes.machinery.cel import compile_expression, types
from pybernetes.machinery.cel.compiler import COST_LIMIT
from pybernetes.machinery.cel.estimates import worst_cost
from pybernetes.machinery.cel.rules import BUDGET, Rules
from pybernetes.machinery.cel.sizes import of_schema
from pybernetes.machinery.cel.values import CostExceeded

TEXT = {"type": "string", "maxLength": 63}
PORT = {"type": "object", "properties": {"name": TEXT, "port": {"type": "integer"}}}
SPEC: Any = {
    "type": "object",
    "properties": {
        "replicas": {"type": "integer"}, "maxReplicas": {"type": "integer"}, "strategy": TEXT,
        "ports": {"type": "array", "items": PORT, "maxItems": 1000},
    },
}  # fmt: skip
TYPICAL = "self.replicas <= self.maxReplicas && (self.strategy == 'Rolling' || self.strategy.matches('^[A-Z][a-z]+$'))"
OVER_A_LIST = "self.ports.all(p, p.port > 0 && p.port < 65536 && p.name.startsWith('port-'))"
TRANSITION = "self.ports.size() >= oldSelf.ports.size()"
OBJECT = {
    "replicas": 3, "maxReplicas": 5, "strategy": "Recreate",
    "ports": [{"name": f"port-{n}", "port": 8000 + n} for n in range(1000)],
}  # fmt: skip
# What spends the fewest units in the longest time.
SLOW: dict[str, tuple[str, list[Any]]] = {
    "texts that are compared": ("l.all(a, l.all(b, a != b || a == b))", [f"a text of some length {n}" for n in range(1000)]),
    "prefixes": ("l.all(a, l.all(b, !a.startsWith('no') && !b.startsWith('no')))", [f"text {n}" for n in range(1000)]),
    "patterns": ("l.all(a, l.all(b, b.matches('^[a-z]+ [0-9]+$')))", [f"text {n}" for n in range(1000)]),
    "patterns that are computed": ("l.all(a, l.all(b, 'x'.matches(a + b) || true))", [f"[a-z]+ {n}" for n in range(1000)]),
    "durations": ("l.all(a, l.all(b, duration(b) > duration('1s')))", [f"1h{n + 2}s" for n in range(1000)]),
    "addresses": ("l.all(a, l.all(b, isIP(b)))", [f"10.0.{n // 256}.{n % 256}" for n in range(1000)]),
    "places in lists": ("l.all(a, l.indexOf(a) >= 0)", [f"text {n}" for n in range(3000)]),
    "items of lists": ("l.all(a, l.exists_one(b, a[0] == b[0]))", [[n] for n in range(1000)]),
    "lists that are joined": ("l.all(a, (l + l).size() > 0)", list(range(100_000))),
    "lists that are made": ("l.all(a, l.map(b, b).filter(b, b > a).size() >= 0)", list(range(1000))),
}


def measure(name: str, seconds: float, once: Callable[[], object]) -> None:
    times = []
    until = time.perf_counter() + seconds
    while (start := time.perf_counter()) < until:
        once()
        times.append(time.perf_counter() - start)
    times.sort()
    p50, p99 = times[len(times) // 2], times[len(times) * 99 // 100]
    print(f"{name:42} {len(times) / sum(times):10,.0f} per s   p50 {p50 * 1e6:9,.1f} µs   p99 {p99 * 1e6:9,.1f} µs")


def hold_up(name: str, text: str, items: list[Any]) -> None:
    program = compile_expression(text, {"l": ("list", "dyn")})
    start = time.process_time()
    try:
        _, cost = program.evaluate({"l": items}, limit=COST_LIMIT)
    except CostExceeded:
        cost = COST_LIMIT
    each = (time.process_time() - start) / cost
    print(f"{name:42} {each * 1e9:6,.0f} ns a unit   a call {each * COST_LIMIT:5.2f} s   an object {each * BUDGET:5.2f} s")


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
    variables = dict.fromkeys(("self", "oldSelf"), types.of_schema(SPEC))
    sizes = of_schema(SPEC)
    assert sizes is not None
    measure("compile a typical rule", seconds, lambda: compile_expression(TYPICAL, variables))
    typical = compile_expression(TYPICAL, variables)
    measure("estimate its cost", seconds, lambda: worst_cost(typical.tree, sizes))
    measure("evaluate it", seconds, lambda: typical.evaluate({"self": OBJECT}))
    over_a_list = compile_expression(OVER_A_LIST, variables)
    measure("a rule over a list of 1,000", seconds, lambda: over_a_list.evaluate({"self": OBJECT}))
    schema = {**SPEC, "x-kubernetes-validations": [{"rule": text} for text in (TYPICAL, OVER_A_LIST, TRANSITION)]}
    rules = Rules(schema)
    measure(
        "the three rules of an object, on an update", seconds, lambda: list(rules.validate(OBJECT, {**OBJECT, "replicas": 2}))
    )
    for name, (text, items) in SLOW.items():
        hold_up(name, text, items)


if __name__ == "__main__":
    main()
