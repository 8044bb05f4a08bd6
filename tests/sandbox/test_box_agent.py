"""The node agent and its instances, with small stand-ins for the exchange."""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from tests.sandbox.box import SERVE, TestBox, until

pytestmark = [pytest.mark.sandbox, pytest.mark.untimed]


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestBox]:
    made = TestBox(tmp_path_factory.mktemp("box"))
    made.pod("web-0")
    made.pod("web-1")
    made.pod("stubborn", f"[{SERVE}, ignore-term]")
    for name in ("rack-0", "rack-1", "rack-2"):
        made.pod(name, zone="lab-a")
    made.up()
    try:
        yield made
    finally:
        assert made.run("down").returncode == 0
        assert made.processes() == []


def test_every_instance_has_its_own_session_and_is_on_record(box: TestBox) -> None:
    view = box.view("web-0")
    assert view["phase"] == "running"
    assert view["ready"] is True
    assert os.getsid(view["pid"]) == view["pid"]
    assert psutil.Process(view["pid"]).create_time() == pytest.approx(view["start_time"], abs=1)
    assert f'"pid":{view["pid"]}' in (box.root / "children.ndjson").read_text()


def test_a_killed_instance_comes_back(box: TestBox) -> None:
    before = box.view("web-0")
    after = box.act("web-0", "kill", {"signal": "KILL"})
    assert after["pid"] != before["pid"]
    back = until(lambda: (now := box.view("web-0"))["ready"] and now)
    assert back["restarts"] == before["restarts"] + 1
    assert back["last_exit"] == -signal.SIGKILL


def test_a_held_instance_stays_down_until_released(box: TestBox) -> None:
    pid = box.view("web-1")["pid"]
    for _ in range(2):
        held = box.act("web-1", "kill", {"signal": "KILL", "hold": True})
        assert (held["phase"], held["pid"], held["ready"]) == ("held", None, False)
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    assert box.act("web-1", "kill", {"signal": "KILL", "hold": False})["phase"] == "held"  # only release undoes a hold
    started = {box.act("web-1", "release")["pid"] for _ in range(2)}
    assert len(started) == 1
    assert pid not in started
    until(lambda: box.view("web-1")["ready"])


def test_a_paused_instance_goes_on_where_it_was(box: TestBox) -> None:
    pid = box.view("web-0")["pid"]
    for _ in range(2):
        paused = box.act("web-0", "pause")
        assert (paused["phase"], paused["ready"]) == ("paused", False)
        assert psutil.Process(pid).status() == psutil.STATUS_STOPPED
    for _ in range(2):
        assert box.act("web-0", "resume")["phase"] == "running"
    assert box.view("web-0")["pid"] == pid


def test_a_stop_from_outside_is_seen(box: TestBox) -> None:
    pid = box.view("web-0")["pid"]
    os.kill(pid, signal.SIGSTOP)
    until(lambda: box.view("web-0")["phase"] == "paused")
    assert box.act("web-0", "resume")["phase"] == "running"


def test_stopped_stays_stopped_until_started(box: TestBox) -> None:
    for _ in range(2):
        assert box.act("web-1", "stop")["phase"] == "stopped"
    assert box.act("web-1", "start")["pid"] is not None
    until(lambda: box.view("web-1")["ready"])


def test_one_that_ignores_sigterm_or_is_paused_ends_all_the_same(box: TestBox) -> None:
    box.act("stubborn", "pause")
    assert box.act("stubborn", "stop")["phase"] == "stopped"
    box.act("stubborn", "release")
    until(lambda: box.view("stubborn")["ready"])
    box.act("stubborn", "pause")
    assert box.act("stubborn", "kill", {"signal": "TERM", "hold": True})["phase"] == "held"
    box.act("stubborn", "release")
    until(lambda: box.view("stubborn")["ready"])


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        (
            "GET",
            "/instances/nope",
            None,
            404,
            "no instance 'nope'; there are rack-0, rack-1, rack-2, stubborn, web-0, web-1",
        ),
        ("POST", "/instances/nope/kill", None, 404, "no instance 'nope'"),
        ("POST", "/instances/web-0/explode", None, 404, "no act 'explode'"),
        ("POST", "/instances/web-0/kill", {"signal": "NOPE"}, 400, "no signal 'NOPE'"),
        ("POST", "/instances/web-0/kill", {"hold": "yes"}, 400, "the body is"),
        ("POST", "/instances/web-0/kill", [1], 400, "the body is"),
    ],
)
def test_a_mistake_is_one_clear_line(
    box: TestBox, method: str, path: str, body: object, status: int, words: str
) -> None:
    answered, answer = box.call(method, path, body)
    assert answered == status
    assert words in answer["error"]
    assert box.view("web-0")["phase"] == "running"


