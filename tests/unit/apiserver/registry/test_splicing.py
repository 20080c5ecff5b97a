"""Stored objects as parts of an answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from pybernetes.apiserver.image import Image
from pybernetes.apiserver.registry import splicing
from pybernetes.apiserver.registry.kinds import Kind
from pybernetes.apiserver.registry.strategy import Strategy
from pybernetes.machinery import codec
from pybernetes.machinery.clock import SystemClock
from pybernetes.machinery.resources import BUILTIN
from pybernetes.store.interface import Entry, Revision

CONFIG_MAPS = next(resource for resource in BUILTIN if resource.plural == "configmaps")


@pytest.fixture
def kind() -> Kind:
    return Kind(Strategy(resource=CONFIG_MAPS), Image(None, SystemClock()))  # type: ignore[arg-type]


def stored(number: int, size: int = 10, kind: str = "ConfigMap") -> Entry:
    obj = {"kind": kind, "apiVersion": "v1", "metadata": {"name": f"m-{number}"}, "data": {"k": "x" * size}}
    return Entry(f"/registry/configmaps/ns/m-{number}", codec.encode(obj), Revision(number), Revision(number), 1)


def shown(entry: Entry) -> Any:
    obj = json.loads(entry.value)
    return {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(entry.mod_revision)}}


def without_type(obj: Any) -> Any:
    return {key: value for key, value in obj.items() if key not in ("kind", "apiVersion")}


@pytest.mark.parametrize("entries", [[], [stored(7)], [stored(number, 3000) for number in range(1, 500)]], ids=len)
def test_a_list_has_every_item_at_its_revision_and_without_its_type(kind: Kind, entries: Sequence[Entry]) -> None:
    whole = json.loads(b"".join(splicing.items(kind, b'{"items":[', entries)))
    assert whole == {"items": [without_type(shown(entry)) for entry in entries]}


def test_items_of_custom_resources_keep_their_type(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Kind, "items_carry_type", True)
    custom = Kind(kind.strategy, Image(None, SystemClock()))  # type: ignore[arg-type]
    assert json.loads(b"".join(splicing.items(custom, b"[", [stored(7)])).rstrip(b"}\n")) == [shown(stored(7))]


def test_chunks_are_bounded_by_their_size_however_large_or_many_the_objects_are(kind: Kind) -> None:
    small = [stored(number, 100) for number in range(5000)]
    large = [stored(number, 300_000) for number in range(5)]
    chunks = [*splicing.items(kind, b"[", small), *(chunk for chunk, _ in splicing.events(kind, "ADDED", small))]
    assert max(map(len, chunks)) < 1.05 * splicing.CHUNK_BYTES and len(chunks) < 20
    assert len(list(splicing.items(kind, b"[", large))) == len(large) + 1


def test_what_is_not_stored_as_it_is_served_is_written_anew(kind: Kind) -> None:
    entry = stored(7)
    odd = Entry(entry.key, entry.value.replace(b'{"kind"', b'{ "kind"'), entry.create_revision, entry.mod_revision, 1)
    assert kind.rest(odd) is None
    expected = json.loads(kind.item(entry))
    assert json.loads(b"".join(splicing.items(kind, b"[", [odd, entry])).rstrip(b"}\n")) == [expected, expected]
    assert json.loads(kind.served(odd)) == json.loads(kind.served(entry)) == shown(entry)


def test_events_are_lines_whose_sizes_are_told(kind: Kind) -> None:
    entries = [stored(number, 2000) for number in range(1, 300)]
    chunks = list(splicing.events(kind, "ADDED", entries))
    lines = b"".join(chunk for chunk, _ in chunks).splitlines(keepends=True)
    assert [json.loads(line) for line in lines] == [{"type": "ADDED", "object": shown(entry)} for entry in entries]
    assert [size for _, sizes in chunks for size in sizes] == [len(line) for line in lines]
