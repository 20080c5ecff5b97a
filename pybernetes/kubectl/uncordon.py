"""`kubectl uncordon`: mark nodes as schedulable."""

from __future__ import annotations

from pybernetes.kubectl.command import SELECTOR_FLAG, Command
from pybernetes.kubectl.cordoning import set_unschedulable
from pybernetes.kubectl.flags import Parsed
from pybernetes.kubectl.session import Session


async def run(session: Session, parsed: Parsed) -> int:
    return await set_unschedulable(session, parsed, False)


COMMAND = Command("uncordon", "Mark nodes as schedulable", usage="NODE", flags=(SELECTOR_FLAG,), run=run)
