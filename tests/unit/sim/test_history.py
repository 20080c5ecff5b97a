"""The history: what a change is called, where two histories part, and which ones cannot be."""

from __future__ import annotations

import asyncio

import pytest

from pybernetes.machinery.entropy import SeededEntropy
from pybernetes.sim.disk import Disk
from pybernetes.sim.history import Event, Verb, difference, state_after
from pybernetes.sim.virtual_time import VirtualClock, run
from pybernetes.store.embedded import EmbeddedStore
from pybernetes.store.interface import Revision


def event(revision: int, verb: Verb, key: str = "/registry/pods/default/a", value: bytes = b"{}", at_s: float = 1.0) -> Event:
    return Event(at_s, Revision(revision), verb, key, value)


CREATED, UPDATED, DELETED = (event(number, verb) for number, verb in enumerate(Verb, 1))


def test_a_history_leads_to_a_state() -> None:
    assert state_after([CREATED, event(2, Verb.UPDATED, value=b"new")]) == {CREATED.key: b"new"}
    assert state_after([CREATED, UPDATED, DELETED]) == {}


@pytest.mark.parametrize("history", [[UPDATED], [DELETED], [CREATED, event(2, Verb.CREATED)], [UPDATED, CREATED]])
def test_an_impossible_history_is_refused(history: list[Event]) -> None:
    with pytest.raises(AssertionError):
        state_after(history)


def test_histories_are_the_same_only_if_times_order_and_bytes_are() -> None:
    assert difference([CREATED, UPDATED], [CREATED, UPDATED]) == ""
    assert difference([CREATED, UPDATED], [CREATED]).startswith("event 1 differs")
    assert "{}" in difference([CREATED], [event(1, Verb.CREATED, value=b"[]")])
    assert difference([CREATED], [event(1, Verb.CREATED, at_s=1.5)]) != ""


@pytest.mark.parametrize("seed", range(20))
def test_a_disk_keeps_what_was_acknowledged_and_only_whole_commits(seed: int) -> None:
    async def main(clock: VirtualClock) -> None:
        entropy = SeededEntropy(seed)
        disk = Disk(clock, entropy, latency_s=1.0)
        attachment = disk.attach()
        store = await EmbeddedStore.open(attachment, clock=clock, entropy=entropy)
        acknowledged: list[str] = []

        async def write(number: int) -> None:
            await clock.sleep(entropy.random() * 3)
            await store.create(f"/registry/pods/default/{number}", b"{}")
            acknowledged.append(f"/registry/pods/default/{number}")

        writing = [asyncio.create_task(write(number)) for number in range(10)]
        await clock.sleep(entropy.random() * 4)
        attachment.crash()
        for task in writing:
            task.cancel()
        known = {*acknowledged}
        again = await EmbeddedStore.open(disk.attach(), clock=clock, entropy=entropy)
        assert {entry.key for entry in (await again.range("/registry/")).entries} >= known
        assert await again.revision() == len(disk.history)
        assert state_after(disk.history) == {key: entry.value for key, entry in disk.entries.items()}

    run(main)
