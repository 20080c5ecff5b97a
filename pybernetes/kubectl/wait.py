"""`kubectl wait`: until a condition, a field's value, a deletion or a creation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing

from pybernetes.kubectl import jsonpath
from pybernetes.kubectl.command import ALL_NAMESPACES_FLAG, FIELD_SELECTOR_FLAG, FILENAME_FLAGS, SELECTOR_FLAG, Command
from pybernetes.kubectl.delete import wait_gone
from pybernetes.kubectl.failure import Failure
from pybernetes.kubectl.flags import Flag, Kind, Parsed
from pybernetes.kubectl.selection import Target, objects, select
from pybernetes.kubectl.session import Session
from pybernetes.machinery import errors
from pybernetes.machinery.meta import Object

Met = Callable[[Object], bool]


async def run(session: Session, parsed: Parsed) -> int:
    options = parsed.options
    wanted = options.text("for")
    if not wanted:
        raise Failure("must specify --for condition")
    timeout_s = options.seconds("timeout")
    limit_s = None if timeout_s < 0 else timeout_s
    loop = asyncio.get_running_loop()
    deadline = None if limit_s is None else loop.time() + limit_s
    targets = await select(session, parsed.args, options, verb="wait", named_only=True)
    if wanted.lower() == "create":
        return await _created(session, targets, deadline)
    gone = wanted.lower() == "delete"
    met = None if gone else predicate(wanted)
    try:
        found = await objects(session, targets, options, strict=gone)
    except errors.NotFound:
        return 0
    if not found and not session.failed:
        if gone:
            return 0
        raise Failure("no matching resources found")
    for target, obj in found:
        try:
            async with asyncio.timeout_at(deadline):
                if met is None:
                    await wait_gone(session, target, obj["metadata"].get("uid", ""))
                else:
                    await _until(session, target, obj, met)
        except TimeoutError:
            session.report(Failure(f"timed out waiting for the condition on {target.resource.plural}/{target.name}"))
            continue
        session.print(f"{target.shown} {'deleted' if gone else 'condition met'}")
        session.stdout.flush()
    return session.exit_code


def predicate(wanted: str) -> Met:
    """`condition=Ready`, `condition=Ready=false`, `jsonpath={.status.phase}=Running`. Raises `Failure`."""
    kind, _, rest = wanted.partition("=")
    if kind.lower() == "condition" and rest:
        type_, _, value = rest.partition("=")
        value = value or "true"

        def has(obj: Object) -> bool:
            conditions: list[Object] = (obj.get("status") or {}).get("conditions") or []
            found = next((each for each in conditions if each.get("type", "").lower() == type_.lower()), None)
            if found is None:
                return False
            observed = found.get("observedGeneration") or (obj.get("status") or {}).get("observedGeneration")
            if observed is not None and observed < obj["metadata"].get("generation", 0):
                return False
            return str(found.get("status", "")).lower() == value.lower()

        return has
    if kind.lower() == "jsonpath" and rest:
        path, equals, value = rest.rpartition("=") if rest.rstrip().endswith("}") is False else (rest, "", "")
        find = jsonpath.compile_path((path if equals else rest).strip("'\""))
        if not equals:
            return lambda obj: any(value not in (None, "") for value in find(obj))
        expected = value.strip("'\"")
        return lambda obj: [jsonpath.shown(found) for found in find(obj)] == [expected]
    raise Failure(f'unrecognized condition: "{wanted}"')


async def _until(session: Session, target: Target, obj: Object, met: Met) -> None:
    while not met(obj):
        version = obj["metadata"]["resourceVersion"]
        events = session.client.watch(
            target.resource, target.namespace, name=target.name, resource_version=version, timeout_s=300
        )
        try:
            async with aclosing(events):
                async for event in events:
                    if event.type == "DELETED":
                        raise errors.not_found(target.resource.group, target.resource.plural, target.name)
                    if event.type != "BOOKMARK":
                        obj = event.object
                        if met(obj):
                            return
        except (errors.Expired, errors.Gone):
            obj = await session.get_object(target.resource, target.namespace, target.name)


async def _created(session: Session, targets: list[Target], deadline: float | None) -> int:
    for target in targets:
        if not target.name:
            raise Failure("resource name must be provided for --for=create")
        try:
            async with asyncio.timeout_at(deadline):
                while True:
                    try:
                        await session.request("GET", target.path)
                        break
                    except errors.NotFound:
                        await session.clock.sleep(0.5)
        except TimeoutError:
            raise Failure(f"timed out waiting for the condition on {target.resource.plural}/{target.name}") from None
        session.print(f"{target.shown} condition met")
    return session.exit_code


COMMAND = Command(
    "wait",
    "Wait for a condition",
    usage="([-f FILENAME] | TYPE/NAME | TYPE [(-l label | --all)]) --for=(create | delete | condition=NAME | jsonpath=…=VALUE)",
    flags=(
        *FILENAME_FLAGS,
        SELECTOR_FLAG,
        FIELD_SELECTOR_FLAG,
        ALL_NAMESPACES_FLAG,
        Flag("all", "All objects of the kind in the namespace", Kind.BOOL),
        Flag("for", "create, delete, condition=NAME[=VALUE] or jsonpath={PATH}=VALUE"),
        Flag("timeout", "How long to wait; negative for as long as it takes", Kind.DURATION, default=30.0),
    ),
    run=run,
    examples="kubectl wait pod/web --for=condition=Ready --timeout=60s",
)