def test_the_truth_is_told_before_the_effect(box: TestBox) -> None:
    pid = box.view("web-0")["pid"]
    box.act("web-0", "kill", {"signal": "KILL", "hold": True})
    box.act("web-0", "release")
    mine = [row for row in box.truth() if row["instance"] == "web-0"][-3:]
    assert [row["e"] for row in mine] == ["kill", "exit", "start"]
    assert [row["pid"] for row in mine[:2]] == [pid, pid]
    times = [row["t_ns"] for row in mine]
    assert times == sorted(times)
    assert mine[0]["hold"] is True


def test_status_shows_all_of_it(box: TestBox) -> None:
    until(lambda: box.view("web-0")["ready"])
    shown = box.run("status")
    assert shown.returncode == 0
    assert [line.split()[0] for line in shown.stdout.splitlines()] == [
        "instance",
        *(f"rack-{n}" for n in range(3)),
        "stubborn",
        "web-0",
        "web-1",
    ]
    assert '"phase": "running"' in box.run("status", "--json").stdout


def test_the_agent_is_idle_when_nothing_happens(box: TestBox) -> None:
    agent = box.agent()
    agent.cpu_percent()
    assert agent.cpu_percent(interval=2.0) < 2.0  # 1 % is the aim; a busy machine rounds up


def test_logs_of_an_instance_and_of_nobody(box: TestBox) -> None:
    assert "GET / HTTP/1.1" in box.run("logs", "web-0").stdout
    nobody = box.run("logs", "nope")
    assert nobody.returncode == 2
    assert "there are rack-0, rack-1, rack-2, stubborn, web-0, web-1" in nobody.stderr
    assert box.run("logs", "../secret").returncode == 2


def test_a_log_is_followed_as_it_grows(box: TestBox) -> None:
    with box.popen("logs", "web-0", "-f", "-n", "0") as follower:
        assert follower.stdout is not None
        assert "GET / HTTP/1.1" in follower.stdout.readline()  # the readiness probe asks each second
        follower.send_signal(signal.SIGINT)
        follower.communicate(timeout=10)
    assert follower.returncode == 130


def test_a_second_up_says_so_and_touches_nothing(box: TestBox) -> None:
    pid = box.view("web-0")["pid"]
    again = box.run("up", "--manifests", str(box.manifests))
    assert again.returncode == 0
    assert "already up" in again.stderr
    planted = box.run("up", "--plant", "W01")
    assert planted.returncode == 5
    assert planted.stderr.startswith("refused: ")
    without = box.run("up", "--dr")
    assert (without.returncode, without.stderr.startswith("refused: up: the sandbox is up without sgp")) == (5, True)
    assert box.view("web-0")["pid"] == pid


def test_the_secret_is_nowhere_but_in_its_file(box: TestBox) -> None:
    secret_file = box.root / "secret"
    assert secret_file.stat().st_mode & 0o777 == 0o600
    secret = secret_file.read_text()
    assert len(bytes.fromhex(secret)) == 32
    shown = box.run("env").stdout + box.run("describe").stdout + box.run("status", "--json").stdout
    assert secret not in shown
    for path in (path for path in box.root.rglob("*") if path.is_file() and path != secret_file):
        assert secret not in path.read_text(errors="replace"), path


def test_env_is_for_a_shell(box: TestBox, tmp_path: Path) -> None:
    exported = dict(line.removeprefix("export ").split("=", 1) for line in box.run("env").stdout.splitlines())
    assert exported["MUSTER_AGENT"] == box.describe()["agent"]
    assert Path(exported["KUBECONFIG"]).is_file()


