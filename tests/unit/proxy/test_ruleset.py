"""Transactions are replayed on a small model of nftables' tables: what counts is what is there afterwards."""

import re

from hypothesis import given
from hypothesis import strategies as st

from pybernetes.proxy import ruleset
from pybernetes.proxy.ruleset import IPV4, Settings
from pybernetes.proxy.topology import Endpoint, Frontend, Kind, Protocol

SETTINGS = Settings(cluster_cidr="10.244.0.0/16", node_port_addresses=("192.0.2.10",))


class Model:
    """Just enough of nftables to replay a transaction, as strict about references and duplicates as the kernel."""

    def __init__(self):
        self.chains, self.elements = {}, {}

    def replay(self, transaction):
        for line in transaction.splitlines():
            verb, kind, _family, _table, *rest = line.split(" ", 4)
            if kind == "table":
                self.chains, self.elements = {}, {}
                continue
            name, _, body = rest[0].partition(" ")
            getattr(self, f"{verb}_{kind}")(name, body)
        self.check()

    def add_chain(self, name, body):
        self.chains.setdefault(name, [])

    def flush_chain(self, name, body):
        self.chains[name] = []

    def delete_chain(self, name, body):
        assert not any(f"goto {name}" in text.split(" : ") for text in self._texts())
        del self.chains[name]

    def add_rule(self, name, body):
        self.chains[name].append(body)

    def add_map(self, name, body):
        assert name not in self.elements
        self.elements[name] = {}

    add_set = add_map

    def delete_map(self, name, body):
        assert not any(f"@{name}" in re.split(r"[\s{}]+", rule) for rule in self._texts())
        del self.elements[name]

    delete_set = delete_map

    def add_element(self, name, body):
        for element in body.strip("{} ").split(", "):
            key, _, value = element.partition(" : ")
            assert key not in self.elements[name], f"{key} is in {name} already"
            self.elements[name][key] = value

    def delete_element(self, name, body):
        for key in body.strip("{} ").split(", "):
            del self.elements[name][key]

    def _texts(self):
        yield from (rule for rules in self.chains.values() for rule in rules)
        yield from (value for elements in self.elements.values() for value in elements.values())

    def check(self):
        for text in self._texts():
            for chain in re.findall(r"(?:goto|jump) ([\w-]+)", text):
                assert chain in self.chains, f"{text}: no chain {chain}"
            for name in re.findall(r"@([\w-]+)", text):
                assert name in self.elements, f"{text}: no set {name}"


endpoints = st.integers(2, 6).map(lambda last: Endpoint(f"10.244.0.{last}", 8080))
some_frontends = st.lists(
    st.builds(
        Frontend,
        kind=st.sampled_from(Kind),
        address=st.sampled_from(["10.96.0.1", "10.96.0.2"]),
        protocol=st.sampled_from(Protocol),
        port=st.sampled_from([80, 443]),
        endpoints=st.lists(endpoints, max_size=3, unique=True).map(lambda found: tuple(sorted(found))),
        affinity_s=st.sampled_from([0, 0, 60, 120]),
        is_local_only=st.booleans(),
        source_ranges=st.sampled_from([(), ("192.0.2.0/24",)]),
    ),
    max_size=6,
)


def build(frontends):
    return ruleset.build(frontends, IPV4, SETTINGS)


@given(before=some_frontends, after=some_frontends)
def test_an_update_leaves_what_a_replacement_would(before, after):
    updated, replaced = Model(), Model()
    updated.replay(ruleset.replace(build(before)))
    updated.replay(ruleset.update(build(before), build(after)))
    replaced.replay(ruleset.replace(build(after)))
    assert updated.elements == replaced.elements
    assert updated.chains == replaced.chains


@given(frontends=some_frontends)
def test_nothing_is_written_when_nothing_changed(frontends):
    assert ruleset.update(build(frontends), build(frontends)) == ""


def test_one_more_endpoint_touches_a_handful_of_elements():
    others = [Frontend(Kind.CLUSTER_IP, f"10.96.1.{n}", Protocol.TCP, 80, (Endpoint("10.244.0.2", 1),)) for n in range(200)]
    one = Frontend(Kind.CLUSTER_IP, "10.96.0.1", Protocol.TCP, 80, (Endpoint("10.244.0.2", 1),))
    two = Frontend(Kind.CLUSTER_IP, "10.96.0.1", Protocol.TCP, 80, (Endpoint("10.244.0.2", 1), Endpoint("10.244.0.3", 1)))
    transaction = ruleset.update(build([*others, one]), build([*others, two]))
    assert len(transaction.splitlines()) < 12
    assert "10.96.1." not in transaction


def test_udp_flows_to_an_endpoint_that_went_away_are_stale():
    def frontend(*addresses):
        found = tuple(Endpoint(address, 53) for address in addresses)
        return [Frontend(Kind.CLUSTER_IP, "10.96.0.10", Protocol.UDP, 53, found)]

    assert ruleset.stale_udp(frontend("10.244.0.2", "10.244.0.3"), frontend("10.244.0.3")) == {("10.96.0.10", 53, "10.244.0.2")}
    assert ruleset.stale_udp(frontend(), frontend("10.244.0.3")) == {("10.96.0.10", 53, "")}
    assert ruleset.stale_udp(frontend("10.244.0.3"), frontend("10.244.0.3")) == set()
