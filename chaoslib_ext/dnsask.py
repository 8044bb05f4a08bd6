"""Asks one resolver for addresses, as a client does; several times, because a weighted name answers differently."""

from __future__ import annotations

ROUNDS = 12
TIMEOUT_S = 0.5


def answers(address: str, name: str, rounds: int = ROUNDS) -> frozenset[str]:
    """Every IPv4 address that `name` was answered with by the resolver at host:port; empty where it did not answer."""
    import dns.exception  # a fifth of a second, and most drills ask nobody
    import dns.message
    import dns.query
    import dns.rdatatype

    host, _, port = address.rpartition(":")
    found: set[str] = set()
    for _ in range(rounds):
        try:
            reply = dns.query.udp(dns.message.make_query(name, "A"), host, TIMEOUT_S, int(port))
        except (OSError, dns.exception.DNSException):
            return frozenset()
        rows = [row for row in reply.answer if row.rdtype == dns.rdatatype.A]
        found |= {str(one.address) for row in rows for one in row}
    return frozenset(found)
