import asyncio
import time
from datetime import timedelta

import pytest

from pybernetes.sim.virtual_time import EPOCH, Stalled, run


def test_an_hour_passes_at_once():
    async def main(clock):
        await clock.sleep(3600)
        return clock.now()

    began = time.monotonic()
    assert run(main) == EPOCH + timedelta(hours=1)
    assert time.monotonic() - began < 1


def test_timers_fire_in_the_order_of_their_times():
    async def main(clock):
        order = []

        async def after(delay_s):
            await clock.sleep(delay_s)
            order.append((delay_s, clock.monotonic()))

        await asyncio.gather(after(3), after(1), after(2))
        return order

    assert run(main) == [(1, 1.0), (2, 2.0), (3, 3.0)]


def test_timeouts_are_on_virtual_time_too():
    async def main(clock):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(600):
                await asyncio.Event().wait()
        return clock.monotonic()

    assert run(main) == 600


def test_waiting_for_nothing_is_told():
    async def main(clock):
        await asyncio.Event().wait()

    with pytest.raises(Stalled):
        run(main)


def test_threads_are_refused():
    async def main(clock):
        await asyncio.to_thread(time.sleep, 0)

    with pytest.raises(RuntimeError, match="threads do not run on virtual time"):
        run(main)
