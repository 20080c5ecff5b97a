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
    try:
        return patched(document, operations)
    except PatchFailed as error:
        raise rejected() from error


def patched(document: Object, operations: list[Object]) -> Any:
    """A new document. Raises `PatchFailed`, which does tell: in the words of upstream's library."""
    state = _State(clone(document))
    for operation in operations:
        state.run(operation)
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


class PatchFailed(ValueError):
    """An operation that cannot be carried out on this document."""


class ValueDiffers(PatchFailed):
    """A `test` that found something else."""


_MISSING = "missing value"
_BAD_INDEX = "invalid index referenced"


class _State:
    def __init__(self, document: Any) -> None:
        self.document = document
        self._copied = 0

    def run(self, operation: Object) -> None:
        name, path = operation.get("op"), operation.get("path")
        if name not in ("add", "remove", "replace", "test", "move", "copy"):
            raise PatchFailed(f"Unexpected kind: {name}")
        if not isinstance(path, str):
            raise PatchFailed(f"{name} operation failed to decode path: {_MISSING}")
        match name:
            case "add":
                self._add("add", path, clone(operation.get("value")))
            case "remove":
                self._remove("remove", path)
            case "replace":
                self._replace(path, clone(operation.get("value")))
            case "test":
                self._test(path, operation.get("value"))
            case _:
                source = operation.get("from")
                if not isinstance(source, str):
                    raise PatchFailed(f"{name} operation failed to decode from: {_MISSING}")
                value = clone(self._get(name, source))
                if name == "move":
                    if path.startswith(f"{source}/"):
                        raise PatchFailed("a value cannot be moved into itself")
                    self._remove("move", source)
                else:
                    self._copied += _count(value)
                    if self._copied > _COPIED_VALUES_MAX:
                        raise PatchFailed("copies too much")
                self._add(name, path, value)

    def _parent(self, name: str, path: str) -> tuple[Any, str]:
        """The container that holds the last part of the path, and that part."""
        first, *parts = path.split("/")
        container = self.document
        *above, last = (part.replace("~1", "/").replace("~0", "~") for part in parts) if parts else ("",)
        if not first and parts:
            for part in above:
                container = _step(container, part)
            if isinstance(container, dict | list):
                return container, last
        shown = f'"{path}"' if name == "add" else path
        raise PatchFailed(f"{name} operation does not apply: doc is missing path: {shown}: {_MISSING}")

    def _get(self, name: str, path: str) -> Any:
        """None for a key that is not there, as for null; raises for everything else that is not there."""
        if not path:
            return self.document
        container, last = self._parent(name, path)
        if isinstance(container, dict):
            return container.get(last)
        return container[_index(name, path, last, len(container))]

    def _test(self, path: str, wanted: Any) -> None:
        if not same(self._get("test", path), wanted):
            raise ValueDiffers(f"testing value {path} failed: test failed")

    def _add(self, name: str, path: str, value: Any) -> None:
        container, last = self._parent(name, path)
        if isinstance(container, dict):
            container[last] = value
        elif last == "-":
            container.append(value)
        else:
            container.insert(_index(name, path, last, len(container) + 1), value)

    def _remove(self, name: str, path: str) -> None:
        container, last = self._parent(name, path)
        if isinstance(container, list):
            del container[_index(name, path, last, len(container))]
        elif last in container:
            del container[last]
        else:
            raise PatchFailed(f"error in {name} for path: '{path}': Unable to remove nonexistent key: {last}: {_MISSING}")

    def _replace(self, path: str, value: Any) -> None:
        if not path:
            self.document = value
            return
        container, last = self._parent("replace", path)
        if isinstance(container, dict):
            container[last] = value
            return
        index = _as_index(last, len(container))
        if index is None:
            raise PatchFailed(f"replace operation does not apply: doc is missing key: {path}: {_MISSING}")
        container[index] = value


def _step(container: Any, part: str) -> Any:
    """What is below; None (which holds nothing) if there is nothing."""
    if isinstance(container, dict):
        return container.get(part)
    if isinstance(container, list):
        index = _as_index(part, len(container))
        return None if index is None else container[index]
    return None


def _as_index(part: str, length: int) -> int | None:
    digits = part.removeprefix("-")
    if not digits.isascii() or not digits.isdigit() or len(digits) > 9:
        return None
    index = int(part)
    if index < 0:
        index += length
    return index if 0 <= index < length else None


def _index(name: str, path: str, part: str, length: int) -> int:
    index = _as_index(part, length)
    if index is None:
        raise PatchFailed(f"error in {name} for path: '{path}': Unable to access invalid index: {part}: {_BAD_INDEX}")
    return index


def _count(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + sum(map(_count, value.values()))
    if isinstance(value, list):
        return 1 + sum(map(_count, value))
    return 1
