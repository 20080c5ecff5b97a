from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybernetes.store.interface import Change, Compacted, Entry, Revision
from pybernetes.store.memory.history import History, HistoryLimits, resource_of
from pybernetes.store.memory.image import Image, bounds

KEYS = [f"/registry/{resource}/{name}" for resource in ("pods", "nodes", "podtemplates") for name in "abc"] + ["/short"]
PREFIXES = ["", "/registry/", "/registry/pod", "/registry/pods/", "/registry/pods/b", "/registry/nodes/", "/short"]


def changes_of(writes: list[tuple[str, bool]]) -> list[Change]:
    """A history: each write creates or changes the key, or deletes it if it is there."""
    current: dict[str, Entry] = {}
    changes = []
    for number, (key, deleting) in enumerate(writes, start=1):
        revision, previous = Revision(number), current.pop(key, None)
        if not (deleting and previous):
            created, version = (previous.create_revision, previous.version + 1) if previous else (revision, 1)
            current[key] = Entry(key, b"%d" % revision, created, revision, version)
        changes.append(Change(revision, key, current.get(key), previous))
    return changes


some_writes = st.lists(st.tuples(st.sampled_from(KEYS), st.booleans()), min_size=1, max_size=40)


@given(writes=some_writes, data=st.data(), prefix=st.sampled_from(PREFIXES), after=st.just("") | st.sampled_from(KEYS))
def test_any_revision_of_the_past_can_be_read_in_pages(
    writes: list[tuple[str, bool]], data: st.DataObject, prefix: str, after: str
) -> None:
    changes = changes_of(writes)
    revision = Revision(data.draw(st.integers(0, len(changes))))
    limit = data.draw(st.integers(0, 4))
    then, now = Image(Revision(0), []), Image(Revision(0), [])
    history = History(Revision(0), HistoryLimits())
    for change in changes:
        now.apply(change)
        if change.revision <= revision:
            then.apply(change)
    history.extend(changes, 0.0)
    expected = then.page(*bounds(prefix, after), limit=limit)
    page = now.differing_page(history.undo(prefix, revision), revision, *bounds(prefix, after), limit=limit)
    assert (page.entries, page.remaining) == (expected.entries, expected.remaining)
    assert page.revision == revision


@given(
    writes=some_writes,
    data=st.data(),
    prefix=st.sampled_from(PREFIXES),
    limits=st.builds(HistoryLimits, changes=st.integers(1, 8), bytes=st.integers(400, 5000), age_s=st.floats(0, 30)),
)
def test_history_gives_all_changes_since_a_revision_or_says_that_it_cannot(
    writes: list[tuple[str, bool]], data: st.DataObject, prefix: str, limits: HistoryLimits
) -> None:
    history = History(Revision(0), limits)
    changes = changes_of(writes)
    for change in changes:
        history.extend([change], float(change.revision))
    history.forget(Revision(data.draw(st.integers(0, len(changes)))))
    after = Revision(data.draw(st.integers(0, len(changes))))
    try:
        since = history.since(prefix, after)
    except Compacted as refusal:
        assert after < refusal.oldest
        history.since(prefix, refusal.oldest)  # from there on it is known
        with pytest.raises(Compacted):
            history.undo(prefix, after)
    else:
        assert since == [change for change in changes if change.revision > after and change.key.startswith(prefix)]


def test_the_resource_of_a_key_is_its_first_two_parts() -> None:
    assert resource_of("/registry/pods/default/web") == "/registry/pods/"
    assert resource_of("/registry/pods/") == "/registry/pods/"
    assert resource_of("/registry/pods") == ""
    assert resource_of("") == ""


def test_busy_resources_do_not_drive_out_the_history_of_quiet_ones() -> None:
    history = History(Revision(0), HistoryLimits(changes=5))
    history.extend(changes_of([("/registry/pods/a", False)] + [("/registry/nodes/a", False)] * 20), 0.0)
    assert len(history.since("/registry/pods/", Revision(0))) == 1
    with pytest.raises(Compacted):
        history.since("/registry/nodes/", Revision(0))
    with pytest.raises(Compacted):  # which concerns nodes, too
        history.since("/registry/", Revision(0))
