import pytest
from dnslib import EDNS0, DNSRecord
from hypothesis import given
from hypothesis import strategies as st

from pybernetes.dns import wire
from pybernetes.dns.records import NO_SUCH_NAME, A, Answer, Record


def query(name="web.default.svc.cluster.local", udp_bytes=None):
    asked = DNSRecord.question(name)
    if udp_bytes:
        asked.add_ar(EDNS0(udp_len=udp_bytes))
    return wire.parse(asked.pack())


def test_a_question_is_read_in_lower_case():
    assert query("Web.Default.SVC.cluster.local").name == "web.default.svc.cluster.local"


def test_a_reply_echoes_the_question_and_is_authoritative():
    asked = query()
    reply = DNSRecord.parse(wire.encode(asked, Answer(answers=[Record(asked.name, A, "10.96.0.7")]), "cluster.local"))
    assert reply.header.aa and reply.header.qr and reply.header.id == asked.parsed.header.id
    assert str(reply.rr[0].rdata) == "10.96.0.7"


def test_a_denial_carries_the_zones_soa_so_that_it_is_remembered_briefly():
    reply = DNSRecord.parse(wire.encode(query("nope.cluster.local"), NO_SUCH_NAME, "cluster.local"))
    assert reply.header.rcode == 3
    assert reply.auth[0].rtype == 6


def test_a_client_says_how_much_it_takes():
    assert query().udp_bytes == 512
    assert query(udp_bytes=4096).udp_bytes == wire.UDP_BYTES_MOST


def test_an_answer_is_no_query():
    reply = wire.encode(query(), Answer(), "cluster.local")
    with pytest.raises(wire.Malformed) as refused:
        wire.parse(reply)
    assert refused.value.reply == b""


@given(st.binary(max_size=80))
def test_any_bytes_are_a_query_or_malformed(data):
    try:
        wire.parse(data)
    except wire.Malformed as refused:
        assert refused.reply == b"" or refused.reply[:2] == data[:2]
