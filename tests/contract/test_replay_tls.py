"""A replay over TLS: whom it believes, whom it does not, and that nothing is lost in large writes."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from aiohttp import web

from drills.errors import DefinitionError
from loadgen import synth, trace
from loadgen.builder import Row, build
from loadgen.config import LoadConfig
from loadgen.engine import tls
from loadgen.engine.pool import Pool
from loadgen.engine.replay import Replay
from tests.contract.fakevenue import FakeVenue
from tests.contract.papers import needed, server_side
from tests.contract.papers import papers as papers
from tests.contract.test_venue_replay import configured, play, pool_of

MS = 1_000_000
pytestmark = needed


@pytest.fixture(scope="module")
def flow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trace") / "flow.parquet"
    trace.write(synth.generate(4, 300, 5), path)
    return path


class SecretVenue(FakeVenue):
    """The fake venue, whose gateways are encrypted and whose engines are not."""

    def __init__(self, folder: Path, paper: Path, gateways: int = 1, host: str = "127.0.0.1") -> None:
        super().__init__(folder, gateways=gateways)
        self._paper, self._host = paper, host

    async def _serve(self, app: web.Application) -> None:
        if len(self.ports) >= self._counts[0]:
            await super()._serve(app)
            return
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server_side(self._paper)).start()
        self._runners.append(runner)
        self.ports.append(runner.addresses[0][1])

    @property
    def venue(self) -> dict[str, Any]:
        described = super().venue
        for key in ("ws", "rest"):
            described[key] = [
                url.replace("ws:", "wss:").replace("http:", "https:").replace("127.0.0.1", self._host)
                for url in described[key]
            ]
        return {**described, "ca_file": str(self._paper)}


def config_of(venue: FakeVenue, flow: Path, folder: Path, *, more: dict[str, Any], **fields: Any) -> LoadConfig:  # noqa: ANN401
    return configured(venue, flow, folder, **fields).model_copy(update={"venue": {**venue.venue, **more}})


def failure_of(config: LoadConfig, expected: str) -> str:
    """How a replay says that it cannot connect; its patience ends once it has met what is expected."""
    replay = Replay(config, lambda work: work())
    assert replay._pool is not None
    deadline = time.monotonic() + 60
    while replay.step():
        assert replay.engine is None, "nothing is sent to a venue that is not believed"
        assert time.monotonic() < deadline, replay._pool.last_error
        if expected in replay._pool.last_error:
            replay._connect_until_ns = 0
        time.sleep(0.001)
    assert replay.failure is not None
    assert "\n" not in replay.failure
    assert replay.failure.startswith("load: not every session could connect")
    assert expected in replay.failure
    return replay.failure


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_whole_replay_over_tls(papers: dict[str, Path], flow: Path, tmp_path: Path, host: str) -> None:
    with SecretVenue(tmp_path, papers["here"], gateways=2, host=host) as venue:
        rows = play(configured(venue, flow, tmp_path))
        assert venue.problems == []
        assert sorted(set(venue.sign_ins)) == sorted(f"acct-{n}" for n in range(16))
        assert Counter(row["outcome"] for row in rows) == {"ok": len(rows)}
        assert {row["op_id"]: row["server_seq"] for row in rows} == {op: n for n, op in enumerate(venue.executed(), 1)}
        assert all(row["intended_ns"] <= row["sent_ns"] <= row["answered_ns"] for row in rows)


def test_over_tls_too_a_hung_up_gateway_costs_only_the_way_to_the_other(
    papers: dict[str, Path], flow: Path, tmp_path: Path
) -> None:
    with SecretVenue(tmp_path, papers["here"], gateways=2) as venue:
        done: list[int] = []

        def each(t: float, replay: Replay) -> None:
            if not done and len(venue.executed()) > 50:
                done.append(venue.connections(0))
                venue.hang_up(0)

        rows = play(configured(venue, flow, tmp_path), each)
        assert done
        assert Counter(row["outcome"] for row in rows) == {"ok": len(rows)}
        assert len(venue.sign_ins) == 16 + done[0]


def test_large_writes_arrive_whole_and_in_order(papers: dict[str, Path], tmp_path: Path) -> None:
    rows = [Row(0, 0, "a", "place", "BTCUSDT", "Buy", "Limit", "GTC", 10**8, 10**8, f"c{n}") for n in range(2000)]
    trace.write(build("burst", rows, {}), tmp_path / "burst.parquet")
    with SecretVenue(tmp_path, papers["here"]) as venue:
        found = play(configured(venue, tmp_path / "burst.parquet", tmp_path, "drop", duration_s=0.001))
        assert Counter(row["outcome"] for row in found) == {"ok": 2000}
        assert venue.executed() == [f"run-1-{n:010d}" for n in range(2000)]


def test_a_venue_that_a_stranger_vouches_for_is_refused(papers: dict[str, Path], flow: Path, tmp_path: Path) -> None:
    with SecretVenue(tmp_path, papers["impostor"]) as venue:
        expected = f"127.0.0.1:{venue.ports[0]}: TLS: certificate refused: self-signed certificate"
        failure_of(config_of(venue, flow, tmp_path, more={"ca_file": str(papers["here"])}), expected)
        assert venue.sign_ins == []


def test_a_certificate_of_another_place_is_refused(papers: dict[str, Path], flow: Path, tmp_path: Path) -> None:
    with SecretVenue(tmp_path, papers["elsewhere"]) as venue:
        said = failure_of(configured(venue, flow, tmp_path), "TLS: certificate refused: ")
        assert "127.0.0.1" in said.partition("certificate refused")[2]
        assert venue.sign_ins == []


def test_without_an_authority_of_its_own_the_systems_are_asked(
    papers: dict[str, Path], flow: Path, tmp_path: Path
) -> None:
    with SecretVenue(tmp_path, papers["here"]) as venue:
        failure_of(config_of(venue, flow, tmp_path, more={"ca_file": None}), "TLS: certificate refused: ")


@pytest.mark.parametrize("transport", ["ws", "rest"])
def test_over_rest_an_impostor_is_refused_as_well(
    papers: dict[str, Path], flow: Path, tmp_path: Path, transport: str
) -> None:
    more = {"ca_file": str(papers["here"]), "transport": transport}
    with SecretVenue(tmp_path, papers["impostor"]) as venue:
        failure_of(config_of(venue, flow, tmp_path, more=more), "TLS: certificate refused: ")
        assert venue.executed() == []


def test_over_rest_everything_is_answered(papers: dict[str, Path], flow: Path, tmp_path: Path) -> None:
    with SecretVenue(tmp_path, papers["here"]) as venue:
        rows = play(config_of(venue, flow, tmp_path, more={"transport": "rest"}, duration_s=0.5))
        assert Counter(row["outcome"] for row in rows) == {"ok": len(rows)}
        assert sorted(venue.executed()) == sorted(row["op_id"] for row in rows)


def test_an_unencrypted_venue_is_told_from_an_encrypted_one(
    papers: dict[str, Path], flow: Path, tmp_path: Path
) -> None:
    with FakeVenue(tmp_path) as venue:
        more = {"ws": [url.replace("ws:", "wss:") for url in venue.venue["ws"]], "ca_file": str(papers["here"])}
        failure_of(config_of(venue, flow, tmp_path, more=more), "TLS: ")


@pytest.mark.parametrize("content", [None, b"", b"no certificate\n"])
def test_an_authority_that_cannot_be_read_is_told_before_anything_is_opened(
    papers: dict[str, Path], flow: Path, tmp_path: Path, content: bytes | None
) -> None:
    wrong = tmp_path / "wrong.pem"
    if content is not None:
        wrong.write_bytes(content)
    with SecretVenue(tmp_path, papers["here"]) as venue:
        with pytest.raises(DefinitionError) as told:
            Replay(config_of(venue, flow, tmp_path, more={"ca_file": str(wrong)}), lambda work: work())
        assert str(told.value).startswith(f"venue.ca_file {wrong}: cannot be used")
        assert "\n" not in str(told.value)


class Peer:
    """A listening socket; each connection is handed to `serve`, in a thread."""

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.accepted = 0
        self._serve = serve
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                sock, _ = self._listening.accept()
            except OSError:
                return
            self.accepted += 1
            sock.settimeout(10)
            with sock:
                self._serve(sock)

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(10)


@pytest.fixture
def peer() -> Iterator[Callable[[Callable[[socket.socket], None]], Peer]]:
    made: list[Peer] = []

    def start(serve: Callable[[socket.socket], None]) -> Peer:
        made.append(Peer(serve))
        return made[-1]

    yield start
    for one in made:
        one.close()


def hang_up_at_once(sock: socket.socket) -> None:
    pass


def hang_up_in_the_handshake(sock: socket.socket) -> None:
    sock.recv(1 << 16)


def send_half_a_record(sock: socket.socket) -> None:
    sock.recv(1 << 16)
    sock.sendall(b"\x16\x03\x03\x00\xff\x02")


def send_rubbish(sock: socket.socket) -> None:
    sock.recv(1 << 16)
    sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


@pytest.mark.parametrize("serve", [hang_up_at_once, hang_up_in_the_handshake, send_half_a_record, send_rubbish])
def test_a_peer_that_ends_the_handshake_is_one_line(
    papers: dict[str, Path],
    flow: Path,
    tmp_path: Path,
    peer: Callable[[Callable[[socket.socket], None]], Peer],
    serve: Callable[[socket.socket], None],
) -> None:
    other = peer(serve)
    with FakeVenue(tmp_path) as venue:
        more = {"ws": [f"wss://127.0.0.1:{other.port}/v5/trade"], "ca_file": str(papers["here"])}
        failure_of(config_of(venue, flow, tmp_path, more=more), f"127.0.0.1:{other.port}: ")
        assert other.accepted >= 2, "tried again"


def test_a_large_write_to_a_slow_peer_arrives_with_later_polls(papers: dict[str, Path], tmp_path: Path) -> None:
    with SecretVenue(tmp_path, papers["here"]) as venue:
        pool = pool_over_tls(venue, papers["here"])
        deadline = time.monotonic() + 20
        while not pool.all_ready():
            assert time.monotonic() < deadline
            pool.poll(time.monotonic_ns())
            time.sleep(0.001)
        # far more than the kernel takes at once; each frame is a ping of the API
        pool.send(0, list(range(100_000)), [b'{"op":"ping"}'] * 100_000)
        while venue.pings < 100_000:
            assert time.monotonic() < deadline + 40
            pool.poll(time.monotonic_ns())
            time.sleep(0.0005)
        assert pool.opened == 1
        pool.close()
        assert threading.active_count() < 50


def pool_over_tls(venue: SecretVenue, paper: Path) -> Pool:
    made = pool_of(venue, [url.replace("wss:", "ws:") for url in venue.venue["ws"]], 1)
    context = tls.context(str(paper))
    made._tls = lambda host: tls.Tls(context, host)
    made._wire.endpoints = [
        type(target)(target.host, target.port, target.path, tls=True) for target in made._wire.endpoints
    ]
    return made
