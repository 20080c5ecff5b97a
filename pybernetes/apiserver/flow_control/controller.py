"""Keeps the gate to the stored objects, and the stored objects to what they should be.

A change takes effect before its writer is answered. Whether the level that a FlowSchema names is there is said in its status.
The default objects are looked after once a minute, as upstream does: somebody may have deleted one.
"""

from __future__ import annotations

import asyncio
from typing import Final

from pybernetes.apiserver.bootstrap.reconcile import maintain_flow_control
from pybernetes.apiserver.flow_control.allocation import ADJUSTMENT_PERIOD_S
from pybernetes.apiserver.flow_control.configuration import level_named_by, read
from pybernetes.apiserver.flow_control.gate import Gate
from pybernetes.apiserver.image import Event, Table
from pybernetes.apiserver.registry.strategy import Reader, Writer
from pybernetes.machinery.clock import Clock, rfc3339
from pybernetes.machinery.entropy import Entropy, jittered
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.log import logger
from pybernetes.machinery.meta import Object, condition
from pybernetes.machinery.resources import FLOW_SCHEMAS, PRIORITY_LEVEL_CONFIGURATIONS
from pybernetes.store.interface import Unavailable

log = logger("flow-control")

SAMPLE_PERIOD_S: Final = 1.0
MAINTENANCE_PERIOD_S: Final = 60.0
RETRY_S, RETRY_S_MAX = 0.2, 60.0


class Controller:
    """`follow` makes the gate follow the two tables; `run` does the rest, until cancelled."""

    def __init__(
        self, gate: Gate, schemas: Table, levels: Table, reader: Reader, writer: Writer, clock: Clock, entropy: Entropy
    ) -> None:
        self._gate = gate
        self._tables = (schemas, levels)
        self._reader = reader
        self._writer = writer
        self._clock = clock
        self._entropy = entropy
        self._applied: tuple[int, ...] = ()
        self._changed = asyncio.Event()

    def follow(self) -> None:
        for table in self._tables:
            table.watch(self, None)
        self._apply()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._adjust(), name="flow control seats")
            group.create_task(self._report(), name="flow schema conditions")
            group.create_task(self._maintain(), name="flow control defaults")

    # Watcher

    def offer(self, _event: Event) -> None:
        self._apply()  # here and now: the writer may be told in this very turn of the loop

    def cut(self) -> None:
        """The tables will be loaded anew: what we miss is seen at the next adjustment."""

    def _apply(self) -> None:
        self._applied = self._generations()
        self._gate.configure(read(self._reader.list(FLOW_SCHEMAS), self._reader.list(PRIORITY_LEVEL_CONFIGURATIONS)))
        self._changed.set()

    def _generations(self) -> tuple[int, ...]:
        return tuple(table.generation for table in self._tables)

    async def _adjust(self) -> None:
        left_s = ADJUSTMENT_PERIOD_S
        while True:
            await self._clock.sleep(SAMPLE_PERIOD_S)
            left_s -= SAMPLE_PERIOD_S
            if left_s > 0:
                self._gate.sample()
            else:
                left_s = ADJUSTMENT_PERIOD_S
                if self._applied != self._generations():
                    self._apply()
                self._gate.adjust()

    async def _report(self) -> None:
        """Write the conditions that are not as they should be."""
        delay_s = RETRY_S
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                for schema in self._reader.list(FLOW_SCHEMAS):
                    level = level_named_by(schema)
                    found = self._reader.get(PRIORITY_LEVEL_CONFIGURATIONS, "", level) is not None
                    wanted = reported(schema, level, found, rfc3339(self._clock.now()))
                    if wanted is not None:
                        await self._writer.update(FLOW_SCHEMAS, wanted)
                delay_s = RETRY_S
            except (StatusError, Unavailable) as error:
                log.info("Cannot write a FlowSchema's condition; trying again", err=error)
                self._changed.set()
                await self._clock.sleep(jittered(delay_s, self._entropy))
                delay_s = min(2 * delay_s, RETRY_S_MAX)

    async def _maintain(self) -> None:
        while True:
            await self._clock.sleep(jittered(MAINTENANCE_PERIOD_S, self._entropy, factor=0.1))
            try:
                await maintain_flow_control(self._reader, self._writer)
            except* (StatusError, Unavailable) as error:
                log.info("Cannot maintain the default FlowSchemas and levels; trying again", err=error)


def reported(schema: Object, level: str, found: bool, now: str) -> Object | None:
    """The schema with the condition that says whether its level is there; None if it says so."""
    message = f'This FlowSchema references the PriorityLevelConfiguration object named "{level}" '
    wanted = {
        "type": "Dangling", "status": "False" if found else "True", "lastTransitionTime": now,
        "reason": "Found" if found else "NotFound",
        "message": message + ("and it exists" if found else "but there is no such object"),
    }  # fmt: skip
    status: Object = schema.get("status") or {}
    conditions = status.get("conditions") or []
    current = condition(conditions, "Dangling")
    if current is not None and all(current.get(field) == wanted[field] for field in ("status", "reason", "message")):
        return None
    others = [one for one in conditions if one.get("type") != "Dangling"]
    return {**schema, "status": {**status, "conditions": [*others, wanted]}}
