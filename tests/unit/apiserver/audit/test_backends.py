"""What becomes of audit events on their way: batches, sizes, refusals, losses."""

from __future__ import annotations

import asyncio

import pytest

from pybernetes.apiserver.audit.backends import Backends
from pybernetes.apiserver.audit.buffered import Batching, Buffered
from pybernetes.apiserver.audit.flags import backends
from pybernetes.apiserver.audit.legacy import line_of
from pybernetes.apiserver.audit.truncate import Limits, Truncating
from pybernetes.apiserver.audit.webhook import WebhookBackend
from pybernetes.apiserver.kubeconfig_webhook import WebhookFailed
from pybernetes.apiserver.options import Options


class Clock:
    """Sleeps end when `seconds` gets there."""

    def __init__(self):
        self.seconds = 0.0
        self.asleep = []

    def monotonic(self):
        return self.seconds

    async def sleep(self, delay_s):
        woken = asyncio.get_running_loop().create_future()
        self.asleep.append((self.seconds + delay_s, woken))
        await woken

    async def advance(self, seconds):
        self.seconds += seconds
        for at_s, woken in self.asleep:
            if at_s <= self.seconds and not woken.done():
                woken.set_result(None)
        await settle()


async def settle():
    for _ in range(20):
        await asyncio.sleep(0)


def batching(**fields):
    return Batching(**{
        "buffer_size": 100, "max_size": 2, "max_wait_s": 30.0, "throttle_qps": 0.0, "throttle_burst": 0, "sends_at_once": True,
        **fields,
    })  # fmt: skip


def ids(backend):
    return [[event["auditID"] for event in batch] for batch in backend.batches]


# Batches


async def test_a_batch_goes_when_it_is_full_or_has_waited_long_enough(backend, losses, event):
    clock = Clock()
    buffered = Buffered(backend, batching(), clock, losses)
    for number in range(3):
        assert await buffered.process([event(number)])
    await settle()
    assert ids(backend) == [["id-0", "id-1"]]
    await clock.advance(29)
    assert len(backend.batches) == 1
    await clock.advance(1)
    assert ids(backend) == [["id-0", "id-1"], ["id-2"]]
    await buffered.close()
    assert backend.closed and losses.counts == {}


async def test_a_full_queue_loses_what_comes_next_and_the_request_goes_on(backend, losses, event):
    buffered = Buffered(backend, batching(buffer_size=2, max_size=5), Clock(), losses)
    assert [await buffered.process([event(number)]) for number in range(4)] == [True] * 4
    assert losses.counts == {"buffered": 2}
    await buffered.close()
    assert ids(backend) == [["id-0", "id-1"]]


async def test_batches_are_throttled(backend, losses, event):
    clock = Clock()
    buffered = Buffered(backend, batching(max_size=1, throttle_qps=1.0, throttle_burst=2), clock, losses)
    for number in range(4):
        await buffered.process([event(number)])
    await settle()
    assert len(backend.batches) == 2
    await clock.advance(1)
    assert len(backend.batches) == 3
    await clock.advance(1)
    await buffered.close()
    assert ids(backend) == [["id-0"], ["id-1"], ["id-2"], ["id-3"]]


async def test_what_cannot_be_sent_before_the_end_is_counted(backend, losses, event, monkeypatch):
    from pybernetes.apiserver.audit import buffered as module

    monkeypatch.setattr(module, "CLOSE_S", 0.01)
    buffered = Buffered(backend, batching(max_size=1, throttle_qps=0.001, throttle_burst=1), Clock(), losses)
    for number in range(3):
        await buffered.process([event(number)])
    await buffered.close()
    assert ids(backend) == [["id-0"]] and losses.counts == {"buffered": 2}


async def test_a_backend_that_breaks_loses_one_batch_and_not_those_that_follow(losses, event):
    class Breaking:
        def __init__(self):
            self.batches = []

        async def process(self, events):
            self.batches.append(events)
            if len(self.batches) == 1:
                raise TypeError("a mistake")
            return True

        async def close(self):
            pass

    breaking = Breaking()
    buffered = Buffered(breaking, batching(max_size=1), Clock(), losses)
    for number in range(2):
        await buffered.process([event(number)])
    await buffered.close()
    assert len(breaking.batches) == 2 and losses.counts == {"buffered": 1}


async def test_a_slow_backend_holds_up_the_log_but_not_the_webhook(losses, event):
    class Slow:
        def __init__(self):
            self.started, self.may_end = 0, asyncio.Event()

        async def process(self, events):
            self.started += 1
            await self.may_end.wait()
            return True

        async def close(self):
            pass

    for at_once, started in ((True, 3), (False, 1)):
        slow = Slow()
        buffered = Buffered(slow, batching(max_size=1, sends_at_once=at_once), Clock(), losses)
        for number in range(3):
            await buffered.process([event(number)])
        await settle()
        assert slow.started == started
        slow.may_end.set()
        await buffered.close()
        assert slow.started == 3


# Sizes


