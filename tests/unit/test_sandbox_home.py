"""The folder of a sandbox, and what `up` checks before it starts anything."""

from pathlib import Path

import pytest

from sandbox.errors import BadUse
from sandbox.home import Box, checkout_key, muster_home, read_json, write_json
from sandbox.start import check_plants, last_line, owner_of


def test_a_sandbox_per_checkout_and_home(monkeypatch: pytest.MonkeyPatch) -> None:
    assert checkout_key(Path("/a/muster")) != checkout_key(Path("/b/muster"))
    monkeypatch.setenv("MUSTER_HOME", "/one")
    assert muster_home() == Path("/one")
    assert Box.here().root.parent == Path("/one/sandbox")


def test_state_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    assert read_json(path) is None
    write_json(path, {"a": 1})
    assert read_json(path) == {"a": 1}
    path.write_text('{"a":')
    assert read_json(path) is None
    assert [p.name for p in tmp_path.iterdir()] == ["state.json"]


def test_a_sweep_keeps_logs_and_truth(tmp_path: Path) -> None:
    box = Box(tmp_path)
    for folder in (box.conf, box.data, box.logs, box.truth):
        folder.mkdir()
    box.state_file.write_text("{}")
    box.secret_file.write_text("s")
    box.sweep()
    box.sweep()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["logs", "truth"]


def test_plants_are_named_as_weaknesses() -> None:
    assert check_plants("") == ()
    assert check_plants("W01, W04") == ("W01", "W04")
    for name in ("w1", "W99"):
        with pytest.raises(BadUse, match=f"'{name}' is not a weakness; known: W01, W03, W04"):
            check_plants(name)


def test_an_owner_must_live() -> None:
    assert owner_of(None) is None
    with pytest.raises(BadUse, match="there is no process 4194304"):
        owner_of(4194304)


def test_the_last_line_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    assert last_line(log) == "it said nothing"
    log.write_text("a\nb\n\n")
    assert last_line(log) == "b"
