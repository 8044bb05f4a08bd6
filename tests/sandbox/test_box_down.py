"""`down` leaves nothing, whatever happened before; `up` that fails leaves nothing either."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.sandbox.box import SERVE, TestBox, until

pytestmark = [pytest.mark.sandbox, pytest.mark.untimed]


@pytest.fixture
def box(tmp_path: Path) -> Iterator[TestBox]:
    made = TestBox(tmp_path)
    made.pod("web-0")
    made.pod("web-1")
    try:
        yield made
    finally:
        made.run("down")
        assert made.processes() == []


def test_down_is_idempotent_and_keeps_what_tells(box: TestBox) -> None:
    assert box.run("down").stderr == "sandbox: nothing was up\n"
    box.up()
    box.act("web-0", "pause")
    assert box.run("down").stderr == "sandbox: down\n"
    assert box.processes() == []
    assert box.run("down").returncode == 0
    assert {path.name for path in box.root.iterdir()} == {"agent.log", "lock", "logs", "truth"}
    assert "GET /" in box.run("logs", "web-1").stdout
    assert box.run("status").returncode == 3
    assert box.run("describe").returncode == 3


def test_nothing_survives_a_kill_of_the_agent(box: TestBox) -> None:
    box.up()
    box.act("web-0", "pause")
    box.agent().kill()
    assert box.run("status").returncode == 3
    assert box.run("down").stderr == "sandbox: down\n"
    assert box.processes() == []
    box.up()
    assert box.view("web-0")["ready"] is True


def test_a_frozen_agent_is_no_obstacle(box: TestBox) -> None:
    box.up()
    box.agent().suspend()
    assert box.run("down").returncode == 0
    assert box.processes() == []


def test_a_child_that_is_on_no_list_is_found(box: TestBox) -> None:
    box.up()
    env = {**os.environ, "MUSTER_SANDBOX_DIR": str(box.root)}
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], env=env) as stray:
        until(lambda: stray.pid in [process.pid for process in box.processes()])
        assert box.run("down").returncode == 0
        assert stray.wait(5) == -signal.SIGKILL


def test_a_pid_that_is_somebody_else_by_now_is_left_alone(box: TestBox) -> None:
    box.up()
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as other:
        with (box.root / "children.ndjson").open("a") as children:
            children.write(f'{{"instance":"web-0","pid":{other.pid},"start_time":12.5}}\n{{"inst')
        assert box.run("down").returncode == 0
        assert other.poll() is None
        other.kill()


def test_the_sandbox_goes_with_its_owner(box: TestBox) -> None:
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as owner:
        box.up("--owner-pid", str(owner.pid))
        owner.kill()
        owner.wait()
        until(lambda: not box.processes(), 5)
    assert box.run("status").returncode == 3
    assert not (box.root / "secret").exists()


def test_up_over_the_remains_of_a_crash(box: TestBox) -> None:
    box.up()
    first = box.describe()["id"]
    box.agent().kill()
    until(lambda: box.run("status").returncode == 3)
    box.up()
    assert box.describe()["id"] != first


def test_two_ups_at_once_make_one_sandbox(box: TestBox) -> None:
    words = ("up", "--manifests", str(box.manifests))
    said = [process.communicate(timeout=60)[1] for process in [box.popen(*words), box.popen(*words)]]
    assert sorted("already up" in text for text in said) == [False, True]
    assert len([p for p in box.processes() if "sandbox.node" in p.cmdline()]) == 1


def test_an_interrupted_up_takes_down_what_it_began(box: TestBox) -> None:
    box.pod("never", '["${PYTHON}", -c, "import signal; signal.pause()"]')
    with box.popen("up", "--manifests", str(box.manifests)) as process:
        until(box.processes)
        until(lambda: (box.root / "agent.json").exists())
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert err.strip() == "interrupted"
    assert box.processes() == []


def test_an_instance_that_dies_at_once_is_named_with_its_last_words(box: TestBox) -> None:
    box.pod("broken", '["${PYTHON}", -c, "raise SystemExit(\'no such book\')"]')
    done = box.run("up", "--manifests", str(box.manifests))
    assert done.returncode == 70
    assert done.stderr.startswith("broken: does not get ready, ended ")
    assert "no such book" in done.stderr
    assert done.stderr.count("\n") == 1
    assert box.processes() == []


def test_a_program_that_is_not_there(box: TestBox) -> None:
    box.pod("absent", '["/no/such/program"]')
    done = box.run("up", "--manifests", str(box.manifests))
    assert done.returncode == 70
    assert "cannot run /no/such/program" in done.stderr


def test_a_port_in_use_is_refused_before_anything_runs(box: TestBox) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        box.pod("pinned", host_port=port)
        done = box.run("up", "--manifests", str(box.manifests))
    assert done.returncode == 5
    assert done.stderr.startswith(f"refused: pinned: port {port} (http) is in use")
    assert not (box.root / "state.json").exists()


def test_a_broken_manifest_is_named(box: TestBox) -> None:
    (box.manifests / "web-0.yaml").write_text("kind: Pod\nmetadata: [\n")
    done = box.run("up", "--manifests", str(box.manifests))
    assert done.returncode == 2
    assert "web-0.yaml:3:1: " in done.stderr


def test_a_job_that_has_ended_is_not_started_again(box: TestBox) -> None:
    box.pod("once", f'[{SERVE}, "2"]', policy="Never")
    box.up()
    until(lambda: box.view("once")["phase"] == "stopped")
    assert box.view("once")["restarts"] == 0


def test_no_zombie_is_taken_for_a_process(box: TestBox) -> None:
    box.up()
    agent = box.agent()
    started = time.monotonic()
    assert box.run("down").returncode == 0
    assert time.monotonic() - started < 6  # it gives an agent 8 s
    assert not psutil.pid_exists(agent.pid) or agent.status() == psutil.STATUS_ZOMBIE
