"""The verb: find the objects, their describers, and their events."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib import import_module

from pybernetes.kubectl.command import ALL_NAMESPACES_FLAG, FILENAME_FLAGS, SELECTOR_FLAG, Command
from pybernetes.kubectl.describe.layout import Page, events_table
from pybernetes.kubectl.failure import UsageFailure
from pybernetes.kubectl.flags import Flag, Kind, Options, Parsed
from pybernetes.kubectl.selection import Target, objects, select
from pybernetes.kubectl.session import Session
from pybernetes.machinery import errors
from pybernetes.machinery.meta import Object
from pybernetes.machinery.resources import EVENTS

# Writes an object's description; what it needs beyond the object it asks the session for.
Describer = Callable[[Session, Object, Page], Awaitable[None]]

# Kind -> module of this package, which has `describe_<kind>`.
DESCRIBERS = {
    ("", "Pod"): "pods",
    ("apps", "Deployment"): "workloads",
    ("apps", "ReplicaSet"): "workloads",
    ("apps", "DaemonSet"): "workloads",
    ("apps", "StatefulSet"): "workloads",
    ("batch", "Job"): "workloads",
    ("", "Service"): "services",
    ("discovery.k8s.io", "EndpointSlice"): "services",
    ("", "Node"): "nodes",
    ("", "Namespace"): "plain",
    ("", "ConfigMap"): "plain",
    ("", "Secret"): "plain",
    ("", "ServiceAccount"): "plain",
}
# Kinds whose descriptions upstream ends without events.
_WITHOUT_EVENTS = {("", "Namespace"), ("", "Secret")}


async def run(session: Session, parsed: Parsed) -> int:
    options = parsed.options
    if not parsed.args and not options.texts("filename"):
        session.note(
            'You must specify the type of resource to describe. Use "kubectl api-resources" for a complete list of supported '
            "resources.\n"
        )
        raise UsageFailure("Required resource not specified.")
    targets = await select(session, parsed.args, options, verb="describe")
    found = await _found(session, targets, options)
    for place, (target, obj) in enumerate(found):
        if place:
            session.print("\n")
        session.stdout.write(await _description(session, target, obj, options))
    if not found and not session.failed:
        session.note(
            "No resources found"
            if options.flag("all-namespaces") or not targets[0].resource.namespaced
            else f"No resources found in {session.namespace} namespace."
        )
    return session.exit_code


async def _found(session: Session, targets: list[Target], options: Options) -> list[tuple[Target, Object]]:
    """The objects; a name that is not there may be the start of several names."""
    found: list[tuple[Target, Object]] = []
    for target in targets:
        if not target.name:
            found += await objects(session, [target], options)
            continue
        try:
            found.append((target, await session.request("GET", target.path)))
        except errors.NotFound as error:
            whole = Target(target.resource, target.namespace)
            alike = [(each, obj) for each, obj in await objects(session, [whole], options) if each.name.startswith(target.name)]
            if not alike:
                session.report(error)
            found += alike
    return found


async def _description(session: Session, target: Target, obj: Object, options: Options) -> str:
    page = Page()
    key = (target.resource.group, target.resource.kind)
    module = import_module(f"pybernetes.kubectl.describe.{DESCRIBERS.get(key, 'generic')}")
    describe: Describer = getattr(module, f"describe_{target.resource.kind.lower()}", None) or module.describe
    await describe(session, obj, page)
    if options.flag("show-events") and key not in _WITHOUT_EVENTS:
        events_table(page, await events_of(session, obj), session.clock.now())
    return page.text()


async def events_of(session: Session, obj: Object) -> list[Object]:
    metadata = obj["metadata"]
    wanted = {
        "involvedObject.name": metadata["name"],
        "involvedObject.namespace": metadata.get("namespace", ""),
        "involvedObject.kind": obj.get("kind", ""),
        # A node's events name the node as their uid.
        "involvedObject.uid": "" if obj.get("kind") == "Node" else metadata.get("uid", ""),
    }
    selector = ",".join(f"{key}={value}" for key, value in wanted.items() if value)
    path = EVENTS.path(metadata.get("namespace", ""))
    try:
        answer = await session.request("GET", path, query={"fieldSelector": selector, "limit": "500"})
    except errors.StatusError:
        return []  # a description without its events is better than none
    return list(answer.get("items") or ())


COMMAND = Command(
    "describe",
    "Show resources in detail",
    usage="(-f FILENAME | TYPE [NAME_PREFIX | -l label] | TYPE/NAME)",
    flags=(
        *FILENAME_FLAGS,
        SELECTOR_FLAG,
        ALL_NAMESPACES_FLAG,
        Flag("show-events", "Show the events of the object", Kind.BOOL, default=True),
        Flag("chunk-size", "Accepted for compatibility", Kind.NUMBER, default=500, hidden=True),
    ),
    run=run,
    examples="kubectl describe pod web-0\nkubectl describe nodes",
)
