"""`kubectl exec`: run a command in a container."""

from __future__ import annotations

import sys
from contextlib import nullcontext

from pybernetes.kubectl.command import Command
from pybernetes.kubectl.failure import ExitCode, Failure
from pybernetes.kubectl.flags import Flag, Kind, Parsed
from pybernetes.kubectl.pod_choice import container_of, pod_for
from pybernetes.kubectl.session import Session
from pybernetes.machinery.resources import PODS


async def run(session: Session, parsed: Parsed) -> int:
    from pybernetes.kubectl import streaming

    options, args, dash = parsed.options, parsed.args, parsed.dash
    if not args or dash == 0:
        raise Failure("pod, type/name or --filename must be specified")
    name, command = args[0], args[1:]
    if dash < 0 and len(command) > 0:
        raise Failure(
            "exec [POD] [COMMAND] is not supported anymore. Use exec [POD] -- [COMMAND] instead\n"
            "See 'kubectl exec -h' for help and examples",
        )
    if not command or dash > 1:
        raise Failure("you must specify at least one command for the container")
    pod = await pod_for(session, name, timeout_s=options.seconds("pod-running-timeout"))
    phase = (pod.get("status") or {}).get("phase", "")
    if phase in ("Succeeded", "Failed"):
        raise Failure(f"cannot exec into a container in a completed pod; current phase is {phase}")
    container = container_of(pod, options.text("container"), session, quiet=options.flag("quiet"))
    interactive, tty = options.flag("stdin"), options.flag("tty")
    if tty and not (interactive and sys.stdin.isatty()):
        if interactive:
            session.note("Unable to use a TTY - input is not a terminal or the right kind of file")
        tty = False
    query = [("container", container), *(("command", word) for word in command)]
    query += [("stdin", "true")] if interactive else []
    query += [("stdout", "true"), *([] if tty else [("stderr", "true")]), *([("tty", "true")] if tty else [])]
    path = PODS.path(pod["metadata"]["namespace"], pod["metadata"]["name"], "exec")
    socket = await streaming.connect(session, path, query)

    def to_stderr(data: bytes) -> None:
        session.stderr.write(data.decode("utf-8", "replace"))
        session.stderr.flush()

    with streaming.raw_terminal() if tty else nullcontext():
        code = await streaming.run(
            socket,
            stdin=streaming.read_stdin() if interactive else None,
            on_stdout=session.write,
            on_stderr=to_stderr,
            tty=tty,
        )
    if code:
        session.note(f"command terminated with exit code {code}")
        raise ExitCode(code)
    return 0


COMMAND = Command(
    "exec",
    "Run a command in a container",
    usage="(POD | TYPE/NAME) [-c CONTAINER] [flags] -- COMMAND [args...]",
    flags=(
        Flag("container", "The container", short="c"),
        Flag("stdin", "Pass standard input to the command", Kind.BOOL, short="i"),
        Flag("tty", "Standard input is a terminal", Kind.BOOL, short="t"),
        Flag("quiet", "Print only what the command prints", Kind.BOOL, short="q"),
        Flag("pod-running-timeout", "How long to wait for a workload to have a pod", Kind.DURATION, default=60.0),
    ),
    run=run,
    examples="kubectl exec web-0 -- date\nkubectl exec -it deployment/web -c app -- sh",
)
