"""What runs: a file that the supervisor writes and that `status`, `down` and a second `up` read."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pybernetes.cli.credentials import ApiAddress
from pybernetes.cli.processes import ProcessRef
from pybernetes.machinery import pki


@dataclass(frozen=True, slots=True)
class ComponentState:
    name: str
    process: ProcessRef | None  # None while it waits to be restarted
    restarts: int
    health: str
    address: str


@dataclass(frozen=True, slots=True)
class State:
    supervisor: ProcessRef
    api: ApiAddress
    components: tuple[ComponentState, ...] = field(default=())

    def save(self, path: Path) -> None:
        pki.write_public(path, json.dumps(asdict(self)).encode())

    def processes(self) -> list[ProcessRef]:
        return [component.process for component in self.components if component.process is not None]


def load(path: Path) -> State | None:
    """The last state written, whether its processes still live or not; None if there is none."""
    try:
        raw = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    return State(
        supervisor=ProcessRef(*raw["supervisor"]),
        api=ApiAddress(**raw["api"]),
        components=tuple(
            ComponentState(**{**each, "process": ProcessRef(*each["process"]) if each["process"] else None})
            for each in raw["components"]
        ),
    )
