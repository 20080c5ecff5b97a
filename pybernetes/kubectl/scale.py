"""`kubectl scale`: set the replicas of workloads by their `scale` subresource."""

from __future__ import annotations

import orjson

from pybernetes.client.rest import PatchType
from pybernetes.kubectl.command import DRY_RUN_FLAG, FILENAME_FLAGS, SELECTOR_FLAG, Command
from pybernetes.kubectl.delete import check_dry_run
from pybernetes.kubectl.failure import Failure
from pybernetes.kubectl.flags import Flag, Kind, Parsed
from pybernetes.kubectl.selection import Target, kind_name, objects, select
from pybernetes.kubectl.session import Session
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import Object


async def run(session: Session, parsed: Parsed) -> int:
    options = parsed.options
    if not options.given("replicas"):
        raise Failure('required flag(s) "replicas" not set')
    replicas = options.number("replicas")
    if replicas < 0:
        raise Failure("The --replicas=COUNT flag is required, and COUNT must be greater than or equal to 0")
    dry_run = check_dry_run(options)
    targets = await select(session, parsed.args, options, verb="scale", named_only=True)
    found = await objects(session, targets, options, strict=True)
    if not found:
        raise Failure("no objects passed to scale")
    for target, obj in found:
        metadata = obj["metadata"]
        if options.given("resource-version") and metadata.get("resourceVersion") != options.text("resource-version"):
            raise Failure(
                f"Expected resource version to be {options.text('resource-version')}, was {metadata.get('resourceVersion')}"
            )
        current = (obj.get("spec") or {}).get("replicas")
        if options.number("current-replicas") >= 0 and current != options.number("current-replicas"):
            raise Failure(f"Expected replicas to be {options.number('current-replicas')}, was {current}")
        try:
            if dry_run != "client":
                await _scale(session, target, replicas, dry_run)
        except StatusError as error:
            session.report(error)
            continue
        suffix = {"client": " (dry run)", "server": " (server dry run)"}.get(dry_run, "")
        shown = (
            target.shown if options.text("output") == "name" else f"{kind_name(target.resource)}/{target.name} scaled{suffix}"
        )
        session.print(shown)
        if options.seconds("timeout") and dry_run == "none":
            await _wait(session, target, replicas, options.seconds("timeout"))
    return session.exit_code


async def _scale(session: Session, target: Target, replicas: int, dry_run: str) -> Object:
    return await session.request(
        "PATCH",
        f"{target.path}/scale",
        query={"dryRun": "All" if dry_run == "server" else ""},
        body=orjson.dumps({"spec": {"replicas": replicas}}),
        headers={"content-type": str(PatchType.MERGE)},
    )


async def _wait(session: Session, target: Target, replicas: int, timeout_s: float) -> None:
    import asyncio

    try:
        async with asyncio.timeout(timeout_s):
            while True:
                scale = await session.request("GET", f"{target.path}/scale")
                if (scale.get("status") or {}).get("replicas", 0) == replicas:
                    return
                await session.clock.sleep(0.5)
    except TimeoutError:
        raise Failure(f"timed out waiting for {target.shown} to be scaled") from None


COMMAND = Command(
    "scale",
    "Set the number of replicas of a workload",
    usage="--replicas=COUNT (-f FILENAME | TYPE NAME)",
    flags=(
        *FILENAME_FLAGS,
        SELECTOR_FLAG,
        DRY_RUN_FLAG,
        Flag("all", "All objects of the kind in the namespace", Kind.BOOL),
        Flag("replicas", "The new number", Kind.NUMBER),
        Flag("current-replicas", "Only if this is the number now", Kind.NUMBER, default=-1),
        Flag("resource-version", "Only if this is the object's version"),
        Flag("timeout", "Wait until so many are there", Kind.DURATION),
        Flag("output", "name shows names only", short="o"),
    ),
    run=run,
    examples="kubectl scale deployment/web --replicas=3",
)
