"""`--admission-control-config-file`: what plugins are told (`AdmissionConfiguration`), each in a document of its own.

Source: https://kubernetes.io/docs/reference/config-api/apiserver-config.v1/. The documents are read as upstream reads them:
fields that a kind does not have are not looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from pybernetes.machinery import codec
from pybernetes.machinery.errors import FieldError, aggregate
from pybernetes.machinery.meta import Object

KIND: Final = "AdmissionConfiguration"
VERSIONS: Final = ("apiserver.config.k8s.io/v1", "apiserver.k8s.io/v1alpha1")
# Files of before there was a kind, by the field that shows what they are: they are the plugin's document.
_UNVERSIONED: Final = {"imagePolicy": "ImagePolicyWebhook", "podNodeSelectorPluginConfig": "PodNodeSelector"}

Documents = Mapping[str, Object]  # by plugin


def read(path: str) -> Documents:
    """The documents of a file, and of the files that it names (relative to itself). Raises ValueError; effects: reads files."""
    file = Path(path)
    try:
        found = _document(file.read_bytes())
    except OSError as error:
        raise ValueError(f'unable to read admission control configuration from "{path}" [{_shown(error)}]') from error
    if not found.get("kind") and not found.get("apiVersion"):
        unversioned = {plugin: found for field, plugin in _UNVERSIONED.items() if field in found}
        if unversioned:
            return unversioned
    check_kind(found, KIND, VERSIONS)
    documents: dict[str, Object] = {}
    for plugin in list_of(found, "plugins"):
        name, document = str(plugin.get("name") or ""), plugin.get("configuration")
        if name in documents:
            continue  # the first counts
        if document is None and plugin.get("path"):
            document = _document_in(file.parent / str(plugin["path"]))
        if document is not None:
            if not isinstance(document, dict):
                raise ValueError(f"the configuration of {name} is not a mapping")
            documents[name] = document
    return documents


def check_kind(document: Object, kind: str, versions: Collection[str]) -> None:
    """Raises ValueError unless the document is of that kind, in one of the versions (`group/version`)."""
    for field, shown in (("kind", "Kind"), ("apiVersion", "apiVersion")):
        if not document.get(field):
            raise ValueError(f"Object '{shown}' is missing in '{codec.dumps(document).decode()}'")
    if document["kind"] != kind or document["apiVersion"] not in versions:
        raise ValueError(f'no kind "{document["kind"]}" is registered for version "{document["apiVersion"]}"')


def list_of(document: Object, field: str) -> list[Object]:
    """A list of mappings, which may be absent. Raises ValueError."""
    found = document.get(field) or []
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise ValueError(f"{field} is not a list of mappings")
    return found


def refuse(problems: Collection[FieldError]) -> None:
    """Raises ValueError if there are any."""
    if problems:
        raise ValueError(aggregate(map(str, problems)))


def _document_in(file: Path) -> Object:
    try:
        return _document(file.read_bytes())
    except OSError as error:
        raise ValueError(f"Couldn't open admission plugin configuration {file}: {_shown(error)}") from error


def _document(data: bytes) -> Object:
    found = codec.load_yaml(data)
    if not isinstance(found, dict):
        raise ValueError(f"json: cannot unmarshal {codec.go_name(found)} into Go value of type map[string]interface {{}}")
    return found


def _shown(error: OSError) -> str:
    return f"open {error.filename}: {(error.strerror or str(error)).lower()}"