def test_a_node_takes_all_that_runs_on_it_down_and_gives_back_what_was_not_held(box: TestBox) -> None:
    there = {node["name"]: node for node in box.call("GET", "/nodes")[1]}
    assert there["lab-a"] == {
        "name": "lab-a",
        "zone": "lab-a",
        "region": "lab",
        "power": "on",
        "instances": ["rack-0", "rack-1", "rack-2"],
    }
    assert [node["name"] for node in box.describe()["nodes"]] == ["lab-a"]
    box.act("rack-2", "kill", {"signal": "KILL", "hold": True})
    for _ in range(2):
        status, node = box.call("POST", "/nodes/lab-a/off")
        assert (status, node["power"]) == (200, "off")
        assert [box.view(name)["phase"] for name in node["instances"]] == ["held"] * 3
    assert box.act("rack-1", "release")["phase"] == "held"  # no power
    assert box.view("web-0")["phase"] == "running"  # on no node
    for _ in range(2):
        assert box.call("POST", "/nodes/lab-a/on")[1]["power"] == "on"
    assert [box.view(f"rack-{n}")["pid"] is not None for n in range(3)] == [True, True, False]
    box.act("rack-2", "release")
    until(lambda: all(box.view(f"rack-{n}")["ready"] for n in range(3)))
    assert box.call("POST", "/nodes/nope/off")[0] == 404


def order(box: TestBox, path: str, tag: str, body: bytes) -> tuple[socket.socket, bytes]:
    """Connect and send the head of an order under a tag; the connection and the body that is still to come."""
    agent = urlsplit(box.describe()["agent"])
    link = socket.create_connection((agent.hostname or "", agent.port or 0), 10)
    words = [f"POST {path} HTTP/1.1", "Host: agent", f"Muster-Order: {tag} {time.monotonic_ns()}"]
    link.sendall("\r\n".join([*words, f"Content-Length: {len(body)}", "", ""]).encode())
    return link, body


def status(link: socket.socket) -> int:
    with link, link.makefile("rb") as answer:
        return int(answer.readline().split()[1])


HOLD = b'{"signal": "KILL", "hold": true}'


def test_an_order_whose_body_comes_after_the_undo_is_refused(box: TestBox) -> None:
    """As a runner leaves it that was killed, or frozen, in the middle of sending."""
    pid = box.view("web-1")["pid"]
    late, rest = order(box, "/instances/web-1/kill", "muster-r-f0", HOLD)
    dark, rest_of_it = order(box, "/nodes/lab-a/off", "muster-r-f0", b"{}")
    box.call("POST", "/instances/web-1/release", headers={"Muster-Over": f"muster-r-f0 {time.monotonic_ns()}"})
    late.sendall(rest)
    dark.sendall(rest_of_it)
    assert (status(late), status(dark)) == (410, 410)
    assert (box.view("web-1")["phase"], box.view("web-1")["pid"]) == ("running", pid)
    assert box.view("rack-0")["phase"] == "running"
    again, body = order(box, "/instances/web-1/kill", "muster-r-f0", HOLD)  # the same fault once more, after its undo
    again.sendall(body)
    assert status(again) == 200
    assert box.act("web-1", "release")["pid"] != pid


def test_what_a_frozen_agent_finds_when_it_wakes_leaves_nothing_down(box: TestBox) -> None:
    """Order and undo wait in different sockets: whichever it takes first, the fault is over in the end."""
    agent = box.agent()
    agent.suspend()
    try:
        waiting = [order(box, "/instances/web-0/kill", f"muster-r-f{number}", HOLD) for number in range(8)]
        for link, body in waiting:
            link.sendall(body)
        undos = [threading.Thread(target=undo, args=(box, f"muster-r-f{number}")) for number in range(8)]
        for one in undos:
            one.start()
    finally:
        agent.resume()
    for one in undos:
        one.join()
    assert {status(link) for link, _ in waiting} <= {200, 410}
    assert box.view("web-0")["phase"] in ("starting", "running")


def undo(box: TestBox, tag: str) -> None:
    box.call("POST", "/instances/web-0/release", headers={"Muster-Over": f"{tag} {time.monotonic_ns()}"})


def test_a_tag_that_cannot_be_read_is_refused(box: TestBox) -> None:
    for header in ("Muster-Order", "Muster-Over"):
        code, said = box.call("POST", "/instances/web-0/pause", headers={header: "muster-r-f0 soon"})
        assert (code, said["error"]) == (
            400,
            f"{header}: 'muster-r-f0 soon' is not TAG NS, NS being CLOCK_MONOTONIC in nanoseconds",
        )
    assert box.view("web-0")["phase"] in ("starting", "running")
