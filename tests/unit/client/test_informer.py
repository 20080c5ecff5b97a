import asyncio
from contextlib import asynccontextmanager

import pytest

from pybernetes.client.informer import CacheAltered, Informer, InformerFactory
from pybernetes.client.transport import ConnectionFailed
from pybernetes.machinery import errors
from pybernetes.machinery.http.messages import Response


@asynccontextmanager
async def running(runner):
    task = asyncio.create_task(runner.run())
    try:
        async with asyncio.timeout(5):
            await runner.wait_synced()
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


@pytest.fixture
def informer(client, clock, entropy, pods):
    return Informer(client, pods, clock=clock, entropy=entropy, detect_mutations=True)


@pytest.fixture
def told(informer):
    calls = []
    informer.add_handler(
        on_add=lambda obj: calls.append(("add", obj["metadata"]["name"])),
        on_update=lambda old, new: calls.append(
            ("update", old["metadata"]["resourceVersion"], new["metadata"]["resourceVersion"])
        ),
        on_delete=lambda obj: calls.append(("delete", obj["metadata"]["name"])),
    )
    return calls


async def test_the_cache_follows_the_server(api, informer, told):
    api.put_pod("a")
    async with running(informer):
        assert informer.synced
        assert informer.get("default", "a")["kind"] == "Pod"
        api.put_pod("b", "other")
        api.put_pod("a", spec={})
        api.remove_pod("a")
        await until(lambda: len(told) == 4)
    assert told == [("add", "a"), ("add", "b"), ("update", "1", "3"), ("delete", "a")]
    assert informer.get("default", "a") is None
    assert [pod["metadata"]["name"] for pod in informer.list("other")] == ["b"]


async def test_after_a_lost_watch_nothing_is_missed_or_told_twice(api, informer, told):
    api.put_pod("a")
    async with running(informer):
        api.cut()
        api.put_pod("b")
        await until(lambda: len(told) == 2)
    assert told == [("add", "a"), ("add", "b")]


async def test_expired_history_is_made_up_for_by_listing_again(api, informer, told):
    api.put_pod("a")
    api.put_pod("b")
    async with running(informer):
        api.cut()
        api.remove_pod("a")
        api.put_pod("b", spec={})
        api.put_pod("c")
        api.compacted = api.revision
        await until(lambda: len(told) == 5)
    assert told == [("add", "a"), ("add", "b"), ("delete", "a"), ("update", "2", "4"), ("add", "c")]


@pytest.mark.parametrize(
    ("fault", "first_s"),
    [
        (ConnectionFailed("refused"), 0.05),
        (Response(403, {}), 0.2),
        (Response(500, {}, b"boom"), 0.2),
        (Response(200, {}, b"not JSON"), 0.2),
    ],
)
async def test_failures_to_list_are_retried_with_growing_pauses(api, clock, informer, fault, first_s):
    """A server that is just starting is found soon; one that answers with errors is spared."""
    api.faults = [fault, fault if isinstance(fault, Exception) else Response(fault.status, {}, fault.body)]
    async with running(informer):
        assert len(clock.slept) >= 2
        assert first_s <= clock.slept[0] <= 2 * first_s <= clock.slept[1] <= 4 * first_s


async def test_it_says_whether_it_is_told_of_changes(api, clock, informer, told):
    assert informer.watching_since_s is None
    async with running(informer):
        await until(lambda: informer.watching_since_s == 0)
        api.faults += [ConnectionFailed("refused")]
        api.cut()
        await until(lambda: informer.watching_since_s is None)
        await until(lambda: informer.watching_since_s == clock.time_s > 0)


async def test_pauses_start_from_the_shortest_once_a_watch_has_worked(api, clock, informer, told):
    async with running(informer):
        for _ in range(3):
            await until(lambda: informer.watching_since_s == clock.time_s)
            clock.time_s += 30
            api.breaks += [ConnectionFailed("reset by peer")]
            api.faults += [ConnectionFailed("refused")] * 3
            api.cut()
            await until(lambda: not api.faults and informer.watching_since_s == clock.time_s)
    assert len(clock.slept) == 9
    assert max(clock.slept[::3]) < 1.6


