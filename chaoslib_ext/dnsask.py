"""Asks one resolver for addresses, as a client does; several times, because a weighted name answers differently."""

from __future__ import annotations

from loadgen import dnsquery

ROUNDS = 12
TIMEOUT_S = 0.5


def answers(address: str, name: str, rounds: int = ROUNDS) -> frozenset[str]:
    """Every IPv4 address that `name` was answered with by the resolver at host:port; empty where it did not answer."""
    found: set[str] = set()
    for _ in range(rounds):
        try:
            reply = dnsquery.ask(address, name, TIMEOUT_S)
        except OSError:
            return frozenset()
        if reply is None:
            return frozenset()
        found |= set(reply.addresses)
    return frozenset(found)
