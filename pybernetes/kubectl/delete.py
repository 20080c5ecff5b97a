"""`kubectl delete`: by file, name, selector or all of a kind; then wait until it is gone."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing

import orjson

from pybernetes.kubectl.command import (
    ALL_NAMESPACES_FLAG,
    DRY_RUN_FLAG,
    FIELD_SELECTOR_FLAG,
    FILENAME_FLAGS,
    SELECTOR_FLAG,
    Command,
)
from pybernetes.kubectl.failure import Failure
from pybernetes.kubectl.flags import Flag, Kind, Options, Parsed
from pybernetes.kubectl.selection import Target, kind_name, list_all, select
from pybernetes.kubectl.session import Session
from pybernetes.machinery import errors
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import Object

_CASCADES = {"true": "background", "": "background", "false": "orphan"}


async def run(session: Session, parsed: Parsed) -> int:
    options = parsed.options
    dry_run = check_dry_run(options)
    cascade = _CASCADES.get(options.text("cascade"), options.text("cascade"))
    if cascade not in ("background", "foreground", "orphan"):
        raise Failure(f'invalid cascade value ({options.text("cascade")}). Must be "background", "foreground", or "orphan"')
    if options.flag("all") and options.text("selector"):
        raise Failure("cannot set --all and --selector at the same time")
    grace = options.number("grace-period") if options.given("grace-period") else -1
    if options.flag("now"):
        if grace >= 0:
            raise Failure("--now and --grace-period cannot be specified together")
        grace = 1
    if options.flag("force"):
        if grace > 0 and not options.flag("now"):
            raise Failure("--force and --grace-period greater than 0 cannot be specified together")
        session.note(
            "Warning: Immediate deletion does not wait for confirmation that the running resource has been terminated. "
            "The resource may continue to run on the cluster indefinitely."
        )
        grace = 0 if grace < 0 or options.flag("now") else grace
    elif grace == 0:
        grace = 1  # as upstream: only --force may skip the grace period
    if not parsed.args and not options.texts("filename") and not options.text("kustomize"):
        raise Failure(
            "You must provide one or more resources by argument or filename.\nExample resource specifications include:\n"
            "   '-f rsrc.yaml'\n   '--filename=rsrc.json'\n   '<resource> <name>'\n   '<resource>'"
        )
    targets = await select(session, parsed.args, options, verb="delete", named_only=True)
    deleted = [
        gone for target in targets for gone in await _delete(session, target, options, grace, cascade.capitalize(), dry_run)
    ]
    if not targets or (not deleted and not session.failed and not any(target.name for target in targets)):
        session.note("No resources found")
    if options.flag("wait") and dry_run == "none" and not options.flag("force"):
        await _wait_gone(session, deleted, options.seconds("timeout"))
    return session.exit_code


def check_dry_run(options: Options) -> str:
    """none, client or server. Raises `Failure`."""
    text = {"unchanged": "client", "true": "client", "false": "none"}.get(options.text("dry-run"), options.text("dry-run"))
    if text not in ("none", "client", "server"):
        raise Failure(f'Invalid dry-run value ({text}). Must be "none", "server", or "client".')
    return text


async def _delete(
    session: Session, target: Target, options: Options, grace: int, propagation: str, dry_run: str
) -> list[tuple[Target, str]]:
    """Delete what the target names. Returns what was, with uids."""
    try:
        if target.name:
            return [(target, await _delete_one(session, target, options, grace, propagation, dry_run))]
        items = await list_all(session, target, options)
    except StatusError as error:
        if not (isinstance(error, errors.NotFound) and options.flag("ignore-not-found")):
            session.report(error, f'error when deleting "{target.source}"' if target.source else "")
        return []
    done: list[tuple[Target, str]] = []
    for item in items:
        metadata: Object = item["metadata"]
        one = Target(target.resource, metadata.get("namespace", ""), metadata["name"])
        try:
            done.append((one, await _delete_one(session, one, options, grace, propagation, dry_run)))
        except errors.NotFound:
            continue  # somebody else was quicker: it is gone, as was asked
        except StatusError as error:
            session.report(error)
    return done


async def _delete_one(session: Session, target: Target, options: Options, grace: int, propagation: str, dry_run: str) -> str:
    uid = ""
    if dry_run == "client":
        await session.request("GET", target.path)
    else:
        body: Object = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": propagation}
        if grace >= 0:
            body["gracePeriodSeconds"] = grace
        query = {"dryRun": "All" if dry_run == "server" else ""}
        answer = await session.request("DELETE", target.path, query=query, body=orjson.dumps(body))
        if answer.get("kind") == "Status":
            uid = (answer.get("details") or {}).get("uid", "")
        else:
            uid = answer["metadata"].get("uid", "")
    if options.text("output") == "name":
        session.print(target.shown)
        return uid
    namespaced = f" from {target.namespace} namespace" if target.namespace else ""
    suffix = {"client": " (dry run)", "server": " (server dry run)"}.get(dry_run, "")
    forced = "force deleted" if options.flag("force") and grace == 0 else "deleted"
    session.print(f'{kind_name(target.resource)} "{target.name}" {forced}{suffix}{namespaced}')
    session.stdout.flush()
    return uid


async def _wait_gone(session: Session, deleted: Sequence[tuple[Target, str]], timeout_s: float) -> None:
    """Until each object is gone, or another one has taken its name."""
    import asyncio

    try:
        async with asyncio.timeout(timeout_s or None):
            for target, uid in deleted:
                await wait_gone(session, target, uid)
    except TimeoutError:
        for target, uid in deleted:
            if await _is_there(session, target, uid):
                raise Failure(f"timed out waiting for the condition on {target.resource.plural}/{target.name}") from None


async def _is_there(session: Session, target: Target, uid: str) -> Object | None:
    try:
        obj = await session.request("GET", target.path)
    except errors.NotFound:
        return None
    return obj if not uid or obj["metadata"].get("uid") == uid else None


async def wait_gone(session: Session, target: Target, uid: str = "") -> None:
    """Return when the object (of that uid, if given) does not exist."""
    while True:
        obj = await _is_there(session, target, uid)
        if obj is None:
            return
        events = session.client.watch(
            target.resource,
            target.namespace,
            name=target.name,
            resource_version=obj["metadata"]["resourceVersion"],
            timeout_s=300,
        )
        try:
            async with aclosing(events):
                async for event in events:
                    if event.type == "DELETED":
                        return
        except (errors.Expired, errors.Gone):
            continue
        except errors.Forbidden:  # may delete, but not watch: look now and then
            await session.clock.sleep(1)


COMMAND = Command(
    "delete",
    "Delete resources by file, name or selector",
    usage="([-f FILENAME] | TYPE [(NAME | -l label | --all)]) [options]",
    flags=(
        *FILENAME_FLAGS,
        SELECTOR_FLAG,
        FIELD_SELECTOR_FLAG,
        ALL_NAMESPACES_FLAG,
        DRY_RUN_FLAG,
        Flag("all", "All objects of the kind in the namespace", Kind.BOOL),
        Flag(
            "cascade", "background, foreground or orphan: what becomes of dependents", default="background", bare="background"
        ),
        Flag("force", "Do not wait for the node to stop the pod (with --grace-period=0)", Kind.BOOL),
        Flag("grace-period", "Seconds to stop gracefully; -1 is the object's own", Kind.NUMBER, default=-1),
        Flag("ignore-not-found", "Treat a missing object as success", Kind.BOOL),
        Flag("now", "Stop within a second", Kind.BOOL),
        Flag("output", "name shows names only", short="o"),
        Flag("timeout", "How long to wait for the object to be gone; 0 waits as long as it takes", Kind.DURATION),
        Flag("wait", "Wait for the object to be gone", Kind.BOOL, default=True),
        Flag("interactive", "Not supported", Kind.BOOL, short="i", hidden=True),
    ),
    run=run,
    examples="kubectl delete -f app.yaml\nkubectl delete pod web --now\nkubectl delete pods -l app=web",
)
