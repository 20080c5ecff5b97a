"""What a client asks of a pod, as a kubelet is asked for it."""

from __future__ import annotations

import pytest

from pybernetes.apiserver.proxying.queries import check_log_options, connect_options, kubelet_query
from pybernetes.apiserver.proxying.targets import is_global_unicast, kubelet_url, node_url, split_target
from pybernetes.machinery.errors import BadRequest, Invalid
from pybernetes.machinery.meta import GroupVersionKind

EXEC = GroupVersionKind("", "v1", "PodExecOptions")
PORT_FORWARD = GroupVersionKind("", "v1", "PodPortForwardOptions")


def test_streams_and_command_have_the_kubelets_names() -> None:
    query = "container=c&command=sh&command=-c&command=echo%20%26&stdin=true&stdout=1&stderr=false&tty=true"
    options = connect_options(EXEC, query)
    assert options["command"] == ["sh", "-c", "echo &"]
    assert kubelet_query("exec", options, query) == "input=1&output=1&tty=1&command=sh&command=-c&command=echo+%26"


def test_ports_are_one_parameter() -> None:
    assert kubelet_query("portforward", connect_options(PORT_FORWARD, "ports=80&ports=81"), "") == "port=80%2C81"
    assert kubelet_query("portforward", connect_options(PORT_FORWARD, ""), "") == ""


def test_a_logs_parameters_stay_but_for_the_container_which_is_in_the_path() -> None:
    assert kubelet_query("log", {}, "container=c&follow=true&tailLines=3") == "follow=true&tailLines=3"


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ({"tailLines": "-1"}, "tailLines: Invalid value: -1: must be greater than or equal to 0"),
        ({"limitBytes": "0"}, "limitBytes: Invalid value: 0: must be greater than 0"),
        ({"sinceSeconds": "0"}, "sinceSeconds: Invalid value: 0: must be greater than 0"),
    ],
)
def test_numbers_of_a_log_that_make_no_sense_are_invalid(query: dict[str, str], complaint: str) -> None:
    with pytest.raises(Invalid) as caught:
        check_log_options("p", query)
    assert str(caught.value) == f'PodLogOptions "p" is invalid: {complaint}'


def test_a_targets_scheme_and_port_may_be_left_out() -> None:
    assert split_target("name") == ("", "name", "")
    assert split_target("name:80") == ("", "name", "80")
    assert split_target("https:name:web") == ("https", "name", "web")
    assert split_target("https:name:") == ("https", "name", "")


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "127.1.2.3", "::1", "169.254.169.254", "fe80::1", "224.0.0.1", "0.0.0.0", "", "x"]
)
def test_addresses_of_this_machine_and_link_are_no_pods(address: str) -> None:
    assert not is_global_unicast(address)
    assert is_global_unicast("10.1.2.3") and is_global_unicast("fd00::1")


def test_a_kubelet_is_reached_by_the_preferred_address_and_its_own_port() -> None:
    addresses = [{"type": "Hostname", "address": "h"}, {"type": "InternalIP", "address": "fd00::1"}]
    node = {"status": {"addresses": addresses, "daemonEndpoints": {"kubeletEndpoint": {"Port": 1234}}}}
    assert kubelet_url(node, ("InternalIP", "Hostname")) == "https://[fd00::1]:1234"
    assert kubelet_url(node, ("Hostname",)) == "https://h:1234"
    assert node_url(node, ("InternalIP",), "", "9100") == "http://[fd00::1]:9100"
    with pytest.raises(BadRequest, match="address not allowed"):
        node_url({"status": {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}]}}, ("InternalIP",), "", "22")
