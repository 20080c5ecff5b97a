"""A served version of a custom resource, as the generic registry sees it: a `Kind` with a strategy made from the definition.

Stored bytes are spliced into answers as for built-in kinds, with two provisos. Objects written before the definition last
changed are decoded, defaulted and pruned by what it says now of the version that they are in. And a version other than the
stored one differs in its apiVersion alone (conversion strategy None), which is one more splice where both have the same schema;
or a webhook converts, which takes a while: then entries are first made `localized`, and all that follows is synchronous again.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import orjson

from pybernetes.apiserver.custom_resources import columns
from pybernetes.apiserver.custom_resources.converter import Converter
from pybernetes.apiserver.custom_resources.embedded import EmbeddedCheck, compile_embedded
from pybernetes.apiserver.image import Image
from pybernetes.apiserver.registry.conversion import ConversionFailed, Localized
from pybernetes.apiserver.registry.kinds import Kind
from pybernetes.apiserver.registry.metadata import FOREGROUND, ORPHAN, keep_metadata
from pybernetes.apiserver.registry.strategy import Context, ScalePaths, Strategy
from pybernetes.machinery import codec
from pybernetes.machinery.errors import BadRequest, FieldError, Invalid, StatusError, forbidden, invalid
from pybernetes.machinery.meta import GroupVersionKind, Object, Resource, clone, name_of
from pybernetes.machinery.resources import Subresource
from pybernetes.machinery.schema.shapes import Shape, shape_of_structural
from pybernetes.machinery.schema.structural import Structural
from pybernetes.machinery.turns import wait_for
from pybernetes.store.interface import Entry, Revision

if TYPE_CHECKING:
    from pybernetes.machinery.cel.rules import Rules

_LOCALIZED_ITEMS: Final = 200  # looked at, and some of them decoded, between two turns of the loop

# In the order in which upstream's discovery has them.
VERBS: Final = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
_SUBRESOURCE_VERBS: Final = frozenset(("get", "patch", "update"))
_SCALE: Final = GroupVersionKind("autoscaling", "v1", "Scale")
_MAX_REPLICAS: Final = 2**31 - 1
_UNQUALIFIED: Final = (
    "prefer a domain-qualified finalizer name including a path (/) to avoid accidental conflicts with other finalizer writers"
)


def resource_of(definition: Object, version: str) -> Resource:
    """The resource of a version, by the names that were accepted."""
    spec = definition["spec"]
    names: Object = definition["status"]["acceptedNames"]
    return Resource(
        group=spec["group"], version=version, plural=names["plural"], kind=names["kind"],
        namespaced=spec["scope"] == "Namespaced", singular=names.get("singular", ""),
        short_names=tuple(names.get("shortNames") or ()), categories=tuple(names.get("categories") or ()),
        verbs=frozenset(VERBS),
    )  # fmt: skip


def storage_hash(group: str, version: str, kind: str) -> str:
    """As discovery shows it: clients compare it to learn that objects are stored in another version."""
    return b64encode(hashlib.sha256(f"{group}/{version}/{kind}".encode()).digest()[:8]).decode()


class CustomKind(Kind):
    """`valid_since`: the revision from which on stored objects are what the definition now says."""

    items_carry_type = True
    hooks_are_foreign = True  # their defaults and the paths of their scale are somebody else's

    def __init__(
        self, definition: Object, version: Object, image: Image, valid_since: Revision, converter: Converter | None = None
    ) -> None:
        self.version = version
        self.valid_since = valid_since
        self.terminating = "deletionTimestamp" in definition["metadata"]
        spec = definition["spec"]
        resource = resource_of(definition, version["name"])
        super().__init__(self._strategy(resource), image)
        self.list_kind: str = definition["status"]["acceptedNames"]["listKind"]
        self.list_head = f'{{"kind":"{self.list_kind}","apiVersion":"{resource.api_version}","metadata":'.encode()
        self.subresources = _subresources(resource, version)
        stored = next(found for found in spec["versions"] if found.get("storage"))
        self._storage_version: str = f"{resource.group}/{stored['name']}"
        self.storage_hash = storage_hash(resource.group, stored["name"], resource.kind)
        self._is_stored = stored["name"] == version["name"]
        self._same_schema = stored.get("schema") == version.get("schema")
        self._converter = converter
        self.converts_remotely = converter is not None
        self._stored_head = f'{{"kind":"{resource.kind}","apiVersion":"{self._storage_version}","metadata":{{'.encode()

    @property
    def definition(self) -> Mapping[str, Any] | None:
        """The `openAPIV3Schema`."""
        found: Mapping[str, Any] | None = (self.version.get("schema") or {}).get("openAPIV3Schema")
        return found

    @cached_property
    def schema(self) -> Structural:  # type: ignore[override]
        return Structural(self.resource.gvk, self.definition)

    @cached_property
    def shape(self) -> Shape:
        return shape_of_structural(self.schema.definition)

    @cached_property
    def zero(self) -> Object:
        return {"metadata": {}}

    @cached_property
    def _embedded(self) -> EmbeddedCheck | None:
        return compile_embedded(self.definition or {})

    @cached_property
    def _rules(self) -> Rules | None:
        """The CEL rules; most schemas have none, and do without the engine."""
        if not self.strategy.validates_by_turns:
            return None
        from pybernetes.machinery.cel.rules import Rules

        return Rules(self.definition or {})

    # Out

    def is_current(self, entry: Entry) -> bool:
        return entry.mod_revision >= self.valid_since and entry.value.startswith(self._stored_head)

    def selected(self, entry: Entry) -> Object:
        return self.object(entry)

    def rest(self, entry: Entry) -> bytes | None:
        if type(entry) is Localized:
            return entry.value[len(self._head) :]
        if (self._is_stored or self._same_schema) and self.is_current(entry):
            return entry.value[len(self._stored_head) :]
        return None

    def object(self, entry: Entry, revision: Revision | None = None) -> Object:
        if type(entry) is Localized:
            obj: Object = orjson.loads(entry.value)
        else:
            obj = self._settled(entry)
            if obj["apiVersion"] != self.resource.api_version:
                obj["apiVersion"] = self.resource.api_version
                if not (self._same_schema and self.is_current(entry)):
                    self.schema.conform(obj)
        obj["metadata"] = {"resourceVersion": str(revision or entry.mod_revision), **obj["metadata"]}
        return obj

    def _settled(self, entry: Entry) -> Object:
        """The object in the version that it is stored in, as the definition now has that. Raises `ConversionFailed`."""
        obj: Object = orjson.loads(entry.value)
        if not self.is_current(entry):
            source = self.versions.get(obj["apiVersion"])
            if source is None:  # the definition has forgotten it, against all warnings
                raise ConversionFailed(f"request to convert CR from an invalid group/version: {obj['apiVersion']}")
            source.strategy.default(obj)
            source.schema.conform(obj)
        return obj

    async def localized(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        if self._converter is None:
            return entries
        found, sources = list(entries), {}
        for place, entry in enumerate(entries):
            if place % _LOCALIZED_ITEMS == _LOCALIZED_ITEMS - 1:
                await asyncio.sleep(0)
            if type(entry) is Localized:
                continue
            if not self.is_current(entry):
                value = codec.encode(self._settled(entry))
            elif not self._is_stored:
                value = entry.value
            else:
                continue
            if value.startswith(self._head):
                found[place] = _localized(entry, value)
            else:
                sources[place] = value
        if sources:
            results = await self._remembered(self._converter, list(sources.values()))
            for place, value in zip(sources, results, strict=True):
                found[place] = _localized(entries[place], value)
        return found

    async def _remembered(self, converter: Converter, sources: Sequence[bytes]) -> list[bytes]:
        """Values of other versions in this one."""

        async def convert(values: Sequence[bytes]) -> list[bytes]:
            objects = await converter.convert([orjson.loads(value) for value in values], self.resource.api_version)
            for obj in objects:
                self.schema.conform(obj)
            return [codec.encode(obj) for obj in objects]

        return await converter.shared.memory.converted(self, sources, convert)

    def convert(self, obj: Object, target: Kind) -> Object:
        assert isinstance(target, CustomKind)
        own = {"metadata": {}, **obj, "kind": self.resource.kind, "apiVersion": self.resource.api_version}
        converter = self._converter
        if converter is None or target is self:
            return clone({**own, "apiVersion": target.resource.api_version})
        source = codec.encode(own)
        found = converter.shared.memory.get(target, source)
        if found is None:
            (found,) = wait_for(lambda: target._remembered(converter, [source]))
        made: Object = orjson.loads(found)
        if "resourceVersion" in own["metadata"]:
            made["metadata"]["resourceVersion"] = own["metadata"]["resourceVersion"]
        return made

    # In

    async def stored(self, obj: Object) -> bytes:
        if self._is_stored:
            return codec.encode(obj)
        if self._same_schema and self._converter is None:
            return codec.encode({**obj, "apiVersion": self._storage_version})
        storage = self.versions[self._storage_version]
        made: Object = orjson.loads(codec.encode(obj))
        if self._converter is None:
            made["apiVersion"] = self._storage_version
        else:
            (made,) = await self._converter.convert([made], self._storage_version)
        # Defaults are added here rather than whenever the object is read.
        storage.strategy.default(made)
        storage.schema.conform(made)
        return codec.encode(made)

    def check_type(self, obj: Object) -> None:
        """As `metadata.check_type`; another kind is an invalid value here. Raises `BadRequest`, `Invalid`."""
        resource = self.resource
        api_version, kind = obj.get("apiVersion") or resource.api_version, obj.get("kind") or resource.kind
        if api_version != resource.api_version:
            raise BadRequest(
                f"the API version in the data ({api_version}) does not match the expected API version ({resource.api_version})"
            )
        if kind != resource.kind:
            meta = obj.get("metadata")
            name = meta.get("name", "") if isinstance(meta, dict) else ""
            raise invalid(resource.group, str(kind), name, [FieldError.invalid("kind", kind, f"must be {resource.kind}")])
        obj["apiVersion"], obj["kind"] = api_version, kind
        if not isinstance(obj.get("metadata"), dict):
            obj["metadata"] = {}

    def version_required(self, name: str) -> StatusError:
        error = FieldError.invalid("metadata.resourceVersion", 0, "must be specified for an update")
        made = invalid(self.resource.group, self.resource.plural, name, [error])
        assert isinstance(made, Invalid)
        return made

    # The strategy

    def _strategy(self, resource: Resource) -> Strategy:
        version = self.version
        subresources = version.get("subresources") or {}
        scale = subresources.get("scale")
        has_status = subresources.get("status") is not None
        return Strategy(
            resource=resource,
            storage_path=f"{resource.group}/{resource.plural}",
            default=self._fill_in,
            prepare_for_create=self._refuse_when_terminating,
            validate_create=self._validate,
            validate_update=self._validate,
            prepare_for_status_update=keep_metadata,
            validate_status_update=self._validate,
            validates_by_turns=b'"x-kubernetes-validations"' in orjson.dumps(self.definition or {}),
            warnings=_finalizer_warnings,
            deprecation=_deprecation(resource, version),
            bumps_generation=True,
            generation_counts_status=not has_status,
            has_status=has_status,
            scale=scale_paths(scale) if scale is not None else None,
            needs_resource_version_on_update=True,
            selectable_fields=_selectable(version.get("selectableFields") or ()),
            columns=columns.columns(version.get("additionalPrinterColumns")),
            cells=columns.cells(version.get("additionalPrinterColumns")),
        )

    def _fill_in(self, obj: Object) -> None:
        self.schema.default(obj)  # compiled when it is first needed

    def _refuse_when_terminating(self, _: Context, obj: Object) -> None:
        if self.terminating:
            why = "create not allowed while custom resource definition is terminating"
            raise forbidden(self.resource.group, self.resource.plural, name_of(obj), why)

    def _validate(self, obj: Object, old: Object | None = None) -> Iterable[FieldError]:
        errors = list(self.schema.validate(obj, old))
        if self._embedded is not None:
            errors += self._embedded(obj, "")
        errors += self._validate_scale(obj)
        # Rules may rely on the types being right, and on what is required being there.
        if self._rules is not None and not errors:
            errors += self._rules.validate(obj, old)
        return errors

    def _validate_scale(self, obj: Object) -> Iterable[FieldError]:
        scale = (self.version.get("subresources") or {}).get("scale")
        if scale is None:
            return
        for field in ("specReplicasPath", "statusReplicasPath"):
            path = scale[field]
            value = _value_at(obj, path.strip(".").split("."))
            if isinstance(value, int) and not isinstance(value, bool):
                if value < 0:
                    yield FieldError.invalid(path, value, "should be a non-negative integer")
                elif value > _MAX_REPLICAS:
                    yield FieldError.invalid(path, value, f"should be less than or equal to {_MAX_REPLICAS}")


def _localized(entry: Entry, value: bytes) -> Localized:
    return Localized(entry.key, value, entry.create_revision, entry.mod_revision, entry.version, entry.lease)


def _subresources(resource: Resource, version: Object) -> Mapping[str, Subresource]:
    given = version.get("subresources") or {}
    found = {}
    if given.get("scale") is not None:
        found["scale"] = Subresource("scale", _SCALE, _SUBRESOURCE_VERBS)
    if given.get("status") is not None:
        found["status"] = Subresource("status", resource.gvk, _SUBRESOURCE_VERBS)
    return found


def _deprecation(resource: Resource, version: Object) -> str:
    if not version.get("deprecated"):
        return ""
    given: str = version.get("deprecationWarning") or ""
    return given or f"{resource.api_version} {resource.kind} is deprecated"


def _finalizer_warnings(obj: Object, old: Object | None) -> Sequence[str]:
    """Of those that are new; names of the API server's own are fine without a path."""
    known = (old["metadata"].get("finalizers") or ()) if old is not None else ()
    added = sorted(set(obj["metadata"].get("finalizers") or ()) - {*known, ORPHAN, FOREGROUND})
    return [f"metadata.finalizers: {json.dumps(name)}: {_UNQUALIFIED}" for name in added if "/" not in name]


