from __future__ import annotations

from typing import Any

import pytest

from pybernetes.apiserver.registry.core import pods
from pybernetes.apiserver.registry.core.pod_spec.siblings import SIZE_MAX, is_sound
from pybernetes.machinery.resources import PODS
from pybernetes.machinery.schema import schema_for


def spec(token_volume: str = "kube-api-access-abcde", **fields: Any) -> Any:
    pod = {
        "kind": "Pod",
        "metadata": {"name": "p"},
        "spec": {
            "containers": [
                {"name": "c", "image": "i", "volumeMounts": [{"name": token_volume, "mountPath": "/var/run/secrets"}]},
            ],
            "volumes": [{"name": token_volume, "emptyDir": {}}],
            **fields,
        },
    }
    schema_for(PODS.gvk).conform(pod)
    pods.default(pod)
    return pod["spec"]


def errors(pod_spec: Any) -> list[str]:
    return [str(error) for error in pods.validate_create({"metadata": {}, "spec": pod_spec})]


@pytest.mark.parametrize("_", range(2))
def test_the_name_of_the_token_volume_makes_no_difference(_: int) -> None:
    assert all(is_sound(spec(f"kube-api-access-{suffix}")) for suffix in ("aaaaa", "bbbbb"))


@pytest.mark.parametrize(
    "fields",
    [
        {"restartPolicy": "Sometimes"},
        {"nodeSelector": {"beta.kubernetes.io/os": "linux"}},  # a warning
        {"ephemeralContainers": [{"name": "e", "image": "i"}]},
        {"hostname": "x" * SIZE_MAX},
    ],
)
def test_what_there_is_to_say_is_said_each_time(fields: dict[str, Any]) -> None:
    assert is_sound(spec())
    assert not any(is_sound(spec(**fields)) for _ in range(2))


@pytest.mark.parametrize("suffix", ["aaaaa", "bbbbb"])
def test_a_name_that_is_there_twice_is_found_whatever_was_seen_before(suffix: str) -> None:
    twice = [{"name": f"kube-api-access-{each}", "emptyDir": {}} for each in ("aaaaa", suffix)]
    found = errors(spec("kube-api-access-aaaaa", volumes=twice))
    assert bool(found) == (suffix == "aaaaa"), found


def test_a_mount_of_what_stands_for_the_name_is_a_mount_of_nothing() -> None:
    one = spec("kube-api-access-aaaaa")
    one["containers"][0]["volumeMounts"].append({"name": "kube-api-access", "mountPath": "/b"})
    assert any("kube-api-access" in error and "Not found" in error for error in errors(one))


def test_errors_name_what_was_given() -> None:
    one = spec("kube-api-access-aaaaa")
    one["volumes"].append({"name": "kube-api-access-aaaaa", "emptyDir": {}})
    assert errors(one) == ['spec.volumes[1].name: Duplicate value: "kube-api-access-aaaaa"']
