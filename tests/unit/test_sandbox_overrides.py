"""What an instance is started with beyond its manifest."""

from __future__ import annotations

import sys
from pathlib import Path

from sandbox.node.overrides import Override, Overrides, needed_mb

BASE = {"PATH": "/bin", "LD_PRELOAD": "theirs.so"}


def test_variables_add_up_and_the_latest_wins() -> None:
    made = Overrides()
    assert made.put("a", Override({"FAKETIME": "+30", "LD_PRELOAD": "clock.so"}))
    assert made.put("b", Override({"FAKETIME": "-30", "LD_PRELOAD": "disk.so"}))
    env = made.env(BASE)
    assert env == {"PATH": "/bin", "FAKETIME": "-30", "LD_PRELOAD": "theirs.so:clock.so:disk.so"}
    assert made.remove("b")
    assert made.env(BASE) == {"PATH": "/bin", "FAKETIME": "+30", "LD_PRELOAD": "theirs.so:clock.so"}


def test_nothing_changes_where_nothing_is_new() -> None:
    made = Overrides()
    assert made.put("a", Override({"X": "1"}))
    assert not made.put("a", Override({"X": "1"}))
    assert made.keys() == {"a"}
    assert made.remove("a")
    assert not made.remove("a")
    assert made.env(BASE) == BASE


def test_of_two_disks_the_smaller_one_is_taken_and_filled(tmp_path: Path) -> None:
    made = Overrides()
    assert made.argv(["serve"], tmp_path) == ["serve"]
    made.put("small", Override(disk_mb=8))
    made.put("full", Override(disk_mb=64, fill=True))
    command = [sys.executable, "-m", "sandbox.node.volume", "8", "1", str(tmp_path), "--", "serve"]
    assert made.argv(["serve"], tmp_path) == command


def test_a_full_disk_without_a_size_holds_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "stored").write_bytes(bytes(3 * 2**20))
    made = Overrides()
    made.put("full", Override(fill=True))
    assert made.argv(["serve"], tmp_path)[3] == str(needed_mb(tmp_path)) == "5"