def _value_at(obj: Any, path: Sequence[str]) -> Any:
    for name in path:
        if not isinstance(obj, dict):
            return None
        obj = obj.get(name)
    return obj


def scale_paths(scale: Object) -> ScalePaths:
    """`/scale` by the JSON paths of a definition (which are dots and names)."""
    spec = scale["specReplicasPath"].strip(".").split(".")
    status = scale["statusReplicasPath"].strip(".").split(".")
    selector = (scale.get("labelSelectorPath") or "").strip(".").split(".")

    def number(path: Sequence[str]) -> Callable[[Object], int]:
        def read(obj: Object) -> int:
            value = _value_at(obj, path)
            return value if isinstance(value, int) and not isinstance(value, bool) else 0

        return read

    def write(obj: Object, replicas: int) -> None:
        for name in spec[:-1]:
            obj = obj.setdefault(name, {})
        obj[spec[-1]] = replicas

    def text(obj: Object) -> str:
        value = _value_at(obj, selector) if selector != [""] else ""
        return value if isinstance(value, str) else ""

    return ScalePaths(
        replicas=number(spec), set_replicas=write, status_replicas=number(status), selector=text, replicas_path=tuple(spec)
    )


def _selectable(fields: Sequence[Object]) -> Mapping[str, Callable[[Object], str]]:
    def reader(path: Sequence[str]) -> Callable[[Object], str]:
        def read(obj: Object) -> str:
            value = _value_at(obj, path)
            if value is None:
                return ""
            return ("true" if value else "false") if isinstance(value, bool) else str(value)

        return read

    return {field["jsonPath"].removeprefix("."): reader(field["jsonPath"].strip(".").split(".")) for field in fields}
