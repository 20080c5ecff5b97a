"""The day since which the use of legacy tokens is noted is kept."""

import pytest

from pybernetes.apiserver.authentication import legacy_token_tracking as tracking
from pybernetes.machinery.resources import CONFIG_MAPS


def since(cluster):
    return cluster.get(CONFIG_MAPS, tracking.NAMESPACE, tracking.NAME)["data"]["since"]


async def test_a_new_cluster_begins_today_and_stays_with_it(cluster, clock):
    await tracking.ensure(cluster, cluster, clock)
    clock.advance(5 * 24 * 3600)
    await tracking.ensure(cluster, cluster, clock)
    assert since(cluster) == "2026-11-21"
    assert len(cluster.writes) == 1


@pytest.mark.parametrize("data", [{}, {"since": "whenever"}, None])
async def test_what_is_no_day_is_replaced(cluster, clock, data):
    cluster.put(CONFIG_MAPS, {"metadata": {"name": tracking.NAME, "namespace": tracking.NAMESPACE}, "data": data})
    await tracking.ensure(cluster, cluster, clock)
    assert since(cluster) == "2026-11-21"
