"""CEL, the Common Expression Language, as Kubernetes uses it: in the rules of custom resources and in admission policies.

An expression is parsed (`parser`), checked against the overloads that are declared (`checker`, `declarations`) and compiled
into Python functions (`compiler`, `calls`, `loops`), once. Evaluating one counts what it costs (`costs`), and ends at a limit;
what takes long is done `by_turns` (`machinery/turns`): what somebody else wrote must not hold up the server. What it may cost
at worst is told before it is stored (`estimates`, `sizes`). `library` and its parts have the functions, `values` the values
that JSON does not have, `rules` the rules of a structural schema, `admission` what policies and match conditions see.

None of the CEL packages fits: they have no types of the host's own (quantity, IP), no optionals, no macros over two variables,
or no way to bound an evaluation.

Source: https://github.com/google/cel-spec, https://kubernetes.io/docs/reference/using-api/cel/
"""

from pybernetes.machinery.cel.compiler import Program, compile_expression
from pybernetes.machinery.cel.values import CelError, CompileError

__all__ = ["CelError", "CompileError", "Program", "compile_expression"]
