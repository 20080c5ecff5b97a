"""`pyb demo`, as the README tells a newcomer to run it."""

import re
import time

from tests.e2e.cluster import Cluster

ANSWER = r"\s+Hello from hello-\w+-\w+\n"
BY_ADDRESS = r"from this machine, http://10\.96\.\d+\.\d+/\n" + ANSWER
BY_NAME = r"from another pod, http://hello\.default\.svc\.cluster\.local/\n" + ANSWER


def test_the_demo_shows_the_answer_by_address_and_by_name_and_again_when_run_again(cluster: Cluster) -> None:
    began = time.monotonic()
    first = cluster.pyb("demo").stdout
    assert time.monotonic() - began < 20, first
    assert re.search(BY_ADDRESS, first), first
    assert re.search(BY_NAME, first), first
    assert "3 of 3 replicas available" in first
    assert str(cluster.kubeconfig) in first

    began = time.monotonic()
    again = cluster.pyb("demo").stdout
    assert time.monotonic() - began < 10
    assert re.search(BY_ADDRESS, again), again
    assert re.search(BY_NAME, again), again


def test_status_shows_every_component_well_with_its_memory_and_the_node_ready(cluster: Cluster) -> None:
    shown = cluster.pyb("status").stdout
    for component in ("containerd", "apiserver", "kubelet", "controller-manager", "scheduler", "proxy", "dns", "supervisor"):
        assert re.search(rf"^{component} +ok +\d+ +\d+ +\d+ MiB", shown, re.MULTILINE), shown
    assert re.search(r"^\S+ +Ready +v1\.36\.\d+ +\d+\.\d+\.\d+\.\d+$", shown, re.MULTILINE), shown


def test_logs_shows_what_a_component_wrote_and_names_the_logs_there_are(cluster: Cluster) -> None:
    assert "Started component" in cluster.pyb("logs", "supervisor").stdout
    refused = cluster.pyb("logs", "nosuch", code=1)
    assert "Traceback" not in refused.stderr
    assert "apiserver" in refused.stderr
