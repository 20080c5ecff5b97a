"""`kubectl logs`: the log of a container, of a workload's pods, or of all pods that a selector selects."""

from __future__ import annotations

import asyncio

from pybernetes.client.transport import close_stream
from pybernetes.kubectl.command import SELECTOR_FLAG, Command
from pybernetes.kubectl.failure import Failure, UsageFailure
from pybernetes.kubectl.flags import Flag, Kind, Options, Parsed
from pybernetes.kubectl.pod_choice import container_of, pod_for, pods, selector_of
from pybernetes.kubectl.session import Session
from pybernetes.machinery import errors
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import Object
from pybernetes.machinery.resources import PODS

SELECTOR_TAIL = 10  # lines of each pod, if a selector is used and --tail is not


async def run(session: Session, parsed: Parsed) -> int:
    options = parsed.options
    chosen = await _sources(session, parsed)
    if len(chosen) > options.number("max-log-requests") and options.flag("follow"):
        raise Failure(
            f"you are attempting to follow {len(chosen)} log streams, but maximum allowed concurrency is "
            f"{options.number('max-log-requests')}, use --max-log-requests to increase the limit"
        )
    prefixed = options.flag("prefix") or options.flag("all-pods")
    if options.flag("follow") and len(chosen) > 1:
        async with asyncio.TaskGroup() as group:
            for pod, container in chosen:
                group.create_task(_copy(session, pod, container, options, prefixed))
        return session.exit_code
    for pod, container in chosen:
        await _copy(session, pod, container, options, prefixed)
    return session.exit_code


async def _sources(session: Session, parsed: Parsed) -> list[tuple[Object, str]]:
    options, args = parsed.options, parsed.args
    everything = options.flag("all-containers")
    if everything and options.text("container"):
        raise Failure("--all-containers=true should not be specified with container name " + options.text("container"))
    if options.given("since") and options.given("since-time"):
        raise Failure("at most one of `sinceTime` or `sinceSeconds` may be specified")
    if options.text("selector"):
        if args:
            raise UsageFailure("only a selector (-l) or a POD name is allowed")
        found = await pods(session, options.text("selector"))
        if not found:
            session.note(f"No resources found in {session.namespace} namespace.")
    elif not args:
        raise UsageFailure(
            "expected 'logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]'.\n"
            "POD or TYPE/NAME is a required argument for the logs command"
        )
    elif len(args) > 2:
        raise UsageFailure("expected 'logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]'.")
    elif options.flag("all-pods"):
        kind, _, name = args[0].partition("/")
        owner = await session.get_object(await session.mapper.find(kind), session.namespace, name)
        found = await pods(session, selector_of(owner))
    else:
        try:
            found = [await pod_for(session, args[0], timeout_s=options.seconds("pod-running-timeout"))]
        except errors.NotFound as error:
            raise Failure(f'error from server (NotFound): {error.message} in namespace "{session.namespace}"') from error
    container = args[1] if len(args) == 2 else options.text("container")
    chosen = []
    for pod in found:
        if everything:
            spec = pod["spec"]
            for key in ("initContainers", "containers", "ephemeralContainers"):
                chosen += [(pod, each["name"]) for each in spec.get(key) or ()]
        else:
            chosen.append((pod, container_of(pod, container, session)))
    return chosen


async def _copy(session: Session, pod: Object, container: str, options: Options, prefixed: bool) -> None:
    """The log to standard output, as it comes."""
    name = pod["metadata"]["name"]
    tail = options.number("tail") if options.given("tail") else (SELECTOR_TAIL if options.text("selector") else -1)
    since_s = options.seconds("since")
    query = {
        "container": container,
        "follow": "true" if options.flag("follow") else "",
        "previous": "true" if options.flag("previous") else "",
        "timestamps": "true" if options.flag("timestamps") else "",
        "tailLines": str(tail) if tail >= 0 else "",
        "sinceSeconds": str(max(1, int(since_s + 0.999))) if since_s else "",
        "sinceTime": options.text("since-time"),
        "limitBytes": str(options.number("limit-bytes") or ""),
        "insecureSkipTLSVerifyBackend": "true" if options.flag("insecure-skip-tls-verify-backend") else "",
    }
    path = PODS.path(pod["metadata"].get("namespace", session.namespace), name, "log")
    prefix = f"[pod/{name}/{container}] ".encode() if prefixed else b""
    try:
        response = await session.raw("GET", path, query=query, headers={"accept": "*/*"}, stream=True)
    except StatusError as error:
        if not options.flag("ignore-errors"):
            raise
        session.note(f"error: {error.message}")
        return
    assert not isinstance(response.body, bytes)
    try:
        rest = b""
        async for chunk in response.body:
            if not prefix:
                session.write(chunk)
                continue
            *lines, rest = (rest + chunk).split(b"\n")
            session.write(b"".join(prefix + line + b"\n" for line in lines))
        if rest:
            session.write(prefix + rest)
    finally:
        await close_stream(response.body)


COMMAND = Command(
    "logs",
    "Print the log of a container",
    usage="[-f] [-p] (POD | TYPE/NAME) [-c CONTAINER] [options]",
    flags=(
        SELECTOR_FLAG,
        Flag("all-containers", "All containers of the pod", Kind.BOOL),
        Flag("all-pods", "All pods of the workload", Kind.BOOL),
        Flag("container", "The container", short="c"),
        Flag("follow", "Go on as the log grows", Kind.BOOL, short="f"),
        Flag("ignore-errors", "Go on after errors", Kind.BOOL),
        Flag("insecure-skip-tls-verify-backend", "Do not check the kubelet's certificate", Kind.BOOL),
        Flag("limit-bytes", "At most so many bytes", Kind.NUMBER),
        Flag("max-log-requests", "How many logs to follow at once", Kind.NUMBER, default=5),
        Flag("pod-running-timeout", "How long to wait for a workload to have a pod", Kind.DURATION, default=20.0),
        Flag("prefix", "Name the source in front of each line", Kind.BOOL),
        Flag("previous", "The log of the container's previous run", Kind.BOOL, short="p"),
        Flag("since", "Only what is newer than this (5s, 2m, 3h)", Kind.DURATION),
        Flag("since-time", "Only what is after this time (RFC 3339)"),
        Flag("tail", "Only so many last lines", Kind.NUMBER, default=-1),
        Flag("timestamps", "Show the time of each line", Kind.BOOL),
    ),
    run=run,
    examples="kubectl logs web-0\nkubectl logs -f deployment/web -c app\nkubectl logs -l app=web --prefix",
)
