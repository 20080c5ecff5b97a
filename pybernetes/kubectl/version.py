"""`kubectl version`: of this program and of the server."""

from __future__ import annotations

from pybernetes import KUBERNETES_VERSION
from pybernetes.kubectl import output
from pybernetes.kubectl.command import Command
from pybernetes.kubectl.failure import Failure
from pybernetes.kubectl.flags import Flag, Kind, Parsed
from pybernetes.kubectl.session import Session
from pybernetes.machinery.meta import Object


async def run(session: Session, parsed: Parsed) -> int:
    kind = parsed.options.text("output")
    if kind not in ("", "json", "yaml"):
        raise Failure("--output must be 'yaml' or 'json'")
    git_version = KUBERNETES_VERSION if KUBERNETES_VERSION.startswith("v") else f"v{KUBERNETES_VERSION}"
    major, minor = git_version.removeprefix("v").split(".")[:2]
    found: Object = {"clientVersion": {"major": major, "minor": minor, "gitVersion": git_version}, "kustomizeVersion": "none"}
    if not kind:
        session.print(f"Client Version: {git_version}")
    if not parsed.options.flag("client"):
        found["serverVersion"] = await session.request("GET", "/version")
        if not kind:
            session.print(f"Server Version: {found['serverVersion'].get('gitVersion', '')}")
    if kind:
        session.stdout.write(output.to_json(found) + "\n" if kind == "json" else output.to_yaml(found))
    return 0


COMMAND = Command(
    "version",
    "Show the versions of client and server",
    flags=(
        Flag("client", "Of the client only", Kind.BOOL),
        Flag("output", "json or yaml", short="o"),
        Flag("short", "Accepted for compatibility", Kind.BOOL, hidden=True),
    ),
    run=run,
)
