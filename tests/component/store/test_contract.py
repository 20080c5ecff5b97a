"""What every engine promises: `pybernetes.store.interface`, clause by clause."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from pybernetes.store.interface import (
    Change,
    Compacted,
    Entry,
    FutureRevision,
    KeyExists,
    LeaseExists,
    LeaseNotFound,
    Mismatch,
    Revision,
    Store,
    Unavailable,
)

A, B, C = "/registry/pods/default/a", "/registry/pods/default/b", "/registry/pods/default/c"
PODS = "/registry/pods/"


async def keys(store: Store, prefix: str = "", **how: object) -> list[str]:
    return [entry.key for entry in (await store.range(prefix, **how)).entries]  # type: ignore[arg-type]


async def take(watch: AsyncIterator[Change], count: int) -> list[Change]:
    async with asyncio.timeout(5):
        return [await anext(watch) for _ in range(count)]


# Writes


async def test_each_write_takes_a_later_revision(store: Store) -> None:
    before = await store.revision()
    created = await store.create(A, b"1")
    updated = await store.update(A, b"2", mod_revision=created)
    deleted = await store.delete(A, mod_revision=updated)
    assert before < created < updated < deleted == await store.revision()


async def test_an_entry_tells_when_it_was_created_and_changed_and_how_often(store: Store) -> None:
    created = await store.create(A, b"1")
    assert await store.get(A) == Entry(A, b"1", created, created, version=1)
    updated = await store.update(A, b"2", mod_revision=created)
    assert await store.get(A) == Entry(A, b"2", created, updated, version=2)


async def test_a_key_created_again_starts_anew(store: Store) -> None:
    await store.delete(A, mod_revision=await store.create(A, b"1"))
    assert await store.get(A) is None
    again = await store.create(A, b"2")
    assert await store.get(A) == Entry(A, b"2", again, again, version=1)


async def test_an_existing_key_cannot_be_created(store: Store) -> None:
    await store.create(A, b"1")
    with pytest.raises(KeyExists) as refusal:
        await store.create(A, b"2")
    assert refusal.value.current == await store.get(A)


async def test_a_write_guarded_by_another_revision_is_refused_with_what_is_there(store: Store) -> None:
    created = await store.create(A, b"1")
    await store.update(A, b"2", mod_revision=created)
    with pytest.raises(Mismatch) as refusal:
        await store.update(A, b"3", mod_revision=created)
    assert refusal.value.current == await store.get(A)
    with pytest.raises(Mismatch):
        await store.delete(A, mod_revision=created)


async def test_a_missing_key_can_be_neither_updated_nor_deleted(store: Store) -> None:
    revision = await store.create(B, b"")
    for write in (store.update(A, b"1", mod_revision=revision), store.delete(A, mod_revision=revision)):
        with pytest.raises(Mismatch) as refusal:
            await write
        assert refusal.value.current is None


async def test_of_many_who_create_one_key_one_succeeds_and_the_others_see_it_at_once(store: Store) -> None:
    async def attempt(value: bytes) -> bytes | None:
        try:
            await store.create(A, value)
        except KeyExists as refusal:
            assert await store.get(A) == refusal.current
            return None
        return value

    won = [value for value in await asyncio.gather(*(attempt(b"%d" % n) for n in range(20))) if value is not None]
    entry = await store.get(A)
    assert entry is not None and won == [entry.value]


async def test_many_who_count_up_one_key_by_guarded_writes_lose_no_count(store: Store) -> None:
    await store.create(A, b"0")

    async def count_up() -> None:
        while True:
            entry = await store.get(A)
            assert entry is not None
            try:
                await store.update(A, b"%d" % (int(entry.value) + 1), mod_revision=entry.mod_revision)
            except Mismatch:
                continue
            return

    async with asyncio.timeout(20):
        await asyncio.gather(*(count_up() for _ in range(20)))
    entry = await store.get(A)
    assert entry is not None and (entry.value, entry.version) == (b"20", 21)


async def test_a_cancelled_caller_leaves_the_store_working(store: Store) -> None:
    writing = asyncio.create_task(store.create(A, b"1"))
    await asyncio.sleep(0)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    await store.create(B, b"2")
    assert B in await keys(store)


# Ranges


async def test_a_range_gives_the_keys_of_a_prefix_in_order(store: Store) -> None:
    for key in (C, A, "/registry/podtemplates/default/a", B, "/registry/configmaps/default/a"):
        await store.create(key, b"")
    assert await keys(store, PODS) == [A, B, C]
    assert await keys(store, "/registry/pod") == [A, B, C, "/registry/podtemplates/default/a"]
    assert (await keys(store))[0] == "/registry/configmaps/default/a"
    assert await keys(store, "/nothing/") == []


async def test_keys_are_ordered_by_code_point(store: Store) -> None:
    names = ["", "-", "a", "a-b", "a.b", "a/b", "a0", "é", "\N{GRINNING FACE}"]
    for name in names:
        await store.create(f"/registry/things/{name}", b"")
    assert await keys(store, "/registry/things/") == sorted(f"/registry/things/{name}" for name in names)


async def test_a_range_can_be_read_in_pages(store: Store) -> None:
    for key in (A, B, C):
        await store.create(key, b"")
    first = await store.range(PODS, limit=2)
    assert ([entry.key for entry in first.entries], first.remaining) == ([A, B], 1)
    rest = await store.range(PODS, limit=2, after=B, revision=first.revision)
    assert ([entry.key for entry in rest.entries], rest.remaining, rest.revision) == ([C], 0, first.revision)


async def test_pages_of_one_revision_show_one_state_whatever_is_written_meanwhile(store: Store) -> None:
    for name in "bdfhj":
        await store.create(PODS + name, name.encode())
    then = await store.range(PODS)
    by_key = {entry.key: entry for entry in then.entries}
    await store.create(PODS + "a", b"")
    await store.create(PODS + "g", b"")
    await store.update(PODS + "d", b"changed", mod_revision=by_key[PODS + "d"].mod_revision)
    await store.delete(PODS + "f", mod_revision=by_key[PODS + "f"].mod_revision)
    await store.delete(PODS + "j", mod_revision=by_key[PODS + "j"].mod_revision)

    seen: list[Entry] = []
    while True:
        page = await store.range(PODS, revision=then.revision, limit=2, after=seen[-1].key if seen else "")
        seen += page.entries
        assert len(seen) + page.remaining == len(then.entries)
        if not page.remaining:
            break
    assert seen == list(then.entries)


async def test_a_revision_to_come_cannot_be_read(store: Store) -> None:
    current = await store.create(A, b"")
    with pytest.raises(FutureRevision) as refusal:
        await store.range(PODS, revision=Revision(current + 1))
    assert refusal.value.current == current


async def test_a_compacted_revision_cannot_be_read_and_what_is_current_stays(store: Store) -> None:
    first = await store.create(A, b"1")
    second = await store.update(A, b"2", mod_revision=first)
    third = await store.create(B, b"3")
    await store.compact(second)
    assert await keys(store, PODS, revision=second) == [A]
    assert await keys(store, PODS, revision=third) == [A, B]
    with pytest.raises(Compacted):
        await store.range(PODS, revision=first)
    with pytest.raises(FutureRevision):
        await store.compact(Revision(third + 1))


# Watches


async def test_a_watch_from_the_past_gives_each_change_once_and_goes_on(store: Store) -> None:
    created = await store.create(A, b"1")
    updated = await store.update(A, b"2", mod_revision=created)
    watch = store.watch(PODS, from_revision=created)
    deleted = await store.delete(A, mod_revision=updated)
    old, new = Entry(A, b"1", created, created, 1), Entry(A, b"2", created, updated, 2)
    assert await take(watch, 3) == [
        Change(created, A, entry=old, previous=None),
        Change(updated, A, entry=new, previous=old),
        Change(deleted, A, entry=None, previous=new),
    ]
    waiting = asyncio.create_task(take(watch, 1))
    again = await store.create(A, b"3")
    assert [change.revision for change in await waiting] == [again]
    await watch.aclose()


async def test_a_watch_gives_the_changes_of_its_prefix_only(store: Store) -> None:
    start = Revision(await store.revision() + 1)
    watches = {prefix: store.watch(prefix, from_revision=start) for prefix in ("", "/registry/p", PODS, A)}
    written = [A, "/registry/configmaps/default/a", B, "/registry/podtemplates/default/a", "/short"]
    tasks = {
        prefix: asyncio.create_task(take(watch, sum(key.startswith(prefix) for key in written)))
        for prefix, watch in watches.items()
    }
    await asyncio.sleep(0)
    for key in written:
        await store.create(key, b"")
    for prefix, task in tasks.items():
        assert [change.key for change in await task] == [key for key in written if key.startswith(prefix)]
    for watch in watches.values():
        await watch.aclose()


async def test_a_watch_from_a_revision_to_come_waits_for_it(store: Store) -> None:
    watch = store.watch(PODS, from_revision=Revision(await store.revision() + 2))
    await store.create(A, b"")
    await store.create(B, b"")
    assert [change.key for change in await take(watch, 1)] == [B]
    await watch.aclose()


async def test_a_watch_from_before_the_compaction_is_refused(store: Store) -> None:
    first = await store.create(A, b"1")
    second = await store.update(A, b"2", mod_revision=first)
    third = await store.update(A, b"3", mod_revision=second)
    await store.compact(second)
    late = store.watch(PODS, from_revision=first)
    with pytest.raises(Compacted):
        await take(late, 1)
    await late.aclose()
    in_time = store.watch(PODS, from_revision=Revision(second + 1))
    assert [change.revision for change in await take(in_time, 1)] == [third]
    await in_time.aclose()


async def test_a_watch_that_waited_long_is_not_hurt_by_compaction(store: Store) -> None:
    watch = store.watch(PODS, from_revision=Revision(await store.revision() + 1))
    waiting = asyncio.create_task(take(watch, 1))
    await asyncio.sleep(0)
    other = await store.create("/registry/configmaps/default/a", b"")
    await store.compact(other)
    await store.create(A, b"")
    assert [change.key for change in await waiting] == [A]
    await watch.aclose()


async def test_the_progress_of_a_watch_follows_what_it_gave_out_and_passes_what_does_not_concern_it(store: Store) -> None:
    first = await store.create(A, b"")
    second = await store.create(B, b"")
    watch = store.watch(PODS, from_revision=first)
    await take(watch, 1)
    assert watch.progress < second
    await take(watch, 1)
    waiting = asyncio.create_task(take(watch, 1))
    other = await store.create("/registry/configmaps/default/a", b"")
    async with asyncio.timeout(5):
        while watch.progress < other:
            await asyncio.sleep(0.01)
    assert watch.progress == other
    await store.create(C, b"")
    await waiting
    await watch.aclose()


async def test_who_waits_is_told_of_progress_that_brings_no_change(store: Store) -> None:
    told: list[Revision] = []
    start = await store.revision()
    other = await store.create("/registry/configmaps/default/a", b"")
    watch = store.watch(PODS, from_revision=Revision(start + 1), on_progress=told.append)
    waiting = asyncio.create_task(take(watch, 1))
    async with asyncio.timeout(5):
        while other not in told:
            await asyncio.sleep(0.01)
    another = await store.create("/registry/configmaps/default/b", b"")
    async with asyncio.timeout(5):
        while another not in told:
            await asyncio.sleep(0.01)
    mine = await store.create(A, b"")
    await waiting
    assert mine not in told and told == sorted(told)
    await watch.aclose()


async def test_a_closed_watch_ends_also_for_a_reader_who_waits(store: Store) -> None:
    watch = store.watch(PODS, from_revision=Revision(await store.revision() + 1))
    reader = asyncio.create_task(anext(watch, None))
    await asyncio.sleep(0.01)
    await watch.aclose()
    assert await reader is None


async def test_a_write_is_on_the_watch_and_in_reads_once_it_is_acknowledged(store: Store) -> None:
    watch = store.watch(PODS, from_revision=Revision(await store.revision() + 1))
    written: list[Revision] = []
    for number in range(20):
        written.append(await store.create(f"{PODS}{number}", b""))
        assert await store.get(f"{PODS}{number}") is not None
    assert [change.revision for change in await take(watch, 20)] == written
    await watch.aclose()


# Leases


async def test_revoking_a_lease_deletes_the_keys_written_with_it(store: Store) -> None:
    lease = await store.grant(60)
    await store.create(A, b"", lease=lease)
    kept = await store.create(B, b"", lease=lease)
    # The last write counts: B leaves the lease.
    await store.update(B, b"", mod_revision=kept)
    before = await store.revision()
    await store.revoke(lease)
    assert await keys(store, PODS) == [B]
    watch = store.watch(PODS, from_revision=Revision(before + 1))
    (change,) = await take(watch, 1)
    assert (change.key, change.entry, change.previous and change.previous.lease) == (A, None, lease)
    await watch.aclose()


async def test_a_lease_that_is_not_there_can_be_neither_used_nor_renewed_nor_revoked(store: Store) -> None:
    created = await store.create(B, b"")
    for call in (
        store.create(A, b"", lease=12345),
        store.update(B, b"", mod_revision=created, lease=12345),
        store.keep_alive(12345),
        store.revoke(12345),
    ):
        with pytest.raises(LeaseNotFound):
            await call
    assert await keys(store, PODS) == [B]
    assert await store.revision() == created


async def test_the_id_of_a_lease_can_be_chosen_once(store: Store) -> None:
    assert await store.grant(60, lease=77) == 77
    with pytest.raises(LeaseExists):
        await store.grant(60, lease=77)
    assert await store.keep_alive(77) == 60


async def test_a_lease_ends_when_it_is_not_renewed(store: Store) -> None:
    short, renewed = await store.grant(1), await store.grant(2)
    await store.create(A, b"", lease=short)
    await store.create(B, b"", lease=renewed)
    watch = store.watch(PODS, from_revision=Revision(await store.revision() + 1))
    await asyncio.sleep(0.8)
    assert await keys(store, PODS) == [A, B]
    await store.keep_alive(renewed)
    (change,) = await take(watch, 1)
    assert (change.key, change.entry) == (A, None)
    with pytest.raises(LeaseNotFound):
        await store.keep_alive(short)
    assert await keys(store, PODS) == [B]
    await watch.aclose()


# The end


async def test_a_closed_store_refuses_writes_and_ends_watches(store: Store) -> None:
    watch = store.watch(PODS, from_revision=Revision(await store.revision() + 1))
    waiting = asyncio.create_task(take(watch, 1))
    await asyncio.sleep(0.01)
    await store.close()
    with pytest.raises(Unavailable):
        await waiting
    with pytest.raises(Unavailable):
        await store.create(A, b"")
    with pytest.raises(Unavailable):
        await store.revision()
    await watch.aclose()
