"""JSON patches (RFC 6902), with the liberties of upstream's library: `replace` may add a key, an index may be negative."""

from __future__ import annotations

from typing import Any, Final

from pybernetes.machinery import codec
from pybernetes.machinery.errors import BadRequest, Invalid, RequestEntityTooLarge
from pybernetes.machinery.meta import Object, clone
from pybernetes.machinery.patch.merge import same

OPERATIONS_MAX: Final = 10_000
# `copy` can double a document with each operation; this many values is what all copies together may add.
_COPIED_VALUES_MAX: Final = 1_000_000


def parse(body: bytes) -> list[Object]:
    """The operations in a request's body. Raises BadRequest, and RequestEntityTooLarge if they are too many."""
    try:
        operations = codec.load_json(body)
    except ValueError as error:
        raise BadRequest(f"error decoding patch: {error}") from error
    if not isinstance(operations, list):
        why = f"json: cannot unmarshal {codec.go_name(operations)} into Go value of type []handlers.jsonPatchOp"
        raise BadRequest(f"error decoding patch: {why}")
    for operation in operations:
        if not isinstance(operation, dict):
            why = f"json: cannot unmarshal {codec.go_name(operation)} into Go value of type handlers.jsonPatchOp"
            raise BadRequest(f"error decoding patch: {why}")
    if len(operations) > OPERATIONS_MAX:
        raise RequestEntityTooLarge(
            f"The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {len(operations)}"
        )
    return operations


def apply(document: Object, operations: list[Object]) -> Any:
    """A new document. Raises Invalid (which does not tell what failed, as upstream's answer does not)."""
    state = _State(clone(document))
    for operation in operations:
        try:
            state.run(operation)
        except _Failed as error:
            raise rejected() from error
    return state.document


def rejected() -> Invalid:
    """Upstream's answer to a patch that cannot be applied."""
    message = "the server rejected our request due to an error in our request"
    status: Object = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": Invalid.reason,
        "details": {},
        "code": Invalid.code,
    }
    return Invalid(message, status=status)


class _Failed(Exception):
    pass


class _State:
    def __init__(self, document: Any) -> None:
        self.document = document
        self._copied = 0

    def run(self, operation: Object) -> None:
        name, path = operation.get("op"), operation.get("path")
        if not isinstance(path, str):
            raise _Failed("missing path")
        match name:
            case "add":
                self._add(path, clone(operation.get("value")))
            case "remove":
                self._remove(path)
            case "replace":
                self._replace(path, clone(operation.get("value")))
            case "test":
                if not same(self._get(path), operation.get("value")):
                    raise _Failed(f"testing value {path} failed")
            case "move" | "copy":
                source = operation.get("from")
                if not isinstance(source, str):
                    raise _Failed("missing from")
                value = clone(self._get(source))
                if name == "move":
                    if path.startswith(f"{source}/"):
                        raise _Failed("a value cannot be moved into itself")
                    self._remove(source)
                else:
                    self._copied += _count(value)
                    if self._copied > _COPIED_VALUES_MAX:
                        raise _Failed("copies too much")
                self._add(path, value)
            case _:
                raise _Failed(f"unexpected kind: {name}")

    def _parent(self, path: str) -> tuple[Any, str]:
        """The container that holds the last part of the path, and that part."""
        first, *parts = path.split("/")
        if first or not parts:
            raise _Failed(f"no such path: {path!r}")
        *above, last = (part.replace("~1", "/").replace("~0", "~") for part in parts)
        container = self.document
        for part in above:
            container = _child(container, part)
        if not isinstance(container, dict | list):
            raise _Failed(f"no such path: {path!r}")
        return container, last

    def _get(self, path: str) -> Any:
        """None for a key that is not there, as for null; raises for everything else that is not there."""
        if not path:
            return self.document
        container, last = self._parent(path)
        return container.get(last) if isinstance(container, dict) else _child(container, last)

    def _add(self, path: str, value: Any) -> None:
        container, last = self._parent(path)
        if isinstance(container, dict):
            container[last] = value
        elif last == "-":
            container.append(value)
        else:
            container.insert(_index(last, len(container) + 1), value)

    def _remove(self, path: str) -> None:
        container, last = self._parent(path)
        if isinstance(container, dict):
            if last not in container:
                raise _Failed(f"unable to remove nonexistent key: {last}")
            del container[last]
        else:
            del container[_index(last, len(container))]

    def _replace(self, path: str, value: Any) -> None:
        if not path:
            self.document = value
            return
        container, last = self._parent(path)
        if isinstance(container, dict):
            container[last] = value
        else:
            container[_index(last, len(container))] = value


def _child(container: Any, part: str) -> Any:
    if isinstance(container, dict) and part in container:
        return container[part]
    if isinstance(container, list):
        return container[_index(part, len(container))]
    raise _Failed(f"no such key: {part}")


def _index(part: str, length: int) -> int:
    digits = part.removeprefix("-")
    if not digits.isascii() or not digits.isdigit() or len(digits) > 9:
        raise _Failed(f"no index: {part}")
    index = int(part)
    if index < 0:
        index += length
    if not 0 <= index < length:
        raise _Failed(f"index out of bounds: {part}")
    return index


def _count(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + sum(map(_count, value.values()))
    if isinstance(value, list):
        return 1 + sum(map(_count, value))
    return 1
