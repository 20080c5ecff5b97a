"""`kubectl api-versions`: group/version, one a line."""

from __future__ import annotations

from pybernetes.kubectl.command import Command
from pybernetes.kubectl.flags import Parsed
from pybernetes.kubectl.session import Session


async def run(session: Session, parsed: Parsed) -> int:
    for version in sorted({resource.api_version for resource in (await session.mapper.discovery()).resources}):
        session.print(version)
    return 0


COMMAND = Command("api-versions", "Show the API versions that the server has", run=run)
