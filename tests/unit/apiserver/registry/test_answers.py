"""Strategies against the answers that an upstream API server gave: what a request becomes, and what is wrong with it.

Admission and the generic registry are not part of this; `tests/component/apiserver` replays the requests whole.
"""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from pybernetes.apiserver.registry import metadata
from pybernetes.apiserver.registry.all import STRATEGIES
from pybernetes.apiserver.registry.strategy import Context
from pybernetes.machinery.errors import DecodeError
from pybernetes.machinery.meta import Object
from pybernetes.machinery.resources import BUILTIN
from pybernetes.machinery.schema import schema_for

REFERENCE = Path(os.environ.get("PYBERNETES_REFERENCE") or Path(__file__).resolve().parents[5] / "shared" / "reference")
BY_KIND = {(strategy.resource.api_version, strategy.resource.kind): strategy for strategy in STRATEGIES}
pytestmark = pytest.mark.skipif(not REFERENCE.is_dir(), reason="no recorded answers here (PYBERNETES_REFERENCE)")
# What admission does to these, or what the request as a whole is refused for.
_BY_ADMISSION = ("volumes", "volumeMounts", "serviceAccount", "tolerations", "priority", "preemptionPolicy")


@cache
def recorded(name: str) -> Any:
    return json.loads((REFERENCE / name).read_bytes())


def creations() -> Iterator[tuple[str, Object, int, Object]]:
    """(name, body, code, answer) of each creation of a known kind whose answer was recorded."""
    if not REFERENCE.is_dir():
        return
    for scenario in recorded("api-answers.json")["scenarios"]:
        if scenario["area"] not in ("create", "validation", "table", "subresources"):
            continue
        for i, step in enumerate(scenario["steps"]):
            body, answer = step.get("body"), step.get("answer")
            if step.get("method") != "POST" or not isinstance(body, dict) or not answer:
                continue
            if step.get("headers") or "dryrun" in scenario["id"] or answer["code"] not in (201, 400, 422):
                continue  # about the request (a name that is taken, say), not about the object
            body, answer = (json.loads(_NAMESPACE.sub("ns", json.dumps(part))) for part in (body, answer))
            path = step["path"].partition("?")[0]
            if (body.get("apiVersion"), body.get("kind")) in BY_KIND and path.rpartition("/")[2] in _PLURALS:
                yield f"{scenario['id']}#{i}", body, answer["code"], answer.get("body") or {}


# How the recordings write the name of the scenario's namespace, in requests and in answers.
_NAMESPACE = re.compile(r"\{\{ns\}\}|\bNS\b")
_PLURALS = {resource.plural for resource in BUILTIN}
_CREATIONS = list(creations())


def created(body: Object, context: Context) -> tuple[Object, list[str]]:
    """The object as the strategy would have it stored, and what is wrong with it."""
    obj = copy.deepcopy(body)
    strategy = BY_KIND[obj["apiVersion"], obj["kind"]]
    obj.setdefault("metadata", {})
    schema = schema_for(strategy.resource.gvk)
    schema.conform(obj)
    if strategy.resource.namespaced:
        obj["metadata"]["namespace"] = "ns"
    strategy.default(obj)
    metadata.begin(obj, strategy, context.now, context.entropy.uid())
    if strategy.has_status and not strategy.status_on_create:
        obj.pop("status", None)
    strategy.prepare_for_create(context, obj)
    errors = [*metadata.validate_create(obj, strategy), *strategy.validate(obj), *strategy.validate_create(obj)]
    schema.conform(obj)
    return obj, [f"{error.type} {error.field} {error.body}" for error in errors]


@pytest.mark.parametrize(("name", "body", "code", "answer"), _CREATIONS, ids=[creation[0] for creation in _CREATIONS])
def test_a_creation_is_answered_as_upstream_answers_it(
    name: str, body: Object, code: int, answer: Object, context: Context
) -> None:
    if code == 400:
        with pytest.raises(DecodeError):
            created(body, context)
        return
    obj, errors = created(body, context)
    if code == 422:
        causes = (answer.get("details") or {}).get("causes") or ()
        wanted = sorted(f"{cause['reason']} {cause['field']} {cause['message']}" for cause in causes)
        assert sorted(errors) == [text.replace("<ip4>", "10.9.8.7") for text in wanted]
        return
    assert errors == []
    _compare(obj, answer, "$")


def _compare(ours: Any, theirs: Any, path: str) -> None:
    """Equal, but for generated values, metadata and what admission adds."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        skipped = {"metadata"} if path == "$" else set()
        if path == "$.spec" or path.endswith(("containers[0]", "Containers[0]", "Containers[1]")):
            skipped |= {name for name in theirs.keys() | ours.keys() if name.startswith(_BY_ADMISSION)}
        for name in (theirs.keys() | ours.keys()) - skipped:
            assert name in ours, f"{path}.{name}: absent, upstream {theirs[name]!r}"
            assert name in theirs, f"{path}.{name}: {ours[name]!r}, upstream has none"
            _compare(ours[name], theirs[name], f"{path}.{name}")
    elif isinstance(theirs, list) and isinstance(ours, list) and len(ours) == len(theirs):
        for i, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            _compare(one, other, f"{path}[{i}]")
    elif not (isinstance(theirs, str) and "<" in theirs):
        assert ours == theirs, path


def test_columns_are_upstreams() -> None:
    tables = recorded("table-columns.json")
    for strategy in STRATEGIES:
        resource = strategy.resource
        ours = [
            {"format": column.format, "name": column.name, "priority": column.priority, "type": column.type}
            for column in strategy.columns
        ]
        assert ours == tables[f"{resource.api_version}/{resource.plural}"], resource.group_resource


def test_every_kind_that_is_listed_has_a_strategy() -> None:
    known = {strategy.resource for strategy in STRATEGIES}
    assert [resource.group_resource for resource in BUILTIN if "list" in resource.verbs and resource not in known] == []


def test_cells_fit_the_columns(context: Context) -> None:
    for name, body, code, _ in _CREATIONS:
        if code == 201:
            obj, _ = created(body, context)
            strategy = BY_KIND[obj["apiVersion"], obj["kind"]]
            assert strategy.cells is not None
            assert len(strategy.cells(obj, context.now)) == len(strategy.columns), name
