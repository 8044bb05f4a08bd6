"""`muster list` and `muster show`: every name with what matters of it, readable at 120 columns."""

from __future__ import annotations

import json

import pytest

from chaoslib_ext.cli import main
from chaoslib_ext.cli.list import KINDS
from chaoslib_ext.names import load_names
from drills import registry


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_listed_at_120_columns(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["list", kind, "-o", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert main.run(["list", kind]) == 0
    text = capsys.readouterr().out
    assert all(len(line) <= 120 for line in text.splitlines())
    assert all(row["name"] in text for row in rows)


def test_faults_say_plane_reversibility_needs_proof_and_undo(capsys: pytest.CaptureFixture[str]) -> None:
    load_names()
    main.run(["list", "faults", "-o", "json"])
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert set(rows) == set(registry.faults)
    for name, info in registry.faults.items():
        assert (rows[name]["plane"], rows[name]["needs"]) == (info.plane, sorted(info.needs))
        assert rows[name]["proof"]
        assert rows[name]["undo"]


def test_every_fault_is_shown_with_its_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    load_names()
    for name, info in registry.faults.items():
        assert main.run(["show", name]) == 0
        text = capsys.readouterr().out
        assert info.summary in text
        assert all(field.alias or key in text for key, field in info.model.model_fields.items())
    assert main.run(["show", "wait", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["parameters"][0]["value"] == "leader sustained redundancy"


def test_an_unknown_name_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["show", "proces.kill"]) == 2
    assert "did you mean process.kill?" in capsys.readouterr().err


def test_who_asks_to_be_shown_a_drill_is_sent_to_its_plan(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["show", "engine-primary-kill"]) == 2
    assert capsys.readouterr().err == (
        "no fault, probe or action 'engine-primary-kill'; "
        "`muster plan engine-primary-kill` shows a drill or an experiment\n"
    )
