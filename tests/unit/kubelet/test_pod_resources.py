"""What a pod asks for."""

from __future__ import annotations

from typing import Any

import pytest

from pybernetes.machinery.meta import Object
from pybernetes.machinery.pod_resources import pod_limits, pod_requests, qos_class


def container(requests: Object | None = None, limits: Object | None = None, **fields: Any) -> Object:
    found: Object = {"name": "c", **fields}
    if requests or limits:
        found["resources"] = {key: value for key, value in (("requests", requests), ("limits", limits)) if value}
    return found


def pod(*containers: Object, **spec: Any) -> Object:
    return {"spec": {"containers": list(containers), **spec}}


def shown(amounts: Any) -> dict[str, str]:
    return {name: value.canonical() for name, value in amounts.items()}


def test_requests_are_summed_and_init_containers_raise_them_to_their_peak() -> None:
    main = [container({"cpu": "100m", "memory": "10Mi"}), container({"cpu": "200m"})]
    init = [container({"cpu": "250m"}), container({"cpu": "50m", "memory": "64Mi"})]
    assert shown(pod_requests(pod(*main, initContainers=init))) == {"cpu": "300m", "memory": "64Mi"}


def test_sidecars_count_beside_both() -> None:
    """KEP-753: they run with the main containers, and with the init containers started after them."""
    side = container({"cpu": "100m"}, restartPolicy="Always")
    heavy = container({"cpu": "500m"})
    assert shown(pod_requests(pod(container({"cpu": "200m"}), initContainers=[side]))) == {"cpu": "300m"}
    assert shown(pod_requests(pod(container({"cpu": "200m"}), initContainers=[side, heavy]))) == {"cpu": "600m"}
    assert shown(pod_requests(pod(container({"cpu": "200m"}), initContainers=[heavy, side]))) == {"cpu": "500m"}


def test_overhead_and_pod_level_requests() -> None:
    assert shown(pod_requests(pod(container({"cpu": "1"}), overhead={"cpu": "250m"}))) == {"cpu": "1250m"}
    assert shown(pod_requests(pod(container({"cpu": "1"}), resources={"requests": {"cpu": "3"}}))) == {"cpu": "3"}


def test_a_limit_holds_for_the_pod_only_if_every_container_has_one() -> None:
    limited = container(limits={"cpu": "1", "memory": "1Gi"})
    assert shown(pod_limits(pod(limited, container(limits={"cpu": "1"})))) == {"cpu": "2"}


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (pod(container()), "BestEffort"),
        (pod(container({"cpu": "0"})), "BestEffort"),
        (pod(container({"cpu": "1"})), "Burstable"),
        (pod(container(limits={"cpu": "1", "memory": "1Gi"})), "Guaranteed"),
        (pod(container({"cpu": "500m", "memory": "1Gi"}, {"cpu": "1", "memory": "1Gi"})), "Burstable"),
        (pod(container(limits={"cpu": "1", "memory": "1Gi"}), container()), "Burstable"),
        (pod(container(limits={"cpu": "1", "memory": "1Gi"}), initContainers=[container({"cpu": "1"})]), "Burstable"),
        (pod(container({"example.com/gpu": "1"})), "BestEffort"),
    ],
)
def test_quality_of_service(wanted: Object, expected: str) -> None:
    assert qos_class(wanted) == expected
