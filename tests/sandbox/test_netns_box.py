"""The whole sandbox with its zones in network namespaces, two at once, and what is left of them: nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaoslib_ext import httpjson
from tests.netnsbox import needs_netns
from tests.sandbox.box import TestBox, exchange, until

LOOKS = (["-br", "link"], ["rule"], ["-4", "route", "show", "table", "all"], ["-4", "-br", "addr"])
OURS = "muster"


def host() -> list[str]:
    """What the host has of devices, rules, routes and addresses, but what other sandboxes of this machine have."""
    lines = []
    for words in LOOKS:
        lines += subprocess.run(["ip", *words], capture_output=True, text=True, check=True).stdout.splitlines()
    return [line for line in lines if OURS not in line]


def devices(box: TestBox) -> list[str]:
    return [one["device"] for one in box.describe()["netns"]["zones"].values()]


def there(names: list[str]) -> list[str]:
    return [name for name in names if Path("/sys/class/net", name).exists()]


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestBox]:
    needs_netns()
    before = host()
    with exchange(tmp_path_factory.mktemp("netns"), "--netns") as made:
        yield made
        names = devices(made)
        assert there(names) == names
    assert there(names) == []
    assert host() == before


def test_every_pod_of_a_zone_is_in_its_namespace(box: TestBox) -> None:
    described = box.describe()
    held = {zone: os.readlink(f"/proc/{one['pid']}/ns/net") for zone, one in described["netns"]["zones"].items()}
    assert "netns" in described["features"]
    for row in box.call("GET", "/instances")[1]:
        here = os.readlink(f"/proc/{row['pid']}/ns/net")
        assert here == held.get(row["zone"], os.readlink("/proc/self/ns/net")), row["name"]


def test_a_restarted_pod_is_in_it_again(box: TestBox) -> None:
    box.act("gateway-1", "kill", {"signal": "KILL"})
    row = until(lambda: (view := box.view("gateway-1"))["ready"] and view)
    held = box.describe()["netns"]["zones"][row["zone"]]["pid"]
    assert os.readlink(f"/proc/{row['pid']}/ns/net") == os.readlink(f"/proc/{held}/ns/net")


def test_two_at_once_do_not_meet_and_a_kill_of_everything_leaves_nothing(box: TestBox, tmp_path: Path) -> None:
    before = host()
    other = TestBox(tmp_path)
    other.up("--netns", bundled=True)
    try:
        mine, its = box.describe()["netns"], other.describe()["netns"]
        assert mine["network"] != its["network"]
        names = devices(other)
        for process in [other.agent(), *other.processes()]:
            process.kill()
        until(lambda: not there(names))  # nobody brought it down: the kernel took it with the last process
        assert host() == before
    finally:
        assert other.run("down").returncode == 0
    gateway = next(row for row in box.describe()["instances"] if row["service"] == "gateway")
    assert httpjson.call("GET", f"{gateway['http']}/status")[0] == 200


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="util-linux has no setpriv here")
def test_without_the_capability_it_is_refused_in_one_line(tmp_path: Path) -> None:
    needs_netns()
    box, before = TestBox(tmp_path), host()
    less = ["setpriv", "--bounding-set=-net_admin,-sys_admin", "--inh-caps=-net_admin,-sys_admin"]
    done = box.run("up", "--netns", before=less)
    assert (done.returncode, done.stderr.count("\n")) == (5, 1)
    assert "CAP_NET_ADMIN" in done.stderr
    assert host() == before
    assert not (box.root / "state.json").exists()
