"""Both logs, a watcher and a plain dictionary agree on any history of writes, leases, compactions and restarts."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from pybernetes.store.embedded import EmbeddedStore, Log, MemoryLog, SqliteLog, State
from pybernetes.store.embedded.draft import Draft
from pybernetes.store.interface import Change, Entry, Revision, StoreError

T = TypeVar("T")

KEYS = [f"/registry/{resource}/{name}" for resource in ("pods", "nodes") for name in "abcd"]
PREFIXES = ["", "/registry/", "/registry/pods/", "/registry/pods/b"]
LEASES = [1, 2]
some_key = st.sampled_from(KEYS)
some_value = st.binary(max_size=8)


class Kept(MemoryLog):
    """Memory that outlives a restart."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def open(self) -> State:
        return self._state


class Agreement(RuleBasedStateMachine):
    """Drives both stores with one history; `model` is what it comes to, `past` what it was at each revision."""

    revisions = Bundle("revisions")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.directory = tempfile.TemporaryDirectory()
        self.model: dict[str, Entry] = {}
        self.past: dict[Revision, dict[str, Entry]] = {Revision(0): {}}
        self.oldest = self.revision = Revision(0)
        self.leases: set[int] = set()
        self.open(MemoryLog())

    def open(self, memory: Log) -> None:
        async def both() -> list[EmbeddedStore]:
            disk = SqliteLog(Path(self.directory.name) / "store")
            return [await EmbeddedStore.open(memory), await EmbeddedStore.open(disk)]

        self.stores = self.runner.run(both())
        self.watches = [store.watch("", from_revision=Revision(self.revision + 1)) for store in self.stores]
        # What a watcher who listed at first holds by now.
        self.watched = [dict(self.model) for _ in self.stores]

    def teardown(self) -> None:
        for store in self.stores:
            self.runner.run(store.close())
        self.runner.close()
        self.directory.cleanup()

    def ask(self, call: Callable[[EmbeddedStore], Awaitable[T]]) -> T | type[StoreError]:
        """The answer of both stores, or which error it was."""

        async def answer(store: EmbeddedStore) -> T | type[StoreError]:
            try:
                return await call(store)
            except StoreError as error:
                return type(error)

        one, other = [self.runner.run(answer(store)) for store in self.stores]
        assert one == other
        return one

    def wrote(self, answer: Revision | type[StoreError], key: str, value: bytes | None, lease: int = 0) -> None:
        if not isinstance(answer, int):
            return
        assert answer == self.revision + 1
        self.revision = answer
        previous = self.model.pop(key, None)
        if value is not None:
            created, version = (previous.create_revision, previous.version + 1) if previous else (answer, 1)
            self.model[key] = Entry(key, value, created, answer, version, lease)
        self.past[answer] = dict(self.model)

    @rule(key=some_key, value=some_value, lease=st.sampled_from([0, *LEASES]))
    def create(self, key: str, value: bytes, lease: int) -> None:
        answer = self.ask(lambda store: store.create(key, value, lease=lease))
        assert isinstance(answer, int) == (key not in self.model and lease in {0, *self.leases})
        self.wrote(answer, key, value, lease)

    @rule(key=some_key, value=st.none() | some_value, stale=st.booleans(), lease=st.sampled_from([0, *LEASES]))
    def change(self, key: str, value: bytes | None, stale: bool, lease: int) -> None:
        entry = self.model.get(key)
        guard = Revision((entry.mod_revision if entry else 0) - stale)
        if value is None:
            answer = self.ask(lambda store: store.delete(key, mod_revision=guard))
            assert isinstance(answer, int) == (entry is not None and not stale)
        else:
            answer = self.ask(lambda store: store.update(key, value, mod_revision=guard, lease=lease))
            assert isinstance(answer, int) == (entry is not None and not stale and lease in {0, *self.leases})
        self.wrote(answer, key, value, lease)

    @rule(values=st.lists(st.tuples(some_key, some_value), min_size=2, max_size=6, unique_by=lambda pair: pair[0]))
    def create_together(self, values: list[tuple[str, bytes]]) -> None:
        async def all_of(store: EmbeddedStore) -> list[int | None]:
            answers = await asyncio.gather(*(store.create(*pair) for pair in values), return_exceptions=True)
            return [answer if isinstance(answer, int) else None for answer in answers]

        answers = self.ask(all_of)
        assert isinstance(answers, list)
        for (key, value), answer in zip(values, answers, strict=True):
            if answer is not None:
                self.wrote(Revision(answer), key, value)

    @rule(writes=st.dictionaries(some_key, st.none() | some_value, min_size=1), lease=st.sampled_from([0, *LEASES]))
    def write_as_one(self, writes: dict[str, bytes | None], lease: int) -> None:
        def compose(draft: Draft) -> bool:
            for key, value in writes.items():
                if value is None:
                    draft.delete(key)
                else:
                    draft.put(key, value, lease=lease)
            return bool(draft.changes)

        answer = self.ask(lambda store: store.transact(compose))
        if not isinstance(answer, tuple):
            assert lease not in {0, *self.leases}
            return
        revision, wrote = answer
        assert revision == self.revision + wrote
        before = self.revision
        for key, value in writes.items():
            if value is not None or key in self.model:
                self.revision = before
                self.wrote(revision, key, value, lease if value is not None else 0)

    @rule(lease=st.sampled_from(LEASES))
    def grant(self, lease: int) -> None:
        if self.ask(lambda store: store.grant(1000, lease=lease)) == lease:
            self.leases.add(lease)

    @rule(lease=st.sampled_from(LEASES))
    def revoke(self, lease: int) -> None:
        answer = self.ask(lambda store: store.revoke(lease))
        assert (answer is None) == (lease in self.leases)
        self.leases.discard(lease)
        for key in sorted(key for key, entry in self.model.items() if entry.lease == lease and answer is None):
            self.wrote(Revision(self.revision + 1), key, None)

    @rule(target=revisions)
    def remember(self) -> Revision:
        return self.revision

    @rule(revision=revisions)
    def compact(self, revision: Revision) -> None:
        self.ask(lambda store: store.compact(revision))
        self.oldest = max(self.oldest, revision)

    @rule(revision=revisions, prefix=st.sampled_from(PREFIXES), limit=st.integers(0, 3), after=st.just("") | some_key)
    def read_the_past(self, revision: Revision, prefix: str, limit: int, after: str) -> None:
        page = self.ask(lambda store: store.range(prefix, revision=revision, limit=limit, after=after))
        if isinstance(page, type):
            assert revision < self.oldest
            return
        then = self.past[revision]
        keys = sorted(key for key in then if key.startswith(prefix) and (not after or key > after))
        shown = keys[: limit or None]
        assert list(page.entries) == [then[key] for key in shown]
        assert page.remaining == len(keys) - len(shown)

    @rule()
    def restart(self) -> None:
        self.watching()
        for store in self.stores:
            self.runner.run(store.close())
        self.oldest = self.revision
        self.open(Kept(State(self.revision, list(self.model.values()), dict.fromkeys(self.leases, 1000))))

    @invariant()
    def reading(self) -> None:
        page = self.ask(lambda store: store.range(""))
        assert not isinstance(page, type)
        assert list(page.entries) == [self.model[key] for key in sorted(self.model)]
        assert page.revision == self.revision

    @rule()
    def watching(self) -> None:
        """Who listed once and watched since holds what a list now gives."""

        async def follow(store: EmbeddedStore, at: int) -> None:
            watch, held = self.watches[at], self.watched[at]
            while watch.progress < self.revision:
                # It waits for ever where nothing is to come: then its progress says so.
                change: Change = await asyncio.wait_for(anext(watch), 5)
                assert held.get(change.key) == change.previous
                held.pop(change.key, None)
                if change.entry:
                    held[change.key] = change.entry
            assert held == self.model

        for at, store in enumerate(self.stores):
            if self.oldest <= self.watches[at].progress:
                self.runner.run(follow(store, at))


TestAgreement = Agreement.TestCase
TestAgreement.settings = settings(
    max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
