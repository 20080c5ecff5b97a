"""The rules in the kernel: a node, two backends and a client in network namespaces of their own, and real connections."""

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager

import pytest

from pybernetes.proxy import nft, ruleset
from pybernetes.proxy.ruleset import IPV4, Settings
from pybernetes.proxy.topology import Endpoint, Frontend, Kind, Protocol

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("nft") or not shutil.which("ip"), reason="needs root, nft and ip"
)

NODE = "203.0.113.1"  # the node towards the client
BACKENDS = {"10.244.0.2": "a", "10.244.0.3": "b"}
SERVICE = "10.96.0.7"
SERVE = """
import socket, sys
name = sys.argv[1].encode()
tcp = socket.create_server(("", 8080)); udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); udp.bind(("", 8053))
import threading
def datagrams():
    while True:
        data, peer = udp.recvfrom(512); udp.sendto(name + b" " + peer[0].encode(), peer)
threading.Thread(target=datagrams, daemon=True).start()
print("up", flush=True)
while True:
    connection, peer = tcp.accept(); connection.sendall(name + b" " + peer[0].encode()); connection.close()
"""
FETCH = """
import socket, sys
host, port, kind = sys.argv[1], int(sys.argv[2]), sys.argv[3]
try:
    if kind == "udp":
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(1); s.connect((host, port))
        s.send(b"?"); print(s.recv(99).decode())
    else:
        s = socket.create_connection((host, port), 1); print(s.recv(99).decode())
except ConnectionRefusedError: print("refused")
except TimeoutError: print("timeout")
"""

SELF = """
import socket, sys
server = socket.create_server((sys.argv[1], 8080)); client = socket.create_connection((sys.argv[1], 8080), 1)
connection, peer = server.accept()
print("unchanged" if peer == client.getsockname() else "changed")
"""


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=20).stdout.strip()


class Net:
    def __init__(self, prefix):
        self.prefix = prefix

    def name(self, host):
        return f"{self.prefix}{host}"

    def fetch(self, host, address, port, kind="tcp"):
        return run("ip", "netns", "exec", self.name(host), sys.executable, "-c", FETCH, address, str(port), kind)

    def apply(self, transaction):
        done = subprocess.run(
            ["ip", "netns", "exec", self.name("node"), "nft", "-f", "-"],
            check=False,
            input=transaction,
            text=True,
            capture_output=True,
            timeout=20,
        )
        assert done.returncode == 0, done.stderr


