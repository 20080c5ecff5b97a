"""`kubectl create`: from files, and `namespace`, `configmap`, `serviceaccount`, `deployment` from flags."""

from __future__ import annotations

from pathlib import Path

import orjson

from pybernetes.kubectl import output
from pybernetes.kubectl.apply import VALIDATE_FLAG, validation
from pybernetes.kubectl.command import DRY_RUN_FLAG, FIELD_MANAGER_FLAG, FILENAME_FLAGS, OUTPUT_FLAGS, Command
from pybernetes.kubectl.delete import check_dry_run
from pybernetes.kubectl.failure import Failure
from pybernetes.kubectl.flags import Flag, Kind, Parsed
from pybernetes.kubectl.manifests import Manifest, read
from pybernetes.kubectl.selection import shown_object
from pybernetes.kubectl.session import Session
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import Object, Resource
from pybernetes.machinery.resources import CONFIG_MAPS, DEPLOYMENTS, NAMESPACES, SERVICE_ACCOUNTS


async def run(session: Session, parsed: Parsed) -> int:
    if parsed.args:
        raise Failure(f"Unexpected args: [{' '.join(parsed.args)}]")
    for manifest in await read(session, parsed.options, "create"):
        try:
            await _create(session, parsed, manifest)
        except StatusError as error:
            session.report(error, f'error when creating "{manifest.source}"')
    return session.exit_code


async def _create(session: Session, parsed: Parsed, manifest: Manifest) -> None:
    options = parsed.options
    dry_run = check_dry_run(options)
    obj = manifest.object
    if dry_run != "client":
        query = {
            "fieldManager": options.text("field-manager") or "kubectl-create",
            "fieldValidation": validation(options),
            "dryRun": "All" if dry_run == "server" else "",
        }
        obj = await session.request("POST", manifest.resource.path(manifest.namespace), query=query, body=orjson.dumps(obj))
    if options.text("output"):
        output.printer(options, session.stdout, resource=manifest.resource)(obj)
        return
    suffix = {"client": " (dry run)", "server": " (server dry run)"}.get(dry_run, "")
    session.print(f"{shown_object(manifest.resource, obj)} created{suffix}")


def _name(parsed: Parsed) -> str:
    before_command = parsed.args[: parsed.dash] if parsed.dash >= 0 else parsed.args
    if len(before_command) != 1:
        raise Failure(f"exactly one NAME is required, got {len(before_command)}")
    return before_command[0]


async def _make(session: Session, parsed: Parsed, resource: Resource, fields: Object) -> int:
    metadata = {"name": _name(parsed), **({"namespace": session.namespace} if resource.namespaced else {})}
    obj = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, **fields}
    try:
        await _create(session, parsed, Manifest(obj, resource, ""))
    except StatusError as error:
        if resource is NAMESPACES:  # upstream wraps the error for all the others
            raise
        raise Failure(f"failed to create {resource.kind.lower()}: {error.message}") from error
    return session.exit_code


async def namespace(session: Session, parsed: Parsed) -> int:
    return await _make(session, parsed, NAMESPACES, {})


async def service_account(session: Session, parsed: Parsed) -> int:
    return await _make(session, parsed, SERVICE_ACCOUNTS, {})


async def config_map(session: Session, parsed: Parsed) -> int:
    data: dict[str, str] = {}
    for pair in parsed.options.texts("from-literal"):
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise Failure(f"invalid literal source {pair}, expected key=value")
        data[key] = value
    for source in parsed.options.texts("from-file"):
        key, equals, path = source.partition("=")
        file = Path(path if equals else source)
        data[key if equals else file.name] = _text(file)
    return await _make(session, parsed, CONFIG_MAPS, {"data": data} if data else {})


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"error reading {file}: {error}") from error


async def deployment(session: Session, parsed: Parsed) -> int:
    options, name = parsed.options, _name(parsed)
    images = options.texts("image")
    if not images:
        raise Failure('required flag(s) "image" not set')
    command = parsed.args[1:]
    labels = {"app": name}
    containers: list[Object] = []
    for image in images:
        base = image.rpartition("/")[2].partition("@")[0].partition(":")[0].replace("_", "-")
        container: Object = {"name": base, "image": image, "resources": {}}
        if command:
            container["command"] = command
        if options.number("port"):
            container["ports"] = [{"containerPort": options.number("port")}]
        containers.append(container)
    spec = {
        "replicas": options.number("replicas"),
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
    }
    metadata = {"name": name, "namespace": session.namespace, "labels": labels}
    return await _make(session, parsed, DEPLOYMENTS, {"metadata": metadata, "spec": spec})


_SHARED = (*OUTPUT_FLAGS, DRY_RUN_FLAG, FIELD_MANAGER_FLAG, VALIDATE_FLAG)
COMMAND = Command(
    "create",
    "Create objects from a file or standard input",
    usage="-f FILENAME",
    flags=(*FILENAME_FLAGS, *_SHARED),
    run=run,
    commands=(
        Command("namespace", "Create a namespace", "NAME", _SHARED, namespace),
        Command("serviceaccount", "Create a service account", "NAME", _SHARED, service_account),
        Command(
            "configmap",
            "Create a ConfigMap",
            "NAME [--from-literal=KEY=VALUE] [--from-file=[KEY=]FILE]",
            (*_SHARED, Flag("from-literal", "KEY=VALUE", Kind.TEXTS), Flag("from-file", "[KEY=]FILE", Kind.TEXTS)),
            config_map,
        ),
        Command(
            "deployment",
            "Create a Deployment",
            "NAME --image=IMAGE",
            (
                *_SHARED,
                Flag("image", "The image; may be repeated", Kind.TEXTS),
                Flag("replicas", "How many pods", Kind.NUMBER, short="r", default=1),
                Flag("port", "The port that the containers expose", Kind.NUMBER),
            ),
            deployment,
        ),
    ),
    examples="kubectl create -f app.yaml\nkubectl create namespace shop\nkubectl create deployment web --image=nginx",
)
