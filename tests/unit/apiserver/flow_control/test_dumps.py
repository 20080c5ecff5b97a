"""What waits, as upstream's tables show it."""

from __future__ import annotations

import asyncio

from pybernetes.apiserver.flow_control import dumps
from tests.unit.apiserver.flow_control.objects import MAP, configuration, gate, level, schema, user


async def test_what_waits_is_listed_with_whose_it_is() -> None:
    schemas = [schema("mine", "mine", "*", method="ByUser", precedence=2)]
    door = gate(2, wanted=configuration(schemas, [level("mine", 245, queues=4)]))
    me = user("me")
    assert door.enter_at_once(door.seat(me, MAP, {}))
    waiting = asyncio.create_task(door.wait(door.seat(me, MAP, {}), me, MAP, 0))
    await asyncio.sleep(0.01)
    rows = [line for line in dumps.priority_levels(door).splitlines() if line.startswith("mine,")]
    assert [cell.strip() for cell in rows[0].split(",")] == ["mine", "1", "false", "false", "1", "1", "1", "0", "0", "0"]
    head, row = dumps.requests(door, details=True).splitlines()
    cells = dict(zip([cell.strip() for cell in head.split(",")], [cell.strip() for cell in row.split(",")], strict=True))
    assert (cells["FlowSchemaName"], cells["FlowDistingsher"], cells["UserName"]) == ("mine", "me", "me")
    assert (cells["Verb"], cells["Resource"], cells["Namespace"], cells["APIVersion"]) == ("get", "configmaps", "default", "v1")
    assert head.index("FlowSchemaName") == row.index("mine,", 5)  # columns are aligned
    assert sum(line.startswith("mine,") for line in dumps.queues(door).splitlines()) == 1
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