@contextmanager
def network():
    net = Net(f"pyb{os.getpid()}-")
    hosts = {"client": ("203.0.113.2", NODE), "a": ("10.244.0.2", "10.244.0.1"), "b": ("10.244.0.3", "10.244.0.1")}
    servers = []
    try:
        for host in ("node", *hosts):
            run("ip", "netns", "add", net.name(host))
            run("ip", "-n", net.name(host), "link", "set", "lo", "up")
        node = net.name("node")
        run("ip", "-n", node, "link", "add", "br0", "type", "bridge")
        run("ip", "-n", node, "addr", "add", "10.244.0.1/24", "dev", "br0")
        run("ip", "-n", node, "link", "set", "br0", "up")
        for host, (address, gateway) in hosts.items():
            run("ip", "-n", node, "link", "add", f"to-{host}", "type", "veth", "peer", "name", "eth0", "netns", net.name(host))
            run("ip", "-n", net.name(host), "addr", "add", f"{address}/24", "dev", "eth0")
            run("ip", "-n", net.name(host), "link", "set", "eth0", "up")
            run("ip", "-n", net.name(host), "route", "add", "default", "via", gateway)
            if host == "client":
                run("ip", "-n", node, "addr", "add", f"{gateway}/24", "dev", f"to-{host}")
            else:
                run("ip", "-n", node, "link", "set", f"to-{host}", "master", "br0")
                run("ip", "-n", node, "link", "set", f"to-{host}", "type", "bridge_slave", "hairpin", "on")
            run("ip", "-n", node, "link", "set", f"to-{host}", "up")
        # A node has a way out; without one a Service's address would be unreachable before any rule sees it.
        run("ip", "-n", node, "route", "add", "default", "via", "203.0.113.2")
        for setting in ("net.ipv4.ip_forward=1", "net.bridge.bridge-nf-call-iptables=1"):
            name, value = setting.split("=")
            path = "/proc/sys/" + name.replace(".", "/")
            run("ip", "netns", "exec", node, "sh", "-c", f"echo {value} > {path}")
        for name in BACKENDS.values():
            servers.append(
                subprocess.Popen(
                    ["ip", "netns", "exec", net.name(name), sys.executable, "-c", SERVE, name],
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
        for server in servers:
            assert server.stdout.readline() == "up\n"
        yield net
    finally:
        for server in servers:
            server.kill()
            server.communicate()
        for host in ("node", *hosts):
            subprocess.run(["ip", "netns", "delete", net.name(host)], capture_output=True, check=False)


@pytest.fixture(scope="module")
def net():
    with network() as made:
        yield made


SETTINGS = Settings(cluster_cidr="10.244.0.0/16", node_port_addresses=(NODE,))
BOTH = tuple(Endpoint(address, 8080) for address in BACKENDS)


def program(net, *frontends):
    net.apply(ruleset.replace(ruleset.build(frontends, IPV4, SETTINGS)))


def cluster_ip(endpoints=BOTH, **fields):
    return Frontend(Kind.CLUSTER_IP, SERVICE, Protocol.TCP, 80, endpoints, **fields)


def test_connections_are_spread_over_the_endpoints(net):
    program(net, cluster_ip())
    answers = {net.fetch("client", SERVICE, 80).split()[0] for _ in range(20)}
    assert answers == {"a", "b"}


def test_a_pod_reaches_itself_through_a_service(net):
    program(net, cluster_ip((Endpoint("10.244.0.2", 8080),)))
    assert net.fetch("a", SERVICE, 80).startswith("a ")


def test_a_node_that_is_an_endpoint_talks_to_itself_untouched(net):
    """Its own connections to the API server stalled: they matched as hairpins and were given new source ports midway."""
    program(net, cluster_ip((Endpoint(NODE, 8080),)))
    listed = run("ip", "netns", "exec", net.name("node"), sys.executable, "-c", SELF, NODE)
    assert listed == "unchanged"


def test_a_pod_keeps_its_address_towards_another_pod(net):
    program(net, cluster_ip((Endpoint("10.244.0.3", 8080),)))
    assert net.fetch("a", SERVICE, 80) == "b 10.244.0.2"


def test_the_node_itself_reaches_a_service(net):
    program(net, cluster_ip((Endpoint("10.244.0.3", 8080),)))
    assert net.fetch("node", SERVICE, 80).startswith("b ")


def test_a_service_without_endpoints_refuses_at_once(net):
    program(net, cluster_ip(()))
    assert net.fetch("client", SERVICE, 80) == "refused"
    assert net.fetch("node", SERVICE, 80) == "refused"


def test_a_port_that_no_service_has_is_refused(net):
    program(net, cluster_ip())
    assert net.fetch("client", SERVICE, 81) == "refused"


def test_a_node_port_hides_the_client_unless_its_policy_is_local(net):
    def node_port(**fields):
        return Frontend(Kind.NODE_PORT, "", Protocol.TCP, 30080, (Endpoint("10.244.0.2", 8080),), **fields)

    program(net, node_port())
    assert net.fetch("client", NODE, 30080) == "a 10.244.0.1"
    program(net, node_port(is_local_only=True))
    assert net.fetch("client", NODE, 30080) == "a 203.0.113.2"


def test_a_client_with_affinity_stays_with_its_endpoint(net):
    program(net, cluster_ip(affinity_s=60))
    assert len({net.fetch("client", SERVICE, 80) for _ in range(8)}) == 1


def test_a_balancer_lets_in_only_its_source_ranges(net):
    def balancer(source_range):
        return Frontend(Kind.EXTERNAL, "198.51.100.1", Protocol.TCP, 80, BOTH, source_ranges=(source_range,))

    program(net, balancer("203.0.113.0/24"))
    assert net.fetch("client", "198.51.100.1", 80)[0] in "ab"
    program(net, balancer("192.0.2.0/24"))
    assert net.fetch("client", "198.51.100.1", 80) == "timeout"


def test_datagrams_reach_an_endpoint(net):
    udp = Frontend(Kind.CLUSTER_IP, SERVICE, Protocol.UDP, 53, (Endpoint("10.244.0.2", 8053),))
    program(net, udp)
    assert net.fetch("client", SERVICE, 53, "udp").startswith("a ")


def test_an_update_in_place_moves_new_connections(net):
    first = ruleset.build([cluster_ip((Endpoint("10.244.0.2", 8080),), affinity_s=60)], IPV4, SETTINGS)
    second = ruleset.build([cluster_ip((Endpoint("10.244.0.3", 8080),), affinity_s=90)], IPV4, SETTINGS)
    net.apply(ruleset.replace(first))
    assert net.fetch("client", SERVICE, 80).startswith("a ")
    net.apply(ruleset.update(first, second))
    assert net.fetch("client", SERVICE, 80).startswith("b ")
    net.apply(ruleset.update(second, ruleset.build([], IPV4, SETTINGS)))
    assert net.fetch("client", SERVICE, 80) == "timeout"


async def test_a_transaction_that_is_refused_says_why():
    with pytest.raises(nft.NftFailed, match="syntax error"):
        await nft.apply("add nonsense")