async def test_a_watch_whose_connection_breaks_after_a_while_is_renewed_without_a_pause(api, clock, informer, told):
    """Found by simulation: pauses grew up to a minute with each break, and nodes whose heartbeats were unseen were given up."""
    async with running(informer):
        for number in range(5):
            await until(lambda: api.requests[-1].query.startswith("watch") and not api.changed.is_set())
            clock.time_s += 30
            api.breaks.append(ConnectionFailed("reset by peer"))
            api.cut()
            api.put_pod(f"pod-{number}")
            await until(lambda number=number: len(told) == number + 1)
    assert clock.slept == []


async def test_an_error_in_the_middle_of_a_watch_leads_to_a_fresh_list(api, informer, told):
    async with running(informer):
        api.faults = [Response(200, {}, b'{"type":"ERROR","object":{"code":500,"message":"x"}}\n')]
        api.cut()
        api.put_pod("a")
        await until(lambda: told == [("add", "a")])


async def test_a_late_handler_is_told_of_what_is_there(api, informer):
    api.put_pod("a")
    names = []
    async with running(informer):
        informer.add_handler(on_add=lambda obj: names.append(obj["metadata"]["name"]))
        assert names == ["a"]


async def test_an_index_gives_its_objects_as_they_change(api, informer):
    informer.add_index("node", lambda pod: [node] if (node := pod.get("spec", {}).get("nodeName")) else [])
    api.put_pod("a", spec={"nodeName": "n1"})
    api.put_pod("b", spec={"nodeName": "n1"})
    async with running(informer):
        assert [pod["metadata"]["name"] for pod in informer.by_index("node", "n1")] == ["a", "b"]
        api.put_pod("a", spec={"nodeName": "n2"})
        api.remove_pod("b")
        await until(lambda: not informer.by_index("node", "n1"))
        assert [pod["metadata"]["name"] for pod in informer.by_index("node", "n2")] == ["a"]


async def test_whoever_alters_a_cached_object_is_found_out(api, informer):
    api.put_pod("a")
    async with running(informer) as task:
        informer.get("default", "a")["metadata"]["labels"] = {"x": "y"}
        api.put_pod("a", spec={})
        await asyncio.wait((task,), timeout=5)
        with pytest.raises(CacheAltered, match="Pod default/a"):
            task.result()


async def test_a_failing_handler_does_not_starve_the_others(api, informer, told, caplog):
    informer.add_handler(on_add=lambda obj: 1 / 0)
    informer.add_handler(on_add=lambda obj: told.append("after"))
    api.put_pod("a")
    async with running(informer):
        assert told == [("add", "a"), "after"]


async def test_a_transform_decides_what_is_kept(api, client, clock, entropy, pods):
    informer = Informer(client, pods, clock=clock, entropy=entropy, transform=lambda pod: {"metadata": pod["metadata"]})
    api.put_pod("a", spec={"big": "x"})
    async with running(informer):
        assert "spec" not in informer.get("default", "a")


async def test_a_factory_shares_informers_and_starts_late_ones(api, client, clock, entropy, pods):
    factory = InformerFactory(client, clock=clock, entropy=entropy)
    first = factory.informer(pods)
    api.put_pod("a", "x")
    async with running(factory):
        assert factory.informer(pods) is first
        late = factory.informer(pods, namespace="x")
        await asyncio.wait_for(late.wait_synced(), 5)
        assert late is not first
        assert late.get("x", "a")


async def test_bookmarks_move_the_revision_to_watch_from(api, informer):
    async with running(informer):
        api.faults = [
            Response(200, {}, b'{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"77"}}}\n'),
            Response(503, {}, b"x"),
        ]
        api.cut()
        await until(lambda: any("resourceVersion=77" in request.query for request in api.requests))


def test_the_errors_that_mean_listing_again_are_both_410():
    assert errors.Expired.code == errors.Gone.code == 410
