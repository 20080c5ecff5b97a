"""The schema engine: types compiled from the published API definitions.

`schema_for(gvk)` gives the `Schema` of a built-in kind. Its `conform` is what decoding is after JSON was parsed; its `struct`
holds what patches and server-side apply need to know (merge keys, list types).

- `types`: structs, fields and nodes, from `facts/types.json`; `go_types`: what the definitions do not say.
- `compile`: the fast path, a generated function for each struct; `decode`: the slow one, which explains.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from pybernetes.machinery.errors import DecodeError
from pybernetes.machinery.meta import GroupVersionKind, Object, clone
from pybernetes.machinery.schema.compile import Unfit, blank_values, conformer, zero_values
from pybernetes.machinery.schema.decode import Refused, decode
from pybernetes.machinery.schema.types import Field, Kind, Node, Struct, struct, struct_name_of

__all__ = ["Field", "Kind", "Node", "Schema", "Struct", "field_warnings", "schema_for", "strict_error", "struct", "struct_of"]


@dataclass(frozen=True, slots=True, eq=False)
class Schema:
    """A kind and its type."""

    gvk: GroupVersionKind
    struct: Struct

    def conform(self, obj: Object, *, expected_kind: str = "") -> list[str]:
        """Make `obj` what Go would have decoded and would write again; the paths of the unknown fields that were dropped.

        In place: unknown fields, nulls and empty optional values go; structs that are always written (`status: {}`) and
        required scalars come; times and resource lists become canonical. Idempotent. Raises `DecodeError` with upstream's
        message, after which the object is of no use. `expected_kind`: what the request should have given, if it is another.
        """
        try:
            conformer(self.struct)(None, None, obj)
        except Unfit:
            pass
        except RecursionError as error:
            raise self._error("exceeded max depth", expected_kind) from error
        else:
            return []
        try:
            return decode(self.struct, obj)
        except Refused as error:
            raise self._error(str(error), expected_kind) from None
        except RecursionError as error:
            raise self._error("exceeded max depth", expected_kind) from error

    def _error(self, why: str, expected_kind: str) -> DecodeError:
        kind = expected_kind or self.gvk.kind
        return DecodeError(f'{self.gvk.kind} in version "{self.gvk.version}" cannot be handled as a {kind}: {why}', why)

    @property
    def node(self) -> Node:
        return Node(Kind.STRUCT, self.struct.go, struct_name=self.struct.name)

    def zero(self, name: str) -> Any:
        """What is written for a top-level field that nobody gave (`status: {"replicas": 0}`); None if it is left out."""
        return clone(zero_values(self.struct).get(name))

    def blank(self) -> Object:
        """What is written of an object of which nothing is known but its kind (a watch's bookmark), metadata aside."""
        return {name: value for name, value in blank_values(self.struct).items() if name != "metadata"}

    def field(self, *path: str) -> Field | None:
        """The field at the end of a path of names; lists and maps on the way are stepped into (their indexes are not named)."""
        found: Field | None = None
        structure: Struct | None = self.struct
        for name in path:
            if structure is None:
                return None
            found = structure.fields.get(name)
            if found is None:
                return None
            structure = struct_of(found.node)
        return found


def struct_of(node: Node) -> Struct | None:
    """The struct of a node, of its items, of their items; None if there is none below."""
    while node.item is not None:
        node = node.item
    return node.struct if node.kind == Kind.STRUCT else None


@cache
def schema_for(gvk: GroupVersionKind) -> Schema:
    """The schema of a built-in kind. Raises KeyError."""
    return Schema(gvk, struct(struct_name_of(gvk)))


def strict_error(duplicates: Sequence[str], unknown: Sequence[str]) -> str:
    """The sentence for `fieldValidation=Strict`; "" if nothing was found."""
    found = field_warnings(duplicates, unknown)
    return f"strict decoding error: {', '.join(found)}" if found else ""


def field_warnings(duplicates: Sequence[str], unknown: Sequence[str]) -> list[str]:
    """The Warning headers' texts for `fieldValidation=Warn`."""
    return [f'duplicate field "{path}"' for path in duplicates] + [f'unknown field "{path}"' for path in unknown]
