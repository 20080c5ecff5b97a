"""The program: find the verb, read its flags, run it, and say in one sentence what went wrong."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import IO

from pybernetes.client.transport import ConnectionFailed, Transport
from pybernetes.kubectl import verbs
from pybernetes.kubectl.command import GLOBAL_FLAGS, Command
from pybernetes.kubectl.failure import ExitCode, Failure, FlagFailure, UsageFailure, sentence
from pybernetes.kubectl.flags import Parsed, parse
from pybernetes.kubectl.session import Session
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.entropy import Entropy
from pybernetes.machinery.errors import StatusError

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run kubectl with these arguments (default: the process's). Returns the exit code."""
    try:
        return asyncio.run(run(sys.argv[1:] if argv is None else argv))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader (`| head`) has seen enough. Keep the interpreter from complaining about it when it flushes.
        sys.stdout = None
        return 1


async def run(
    argv: Sequence[str],
    *,
    transport: Transport | None = None,
    stdout: IO[str] | None = None,
    stderr: IO[str] | None = None,
    clock: Clock | None = None,
    entropy: Entropy | None = None,
) -> int:
    """As `main`, within a running event loop; the rest replaces what a process has (tests, and the simulator)."""
    out, err = stdout or sys.stdout, stderr or sys.stderr
    path = "kubectl"
    try:
        command, path, rest = _find(list(argv), out)
        if command is None:
            return 0
        flags = (*command.flags, *GLOBAL_FLAGS)
        parsed = parse(rest, flags)
        if parsed.options.flag("help"):
            out.write(help_text(command, path))
            return 0
    except Failure as failure:
        err.write(sentence(failure, "") + "\n" + _hint(failure, path))
        return failure.code
    return await _perform(command, path, parsed, transport, out, err, clock, entropy)


async def _perform(
    command: Command,
    path: str,
    parsed: Parsed,
    transport: Transport | None,
    out: IO[str],
    err: IO[str],
    clock: Clock | None,
    entropy: Entropy | None,
) -> int:
    session = Session(parsed.options, transport=transport, stdout=out, stderr=err, clock=clock, entropy=entropy)
    try:
        assert command.run is not None
        code = await command.run(session, parsed)
        if parsed.options.flag("warnings-as-errors") and session.warnings:
            session.note(f"error: {session.warnings} warning{'s' if session.warnings > 1 else ''} received")
            code = code or 1
        return code
    except ExitCode as end:
        return end.code
    except Failure as failure:
        session.note(sentence(failure, "") + ("\n" + _hint(failure, path)).rstrip("\n"))
        return failure.code
    except (StatusError, ConnectionFailed) as error:
        session.note(sentence(error, session.host))
        return 1
    finally:
        await session.close()
        if out is sys.stdout:
            out.flush()


def _find(argv: list[str], out: IO[str]) -> tuple[Command | None, str, list[str]]:
    """The command that `argv` names, its path, and the words that are left for it. None when help was shown."""
    path = "kubectl"
    leading, words = _split(argv, GLOBAL_FLAGS)
    if not words or words[0] == "help":
        target = words[1:]
        if not target:
            out.write(overview())
            return None, path, []
        leading, words = ["--help"], target
    name = words[0]
    command = verbs.command(name)
    if command is None:
        raise Failure(f'unknown command "{name}" for "kubectl"' + _suggestion(name, [verb for verb, _, _ in verbs.VERBS]))
    path = f"kubectl {command.name}"
    rest = words[1:]
    while command.commands:
        more, words = _split(rest, (*command.flags, *GLOBAL_FLAGS))
        leading += more
        chosen = next((sub for sub in command.commands if words and sub.name == words[0]), None)
        if chosen is None:
            if command.run is not None:
                rest = words
                break
            if words and "--help" not in leading and "-h" not in leading:
                known = [sub.name for sub in command.commands]
                raise Failure(f'unknown command "{words[0]}" for "{path}"' + _suggestion(words[0], known), code=1)
            out.write(help_text(command, path))
            return None, path, []
        command, path, rest = chosen, f"{path} {chosen.name}", words[1:]
    return command, path, [*leading, *rest]


def _split(argv: list[str], flags: Sequence[object]) -> tuple[list[str], list[str]]:
    """The flags before the first argument, and the rest from that argument on."""
    parsed = parse(argv, flags, stop_at_argument=True)  # type: ignore[arg-type]
    count = len(argv) - len(parsed.args)
    return argv[:count], parsed.args


def _suggestion(name: str, known: list[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, known)
    return "\n\nDid you mean this?\n" + "".join(f"\t{match}\n" for match in close) if close else ""


def _hint(failure: Failure, path: str) -> str:
    if isinstance(failure, FlagFailure):
        return f"See '{path} --help' for usage.\n"
    return f"See '{path} -h' for help and examples\n" if isinstance(failure, UsageFailure) else ""


def overview() -> str:
    """`kubectl help`."""
    width = max(len(name) for name, _, _ in verbs.VERBS) + 4
    lines = [f"  {name:<{width}}{text}" for name, _, text in verbs.VERBS]
    return (
        "kubectl controls a Kubernetes cluster (this is Pybernetes' own).\n\nCommands:\n" + "\n".join(lines)
        + '\n\nUsage:\n  kubectl [flags] COMMAND [options]\n\nUse "kubectl COMMAND --help" for more about a command.\n'
    )  # fmt: skip


def help_text(command: Command, path: str) -> str:
    """`kubectl VERB --help`."""
    parts = [command.help + "."]
    if command.examples:
        parts.append("Examples:\n" + "\n".join(f"  {line}" for line in command.examples.strip().splitlines()))
    if command.commands:
        width = max(len(sub.name) for sub in command.commands) + 4
        parts.append("Commands:\n" + "\n".join(f"  {sub.name:<{width}}{sub.help}" for sub in command.commands))
    for title, flags in (("Options", command.flags), ("Global options", GLOBAL_FLAGS)):
        shown = [(f"-{flag.short}, " if flag.short else "    ") + f"--{flag.name}" for flag in flags if not flag.hidden]
        texts = [flag.help for flag in flags if not flag.hidden]
        if shown:
            width = max(len(text) for text in shown) + 4
            parts.append(f"{title}:\n" + "\n".join(f"  {left:<{width}}{text}" for left, text in zip(shown, texts, strict=True)))
    parts.append(f"Usage:\n  {path} {command.usage or '[options]'}")
    return "\n\n".join(parts) + "\n"
