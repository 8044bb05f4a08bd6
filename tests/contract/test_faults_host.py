"""What single faults promise beyond what every fault does: on processes and hosts, under a real node agent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from chaoslib_ext import httpjson
from chaoslib_ext.faults import Fault, build, override
from chaoslib_ext.faults.host_fd_exhaustion import _limit
from chaoslib_ext.faults.host_memory_stress import HostMemoryStress
from chaoslib_ext.guardian.play import Player
from chaoslib_ext.guardian.verbs import accepts
from chaoslib_ext.helpers import find, native
from chaoslib_ext.helpers.memory_stress import available_mb
from chaoslib_ext.world import World
from drills.errors import ComponentError, FaultError, Refused, UsageError
from drills.ledger import Ledger, State
from drills.plan import Target
from tests.contract.faultcases.host import hosts
from tests.contract.injecting import inject
from tests.sandbox.box import TestBox
from tests.standins import RUN_ID, until

RUN = RUN_ID


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[TestBox, World]]:
    with hosts() as made:
        yield made


@pytest.fixture
def box(shared: tuple[TestBox, World]) -> TestBox:
    return shared[0]


@pytest.fixture
def world(shared: tuple[TestBox, World]) -> Iterator[World]:
    """Two instances in good health; every test leaves them so."""
    world = shared[1].tagged(RUN, "f1")
    until(lambda: all(one.ready for one in world.agent.instances()))
    before = world.snapshot()
    yield world
    until(lambda: World.diff(before, world.snapshot()) == [])


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Whatever a test leaves open is undone behind it."""
    made = Ledger(tmp_path / "ledger.ndjson", RUN)
    yield made
    undo(made)


def undo(ledger: Ledger) -> None:
    assert all(entry.state is State.VERIFIED for entry in Player(ledger).undo(ledger.book.open(), "test"))


def ask(world: World, act: str, name: str = "box-0") -> Any:  # noqa: ANN401 - JSON
    """What the instance answers to one of its own acts, once it listens."""
    until(lambda: accepts(world.instance(name).address("http")))
    status, answer = httpjson.call("GET", f"{world.instance(name).http}/{act}", timeout_s=5)
    assert status == 200
    return answer["answer"]


def clock(world: World) -> float:
    status = world.status("box-0")
    assert status is not None
    return float(status["clock"]) - time.time()


def test_an_instance_on_a_full_disk_keeps_its_data_and_stores_no_more(world: World, ledger: Ledger) -> None:
    assert ask(world, "store") == "stored"
    mounts = Path("/proc/self/mounts").read_text()
    volume = os.readlink(f"/proc/{world.agent.instance('box-0').pid}/cwd")
    kept = Path(volume, "kept")
    kept.write_text("for later")
    inject(build("disk.full", {"instance": "box-0"}), world, ledger)
    pid = world.agent.instance("box-0").pid
    until(lambda: world.status("box-0"))
    assert ask(world, "store") == "No space left on device"
    assert Path(f"/proc/{pid}/cwd/kept").read_text() == "for later"
    assert Path("/proc/self/mounts").read_text() == mounts
    undo(ledger)
    assert ask(world, "store") == "stored"
    assert kept.read_text() == "for later"


def test_a_disk_that_is_too_small_is_refused_with_what_it_takes(world: World) -> None:
    volume = Path(os.readlink(f"/proc/{world.agent.instance('box-0').pid}/cwd"))
    (volume / "big").write_bytes(bytes(3 * 2**20))
    fault = build("disk.full", {"instance": "box-0", "mb": 2})
    targets = fault.targets(world)
    fault.plan_undo(targets, world)
    with pytest.raises(ComponentError, match=r"disk_mb: 2 is too small .* at least 5"):
        fault.apply(targets, world)
    (volume / "big").unlink()


def test_the_service_itself_waits_for_its_disk(world: World, ledger: Ledger) -> None:
    inject(build("disk.slow-fsync", {"instance": "box-0", "ms": 150}), world, ledger)
    assert 150 <= ask(world, "sync") < 1000
    undo(ledger)
    assert ask(world, "sync") < 150


