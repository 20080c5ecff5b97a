"""Objects from files, directories, URLs and standard input (`-f`)."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pybernetes.kubectl.failure import Failure
from pybernetes.kubectl.flags import Options
from pybernetes.kubectl.session import Session
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import Object, Resource, gvk_of

_EXTENSIONS = (".json", ".yaml", ".yml")
DOWNLOAD_BYTES_MAX = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Manifest:
    """One object of a file, and the resource that it belongs to; its namespace is settled."""

    object: Object
    resource: Resource
    source: str  # the file's name as given, for messages

    @property
    def namespace(self) -> str:
        namespace: str = self.object["metadata"].get("namespace", "")
        return namespace

    @property
    def name(self) -> str:
        name: str = self.object["metadata"].get("name", "")
        return name


async def read(session: Session, options: Options, verb: str) -> list[Manifest]:
    """All objects of `-f`, Lists unpacked. Raises `Failure`; an object that the server cannot hold is reported and skipped."""
    if options.text("kustomize"):
        raise Failure("kustomizations are not supported by this kubectl: build them first and pipe the result into -f -")
    filenames = options.texts("filename")
    if not filenames:
        raise Failure("must specify one of -f and -k")
    found = []
    async for obj, source in _objects(filenames, recursive=options.flag("recursive")):
        manifest = await _settled(session, obj, source)
        if manifest is not None:
            found.append(manifest)
    if not found and not session.failed:
        raise Failure(f"no objects passed to {verb}")
    return found


async def _objects(filenames: list[str], *, recursive: bool) -> AsyncIterator[tuple[Object, str]]:
    from pybernetes.machinery import codec

    for filename in filenames:
        for source, data in _contents(filename, recursive):
            try:
                documents = list(codec.decode_all(data))
            except (ValueError, StatusError) as error:
                raise Failure(f"error parsing {source}: {error}") from error
            for document in documents:
                if document is None:
                    continue
                if not isinstance(document, dict):
                    raise Failure(f"error parsing {source}: a document is not an object")
                for obj in _unpacked(document, source):
                    yield obj, source


def _unpacked(document: Object, source: str) -> list[Object]:
    for key, lacks in (("kind", "Object 'Kind' is missing"), ("apiVersion", "Object 'apiVersion' is missing")):
        if not document.get(key):
            import json

            shown = json.dumps(document, separators=(",", ":"))
            raise Failure(f"unable to decode \"{source}\": {lacks} in '{shown}'")
    if document["kind"].endswith("List") and isinstance(document.get("items"), list):
        kind = document["kind"].removesuffix("List")
        head = {"apiVersion": document["apiVersion"], "kind": kind} if kind else {}
        return [one for item in document["items"] for one in _unpacked({**head, **item}, source)]
    if not isinstance(document.get("metadata", {}), dict):
        raise Failure(f'unable to decode "{source}": metadata is not an object')
    return [{**document, "metadata": dict(document.get("metadata") or {})}]


def _contents(filename: str, recursive: bool) -> list[tuple[str, bytes]]:
    if filename == "-":
        return [("STDIN", sys.stdin.buffer.read())]
    if urlsplit(filename).scheme in ("http", "https"):
        return [(filename, _download(filename))]
    path = Path(filename)
    try:
        if path.is_dir():
            names = path.rglob("*") if recursive else path.glob("*")
            files = sorted(file for file in names if file.is_file() and file.suffix in _EXTENSIONS)
            if not files:
                raise Failure(f"error reading [{filename}]: recognized file extensions are [.json .yaml .yml]")
            return [(str(file), file.read_bytes()) for file in files]
        return [(filename, path.read_bytes())]
    except FileNotFoundError as error:
        raise Failure(f'the path "{filename}" does not exist') from error
    except OSError as error:
        raise Failure(f"open {filename}: {(error.strerror or str(error)).lower()}") from error


def _download(url: str) -> bytes:
    from urllib.error import URLError
    from urllib.request import urlopen

    try:
        with urlopen(url, timeout=30) as answer:
            data: bytes = answer.read(DOWNLOAD_BYTES_MAX + 1)
    except (URLError, OSError) as error:
        raise Failure(f"unable to read URL {url!r}: {getattr(error, 'reason', error)}") from error
    if len(data) > DOWNLOAD_BYTES_MAX:
        raise Failure(f"unable to read URL {url!r}: larger than {DOWNLOAD_BYTES_MAX} bytes")
    return data


async def _settled(session: Session, obj: Object, source: str) -> Manifest | None:
    gvk, metadata = gvk_of(obj), obj["metadata"]
    resource = await session.mapper.for_kind(gvk)
    if resource is None:
        named = f'name: "{metadata.get("name", "")}" namespace: "{metadata.get("namespace", "")}"'
        session.report(
            Failure(
                f'resource mapping not found for {named} from "{source}": no matches for kind "{gvk.kind}" in version '
                f'"{gvk.api_version}"\nensure CRDs are installed first'
            )
        )
        return None
    if not resource.namespaced:
        metadata.pop("namespace", None)
    elif not metadata.get("namespace"):
        metadata["namespace"] = session.namespace
    elif session.namespace_is_given and metadata["namespace"] != session.namespace:
        raise Failure(
            f'the namespace from the provided object "{metadata["namespace"]}" does not match the namespace '
            f"\"{session.namespace}\". You must pass '--namespace={metadata['namespace']}' to perform this operation."
        )
    return Manifest(obj, resource, source)