async def test_a_large_event_loses_its_objects_and_a_batch_is_split(backend, losses, event):
    large = event(1, requestObject={"data": "x" * 2000}, responseObject={"data": "y" * 2000}, annotations={"a": "b"})
    truncating = Truncating(backend, Limits(max_batch_size=1200, max_event_size=1000), losses)
    assert await truncating.process([event(0), large, event(2)])
    assert ids(backend) == [["id-0", "id-1"], ["id-2"]]
    cut = backend.batches[0][1]
    assert "requestObject" not in cut and "responseObject" not in cut
    assert cut["annotations"] == {"a": "b", "audit.k8s.io/truncated": "true"}
    assert large["annotations"] == {"a": "b"}


async def test_an_event_that_is_still_too_large_is_lost(backend, losses, event):
    truncating = Truncating(backend, Limits(max_batch_size=1200, max_event_size=1000), losses)
    assert await truncating.process([event(0, userAgent="x" * 1000), event(1, level="Metadata", requestObject="x" * 1000)])
    assert backend.batches == [] and losses.counts == {"truncate": 2}


# Several, and those that fail


@pytest.mark.parametrize(("mode", "kept"), [("blocking", True), ("blocking-strict", False)])
async def test_only_a_strict_backend_may_refuse_requests(backend, losses, event, mode, kept):
    backend.keeps = False
    both = Backends([("blocking", backend), (mode, backend)], losses)
    assert await both.process([event()]) is kept
    assert len(backend.batches) == 2


async def test_what_the_webhook_does_not_take_is_lost(losses, event):
    class Remote:
        def __init__(self):
            self.bodies, self.fails = [], False

        async def deliver(self, body):
            self.bodies.append(body)
            if self.fails:
                raise WebhookFailed("no route")

        async def close(self):
            pass

    remote = Remote()
    webhook = WebhookBackend(remote, losses)
    assert await webhook.process([event(0), event(1)])
    assert remote.bodies == [
        {"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "metadata": {}, "items": [event(0), event(1)]}
    ]
    remote.fails = True
    assert not await webhook.process([event(2), event(3)])
    assert losses.counts == {"webhook": 2}


# Text


def test_the_legacy_format_is_upstreams(event):
    assert line_of(event()) == (
        '2026-11-27T10:00:00.12Z AUDIT: id="id-0" stage="ResponseComplete" ip="10.0.0.1" method="list" user="joe" '
        r'groups="\"a\",\"b\"" as="<self>" asgroups="<lookup>" user-agent="kubectl" namespace="ns" '
        'uri="/api/v1/namespaces/ns/pods?limit=1" response="200"'
    )
    bare = {
        "auditID": "i", "stage": "RequestReceived", "verb": "get", "requestURI": "/", "user": {},
        "impersonatedUser": {"username": "ann", "groups": ["c"]}, "requestReceivedTimestamp": "2026-11-27T10:00:00.000000Z",
    }  # fmt: skip
    assert line_of(bare) == (
        '2026-11-27T10:00:00Z AUDIT: id="i" stage="RequestReceived" ip="<unknown>" method="get" user="<none>" groups="<none>" '
        r'as="ann" asgroups="\"c\"" user-agent="" namespace="<none>" uri="/" response="<deferred>"'
    )


# Flags


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        ({"audit_log_mode": "fast"}, 'invalid audit log mode fast, allowed modes are "batch,blocking,blocking-strict"'),
        ({"audit_log_mode": "batch", "audit_log_batch_buffer_size": 0},
         "invalid audit batch log buffer size 0, must be a positive number"),
        ({"audit_log_mode": "batch", "audit_log_batch_throttle_enable": True},
         "invalid audit batch log throttle QPS 0, must be a positive number"),
        ({"audit_log_truncate_max_event_size": 0}, "invalid audit truncate log max event size 0, must be a positive number"),
        ({"audit_log_truncate_max_batch_size": 5},
         "invalid audit truncate log max batch size 5, must be greater than max event size (102400)"),
        ({"audit_log_version": "audit.k8s.io/v1beta1"}, 'invalid group version, allowed versions are ["audit.k8s.io/v1"]'),
        ({"audit_log_format": "xml"}, 'invalid audit log format xml, allowed formats are "legacy,json"'),
        ({"audit_log_maxage": -1}, "--audit-log-maxage -1 can't be a negative number"),
    ],
)  # fmt: skip
def test_flags_that_cannot_be_followed_are_refused_in_upstreams_words(clock, entropy, flags, problem):
    with pytest.raises(ValueError) as refused:
        backends(Options(audit_policy_file="p", audit_log_path="-", **flags), clock, entropy)
    assert str(refused.value) == problem


def test_flags_of_a_backend_that_is_not_used_are_not_looked_at(clock, entropy):
    assert backends(Options(audit_policy_file="p", audit_log_mode="fast", audit_webhook_mode="slow"), clock, entropy) is None


def test_a_webhook_that_no_kubeconfig_names_is_refused(clock, entropy):
    with pytest.raises(ValueError, match="initializing audit webhook: stat /nowhere: no such file or directory"):
        backends(Options(audit_policy_file="p", audit_webhook_config_file="/nowhere"), clock, entropy)
