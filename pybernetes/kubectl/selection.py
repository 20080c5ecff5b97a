"""What the arguments of a verb select: `pods`, `pods a b`, `pod/a svc/b`, `-f FILE`, with `-l`, `-A`, `--all`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pybernetes.kubectl.failure import Failure, UsageFailure
from pybernetes.kubectl.flags import Options
from pybernetes.kubectl.session import Session
from pybernetes.machinery.meta import Object, Resource


@dataclass(frozen=True, slots=True)
class Target:
    """One object by name, or (with an empty name) all of a resource, in one namespace or (empty) in all."""

    resource: Resource
    namespace: str
    name: str = ""
    source: str = ""  # the file that named it

    @property
    def path(self) -> str:
        return self.resource.path(self.namespace, self.name)

    @property
    def shown(self) -> str:
        """`deployment.apps/web`: how messages name an object."""
        return f"{kind_name(self.resource)}/{self.name}"


def kind_name(resource: Resource) -> str:
    """`pod`, `deployment.apps`: the lower-case kind with the group."""
    kind = (resource.kind or resource.singular).lower()
    return f"{kind}.{resource.group}" if resource.group else kind


def shown_object(resource: Resource, obj: Object) -> str:
    return f"{kind_name(resource)}/{obj['metadata'].get('name', '')}"


async def select(
    session: Session, args: Sequence[str], options: Options, *, verb: str, named_only: bool = False
) -> list[Target]:
    """The targets of positional arguments or files. Raises `Failure` with upstream's sentences.

    With `named_only`, a resource without a name is refused unless a selector or `--all` is given.
    """
    selector = _optional(options, "selector")
    everywhere = _optional_flag(options, "all-namespaces")
    take_all = _optional_flag(options, "all")
    if options.has("filename") and (options.texts("filename") or options.text("kustomize")):
        from pybernetes.kubectl import manifests

        if args:
            raise Failure("when paths, URLs, or stdin is provided as input, you may not specify resource arguments as well")
        read = await manifests.read(session, options, verb)
        return [Target(each.resource, each.namespace, each.name, each.source) for each in read]
    namespace = "" if everywhere else session.namespace
    if not args:
        raise UsageFailure("Required resource not specified.")
    if any("/" in arg for arg in args):
        return [await _slashed(session, arg, args, namespace, selector, everywhere) for arg in args]
    resources = await session.mapper.expand(args[0])
    names = list(dict.fromkeys(args[1:]))
    if names:
        if selector or _optional(options, "field-selector"):
            raise Failure("name cannot be provided when a selector is specified")
        if take_all:
            raise Failure("name cannot be provided when a selector is specified")
        if everywhere and any(resource.namespaced for resource in resources):
            raise Failure("a resource cannot be retrieved by name across all namespaces")
        return [_target(resource, namespace, name) for resource in resources for name in names]
    if named_only and not (selector or take_all or _optional(options, "field-selector")):
        raise Failure("resource(s) were provided, but no name was specified")
    return [_target(resource, namespace) for resource in resources]


async def _slashed(session: Session, arg: str, args: Sequence[str], namespace: str, selector: str, everywhere: bool) -> Target:
    kind, slash, name = arg.partition("/")
    if not slash or "/" in name:
        if not slash:
            raise Failure(
                "there is no need to specify a resource type as a separate argument when passing arguments in resource/name "
                "form (e.g. 'kubectl get resource/<resource_name>' instead of 'kubectl get resource resource/<resource_name>'"
            )
        raise Failure("arguments in resource/name form may not have more than one slash")
    if not kind or not name:
        raise Failure("arguments in resource/name form must have a single resource and name")
    if selector:
        raise Failure("name cannot be provided when a selector is specified")
    resource = await session.mapper.find(kind)
    if everywhere and resource.namespaced:
        raise Failure("a resource cannot be retrieved by name across all namespaces")
    return _target(resource, namespace, name)


def _target(resource: Resource, namespace: str, name: str = "") -> Target:
    return Target(resource, namespace if resource.namespaced else "", name)


async def objects(
    session: Session, targets: Sequence[Target], options: Options, *, strict: bool = False
) -> list[tuple[Target, Object]]:
    """The targets' objects, lists spread out; whatever is missing is reported, or raised if `strict`."""
    from pybernetes.machinery.errors import StatusError

    found: list[tuple[Target, Object]] = []
    for target in targets:
        try:
            if target.name:
                found.append((target, await session.request("GET", target.path)))
                continue
            for item in await list_all(session, target, options):
                metadata = item["metadata"]
                found.append((Target(target.resource, metadata.get("namespace", ""), metadata["name"]), item))
        except StatusError as error:
            if strict:
                raise
            session.report(error)
    return found


async def list_all(session: Session, target: Target, options: Options) -> list[Object]:
    """All items of a resource that the selectors select, page by page, kind and apiVersion filled in."""
    query = {
        "labelSelector": _optional(options, "selector"),
        "fieldSelector": _optional(options, "field-selector"),
        "limit": "500",
    }
    head = {"kind": target.resource.kind, "apiVersion": target.resource.api_version}
    items: list[Object] = []
    while True:
        page = await session.request("GET", target.path, query=query)
        items += [{**head, **item} for item in page.get("items") or ()]
        query["continue"] = (page.get("metadata") or {}).get("continue", "")
        if not query["continue"]:
            return items


def _optional(options: Options, name: str) -> str:
    return options.text(name) if options.has(name) else ""


def _optional_flag(options: Options, name: str) -> bool:
    return options.flag(name) if options.has(name) else False
