"""FlowSchemas and PriorityLevelConfigurations as the gate wants them: checked, complete, in order. Pure.

A level that makes no sense is left out, a schema that names no level too (it is dangling). The mandatory objects are there even
where nobody has stored them: without `exempt` nobody could repair a cluster, without `catch-all` a request might match nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from pybernetes.apiserver.bootstrap.objects import flow_control_objects
from pybernetes.apiserver.bootstrap.reconcile import MANDATORY_FLOW_CONTROL as MANDATORY
from pybernetes.apiserver.flow_control.allocation import Shares
from pybernetes.machinery.meta import Object, name_of
from pybernetes.machinery.resources import FLOW_SCHEMAS, PRIORITY_LEVEL_CONFIGURATIONS

EXEMPT = "exempt"


@dataclass(frozen=True, slots=True)
class Queuing:
    queues: int
    hand_size: int
    length_limit: int


@dataclass(frozen=True, slots=True)
class LevelConfiguration:
    name: str
    uid: str
    shares: Shares
    queuing: Queuing | None  # None: what finds no seat is rejected


@dataclass(frozen=True, slots=True)
class SchemaConfiguration:
    name: str
    uid: str
    level: str
    spec: Object


@dataclass(frozen=True, slots=True)
class Configuration:
    levels: Mapping[str, LevelConfiguration]
    schemas: Sequence[SchemaConfiguration]  # in the order in which they are tried


def read(schemas: Sequence[Object], levels: Sequence[Object]) -> Configuration:
    """What the stored objects come to."""
    wanted: dict[str, LevelConfiguration] = {}
    for obj in levels:
        found = _level(obj)
        if found is not None:
            wanted[found.name] = found
    matching = [_schema(obj) for obj in schemas if level_named_by(obj) in wanted or level_named_by(obj) in MANDATORY]
    for level in _mandatory_levels():
        wanted.setdefault(level.name, level)
    stored = {schema.name for schema in matching}
    matching += [schema for schema in _mandatory_schemas() if schema.name not in stored]
    matching.sort(key=lambda schema: (schema.spec.get("matchingPrecedence", 0), schema.name))
    return Configuration(wanted, matching)


@cache
def _mandatory_levels() -> Sequence[LevelConfiguration]:
    levels = (_level(obj) for resource, obj in flow_control_objects() if resource is PRIORITY_LEVEL_CONFIGURATIONS)
    return tuple(level for level in levels if level is not None and level.name in MANDATORY)


@cache
def _mandatory_schemas() -> Sequence[SchemaConfiguration]:
    schemas = (_schema(obj) for resource, obj in flow_control_objects() if resource is FLOW_SCHEMAS)
    return tuple(schema for schema in schemas if schema.name in MANDATORY)


def level_named_by(schema: Object) -> str:
    reference: Object = (schema.get("spec") or {}).get("priorityLevelConfiguration") or {}
    return str(reference.get("name", ""))


def _schema(obj: Object) -> SchemaConfiguration:
    return SchemaConfiguration(name_of(obj), obj["metadata"].get("uid", ""), level_named_by(obj), obj.get("spec") or {})


def _level(obj: Object) -> LevelConfiguration | None:
    name, uid, spec = name_of(obj), obj["metadata"].get("uid", ""), obj.get("spec") or {}
    exempt = spec.get("type") == "Exempt"
    if exempt != (name == EXEMPT):
        return None  # a level cannot become exempt: no other has no limit
    part = spec.get("exempt" if exempt else "limited")
    if part is None:
        return LevelConfiguration(name, uid, Shares(0, 0, exempt=True), None) if exempt else None
    shares = Shares(
        int(part.get("nominalConcurrencyShares") or 0), int(part.get("lendablePercent") or 0),
        part.get("borrowingLimitPercent"), exempt,
    )  # fmt: skip
    response = part.get("limitResponse") or {}
    queuing = response.get("queuing")
    if exempt or response.get("type") == "Reject":
        return LevelConfiguration(name, uid, shares, None)
    if queuing is None:
        return None
    queues, hand = int(queuing.get("queues") or 0), int(queuing.get("handSize") or 0)
    if queues < 1 or not 0 < hand <= queues:
        return None
    return LevelConfiguration(name, uid, shares, Queuing(queues, hand, int(queuing.get("queueLengthLimit") or 0)))