def test_overrides_add_up_survive_a_kill_and_go_one_by_one(world: World, tmp_path: Path) -> None:
    faults: list[tuple[Ledger, Fault]] = []
    three: list[tuple[str, dict[str, Any]]] = [
        ("clock.skew", {"instance": "box-0", "by": "+1h"}),
        ("disk.slow-fsync", {"instance": "box-0", "ms": 60}),
        ("disk.full", {"instance": "box-0"}),
    ]
    for number, (name, params) in enumerate(three):
        ledger = Ledger(tmp_path / f"{number}.ndjson", RUN)
        fault = build(name, params)
        inject(fault, world.tagged(RUN, f"f{number}"), ledger)
        faults.append((ledger, fault))
    until(lambda: world.agent.instance("box-0").ready)
    before = world.agent.instance("box-0")
    world.agent.act("box-0", "kill", signal="KILL", hold=False)
    until(lambda: (seen := world.agent.instance("box-0")).ready and seen.pid != before.pid)
    assert len(world.agent.instance("box-0").overrides) == 3
    assert (round(clock(world)), ask(world, "store")) == (3600, "No space left on device")
    undo(faults[0][0])
    assert (round(clock(world)), ask(world, "store")) == (0, "No space left on device")
    undo(faults[2][0])
    assert ask(world, "store") == "stored"
    assert ask(world, "sync") >= 60
    undo(faults[1][0])
    assert ask(world, "sync") < 60


def test_a_killed_process_leaves_no_clock_behind(box: TestBox, world: World, ledger: Ledger) -> None:
    inject(build("clock.skew", {"instance": "box-0", "by": "+30s"}), world, ledger)
    pid = world.agent.instance("box-0").pid
    assert any(str(pid) in name for name in os.listdir("/dev/shm"))
    box.act("box-0", "kill", {"signal": "KILL"})
    until(lambda: not any(str(pid) in name for name in os.listdir("/dev/shm")))


def test_a_clock_runs_at_another_rate(world: World, ledger: Ledger) -> None:
    witness = inject(build("clock.skew", {"instance": "box-0", "rate": 3}), world, ledger)
    assert "runs 3.0" in witness.texts[0] or "runs 2.9" in witness.texts[0]


