"""What an instance is started with beyond its manifest."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from sandbox.errors import BadUse
from sandbox.node import overrides
from sandbox.node.instance import Children, Instance
from sandbox.node.overrides import Override, Overrides, needed_mb
from sandbox.node.resolve import Runnable
from sandbox.truth.log import TruthLog

BASE = {"PATH": "/bin", "LD_PRELOAD": "theirs.so"}


def test_variables_add_up_and_the_latest_wins() -> None:
    made = Overrides()
    made.put("a", Override({"FAKETIME": "+30", "LD_PRELOAD": "clock.so"}))
    made.put("b", Override({"FAKETIME": "-30", "LD_PRELOAD": "disk.so"}))
    env = made.env(BASE)
    assert env == {"PATH": "/bin", "FAKETIME": "-30", "LD_PRELOAD": "theirs.so:clock.so:disk.so"}
    assert made.remove("b")
    assert made.env(BASE) == {"PATH": "/bin", "FAKETIME": "+30", "LD_PRELOAD": "theirs.so:clock.so"}


def test_a_key_is_there_once() -> None:
    made = Overrides()
    made.put("a", Override({"X": "1"}))
    made.put("a", Override({"X": "1"}))
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


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    """One whose process was not started."""
    spec = Runnable(
        "web-0", "web", None, None, "127.0.0.1", ("serve",), {}, tmp_path, tmp_path, None, None, "Always", 1
    )
    return Instance(spec, Children(tmp_path / "children"), TruthLog(tmp_path / "truth"))


def test_an_override_that_is_taken_back_while_it_is_looked_at_never_comes(instance: Instance) -> None:
    async def both() -> None:
        wanted = asyncio.create_task(instance.override("k", Override({"A": "b"})))
        await asyncio.sleep(0)
        assert instance.view()["overrides"] == ["k"]
        await instance.clear_override("k")
        await wanted

    asyncio.run(both())
    assert instance.view()["overrides"] == []


def test_an_override_that_cannot_be_had_is_not_kept(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overrides, "_no_namespaces", lambda: None)
    (instance.spec.cwd / "stored").write_bytes(bytes(3 * 2**20))
    with pytest.raises(BadUse, match="disk_mb: 1 is too small"):
        asyncio.run(instance.override("k", Override(disk_mb=1)))
    assert instance.view()["overrides"] == []
