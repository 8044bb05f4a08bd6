"""What every probe must keep: a registered name and unit, no data instead of zero, no exception, and its timeout."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from drills import registry
from probes import known
from probes.base import Scene, factories
from probes.slo import known as slos

assert known
NAMES = sorted(factories)


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that takes connections and never answers, as a stopped process does."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def scene(url: str, live: Path) -> Scene:
    return Scene(instances=[{"name": "engine-0", "service": "matching-engine", "http": url}], live=live)


@pytest.mark.parametrize("name", NAMES)
def test_registered_with_its_unit(name: str, tmp_path: Path) -> None:
    probe = factories[name](scene("http://127.0.0.1:1", tmp_path / "live.ndjson"))
    info = registry.probes[name]
    assert (probe.name, probe.unit) == (name, info.unit)
    assert info.summary.endswith(".")
    assert probe.tick_s > 0
    assert probe.timeout_s > 0


@pytest.mark.parametrize("name", NAMES)
def test_nothing_to_ask_is_no_data_with_a_reason(name: str, tmp_path: Path) -> None:
    with closing(factories[name](scene("http://127.0.0.1:1", tmp_path / "live.ndjson"))) as probe:
        reading = probe.read()
    assert reading.value is None
    assert reading.error
    assert reading.t_ns <= time.monotonic_ns()


@pytest.mark.parametrize("name", NAMES)
def test_a_silent_system_is_no_data_within_the_timeout(name: str, tmp_path: Path, silent: str) -> None:
    with closing(factories[name](scene(silent, tmp_path / "live.ndjson"))) as probe:
        for _ in range(3):  # the connection of the first read stays open and unanswered
            began = time.monotonic()
            reading = probe.read()
            assert time.monotonic() - began < probe.timeout_s
            assert reading.value is None
            assert reading.error


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_that_is_no_status_is_no_data(name: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(1.0)

        def answer() -> None:
            with suppress(OSError), server.accept()[0] as link:  # a probe of the load asks nobody
                link.recv(4096)
                link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        with closing(factories[name](scene(url, tmp_path / "live.ndjson"))) as probe:
            reading = probe.read()
        thread.join()
    assert reading.value is None
    assert reading.error


def test_every_slo_has_a_probe_that_may_be_named_as_one() -> None:
    assert set(slos()) == {name for name, info in registry.probes.items() if info.slo}
    for slo in slos().values():
        assert 0.9 < slo.target < 1
        assert slo.days > 0
