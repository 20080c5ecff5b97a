"""What `label` and `annotate` share: `KEY=VALUE` sets, `KEY-` removes."""

from __future__ import annotations

import re
from collections.abc import Sequence

import orjson

from pybernetes.client.rest import PatchType
from pybernetes.kubectl import output
from pybernetes.kubectl.delete import check_dry_run
from pybernetes.kubectl.failure import Failure, UsageFailure
from pybernetes.kubectl.flags import Parsed
from pybernetes.kubectl.selection import objects, select
from pybernetes.kubectl.session import Session
from pybernetes.machinery.errors import StatusError


async def change(session: Session, parsed: Parsed, *, field: str, noun: str, done: str) -> int:
    """Change `metadata.<field>`; `noun` is `label` or `annotation`, `done` the word that is printed."""
    options = parsed.options
    args = [arg for arg in parsed.args if not _is_change(arg)]
    put, drop = _changes([arg for arg in parsed.args if _is_change(arg)], noun)
    if not put and not drop and not options.flag("list"):
        raise UsageFailure(f"at least one {noun} update is required")
    dry_run = check_dry_run(options)
    manager = "kubectl-label" if noun == "label" else "kubectl-annotate"
    targets = await select(session, args, options, verb=noun, named_only=True)
    show = output.printer(options, session.stdout) if options.text("output") else None
    for target, obj in await objects(session, targets, options):
        now: dict[str, str] = obj["metadata"].get(field) or {}
        if options.flag("list"):
            for key, value in sorted(now.items()):
                session.print(f"{key}={value}")
            continue
        taken = [key for key in put if key in now and now[key] != put[key]]
        if taken and not options.flag("overwrite"):
            session.report(Failure(_taken(noun, taken[0], now[taken[0]])))
            continue
        wanted: dict[str, str | None] = {key: value for key, value in put.items() if now.get(key) != value}
        for key in drop:
            if key in now:
                wanted[key] = None
            else:
                session.print(f'{noun} "{key}" not found.')
        changed = obj
        try:
            if wanted and dry_run != "client":
                query = {
                    "fieldManager": options.text("field-manager") or manager,
                    "dryRun": "All" if dry_run == "server" else "",
                }
                body = orjson.dumps({"metadata": {field: wanted}})
                headers = {"content-type": str(PatchType.MERGE)}
                changed = await session.request("PATCH", target.path, query=query, body=body, headers=headers)
        except StatusError as error:
            session.report(error)
            continue
        if show is not None:
            show(changed)
            continue
        suffix = {"client": " (dry run)", "server": " (server dry run)"}.get(dry_run, "")
        session.print(f"{target.shown} {_word(wanted, drop, noun, done)}{suffix}")
    return session.exit_code


def _word(wanted: dict[str, str | None], drop: Sequence[str], noun: str, done: str) -> str:
    if noun == "annotation":
        return done
    if not wanted:
        return f"not {done}"
    return f"un{done}" if all(value is None for value in wanted.values()) else done


def _taken(noun: str, key: str, value: str) -> str:
    if noun == "label":
        return f"'{key}' already has a value ({value}), and --overwrite is false"
    return f"--overwrite is false but found the following declared annotation(s): '{key}' already has a value ({value})"


def _is_change(arg: str) -> bool:
    return "=" in arg or bool(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9./_-]*-", arg))


def _changes(args: Sequence[str], noun: str) -> tuple[dict[str, str], list[str]]:
    put: dict[str, str] = {}
    drop: list[str] = []
    for arg in args:
        key, equals, value = arg.partition("=")
        if equals:
            if not key:
                raise Failure(f"invalid {noun} spec: {arg}")
            put[key] = value
        else:
            drop.append(arg[:-1])
    both = [key for key in drop if key in put]
    if both:
        raise Failure(f"can not both modify and remove {'a' if noun == 'label' else 'an'} {noun} in the same command")
    return put, drop
