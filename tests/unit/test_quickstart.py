"""The drill of `muster quickstart` is right, commented, and never overwrites one."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaoslib_ext.cli.main import run
from chaoslib_ext.names import load_definition
from drills.model import Drill


def test_quickstart_writes_a_drill_that_checks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["quickstart", "--write-only"]) == 0
    drill = load_definition(Path("my-first-drill.yaml"))
    assert isinstance(drill, Drill)
    assert [phase.kind for phase in drill.phases] == ["baseline", "inject", "detect", "recover", "verify", "restore"]
    assert run(["quickstart", "--write-only"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("my-first-drill.yaml is here already")
