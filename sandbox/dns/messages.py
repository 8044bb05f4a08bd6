"""DNS messages: the bytes of a question in, the bytes of its answer out."""

from __future__ import annotations

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from sandbox.dns.zone import Answer, Zone, canonical

UDP_BYTES = 1232
"""What surely passes in one datagram."""
_PLAIN_BYTES = 512
_NEGATIVE_TTL_S = 1
"""So long may somebody remember that there is no such name."""


def respond(zone: Zone, data: bytes, *, udp: bool = True) -> tuple[bytes | None, str]:
    """The answer (None: silence) and in a word what it says: its rcode, or `silent`."""
    try:
        query = dns.message.from_wire(data)
    except dns.exception.DNSException:
        return _malformed(data), "FORMERR"
    if query.flags & dns.flags.QR:
        return None, "silent"  # an answer is no question: two servers must not talk to each other for ever
    reply = dns.message.make_response(query, our_payload=UDP_BYTES)
    if query.opcode() != dns.opcode.QUERY:
        return _wire(reply, query, "NOTIMP", udp=udp)
    if len(query.question) != 1:
        return _wire(reply, query, "FORMERR", udp=udp)
    question = query.question[0]
    name = canonical(question.name.to_text())
    if question.rdclass != dns.rdataclass.IN:
        return _wire(reply, query, "REFUSED", udp=udp)
    kind = dns.rdatatype.to_text(question.rdtype)
    if kind == "SOA" and name == zone.origin:
        reply.flags |= dns.flags.AA
        reply.answer.append(_soa(zone))
        return _wire(reply, query, "NOERROR", udp=udp)
    answer = zone.answer(name, kind)
    if answer.silent:
        return None, "silent"
    _fill(reply, query, zone, answer)
    return _wire(reply, query, answer.rcode, udp=udp)


def _fill(reply: dns.message.Message, query: dns.message.Message, zone: Zone, answer: Answer) -> None:
    if answer.rcode in ("NOERROR", "NXDOMAIN"):
        reply.flags |= dns.flags.AA
        if not answer.rows:
            reply.authority.append(_soa(zone))
    for owner, kind, ttl, value in answer.rows:
        shown = f'"{value}"' if kind == "TXT" else f"{value}." if kind == "CNAME" else value
        made = dns.rrset.from_text(f"{owner}.", ttl, "IN", kind, shown)
        same = next((one for one in reply.answer if one.name == made.name and one.rdtype == made.rdtype), None)
        if same is None:
            reply.answer.append(made)
        else:
            same.add(made[0])
    if answer.stale and query.edns >= 0:
        # RFC 8914: whoever serves what may be out of date says so
        reply.use_edns(0, payload=UDP_BYTES, options=[dns.edns.EDEOption(dns.edns.EDECode.STALE_ANSWER)])


def _soa(zone: Zone) -> dns.rrset.RRset:
    text = f"ns.{zone.origin}. admin.{zone.origin}. {zone.serial} 60 60 600 {_NEGATIVE_TTL_S}"
    return dns.rrset.from_text(f"{zone.origin}.", _NEGATIVE_TTL_S, "IN", "SOA", text)


def _wire(reply: dns.message.Message, query: dns.message.Message, rcode: str, *, udp: bool) -> tuple[bytes, str]:
    reply.set_rcode(dns.rcode.from_text(rcode))
    most = 65535 if not udp else max(_PLAIN_BYTES, min(query.payload, UDP_BYTES)) if query.edns >= 0 else _PLAIN_BYTES
    try:
        return reply.to_wire(max_size=most), rcode
    except dns.exception.TooBig:
        short = dns.message.make_response(query, our_payload=UDP_BYTES)
        short.set_rcode(dns.rcode.from_text(rcode))
        short.flags |= dns.flags.TC  # ask again over TCP
        return short.to_wire(), rcode


def _malformed(data: bytes) -> bytes | None:
    if len(data) < 12 or data[2] & 0x80:
        return None
    return data[:2] + bytes([0x80 | (data[2] & 0x79), 0x01]) + bytes(8)
