"""What the kinds with replicas share: `/scale`, columns of their pod template, the first status."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pybernetes.apiserver.registry import checks, printing
from pybernetes.apiserver.registry.strategy import Column, Context, ScalePaths
from pybernetes.machinery import labels
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object

WIDE_COLUMNS = (Column("Containers", priority=1), Column("Images", priority=1), Column("Selector", priority=1))


def _replicas(obj: Object) -> int:
    return int(obj["spec"].get("replicas") or 0)


def _set_replicas(obj: Object, replicas: int) -> None:
    obj["spec"]["replicas"] = replicas


def _status_replicas(obj: Object) -> int:
    return int((obj.get("status") or {}).get("replicas", 0))


def _selector(obj: Object) -> str:
    return labels.from_label_selector(obj["spec"].get("selector")).to_string()


def _map_selector(obj: Object) -> str:
    return labels.from_map(obj["spec"].get("selector")).to_string()


SCALE = ScalePaths(replicas=_replicas, set_replicas=_set_replicas, status_replicas=_status_replicas, selector=_selector)
# ReplicationControllers select by a plain map.
SCALE_BY_MAP = ScalePaths(
    replicas=_replicas, set_replicas=_set_replicas, status_replicas=_status_replicas, selector=_map_selector
)


def starts_with_status(**fields: Any) -> Callable[[Context, Object], None]:
    """A `prepare_for_create` that gives the status a new object has."""

    def prepare(_: Context, obj: Object) -> None:
        obj["status"] = copy.deepcopy(fields)

    return prepare


def wide_cells(obj: Object) -> list[Any]:
    """CONTAINERS, IMAGES, SELECTOR."""
    spec = obj["spec"]
    containers, images = printing.container_cells(spec.get("template") or {})
    return [containers, images, printing.selector_text(spec.get("selector"))]


def validate_selector(selector: Object | None, kind: str) -> Iterator[FieldError]:
    """`spec.selector`, required and not empty."""
    if selector is None:
        yield FieldError.required("spec.selector")
        return
    yield from checks.label_selector(selector, "spec.selector")
    if checks.is_empty_selector(selector):
        yield checks.invalid_selector("spec.selector", selector, f"empty selector is invalid for {kind}")


def validate_same_selector(new: Object, old: Object) -> Iterator[FieldError]:
    selector = new["spec"].get("selector")
    if selector != old["spec"].get("selector"):
        yield checks.invalid_selector("spec.selector", selector, checks.IMMUTABLE)


def validate_counts(obj: Object, fields: Iterable[str]) -> Iterator[FieldError]:
    """Numbers of `status`: none negative."""
    status = obj.get("status") or {}
    for field in fields:
        yield from checks.not_negative(status.get(field), f"status.{field}")


def validate_not_above(status: Object, fields: Iterable[str], limit_field: str, shown: str = "") -> Iterator[FieldError]:
    """`shown`: how the sentence names the limit, which upstream does in several ways."""
    limit = status.get(limit_field, 0)
    for field in fields:
        if status.get(field, 0) > limit:
            sentence = f"cannot be greater than {shown or 'status.' + limit_field}"
            yield FieldError.invalid(f"status.{field}", status.get(field, 0), sentence)
