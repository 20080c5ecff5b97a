"""`kubectl apply`: make the live objects what the files say, keeping what others have set.

Client-side (the default): a three-way patch against the annotation that remembers the file. Server-side: the
file is sent as it is and the server merges by field ownership (KEP-555).
"""

from __future__ import annotations

import orjson

from pybernetes.client.rest import PatchType
from pybernetes.kubectl import output
from pybernetes.kubectl.command import DRY_RUN_FLAG, FIELD_MANAGER_FLAG, FILENAME_FLAGS, OUTPUT_FLAGS, SELECTOR_FLAG, Command
from pybernetes.kubectl.delete import check_dry_run
from pybernetes.kubectl.failure import Failure
from pybernetes.kubectl.flags import Flag, Kind, Options, Parsed
from pybernetes.kubectl.manifests import Manifest, read
from pybernetes.kubectl.selection import kind_name
from pybernetes.kubectl.session import Session
from pybernetes.machinery import errors
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import Object, gvk_of

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
CLIENT_SIDE_MANAGER = "kubectl-client-side-apply"
SERVER_SIDE_MANAGER = "kubectl"
CONFLICT_RETRIES_MAX = 5


async def run(session: Session, parsed: Parsed) -> int:
    options = parsed.options
    if parsed.args:
        raise Failure(f"Unexpected args: [{' '.join(parsed.args)}]")
    if options.flag("prune"):
        raise Failure("--prune is not supported by this kubectl")
    dry_run = check_dry_run(options)
    server_side = options.flag("server-side")
    if server_side and dry_run == "client":
        raise Failure("--dry-run=client doesn't work with --server-side (did you mean --dry-run=server instead?)")
    if options.flag("force-conflicts") and not server_side:
        raise Failure("--force-conflicts only works with --server-side")
    show = output.printer(options, session.stdout) if options.text("output") else None
    selector = None
    if options.text("selector"):
        from pybernetes.machinery import labels

        selector = labels.parse(options.text("selector"))
    results: list[Object] = []
    for manifest in await read(session, options, "apply"):
        if selector is not None and not selector.matches(manifest.object["metadata"].get("labels") or {}):
            continue
        if not manifest.name:
            kind = gvk_of(manifest.object).kind
            generated = manifest.object["metadata"].get("generateName")
            session.report(
                Failure(f"from {generated}: cannot use generate name with apply")
                if generated
                else Failure(f"error when retrieving current configuration of: {kind}: resource name may not be empty")
            )
            continue
        apply = _server_side if server_side else _client_side
        try:
            obj, operation = await apply(session, manifest, options, dry_run)
        except StatusError as error:
            session.report(error, _doing(error, manifest))
            continue
        if show is not None:
            results.append(obj)
            continue
        suffix = {"client": " (dry run)", "server": " (server dry run)"}.get(dry_run, "")
        session.print(f"{kind_name(manifest.resource)}/{manifest.name} {operation}{suffix}")
        session.stdout.flush()
    if show is not None and results:
        if len(results) == 1 or options.text("output") == "name":
            for obj in results:
                show(obj)
        else:
            show({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": results})
    return session.exit_code


def _doing(error: StatusError, manifest: Manifest) -> str:
    return getattr(error, "doing", "") or f'error when creating "{manifest.source}"'


def validation(options: Options) -> str:
    """The server's `fieldValidation`."""
    text = options.text("validate").lower()
    known = {"true": "Strict", "strict": "Strict", "warn": "Warn", "false": "Ignore", "ignore": "Ignore"}
    if text not in known:
        raise Failure(
            f'invalid - validate option "{options.text("validate")}"; must be one of: strict (or true), warn, ignore (or false)'
        )
    return known[text]


async def _server_side(session: Session, manifest: Manifest, options: Options, dry_run: str) -> tuple[Object, str]:
    query = {
        "fieldManager": options.text("field-manager") or SERVER_SIDE_MANAGER,
        "force": "true" if options.flag("force-conflicts") else "false",
        "fieldValidation": validation(options),
        "dryRun": "All" if dry_run == "server" else "",
    }
    path = manifest.resource.path(manifest.namespace, manifest.name)
    headers = {"content-type": str(PatchType.APPLY)}
    try:
        return (
            await session.request("PATCH", path, query=query, body=orjson.dumps(manifest.object), headers=headers),
            "serverside-applied",
        )
    except errors.Conflict as error:
        raise Failure(
            f"Apply failed with {len(error.details.get('causes') or [0])} conflict(s): {error.message}\n"
            "Please review the fields above--they currently have other managers. Use --force-conflicts to take them over, "
            "or leave them out of the file."
        ) from error
    except StatusError as error:
        error.doing = f'error when applying patch to "{manifest.source}"'  # type: ignore[attr-defined]
        raise


async def _client_side(session: Session, manifest: Manifest, options: Options, dry_run: str) -> tuple[Object, str]:
    modified = with_last_applied(manifest.object)
    try:
        current = await session.get_object(manifest.resource, manifest.namespace, manifest.name)
    except errors.NotFound:
        return await _create(session, manifest, modified, options, dry_run), "created"
    if "last-applied" not in options.text("field-manager") and LAST_APPLIED not in _annotations(current):
        session.note(
            f"Warning: resource {manifest.resource.plural}/{manifest.name} is missing the {LAST_APPLIED} annotation which is "
            "required by kubectl apply. kubectl apply should only be used on resources created declaratively by either kubectl "
            "create --save-config or kubectl apply. The missing annotation will be patched automatically."
        )
    for attempt in range(CONFLICT_RETRIES_MAX + 1):
        patch, patch_type = _patch(current, modified)
        if not patch:
            return current, "unchanged"
        if dry_run == "client":
            return {**current, **modified}, "configured"
        try:
            return await _send(session, manifest, patch, patch_type, options, dry_run), "configured"
        except errors.Conflict:
            if attempt == CONFLICT_RETRIES_MAX:
                raise
            current = await session.get_object(manifest.resource, manifest.namespace, manifest.name)
        except StatusError as error:
            error.doing = f'error when applying patch:\n{orjson.dumps(patch).decode()}\nto "{manifest.source}"'  # type: ignore[attr-defined]
            raise
    raise AssertionError("unreachable")


async def _create(session: Session, manifest: Manifest, modified: Object, options: Options, dry_run: str) -> Object:
    if dry_run == "client":
        return modified
    query = {
        "fieldManager": options.text("field-manager") or CLIENT_SIDE_MANAGER,
        "fieldValidation": validation(options),
        "dryRun": "All" if dry_run == "server" else "",
    }
    return await session.request("POST", manifest.resource.path(manifest.namespace), query=query, body=orjson.dumps(modified))


def _patch(current: Object, modified: Object) -> tuple[Object, PatchType]:
    """The patch from the live object to the file's; empty if there is nothing to do."""
    text = _annotations(current).get(LAST_APPLIED, "")
    try:
        original: Object = orjson.loads(text) if text else {}
    except orjson.JSONDecodeError:
        original = {}
    from pybernetes.machinery.patch import merge, strategic
    from pybernetes.machinery.schema import schema_for

    try:
        schema = schema_for(gvk_of(modified))
    except KeyError:  # not built in: such a resource knows JSON merge patches only
        return merge.three_way(original, modified, current), PatchType.MERGE
    return strategic.three_way(schema, original, modified, current), PatchType.STRATEGIC


async def _send(
    session: Session, manifest: Manifest, patch: Object, patch_type: PatchType, options: Options, dry_run: str
) -> Object:
    query = {
        "fieldManager": options.text("field-manager") or CLIENT_SIDE_MANAGER,
        "fieldValidation": validation(options),
        "dryRun": "All" if dry_run == "server" else "",
    }
    path = manifest.resource.path(manifest.namespace, manifest.name)
    return await session.request(
        "PATCH", path, query=query, body=orjson.dumps(patch), headers={"content-type": str(patch_type)}
    )


def with_last_applied(obj: Object) -> Object:
    """The object, annotated with itself as compact JSON with sorted keys and a line break, as upstream has it."""
    metadata = dict(obj["metadata"])
    annotations = {key: value for key, value in (metadata.get("annotations") or {}).items() if key != LAST_APPLIED}
    plain = {**obj, "metadata": {**metadata, "annotations": annotations}}
    metadata["annotations"] = {**annotations, LAST_APPLIED: _go_json(plain) + "\n"}
    return {**obj, "metadata": metadata}


def _go_json(value: object) -> str:
    text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _annotations(obj: Object) -> dict[str, str]:
    return obj["metadata"].get("annotations") or {}


VALIDATE_FLAG = Flag(
    "validate", "strict (or true), warn, or ignore (or false): what to do about unknown fields", default="strict", bare="strict"
)

COMMAND = Command(
    "apply",
    "Apply a configuration from a file or standard input",
    usage="-f FILENAME [options]",
    flags=(
        *FILENAME_FLAGS,
        *OUTPUT_FLAGS,
        SELECTOR_FLAG,
        DRY_RUN_FLAG,
        FIELD_MANAGER_FLAG,
        VALIDATE_FLAG,
        Flag("server-side", "Let the server merge, by field ownership", Kind.BOOL),
        Flag("force-conflicts", "Take fields over from other managers (with --server-side)", Kind.BOOL),
        Flag("overwrite", "Accepted for compatibility: the file's values always win", Kind.BOOL, default=True),
        Flag("prune", "Not supported", Kind.BOOL, hidden=True),
        Flag("all", "Accepted for compatibility", Kind.BOOL, hidden=True),
        Flag("wait", "Accepted for compatibility", Kind.BOOL, hidden=True),
    ),
    run=run,
    examples="kubectl apply -f app.yaml\ncat app.yaml | kubectl apply -f -\nkubectl apply --server-side -f app.yaml",
)
