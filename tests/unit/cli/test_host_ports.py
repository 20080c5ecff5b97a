from pybernetes.cli.host_ports import removal


def table(*entries):
    return [{"metainfo": {}}, {"table": {"family": "ip", "name": "nat"}}, *entries]


def chain(name):
    return {"chain": {"name": name}}


def rule(chain, handle, jump=None):
    return {"rule": {"chain": chain, "handle": handle, "expr": [{"jump": {"target": jump}} if jump else {"masquerade": None}]}}


OURS = [chain("CNI-HOSTPORT-DNAT"), chain("PREROUTING"), rule("PREROUTING", 7, "CNI-HOSTPORT-DNAT")]


def test_a_table_of_nothing_else_goes_whole():
    assert removal("ip", table(*OURS)).splitlines() == [
        "delete rule ip nat PREROUTING handle 7",
        "flush chain ip nat CNI-HOSTPORT-DNAT",
        "delete chain ip nat CNI-HOSTPORT-DNAT",
        "delete table ip nat",
    ]


def test_the_rules_of_others_stay():
    assert "delete table" not in removal("ip", table(*OURS, rule("PREROUTING", 8)))


def test_chains_in_use_by_a_pod_stay():
    assert removal("ip", table(*OURS, chain("CNI-DN-abc"))) == ""


def test_an_empty_table_goes():
    assert removal("ip6", table()) == "delete table ip6 nat\n"
