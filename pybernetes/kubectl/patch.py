"""`kubectl patch`: change fields of an object."""

from __future__ import annotations

import orjson

from pybernetes.client.rest import PatchType
from pybernetes.kubectl import output
from pybernetes.kubectl.command import DRY_RUN_FLAG, FIELD_MANAGER_FLAG, FILENAME_FLAGS, OUTPUT_FLAGS, Command
from pybernetes.kubectl.delete import check_dry_run
from pybernetes.kubectl.failure import Failure
from pybernetes.kubectl.flags import Flag, Parsed
from pybernetes.kubectl.selection import select
from pybernetes.kubectl.session import Session
from pybernetes.machinery import codec
from pybernetes.machinery.errors import StatusError

_TYPES = {"json": PatchType.JSON, "merge": PatchType.MERGE, "strategic": PatchType.STRATEGIC}


async def run(session: Session, parsed: Parsed) -> int:
    options = parsed.options
    kind = options.text("type").lower()
    if kind not in _TYPES:
        raise Failure(f'--type must be one of [json merge strategic], not "{options.text("type")}"')
    if options.given("patch") == options.given("patch-file"):
        raise Failure("must specify --patch or --patch-file containing the contents of the patch")
    dry_run = check_dry_run(options)
    text = options.text("patch").encode() if options.given("patch") else _file(options.text("patch-file"))
    try:
        patch = codec.load_yaml(text)
    except ValueError as error:
        raise Failure(f'unable to parse "{text.decode("utf-8", "replace")}": {error}') from error
    show = output.printer(options, session.stdout) if options.text("output") else None
    below = f"/{options.text('subresource')}" if options.text("subresource") else ""
    query = {
        "fieldManager": options.text("field-manager") or "kubectl-patch",
        "dryRun": "All" if dry_run == "server" else "",
    }
    for target in await select(session, parsed.args, options, verb="patch", named_only=True):
        try:
            before = await session.request("GET", target.path + below)
            after = before
            if dry_run != "client":
                headers = {"content-type": str(_TYPES[kind])}
                after = await session.request(
                    "PATCH", target.path + below, query=query, body=orjson.dumps(patch), headers=headers
                )
        except StatusError as error:
            session.report(error)
            continue
        if show is not None:
            show(after)
            continue
        suffix = {"client": " (dry run)", "server": " (server dry run)"}.get(dry_run, "")
        changed = before["metadata"].get("resourceVersion") != after["metadata"].get("resourceVersion")
        session.print(f"{target.shown} patched{'' if changed or dry_run != 'none' else ' (no change)'}{suffix}")
    return session.exit_code


def _file(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise Failure(f"unable to read patch file: open {path}: {(error.strerror or str(error)).lower()}") from error


COMMAND = Command(
    "patch",
    "Change fields of an object",
    usage="(-f FILENAME | TYPE NAME) [-p PATCH | --patch-file FILE]",
    flags=(
        *FILENAME_FLAGS,
        *OUTPUT_FLAGS,
        DRY_RUN_FLAG,
        FIELD_MANAGER_FLAG,
        Flag("patch", "The patch, as JSON or YAML", short="p"),
        Flag("patch-file", "File with the patch"),
        Flag("type", "json, merge or strategic", default="strategic"),
        Flag("subresource", "status or scale"),
    ),
    run=run,
    examples='kubectl patch deployment web -p \'{"spec":{"replicas":2}}\'',
)
