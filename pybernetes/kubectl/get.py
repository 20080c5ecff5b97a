"""`kubectl get`: resources as the server's tables, or as objects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from itertools import groupby

import orjson

from pybernetes.client.transport import close_stream
from pybernetes.kubectl import jsonpath, output
from pybernetes.kubectl.command import (
    ALL_NAMESPACES_FLAG,
    FIELD_SELECTOR_FLAG,
    FILENAME_FLAGS,
    OUTPUT_FLAGS,
    SELECTOR_FLAG,
    Command,
)
from pybernetes.kubectl.failure import Failure, UsageFailure
from pybernetes.kubectl.flags import Flag, Kind, Options, Parsed
from pybernetes.kubectl.selection import Target, kind_name, select
from pybernetes.kubectl.session import Session
from pybernetes.kubectl.tables import TableWriter, cell_text, labels_text
from pybernetes.machinery import errors
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import Object

ACCEPT_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"


async def run(session: Session, parsed: Parsed) -> int:
    options = parsed.options
    if not parsed.args and not options.text("raw") and not options.texts("filename") and not options.text("kustomize"):
        session.note(
            'You must specify the type of resource to get. Use "kubectl api-resources" for a complete list of supported '
            "resources.\n"
        )
        raise UsageFailure(
            'Required resource not specified.\nUse "kubectl explain <resource>" for a detailed description of that resource '
            "(e.g. kubectl explain pods)."
        )
    if options.text("raw"):
        response = await session.raw("GET", *_raw_path(options.text("raw")))
        assert isinstance(response.body, bytes)
        session.write(response.body)
        return 0
    table = output.wants_table(options)
    if not table:
        output.printer(options, session.stdout)  # a wrong format is told before anything is asked
    targets = await select(session, parsed.args, options, verb="get")
    if options.flag("watch") or options.flag("watch-only"):
        return await _watch(session, targets, options)
    if table:
        return await _tables(session, targets, options)
    return await _objects(session, targets, options)


def _raw_path(path: str) -> tuple[str]:
    if not path.startswith("/"):
        raise Failure("--raw must start with a leading slash")
    return (path,)


def _query(options: Options, *, whole_object: bool) -> dict[str, str]:
    return {
        "labelSelector": options.text("selector"),
        "fieldSelector": options.text("field-selector"),
        "limit": str(options.number("chunk-size") or ""),
        "includeObject": "Object" if whole_object else "",
    }


async def _pages(session: Session, target: Target, query: dict[str, str], accept: str) -> AsyncIterator[Object]:
    if target.name:
        only = {"includeObject": query["includeObject"]}
        yield await session.request("GET", target.path, query=only, headers={"accept": accept})
        return
    query = dict(query)
    while True:
        page = await session.request("GET", target.path, query=query, headers={"accept": accept})
        yield page
        query["continue"] = (page.get("metadata") or {}).get("continue", "")
        if not query["continue"]:
            return


async def _objects(session: Session, targets: Sequence[Target], options: Options) -> int:
    """One object as itself, everything else as one List."""
    found: list[Object] = []
    single = len(targets) == 1 and bool(targets[0].name)
    for target in targets:
        head = {"kind": target.resource.kind, "apiVersion": target.resource.api_version}
        try:
            async for page in _pages(session, target, _query(options, whole_object=False), "application/json"):
                found += [page] if target.name else [{**head, **item} for item in page.get("items") or ()]
        except StatusError as error:
            if isinstance(error, errors.NotFound) and options.flag("ignore-not-found"):
                continue
            session.report(error)
    if options.text("sort-by"):
        found = _sorted(found, options.text("sort-by"), lambda obj: obj)
    show = output.printer(options, session.stdout, resource=targets[0].resource if len(targets) == 1 else None)
    if single:
        for obj in found:
            show(obj)
    elif found or not session.failed:
        show({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": ""}, "items": found})
    return session.exit_code


async def _tables(session: Session, targets: Sequence[Target], options: Options) -> int:
    """Tables, one for each run of targets of one resource; names carry the kind where there are several resources."""
    sort_by = options.text("sort-by")
    found: list[tuple[Target, Object]] = []
    for target in targets:
        try:
            pages = [page async for page in _pages(session, target, _query(options, whole_object=bool(sort_by)), ACCEPT_TABLE)]
        except StatusError as error:
            if not (isinstance(error, errors.NotFound) and options.flag("ignore-not-found")):
                session.report(error)
            continue
        table = _joined([_as_table(page) for page in pages])
        if table["rows"]:
            found.append((target, table))
    several = len({target.resource for target, _ in found}) > 1
    for place, (resource, run) in enumerate(groupby(found, key=lambda each: each[0].resource)):
        tables = [table for _, table in run]
        joined = _joined(tables)
        if sort_by:
            joined["rows"] = _sorted(joined["rows"], sort_by, lambda row: row.get("object") or {})
        if place:
            session.print()
        prefix = f"{kind_name(resource)}/" if several or options.flag("show-kind") else ""
        _View(session, options).show(joined, prefix=prefix)
    if not found and not session.failed and not (options.flag("ignore-not-found") and any(t.name for t in targets)):
        session.note(_nothing_found(targets, options, session))
    return session.exit_code


def _nothing_found(targets: Sequence[Target], options: Options, session: Session) -> str:
    if options.flag("all-namespaces") or not any(target.resource.namespaced for target in targets):
        return "No resources found"
    return f"No resources found in {session.namespace} namespace."


def _joined(tables: list[Object]) -> Object:
    return {**tables[0], "rows": [row for table in tables for row in table.get("rows") or ()]}


def _as_table(answer: Object) -> Object:
    """The answer, if it is a Table; else (a server that makes none) one of names and ages."""
    if answer.get("kind") == "Table":
        return answer
    items = answer["items"] if isinstance(answer.get("items"), list) else [answer]
    return {
        "kind": "Table",
        "columnDefinitions": [{"name": "Name", "priority": 0}, {"name": "Created At", "priority": 0}],
        "rows": [
            {"cells": [item["metadata"]["name"], item["metadata"].get("creationTimestamp")], "object": item} for item in items
        ],
        "metadata": answer.get("metadata") or {},
    }


class _View:
    """Prints Tables of one resource with the columns that the flags ask for."""

    def __init__(self, session: Session, options: Options) -> None:
        self._writer = TableWriter(session.stdout)
        self._wide = options.text("output") == "wide"
        self._headers = not options.flag("no-headers")
        self._show_labels = options.flag("show-labels")
        self._label_columns = options.texts("label-columns")
        self._with_namespace = options.flag("all-namespaces")
        self._events = options.flag("output-watch-events")
        self._columns: list[Object] = []

    def show(self, table: Object, *, prefix: str = "", event: str = "") -> None:
        definitions = table.get("columnDefinitions") or self._columns  # a watch's later tables leave them out
        first = not self._columns
        self._columns = definitions
        places = [place for place, column in enumerate(definitions) if self._wide or not column.get("priority")]
        rows: list[list[str]] = []
        if self._headers and first:
            head = [definitions[place]["name"].upper() for place in places]
            labels = [column.rpartition("/")[2].upper() for column in self._label_columns]
            rows.append(self._row("EVENT", "NAMESPACE", head, [*labels, *(["LABELS"] if self._show_labels else [])]))
        for row in table.get("rows") or ():
            metadata = (row.get("object") or {}).get("metadata") or {}
            cells = [cell_text(row["cells"][place]) for place in places]
            cells[0] = prefix + cells[0]
            values = [(metadata.get("labels") or {}).get(column, "") for column in self._label_columns]
            extra = [*values, *([labels_text(metadata)] if self._show_labels else [])]
            rows.append(self._row(event, metadata.get("namespace", ""), cells, extra))
        self._writer.write(rows)

    def _row(self, event: str, namespace: str, cells: list[str], extra: list[str]) -> list[str]:
        return [*([event] if self._events else []), *([namespace] if self._with_namespace else []), *cells, *extra]


def _sorted(items: list[Object], path: str, obj_of: object) -> list[Object]:
    """By the value at a JSONPath; numbers and quantities by size, what lacks the field first."""
    find = jsonpath.compile_path(path)

    def key(item: Object) -> tuple[int, float, str]:
        values = find(obj_of(item))  # type: ignore[operator]
        if not values:
            return (0, 0.0, "")
        value = values[0]
        if isinstance(value, int | float):
            return (1, float(value), "")
        return (2, *_natural(str(value)))

    if items and not any(find(obj_of(item)) for item in items):  # type: ignore[operator]
        raise Failure(f'couldn\'t find any field with path "{{{path.strip("{}")}}}" in the list of objects')
    return sorted(items, key=key)


def _natural(text: str) -> tuple[float, str]:
    from pybernetes.machinery import quantity

    try:
        return (float(quantity.parse(text).milli), "")
    except ValueError:
        return (float("inf"), text)


async def _watch(session: Session, targets: Sequence[Target], options: Options) -> int:
    """Show what is, then each change, until interrupted or the server ends the watch."""
    if len({(target.resource, target.namespace) for target in targets}) != 1 or len(targets) != 1:
        raise Failure("you may only specify a single resource type")
    target = targets[0]
    table = output.wants_table(options)
    accept = ACCEPT_TABLE if table else "application/json"
    view = _View(session, options)
    show = None if table else output.printer(options, session.stdout, resource=target.resource)
    query = _query(options, whole_object=False)
    collection = Target(target.resource, target.namespace)
    if target.name:
        query["fieldSelector"] = f"metadata.name={target.name}"
    query["limit"] = ""
    first = await session.request("GET", collection.path, query=query, headers={"accept": accept})
    rows = (_as_table(first)["rows"] if table else first.get("items")) or []
    if target.name and not rows:
        raise errors.not_found(target.resource.group, target.resource.plural, target.name)
    if not options.flag("watch-only") and rows:
        if show is None:
            view.show(_as_table(first), event="ADDED")
        else:
            head = {"kind": target.resource.kind, "apiVersion": target.resource.api_version}
            for item in rows:
                show({**head, **item})
    session.stdout.flush()
    query.update(watch="true", resourceVersion=first["metadata"].get("resourceVersion", ""))
    async with aclosing(_events(session, collection, query, accept)) as events:
        async for type_, obj in events:
            if show is None:
                view.show(_as_table(obj), event=type_)
            else:
                show(obj)
            session.stdout.flush()
    return 0


async def _events(
    session: Session, target: Target, query: dict[str, str], accept: str
) -> AsyncGenerator[tuple[str, Object], None]:
    response = await session.raw("GET", target.path, query=query, headers={"accept": accept}, stream=True)
    assert not isinstance(response.body, bytes)
    rest = b""
    try:
        async with asyncio.timeout(session.timeout_s):
            async for chunk in response.body:
                *lines, rest = (rest + chunk).split(b"\n")
                for line in filter(None, lines):
                    event = orjson.loads(line)
                    if event["type"] == "ERROR":
                        raise errors.from_status(event["object"], event["object"].get("code", 500))
                    if event["type"] != "BOOKMARK":
                        yield event["type"], event["object"]
    except TimeoutError:
        return
    finally:
        await close_stream(response.body)


COMMAND = Command(
    "get",
    "Show one or many resources",
    usage="(TYPE[.VERSION][.GROUP] [NAME | -l LABEL] | TYPE/NAME ...) [flags]",
    flags=(
        *FILENAME_FLAGS,
        *OUTPUT_FLAGS,
        SELECTOR_FLAG,
        FIELD_SELECTOR_FLAG,
        ALL_NAMESPACES_FLAG,
        Flag("watch", "Show what is, then watch for changes", Kind.BOOL, short="w"),
        Flag("watch-only", "Watch for changes, without showing what is", Kind.BOOL),
        Flag("output-watch-events", "Show the type of each change", Kind.BOOL),
        Flag("no-headers", "Leave the column names out", Kind.BOOL),
        Flag("show-labels", "Add a column with all labels", Kind.BOOL),
        Flag("show-kind", "Show the kind in front of each name", Kind.BOOL),
        Flag("label-columns", "Labels to show as columns", Kind.LIST, short="L"),
        Flag("sort-by", "JSONPath of the field to sort by"),
        Flag("ignore-not-found", "Treat a missing object as success", Kind.BOOL),
        Flag("chunk-size", "Objects to ask for at once; 0 is all", Kind.NUMBER, default=500),
        Flag("raw", "Path to get as it is"),
        Flag("server-print", "Accepted for compatibility: the server always makes the columns", Kind.BOOL, default=True),
        Flag("subresource", "Accepted for compatibility", hidden=True),
    ),
    run=run,
    examples="kubectl get pods -o wide\nkubectl get deployment web -o yaml\nkubectl get pods -l app=web -w",
)
