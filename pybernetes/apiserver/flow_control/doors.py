"""Which door a server has, by its flags."""

from __future__ import annotations

from typing import Any

from pybernetes.apiserver.flow_control.gate import Gate, Stored
from pybernetes.apiserver.flow_control.in_flight import MaxInFlight
from pybernetes.apiserver.flow_control.interface import Door
from pybernetes.machinery.clock import Clock


def make(
    reading: int, writing: int, *, fair: bool, clock: Clock, stored: Stored, request_timeout_s: float
) -> tuple[Gate | None, Door[Any] | None]:
    """The gate, if it is `fair` (priority and fairness), and the door itself; no door where both limits are 0."""
    if not fair:
        return None, MaxInFlight(reading, writing)
    if not reading + writing:
        return None, None
    gate = Gate(reading + writing, clock, stored, wait_s=request_timeout_s / 4)
    return gate, gate