def test_a_go_program_is_refused_by_name(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # a process whose program holds what every Go program holds
    program = tmp_path / "served-by-go"
    program.write_bytes(Path("/bin/sleep").read_bytes() + override.GO)
    program.chmod(0o755)
    with subprocess.Popen([program, "60"]) as process:
        for name in ("disk.slow-fsync", "clock.skew"):
            with pytest.raises(Refused, match=r"box-0 is a Go program \(served-by-go\).*nothing was touched"):
                override.refuse_unless_preloadable(name, Target(name="box-0"), process.pid)
        process.kill()


def test_a_library_that_nobody_can_build_is_refused_with_the_fix(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MUSTER_CACHE", str(tmp_path))
    monkeypatch.setattr(native, "COMPILERS", ())
    monkeypatch.setattr(native, "from_wheel", lambda *_: "the wheel cannot be had")
    with pytest.raises(
        Refused, match=r"part-missing.*the wheel cannot be had.*install a C compiler.*nothing was touched"
    ):
        native.slow_fsync()


@pytest.mark.parametrize("share", ["25%", "80%"])
def test_a_starved_process_gets_what_is_left_to_it(share: str, world: World, ledger: Ledger) -> None:
    with subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"]) as busy:
        start = psutil.Process(busy.pid).create_time()
        fault = build("host.cpu-starve", {"instance": "box-0", "share": share})
        targets = fault.targets(world)
        fault.remember(
            "box-0", world.agent.instance("box-0").parse({"name": "x", "pid": busy.pid, "start_time": start})
        )
        fault.apply(targets, world)
        until(lambda: fault.in_effect(targets, world))
        find_one = find.tagged(world.tag)[0]
        os.kill(find_one.pid, signal.SIGTERM)  # told to end, it lets everybody go on
        until(lambda: not find.tagged(world.tag))
        assert psutil.Process(busy.pid).status() != psutil.STATUS_STOPPED
        busy.kill()


def test_more_memory_than_the_machine_can_give_is_refused(world: World) -> None:
    fault = build("host.memory-stress", {"mb": available_mb()})
    assert isinstance(fault, HostMemoryStress)
    with pytest.raises(Refused, match=r"endangers-host.*at most half.*nothing was touched"):
        fault.plan_undo(fault.targets(world), world)
    with pytest.raises(UsageError, match="memory is taken from a host"):
        build("host.memory-stress", {"mb": 1, "service": "box"})


def test_the_limit_leaves_exactly_that_many_numbers() -> None:
    assert _limit({0, 1, 2, 5}, 0) == 3
    assert _limit({0, 1, 2, 5}, 2) == 6
    assert _limit({0, 1, 2}, 3) == 6


def test_what_is_open_goes_on_where_nothing_more_can_be_opened(world: World, ledger: Ledger) -> None:
    import http.client

    instance = world.instance("box-0")
    held = http.client.HTTPConnection(instance.host, instance.ports["http"], timeout=2)
    held.request("GET", "/status")
    held.getresponse().read()
    inject(build("host.fd-exhaustion", {"instance": "box-0", "left": 2}), world, ledger)
    held.request("GET", "/status")
    assert held.getresponse().status == 200
    held.close()


def test_a_storm_goes_on_until_it_is_undone(world: World, ledger: Ledger) -> None:
    inject(build("process.restart-storm", {"instance": "box-0", "every": "100ms"}), world, ledger)
    first = world.agent.instance("box-0").pid
    until(lambda: world.agent.instance("box-0").pid not in (first, None))
    undo(ledger)
    until(lambda: world.agent.instance("box-0").ready)
    assert find.tagged(world.tag) == []


def test_a_storm_of_so_many_kills_ends_by_itself(box: TestBox, world: World, ledger: Ledger) -> None:
    before = box.view("box-0")["restarts"]
    inject(build("process.restart-storm", {"instance": "box-0", "every": "100ms", "times": 2}), world, ledger)
    until(lambda: find.tagged(world.tag) == [])
    until(lambda: box.view("box-0")["ready"])
    assert box.view("box-0")["restarts"] - before == 2


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (None, "the body is"),
        ({"env": {"A": "b"}}, "key: None is not a name"),
        ({"key": "k"}, "k overrides nothing"),
        ({"key": "k", "env": {"A": 1}}, "is not a mapping of names to texts"),
        ({"key": "k", "disk_mb": 0}, "disk_mb: 0 is not a whole number from 1 to 1024"),
        ({"key": "k", "fill": "yes"}, "fill: 'yes' is not true or false"),
        ({"key": "k", "memory": 1}, "'memory' is not known"),
    ],
)
def test_an_override_that_means_nothing_is_told_why(body: object, words: str, box: TestBox) -> None:
    status, answer = box.call("POST", "/instances/box-0/override", body)
    assert status == 400
    assert words in answer["error"]


def test_an_override_waits_while_something_else_holds_the_instance(box: TestBox, world: World, ledger: Ledger) -> None:
    fault = build("clock.skew", {"instance": "box-0", "by": "+5s"})
    inject(fault, world, ledger)
    box.act("box-0", "kill", {"signal": "KILL", "hold": True})
    undo(ledger)
    assert box.view("box-0")["overrides"] == []
    with pytest.raises(FaultError, match="box-0 is held, not running; nothing was touched"):
        fault.plan_undo(fault.targets(world), world)
    box.act("box-0", "release")


def test_an_agent_that_is_killed_takes_what_it_overrode_with_it(tmp_path: Path) -> None:
    with hosts() as (box, plain):
        for number, (name, params) in enumerate((("disk.full", {}), ("clock.skew", {"by": "+30s"}))):
            ledger = Ledger(tmp_path / f"{number}.ndjson", RUN)
            until(lambda: plain.status("box-0"))
            inject(build(name, {"instance": "box-0", **params}), plain.tagged(RUN, f"f{number}"), ledger)
        box.agent().kill()
        until(lambda: box.processes() == [])  # and `down` then removes what they left in shared memory
        undo(ledger)
