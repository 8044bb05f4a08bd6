"""Which venue a description means: types, packages of others, addresses, keys, and venues without a record."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest

from drills.errors import ComponentError, DefinitionError
from drills.evidence import COMMANDS, FILLS, RunDir
from loadgen import venues
from loadgen.venues import keys
from loadgen.venues.bybit_rest import BybitRest
from loadgen.venues.bybit_ws import TradeWire
from loadgen.venues.endpoints import endpoint, endpoints
from loadgen.venues.fix44 import Fix44
from loadgen.venues.http import HttpWire
from loadgen.venues.sandbox_binary import SandboxBinary
from loadgen.venues.wire import Endpoint
from tests.contract.fakes.cases import RUN, example, trace

SANDBOX = {"ws": ["ws://h:1/v5/trade"], "rest": ["http://h:2"], "binary": ["tcp://h:3"]}


# -- types and packages ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("venue", "wire"),
    [
        ({"type": "sandbox", **SANDBOX}, TradeWire),
        ({"type": "sandbox", **SANDBOX, "transport": "rest"}, BybitRest),
        ({"type": "sandbox-binary", **SANDBOX}, SandboxBinary),
        ({"type": "bybit-v5", "rest": ["https://api.bybit.test"]}, BybitRest),
        ({"type": "bybit-v5", "ws": ["wss://stream.bybit.test/v5/trade"]}, TradeWire),
        ({"type": "fix44", "fix": ["tcps://h:9"], "target": "VENUE"}, Fix44),
        ({"type": "http", "rest": ["http://h"]}, HttpWire),
    ],
)
def test_each_type_has_its_wire(tmp_path: Path, venue: dict[str, Any], wire: type) -> None:
    (tmp_path / "secret").write_bytes(b"x")
    made = venues.wire(trace(), RUN, {**venue, "secret_file": str(tmp_path / "secret")}, 7)
    assert type(made) is wire
    assert venues.kinds(made) >= {"place", "cancel", "amend"}


@pytest.mark.parametrize("key", ["ws", "rest", "binary", "fix"])
def test_a_venue_without_addresses_is_told(tmp_path: Path, key: str) -> None:
    (tmp_path / "secret").write_bytes(b"x")
    type_ = {"ws": "sandbox", "rest": "http", "binary": "sandbox-binary", "fix": "fix44"}[key]
    with pytest.raises(DefinitionError, match=f"venue.{key}: no address"):
        venues.wire(trace(), RUN, {"type": type_, "target": "x", "secret_file": str(tmp_path / "secret")})


def test_an_unknown_transport_is_told(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="'udp' is neither ws nor rest"):
        venues.wire(trace(), RUN, {"type": "sandbox", "transport": "udp", **SANDBOX})


def test_an_unknown_type_lists_the_known_ones() -> None:
    with pytest.raises(DefinitionError, match=r"venue.type kraken: no such venue; known: sandbox, .*http"):
        venues.get("kraken")


def installed(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """One package that offers the type `other`."""
    entry = metadata.EntryPoint("other", value, venues.GROUP)
    vars(entry)["dist"] = SimpleNamespace(name="muster-other")
    found = metadata.EntryPoints([entry])
    monkeypatch.setattr(metadata, "entry_points", lambda group: found if group == venues.GROUP else None)


def test_a_package_brings_its_venue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "muster_binance_spot", example())
    installed(monkeypatch, "muster_binance_spot:BinanceSpot")
    monkeypatch.setenv("BINANCE_KEY", "k")
    monkeypatch.setenv("BINANCE_SECRET", "s")
    named = {"keys": {"key_env": "BINANCE_KEY", "secret_env": "BINANCE_SECRET"}, "rest": ["https://h"]}
    made = venues.wire(trace(), RUN, {"type": "other", **named})
    assert venues.kinds(made) == {"place", "cancel"}
    with pytest.raises(DefinitionError, match="row 4: amend: no operation of this venue"):
        made.operation(1, 4, 0, 0, None)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("nowhere_at_all:Venue", "package muster-other cannot be loaded (ModuleNotFoundError: "),
        ("loadgen.venues.rest:Venue", "package muster-other cannot be loaded (AttributeError: "),
        ("loadgen.venues.wire:Answer", "package muster-other cannot be loaded (TypeError: "),
        ("loadgen.venues.wire:Inbox", "of package muster-other is no venue: no watermark, place_canaries, audit, wire"),
    ],
)
def test_a_package_that_cannot_be_loaded_is_named(monkeypatch: pytest.MonkeyPatch, value: str, reason: str) -> None:
    installed(monkeypatch, value)
    with pytest.raises(DefinitionError) as caught:
        venues.get("other")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("type_", ["bybit-v5", "fix44", "http"])
def test_a_venue_without_a_record_says_so(tmp_path: Path, type_: str) -> None:
    venue = venues.get(type_)
    assert venue.watermark({}) == 0
    assert (venue.place_canaries({}, 5).sent, len(venue.place_canaries({}, 5).errors)) == (0, 1)
    result = venue.audit({}, tmp_path, 1)
    assert (result.complete, result.reason, result.rows) == (False, f"{type_} offers no record that could be read", 0)
    run = RunDir(tmp_path)
    assert pq.read_schema(run.commands).equals(COMMANDS)
    assert pq.read_schema(run.fills).equals(FILLS)
    assert orjson.loads(run.audit_meta.read_bytes())["complete"] is False


# -- addresses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("ws://h", Endpoint("h", 80)),
        ("wss://h/x?y=1", Endpoint("h", 443, "/x?y=1", tls=True)),
        ("http://h:8080/api", Endpoint("h", 8080, "/api")),
        ("https://[::1]:1", Endpoint("::1", 1, "/", tls=True)),
        ("tcp://h:9", Endpoint("h", 9)),
        ("tcps://h:9", Endpoint("h", 9, "/", tls=True)),
    ],
)
def test_addresses(url: str, found: Endpoint) -> None:
    assert endpoint(url) == found


@pytest.mark.parametrize(
    "url",
    ["h", "", "h:80", "ftp://h", "tcp://h", "http://", "http://h:x", "http://h:99999", "http://[::1", "http://h\n/"],
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(DefinitionError):
        endpoint(url)


def test_an_address_of_another_kind_says_what_is_wanted() -> None:
    with pytest.raises(DefinitionError, match="http://h: is not a ws or wss address; write ws://host:port"):
        endpoints({"ws": ["ws://h", "http://h"]}, "ws", "ws", "wss")
    with pytest.raises(DefinitionError, match=r"venue\.ws: no address"):
        endpoints({"ws": ""}, "ws", "ws")
    assert endpoints({"ws": "ws://h"}, "ws", "ws") == (Endpoint("h", 80),)


def test_a_password_in_an_address_is_refused_unseen() -> None:
    with pytest.raises(DefinitionError) as caught:
        endpoint("https://me:hunter2@h")
    assert "hunter2" not in str(caught.value)


# -- keys --------------------------------------------------------------------------------------------------------------


def test_sessions_share_the_keys_of_a_file_in_turn(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(orjson.dumps([{"key": "a", "secret": "x", "note": "ignored"}, {"key": "b", "secret": "y"}]))
    secret = keys.of({"keys": {"file": str(path)}})
    assert [secret(session) for session in (0, 1, 2)] == [("a", b"x"), ("b", b"y"), ("a", b"x")]


@pytest.mark.parametrize("nested", [True, False])
def test_a_key_of_the_environment(monkeypatch: pytest.MonkeyPatch, nested: bool) -> None:
    monkeypatch.setenv("THE_KEY", "a")
    monkeypatch.setenv("THE_SECRET", "x")
    named = {"key_env": "THE_KEY", "secret_env": "THE_SECRET"}
    assert keys.of({"keys": named} if nested else named)(5) == ("a", b"x")


def test_accounts_of_the_sandbox_have_secrets_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"master\n")
    secret = keys.of({"secret_file": str(path)})
    assert secret(3)[0] == "acct-3"
    assert len({secret(session)[1] for session in range(10)}) == 10
    with pytest.raises(ComponentError, match="is the sandbox up"):
        keys.of({"secret_file": str(tmp_path / "gone")})


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b'{"key":"hunter2"}', b"[]", b'[{"key":"a","secret":""}]', b'[{"key":"a","secret":"hunter2\\n"}]'],
)
def test_a_file_of_keys_that_is_none_is_told_and_not_shown(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(content)
    with pytest.raises(DefinitionError, match="is not a list of keys") as caught:
        keys.of({"keys": {"file": str(path)}})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("venue", [{}, {"keys": {}}, {"keys": "x"}, {"keys": {"key_env": "A"}}, {"key_env": "A"}])
def test_a_venue_without_keys_is_told(venue: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError, match=r"venue.keys: .*write \{file: "):
        keys.of(venue)


def test_a_variable_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("THE_KEY", raising=False)
    with pytest.raises(DefinitionError, match="environment variable THE_KEY is not set"):
        keys.of({"keys": {"key_env": "THE_KEY", "secret_env": "THE_SECRET"}})
    with pytest.raises(DefinitionError, match="no such file"):
        keys.of({"keys": {"file": "/nowhere/keys.json"}})
