"""The resolver's records, faults and messages, without a socket."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import pytest

from loadgen import dnsmessage
from sandbox.dns.__main__ import DnsConfig, zone_of
from sandbox.dns.messages import respond
from sandbox.dns.zone import Answer, Zone
from sandbox.errors import BadUse
from sandbox.home import write_json

API = "api.exchange.test"


@pytest.fixture
def zone() -> Zone:
    made = Zone("exchange.test", rng=random.Random(1))
    made.put(API, {"values": ["127.0.0.1", "127.0.0.2"]})
    made.put("www.exchange.test", {"type": "CNAME", "ttl": 3, "values": [API]})
    return made


def ask(zone: Zone, name: str, kind: str = "A", *, udp: bool = True) -> dns.message.Message:
    answer, _ = respond(zone, dns.message.make_query(name, kind).to_wire(), udp=udp)
    assert answer is not None
    return dns.message.from_wire(answer)


def addresses(zone: Zone, name: str = API) -> set[str]:
    return {str(row) for rows in ask(zone, name).answer for row in rows}


def test_a_record_is_told_with_its_time_to_live(zone: Zone) -> None:
    reply = ask(zone, "API.Exchange.Test.")
    assert reply.flags & dns.flags.AA
    assert [rows.ttl for rows in reply.answer] == [5]
    assert addresses(zone) == {"127.0.0.1", "127.0.0.2"}


def test_the_first_of_several_values_changes(zone: Zone) -> None:
    firsts = Counter(zone.answer(API, "A").rows[0][3] for _ in range(10))
    assert firsts == {"127.0.0.1": 5, "127.0.0.2": 5}


def test_a_weighted_record_tells_one_value_as_often_as_its_weight(zone: Zone) -> None:
    zone.put(API, {"values": ["127.0.0.1", "127.0.0.2"], "weights": [90, 10]})
    seen = Counter(zone.answer(API, "A").rows for _ in range(1000))
    assert all(len(rows) == 1 for rows in seen)
    assert 850 <= max(seen.values()) <= 950
    zone.put(API, {"values": ["127.0.0.1", "127.0.0.2"], "weights": [0, 1]})
    assert addresses(zone) == {"127.0.0.2"}


def test_another_name_is_followed(zone: Zone) -> None:
    reply = dnsmessage.read(respond(zone, dnsmessage.question(7, "www.exchange.test"))[0] or b"")
    assert set(reply.addresses) == {"127.0.0.1", "127.0.0.2"}
    assert (reply.ident, reply.ttl, reply.rcode) == (7, 3, "NOERROR")
    zone.put(API, {"type": "CNAME", "values": ["www.exchange.test"]})
    assert ask(zone, API).rcode() == dns.rcode.NOERROR  # in circles, and yet it ends


@pytest.mark.parametrize(
    ("name", "kind", "rcode", "rows"),
    [
        ("nobody.exchange.test", "A", "NXDOMAIN", 0),
        (API, "AAAA", "NOERROR", 0),
        ("exchange.test", "A", "NOERROR", 0),
        ("exchange.test", "SOA", "NOERROR", 1),
        ("example.com", "A", "REFUSED", 0),
        ("exchange.test.example.com", "A", "REFUSED", 0),
    ],
)
def test_what_is_not_there_is_told_as_it_is(zone: Zone, name: str, kind: str, rcode: str, rows: int) -> None:
    reply = ask(zone, name, kind)
    assert dns.rcode.to_text(reply.rcode()) == rcode
    assert len(reply.answer) == rows
    assert bool(reply.authority) == (rcode != "REFUSED" and not rows)


@pytest.mark.parametrize("mode", ["servfail", "nxdomain", "timeout"])
def test_a_failing_name_fails_alone(zone: Zone, mode: str) -> None:
    zone.begin("f", {"mode": mode, "name": API})
    answer, word = respond(zone, dns.message.make_query(API, "A").to_wire())
    assert (answer is None) == (mode == "timeout")
    assert word == {"servfail": "SERVFAIL", "nxdomain": "NXDOMAIN", "timeout": "silent"}[mode]
    zone.put("other.exchange.test", {"values": ["127.0.0.3"]})
    assert addresses(zone, "other.exchange.test") == {"127.0.0.3"}
    assert zone.end("f")
    assert not zone.end("f")
    assert addresses(zone) == {"127.0.0.1", "127.0.0.2"}


def test_a_stale_answer_stays_with_its_time_to_live_and_says_so(zone: Zone) -> None:
    zone.begin("f", {"mode": "stale"})
    zone.put(API, {"ttl": 60, "values": ["127.0.0.9"]})
    zone.remove("www.exchange.test")
    zone.begin("f", {"mode": "stale"})  # the same again does not take the new values
    reply = dnsmessage.read(respond(zone, dnsmessage.question(1, API))[0] or b"")
    assert set(reply.addresses) == {"127.0.0.1", "127.0.0.2"}
    assert reply.ttl == 5
    assert reply.stale
    assert addresses(zone, "www.exchange.test")
    zone.end("f")
    reply = dnsmessage.read(respond(zone, dnsmessage.question(1, API))[0] or b"")
    assert (reply.addresses, reply.ttl, reply.stale) == (("127.0.0.9",), 60, False)


@pytest.mark.parametrize(
    ("name", "body", "words"),
    [
        ("api.example.com", {"values": ["127.0.0.1"]}, "is not a name of exchange.test"),
        ("a..exchange.test", {"values": ["127.0.0.1"]}, "is not a name"),
        (API, [], "no object"),
        (API, {"values": ["127.0.0.1"], "tll": 5}, "unknown tll"),
        (API, {"type": "MX", "values": ["x"]}, "'MX' is none of"),
        (API, {"values": []}, "are no list"),
        (API, {"values": ["127.0.0.256"]}, "127.0.0.256"),
        (API, {"values": ["::1"]}, "no value of type A"),
        (API, {"ttl": -1, "values": ["127.0.0.1"]}, "ttl -1"),
        (API, {"ttl": True, "values": ["127.0.0.1"]}, "ttl True"),
        (API, {"values": ["127.0.0.1"], "weights": [1, 2]}, "weights"),
        (API, {"values": ["127.0.0.1"], "weights": [256]}, "weights"),
        (API, {"type": "CNAME", "values": ["a.exchange.test", "b.exchange.test"]}, "no list of CNAME"),
    ],
)
def test_a_wrong_record_is_named_and_changes_nothing(zone: Zone, name: str, body: object, words: str) -> None:
    before = dict(zone.records)
    with pytest.raises(BadUse, match=words):
        zone.put(name, body)
    assert zone.records == before


def test_a_fault_that_cannot_be_is_refused(zone: Zone) -> None:
    for body, words in (
        ({"mode": "slow"}, "'slow' is none of"),
        ({"mode": "servfail", "name": "x.test"}, "no record"),
        ([], "mode None"),
    ):
        with pytest.raises(BadUse, match=words):
            zone.begin("f", body)
    zone.begin("f", {"mode": "servfail"})
    with pytest.raises(BadUse, match="is there already as servfail of every name"):
        zone.begin("f", {"mode": "timeout"})


def test_a_message_that_is_none_is_said_to_be_malformed_or_passed_over(zone: Zone) -> None:
    assert respond(zone, b"short") == (None, "FORMERR")
    answer, word = respond(zone, b"\x12\x34\x01\x00" + b"\xff" * 20)
    assert (answer or b"")[:2] == b"\x12\x34"
    assert word == "FORMERR"
    ours = respond(zone, dns.message.make_query(API, "A").to_wire())[0] or b""
    assert respond(zone, ours) == (None, "silent"), "an answer is not answered"


def test_what_does_not_fit_a_datagram_is_to_be_asked_for_again(zone: Zone) -> None:
    zone.put(API, {"values": [f"127.0.1.{n}" for n in range(200)]})
    short = ask(zone, API)
    assert short.flags & dns.flags.TC
    assert not short.answer
    assert len(ask(zone, API, udp=False).answer[0]) == 200


def test_a_restarted_resolver_comes_back_with_its_records(tmp_path: Path) -> None:
    first, kept = tmp_path / "first.json", tmp_path / "kept.json"
    write_json(first, {API: {"values": ["127.0.0.1"]}})
    config = DnsConfig("resolver", "127.0.0.1", 53, 80, ttl=7, records=first, state=kept)
    zone = zone_of(config)
    assert zone.answer(API, "A") == Answer(rows=((API, "A", 7, "127.0.0.1"),))
    write_json(kept, {API: {"type": "A", "ttl": 9, "values": ["127.0.0.2"]}})
    assert zone_of(config).answer(API, "A").rows == ((API, "A", 9, "127.0.0.2"),)
    with pytest.raises(BadUse, match="holds no JSON object"):
        zone_of(DnsConfig("r", "127.0.0.1", 53, 80, records=tmp_path / "none.json"))
    with pytest.raises(BadUse, match="MUSTER_DNS_PORT"):
        DnsConfig.from_env({"MUSTER_HTTP_PORT": "80"})
