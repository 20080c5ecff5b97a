"""Objects of every kind that are nearly right: what the type says, and now and then something else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from pybernetes.machinery.meta import Resource
from pybernetes.machinery.schema import schema_for
from pybernetes.machinery.schema.types import Kind, Node, Struct

DEPTH = 6  # below which only simple values follow

WORDS = st.sampled_from((
    "", "a", "name", "Always", "Never", "ClusterIP", "TCP", "RollingUpdate", "default", "pods", "*", "v1", "apps/v1",
    "10.0.0.1", "::1", "10.0.0.0/8", "example.com", "http://example.com", "/", "../..", "%2e", "x" * 300, "self.x > 1",
    "object.metadata", "[", "(a+)+$", "{.spec}", "1", "-1", "1e400", "0x10", "*/5 * * * *", "a=b,c in (d)", "\x00", "\ud7ff",
    "ﬃ", "a\nb", "null", "true",
))  # fmt: skip
INTEGERS = st.sampled_from((0, 1, -1, 80, 65536, 2**31 - 1, 2**31, -(2**63), 2**63 - 1, 2**64)) | st.integers(-5, 5)
JUNK: st.SearchStrategy[Any] = st.sampled_from(
    (None, True, [], {}, [None], {"": None}, 1.5, 1e308, [[[]]], {"a": {"a": []}}, "\x7f")
)
QUANTITIES = st.sampled_from(("1", "100m", "1Gi", "-1", "1e3", "", "1.5Ki", "9" * 40, "1.0000000001n", "abc", "0"))
TIMES = st.sampled_from(
    ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05.123456Z", "0001-01-01T00:00:00Z", "now", "", "9999-99-99T00:00:00Z")
)
SCALARS: Mapping[Kind, st.SearchStrategy[Any]] = {
    Kind.STRING: WORDS,
    Kind.BOOLEAN: st.booleans(),
    Kind.INT32: INTEGERS,
    Kind.INT64: INTEGERS,
    Kind.DOUBLE: st.floats(allow_nan=False, allow_infinity=False) | INTEGERS,
    Kind.BYTES: st.sampled_from(("", "YQ==", "====", "Ă")),
    Kind.TIME: TIMES,
    Kind.MICRO_TIME: TIMES,
    Kind.QUANTITY: QUANTITIES | INTEGERS,
    Kind.INT_OR_STRING: INTEGERS | st.sampled_from(("50%", "http", "-1%", "101%", "%")),
    Kind.ANY: JUNK | WORDS,
}


@st.composite
def values(draw: st.DrawFn, node: Node, depth: int = 0) -> Any:
    if draw(st.integers(0, 24)) == 0:
        return draw(JUNK)
    if node.kind == Kind.STRUCT:
        return draw(structs(node.struct, depth + 1))
    if node.item is None:
        return draw(SCALARS[node.kind])
    count = draw(st.integers(0, 2)) if depth < DEPTH else 0
    found = [draw(values(node.item, depth + 1)) for _ in range(count)]
    if node.kind == Kind.LIST:
        return found + found[:1] if draw(st.integers(0, 5)) == 0 else found
    return {draw(WORDS): value for value in found}


@st.composite
def structs(draw: st.DrawFn, structure: Struct, depth: int = 0) -> Any:
    optional = [name for name, field in structure.fields.items() if not field.required]
    chosen = {name for name, field in structure.fields.items() if field.required and draw(st.integers(0, 15))}
    if optional and depth < DEPTH:
        chosen |= set(draw(st.lists(st.sampled_from(optional), max_size=4, unique=True)))
    made = {name: draw(values(structure.fields[name].node, depth)) for name in sorted(chosen)}
    if draw(st.integers(0, 30)) == 0:
        made[draw(WORDS)] = draw(JUNK)
    return made


@st.composite
def objects(draw: st.DrawFn, resource: Resource) -> Any:
    """An object of the kind, mostly with a name that it may have."""
    made = draw(structs(schema_for(resource.gvk).struct))
    if draw(st.integers(0, 9)):
        metadata = made.get("metadata")
        kept = metadata if isinstance(metadata, dict) and draw(st.booleans()) else {}
        made["metadata"] = {**kept, "name": draw(st.sampled_from(("fuzz", "fuzz-2", "a.b", "system:x")) | WORDS)}
    made |= {"kind": resource.kind, "apiVersion": resource.api_version}
    return made
