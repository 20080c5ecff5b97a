"""DNS messages on the wire (RFC 1035, EDNS0: RFC 6891), by dnslib."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from dnslib import AAAA, CNAME, EDNS0, NS, PTR, QTYPE, RCODE, RR, SOA, SRV, TXT, A, DNSError, DNSHeader, DNSQuestion, DNSRecord

from pybernetes.dns import records
from pybernetes.dns.records import Answer, Record

UDP_BYTES_PLAIN = 512  # what a client takes that does not say more
UDP_BYTES_MOST = 1232  # what no network fragments (DNS flag day 2020)
HEADER_BYTES = 12
_FLAGS_TRUNCATED = 0x0200


class Malformed(Exception):
    """Not a query that we can read; `reply` is the answer that it deserves, b"" for none."""

    def __init__(self, reply: bytes) -> None:
        super().__init__("malformed DNS query")
        self.reply = reply


@dataclass(frozen=True, slots=True)
class Query:
    """A question, with what is needed to answer it. `name` is lower case, without the final dot."""

    parsed: DNSRecord
    name: str
    type: int
    udp_bytes: int  # the most that fits into a datagram to this client


def parse(data: bytes) -> Query:
    """Raises `Malformed`."""
    try:
        message = DNSRecord.parse(data)
    except (DNSError, ValueError, IndexError, struct.error) as error:
        raise Malformed(_header_only(data, RCODE.FORMERR)) from error
    if message.header.qr:
        raise Malformed(b"")  # an answer to nothing that we asked
    if message.header.opcode != 0 or len(message.questions) != 1:
        raise Malformed(_header_only(data, RCODE.NOTIMP))
    question = message.questions[0]
    edns = next((extra for extra in message.ar if extra.rtype == QTYPE.OPT), None)
    udp_bytes = min(max(edns.edns_len, UDP_BYTES_PLAIN), UDP_BYTES_MOST) if edns else UDP_BYTES_PLAIN
    name = str(question.qname).rstrip(".").lower()
    return Query(message, name, question.qtype, udp_bytes)


def encode(query: Query, answer: Answer, domain: str) -> bytes:
    """The authoritative reply; negative ones carry the zone's SOA (RFC 2308)."""
    reply = _reply(query, answer.rcode)
    reply.header.aa = 1
    for record in answer.answers:
        reply.add_answer(_rr(record))
    for record in answer.additional:
        reply.add_ar(_rr(record))
    if not answer.answers:
        times = (1, 7200, 1800, 86400, records.NEGATIVE_TTL_S)
        soa = SOA(f"ns.dns.{domain}", f"hostmaster.{domain}", times)
        reply.add_auth(RR(domain, QTYPE.SOA, ttl=records.NEGATIVE_TTL_S, rdata=soa))
    packed: bytes = reply.pack()
    return packed


def encode_alias(query: Query, answer: Answer, target_reply: bytes) -> bytes:
    """The alias (CNAME) and what its target resolves to: stub resolvers do not follow it themselves (RFC 1034, 4.3.2)."""
    target = DNSRecord.parse(target_reply)
    reply = _reply(query, target.header.rcode)
    for record in answer.answers:
        reply.add_answer(_rr(record))
    for rr in target.rr:
        reply.add_answer(rr)
    packed: bytes = reply.pack()
    return packed


def question(name: str, type_: int) -> bytes:
    """A query for that name, its id 0."""
    packed: bytes = DNSRecord(DNSHeader(id=0, rd=1), q=DNSQuestion(name, type_)).pack()
    return packed


def failure(query: Query) -> bytes:
    """SERVFAIL: we cannot tell now."""
    packed: bytes = _reply(query, RCODE.SERVFAIL).pack()
    return packed


def truncated(query: Query) -> bytes:
    """No answer, and the sign to ask again over TCP."""
    reply = _reply(query, RCODE.NOERROR)
    reply.header.tc = 1
    packed: bytes = reply.pack()
    return packed


def is_truncated(message: bytes) -> bool:
    return len(message) >= HEADER_BYTES and bool(int.from_bytes(message[2:4]) & _FLAGS_TRUNCATED)


def with_id(message: bytes, id_: bytes) -> bytes:
    """The message under another query's id (its first two bytes)."""
    return id_ + message[2:]


def _reply(query: Query, rcode: int) -> DNSRecord:
    asked = query.parsed
    header = DNSHeader(id=asked.header.id, qr=1, ra=1, rd=asked.header.rd, rcode=rcode)
    reply = DNSRecord(header, q=DNSQuestion(asked.q.qname, asked.q.qtype, asked.q.qclass))
    if any(extra.rtype == QTYPE.OPT for extra in asked.ar):
        reply.add_ar(EDNS0(udp_len=UDP_BYTES_MOST))
    return reply


def _rr(record: Record) -> RR:
    match record.type, record.data:
        case records.A, str(address):
            data = A(address)
        case records.AAAA, str(address):
            data = AAAA(address)
        case records.CNAME, str(name):
            data = CNAME(name)
        case records.NS, str(name):
            data = NS(name)
        case records.PTR, str(name):
            data = PTR(name)
        case records.TXT, str(text):
            data = TXT(text)
        case records.SRV, (int(priority), int(weight), int(port), str(target)):
            data = SRV(priority, weight, port, target)
        case other:
            raise AssertionError(f"no record of ours: {other}")
    return RR(record.name, record.type, ttl=records.TTL_S, rdata=data)


def _header_only(data: bytes, rcode: int) -> bytes:
    if len(data) < HEADER_BYTES:
        return b""
    return data[:2] + struct.pack(">HHHHH", 0x8000 | rcode, 0, 0, 0, 0)
