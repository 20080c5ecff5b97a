from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pybernetes.apiserver.encryption.entries import Unreadable
from pybernetes.apiserver.image import Event, Table
from pybernetes.store.interface import Change, Entry, Revision

names = st.text("abc/-", min_size=1, max_size=6).map(lambda text: f"/registry/pods/{text}")


def entry(key: str, revision: int) -> Entry:
    value = b'{"kind":"Pod","apiVersion":"v1","metadata":{"name":"x"}}'
    return Entry(key, value, Revision(revision), Revision(revision), 1)


@given(st.lists(st.tuples(names, st.booleans()), max_size=40))
def test_a_table_is_the_sorted_sum_of_its_changes(history: list[tuple[str, bool]]) -> None:
    table = Table("/registry/pods/")
    world: dict[str, Entry] = {}
    for revision, (key, lives) in enumerate(history, start=1):
        previous = world.pop(key, None)
        if lives:
            world[key] = entry(key, revision)
        table.apply(Change(Revision(revision), key, world.get(key), previous), now=0.0)
    assert list(table.slice("/registry/pods/")) == sorted(world)
    assert table.entries == world
    assert [event.change.revision for event in table.since(0) or ()] == list(range(1, len(history) + 1))


@given(st.sets(names, max_size=30))
def test_a_slice_is_what_starts_so(keys: set[str]) -> None:
    table = Table("/registry/pods/")
    table.load([entry(key, 1) for key in keys], Revision(1))
    prefix = "/registry/pods/a"
    assert list(table.slice(prefix)) == sorted(key for key in keys if key.startswith(prefix))
    assert list(table.slice("/registry/pods/")) == sorted(keys)


@given(st.lists(st.tuples(names, st.sampled_from("xyz") | st.none()), max_size=40), st.integers(0, 40), st.integers(0, 5))
def test_an_index_holds_what_a_search_would_find(history: list[tuple[str, str | None]], loaded: int, piece: int) -> None:
    table = Table("/registry/pods/")
    table.index({"value": bytes.decode})
    world: dict[str, Entry] = {}
    for revision, (key, value) in enumerate(history, start=1):
        previous = world.pop(key, None)
        if value is not None:
            world[key] = Entry(key, value.encode(), Revision(revision), Revision(revision), 1)
        table.apply(Change(Revision(revision), key, world.get(key), previous), now=0.0)
        if revision == loaded:
            table.load(list(world.values()), Revision(revision))
        elif revision > loaded and piece:  # what was loaded is indexed while it changes
            table.index_some(piece)
    for value in "xyz":
        assert table.holding("value", value) == sorted(key for key, found in world.items() if found.value == value.encode())


def test_old_changes_leave_the_window_and_are_said_to_be_forgotten() -> None:
    table = Table("/registry/pods/")
    for revision in range(1, 301):
        table.apply(
            Change(Revision(revision), "/registry/pods/a", entry("/registry/pods/a", revision), None), now=float(revision)
        )
    assert table.since(10) is None
    assert [event.change.revision for event in table.since(298) or ()] == [299, 300]


def test_an_object_is_decoded_once_per_revision() -> None:
    table = Table("/registry/pods/")
    first = entry("/registry/pods/a", 1)
    table.load([first], Revision(1))
    assert table.decoded(first) is table.decoded(first)
    assert table.decoded(first)["metadata"]["resourceVersion"] == "1"


def test_who_watches_while_another_state_is_loaded_is_cut_since_nothing_tells_of_what_lies_between() -> None:
    # Found by killing `pyb etcd` beneath an API server: a watcher who came back before the image was loaded anew missed what
    # had changed meanwhile, and was never told.
    class Waiting:
        is_cut = False

        def offer(self, event: Event) -> None:
            raise AssertionError("nothing has changed")

        def cut(self) -> None:
            self.is_cut = True

    table, watcher = Table("/registry/pods/"), Waiting()
    table.watch(watcher, None)
    table.load([entry("/registry/pods/a", 7)], Revision(9))
    assert watcher.is_cut
    assert table.since(8) is None


def test_what_cannot_be_read_is_there_and_found_under_every_value_of_an_index() -> None:
    """A server whose image could not be loaded for one such entry never came up."""
    table = Table("/registry/pods/")
    table.index({"value": lambda value: value.decode()[:1]})
    readable, broken = entry("/registry/pods/a", 1), Unreadable.of(entry("/registry/pods/b", 1), "no key")
    table.load([readable, broken], Revision(1))
    assert (len(table), table.average_size()) == (2, len(readable.value))
    assert table.holding("value", "{") == ["/registry/pods/a", "/registry/pods/b"]
    assert table.holding("value", "x") == ["/registry/pods/b"]
    table.apply(Change(Revision(2), broken.key, entry(broken.key, 2), broken), now=0.0)
    assert table.holding("value", "x") == []
    table.apply(Change(Revision(3), broken.key, None, entry(broken.key, 2)), now=0.0)
    assert (table.holding("value", "{"), table.average_size()) == (["/registry/pods/a"], len(readable.value))
